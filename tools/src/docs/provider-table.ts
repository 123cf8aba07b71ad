import { providerCatalog, providerIds, type NativeProviderFacts, type OpenAiProviderFacts, type ProviderFacts } from '@pointsman/providers';

type QuirkName = OpenAiProviderFacts['quirks'][number];

/** One line per quirk for people; the code is in `libs/providers/src/openai-wire/quirks`. A new quirk without a line here does not compile. */
const QUIRKS: Readonly<Record<QuirkName, string>> = {
  cache_control_into_content: '`cache_control` of a message moves into its content parts',
  content_list_to_string: 'text content parts are joined into a string',
  drop_empty_assistant_messages: 'assistant messages that say and call nothing are left out',
  drop_non_function_tools: 'tools that are not functions are left out',
  drop_null_function_call_fields: '`function_call: null` and `tool_calls: null` are left out',
  echo_reasoning_content: 'an assistant message with a tool call gets the `reasoning_content` that the model insists on',
  force_store_false: '`store` is always false',
  name_only_on_tool_role: '`name` is kept on tool messages only',
  no_stop_or_penalties_on_reasoning_models: 'with `drop_params`, reasoning models get no `stop` and no penalties',
  openai_model_rules: 'reasoning models get `max_completion_tokens`; sampling parameters they refuse are left out with `drop_params`',
  seed_to_random_seed: '`seed` is called `random_seed`',
  strip_cache_control: '`cache_control` is left out',
  strip_cache_control_unless_claude: '`cache_control` is left out unless the model is a Claude',
  strip_schema_fields: 'keywords that are refused are left out of tool schemas',
  temperature_at_most_1: '`temperature` is at most 1',
  temperature_at_most_1_99: '`temperature` is at most 1.99',
  thinking_param: '`reasoning_effort` and a thinking budget become `thinking: {type}`',
  tool_choice_auto_only: 'with `drop_params`, `tool_choice` other than `auto` and `none` is left out',
  tool_choice_required_to_any: '`tool_choice: required` is called `any`',
  tool_choice_required_via_message: '`tool_choice: required` is asked for in words',
  tool_message_content_to_string: 'content of tool messages is a string',
  thinking_blocks: 'reasoning comes as content parts; clients get `reasoning_content`',
  citations_to_annotations: 'numbered citations of a whole reply become `url_citation` annotations',
  finish_reason_for_tools: 'a reply that calls tools finishes with `tool_calls`',
  reasoning_field: '`reasoning` is given as `reasoning_content` too',
  reasoning_tokens_into_completion: 'reasoning tokens are counted within the completion',
  search_queries_in_usage: 'the number of search queries is kept in the usage',
  tool_calls_in_content: 'a tool call written as JSON into the content becomes a tool call',
};

/** What a row says of an auth scheme that is not `Authorization: Bearer`. */
const AUTH: Readonly<Record<string, string>> = {
  azure: 'key in `api-key`, or `azure_ad_token` as bearer', azure_ai: 'key in `api-key`, or as bearer, by host', snowflake: 'a JWT or a programmatic token, each with its own header',
};

const ADDRESS: Readonly<Record<NonNullable<OpenAiProviderFacts['address']>, string>> = {
  azure: 'deployment in the path, `api-version` in the query', azure_ai: 'path and query by the kind of host', baseten: 'a deployment id as model gets a host of its own',
  bedrock_mantle: 'region in the host; a region before the model name wins', clarifai: 'model names become Clarifai addresses',
  fireworks_ai: 'short model names become `accounts/fireworks/models/…`', gradient_ai: 'path depends on the host', ragflow: 'chat or agent id in the path',
};

const NATIVE_NOTES: Readonly<Record<string, string>> = {
  anthropic: '`/v1/messages` goes as it came, everything else through the SDK; tokens are counted by the provider',
  bedrock: 'Converse; AWS credential chain or `AWS_BEARER_TOKEN_BEDROCK`', vertex_ai: 'Gemini and Claude on Vertex; Google credential chain', ollama: 'speaks `/api/chat`; `OLLAMA_API_KEY` only where the server asks for one',
};

const code = (text: string): string => `\`${text}\``;

function openAiNotes(facts: OpenAiProviderFacts): string {
  const notes: string[] = [];
  if (facts.auth !== 'bearer') notes.push(facts.auth.startsWith('header:') ? `key in ${code(facts.auth.slice('header:'.length))}` : AUTH[facts.auth] ?? facts.auth);
  if (facts.keyOptional === true) notes.push('key optional');
  if (facts.address !== undefined) notes.push(ADDRESS[facts.address]);
  if (facts.streamUsage === 'unasked') notes.push('usage comes with every stream; `stream_options` is not sent');
  for (const [from, to] of Object.entries(facts.renames)) notes.push(`${code(from)} is called ${code(to)}`);
  for (const quirk of facts.quirks) notes.push(QUIRKS[quirk]);
  return notes.join('; ');
}

function openAiRow(facts: OpenAiProviderFacts): readonly string[] {
  return [
    code(facts.id), facts.apiKeyEnv.map(code).join(', ') || '–', facts.baseUrl === null ? `yours: ${code('api_base')}${facts.apiBaseEnv.map((name) => ` or ${code(name)}`).join('')}` : code(facts.baseUrl),
    facts.formats.join(', '), openAiNotes(facts),
  ];
}

function nativeRow(facts: NativeProviderFacts): readonly string[] {
  return [code(facts.id), facts.apiKeyEnv.map(code).join(', ') || '–', NATIVE_NOTES[facts.id] ?? ''];
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n');
}

function aliases(): readonly (readonly string[])[] {
  return providerIds.flatMap((id) => {
    const target = providerCatalog.find(id)?.id;
    return target === undefined || target === id ? [] : [[code(id), code(target)]];
  });
}

/** The generated part of `docs/providers.md`: every provider of the catalogue, by how it is served. */
export function providerTables(): string {
  const served = new Set(providerIds);
  const entries: readonly ProviderFacts[] = providerCatalog.entries;
  const openAi = entries.filter((facts) => facts.kind === 'openai');
  const native = entries.filter((facts) => facts.kind === 'native');
  const sdk = native.filter(({ id }) => served.has(id));
  const unserved = native.filter(({ id }) => !served.has(id));
  return [
    `## Through an SDK of their own (${String(sdk.length)})`,
    table(['id', 'variables of the key', 'notes'], sdk.map(nativeRow)),
    `## Over the OpenAI wire (${String(openAi.length)})`,
    table(['id', 'variables of the key', 'base URL', 'formats', 'what differs'], openAi.map(openAiRow)),
    '## Known differences that need no rule',
    table(['id', 'known for', 'how it is met'], openAi.flatMap(({ id, leftOut }) => Object.entries(leftOut).map(([what, why]) => [code(id), what.replaceAll('_', ' '), why]))),
    '## Other names',
    table(['name', 'means'], aliases()),
    `## Known and not served (${String(unserved.length)})`,
    `${unserved.map(({ id }) => code(id)).join(', ')}.`,
  ].join('\n\n');
}

const START = '<!-- providers: written by tools/write-provider-docs.ts -->';
const END = '<!-- end of providers -->';

/**
 * The page with its generated part written anew.
 * @throws Error when the page lacks the two marks.
 */
export function withProviderTables(page: string): string {
  const from = page.indexOf(START);
  const to = page.indexOf(END);
  if (from < 0 || to < from) throw new Error(`docs/providers.md needs the lines "${START}" and "${END}"`);
  return `${page.slice(0, from + START.length)}\n\n${providerTables()}\n\n${page.slice(to)}`;
}
