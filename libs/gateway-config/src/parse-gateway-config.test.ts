import { createHash } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { ConfigRejectedError, describeProblem } from './config-rejected-error.ts';
import type { ConfigProblem, ParsedGatewayConfig } from './gateway-config.ts';
import { parseGatewayConfig, type GatewayConfigQuestion } from './parse-gateway-config.ts';

const PROVIDERS = new Set(['openai', 'azure', 'anthropic', 'vertex_ai', 'gemini', 'ollama', 'groq', 'openrouter', 'cohere', 'hosted_vllm', 'ollama_chat']);
const ENV = { OPENAI_API_KEY: 'sk-provider-secret', LITELLM_MASTER_KEY: 'sk-master-secret', RPM: '60', HOST: 'models.example', EMPTY: '' };
const ONE_MODEL = 'model_list:\n  - model_name: chat\n    litellm_params: { model: openai/gpt-4o, api_key: os.environ/OPENAI_API_KEY }\n';

function parse(text: string, more: Partial<GatewayConfigQuestion> = {}): ParsedGatewayConfig {
  return parseGatewayConfig({ files: text, env: ENV, providerIds: PROVIDERS, ...more });
}

function refusal(text: string, more: Partial<GatewayConfigQuestion> = {}): readonly ConfigProblem[] {
  try {
    parse(text, more);
  } catch (error) {
    if (error instanceof ConfigRejectedError) return error.problems;
    throw error;
  }
  throw new Error('the configuration was accepted');
}

const model = (params: string, more = ''): string => `model_list:\n  - model_name: chat\n    litellm_params: { model: openai/gpt-4o, ${params} }\n${more}`;
const router = (settings: string): string => `${ONE_MODEL}router_settings:\n${settings}`;

describe('values', () => {
  test('without settings LiteLLM’s defaults hold', () => {
    const { config, warnings } = parse(ONE_MODEL);
    expect(warnings).toEqual([]);
    expect(config.router).toMatchObject({
      strategy: 'simple-shuffle', numRetries: 2, maxFallbacks: 5, timeoutMs: 6_000_000, streamTimeoutMs: undefined, retryAfterMs: 0, allowedFails: 3, cooldownMs: 5000,
      streamRecovery: 'error', retryBudgetRatio: 0.2, breaker: { failures: 5, halfOpenAfterMs: 60_000 }, tagFilteringMatchAny: true, enableTagFiltering: false,
    });
    expect(config).toMatchObject({ masterKey: 'sk-master-secret', maxRequestBytes: 32 * 1024 * 1024, dropParams: false, forwardTraceparent: true, requireAuthForMetrics: false, keyHeaderName: undefined });
  });

  test('an entry is split into provider, model, credentials and body defaults', () => {
    const { config } = parse(model('api_key: os.environ/OPENAI_API_KEY, api_base: "https://os.environ/HOST/v1", rpm: os.environ/RPM, weight: "2.5", timeout: 1m, stream_timeout: 500ms, temperature: 0.2, extra_body: { top_n: 3 }, input_cost_per_token: 1e-6'));
    expect(config.models[0]).toMatchObject({
      group: 'chat', provider: 'openai', model: 'gpt-4o', configuredModel: 'openai/gpt-4o', apiKey: 'sk-provider-secret', apiBase: 'https://models.example/v1',
      rpm: 60, weight: 2.5, timeoutMs: 60_000, streamTimeoutMs: 500, tags: [], clientSideParams: [],
    });
    expect(config.models[0]?.bodyDefaults).toEqual({ temperature: 0.2, top_n: 3 });
  });

  test.each([
    ['ollama_chat/llama3', 'ollama', 'llama3'],
    ['vertex_ai_beta/gemini-2.5-pro', 'vertex_ai', 'gemini-2.5-pro'],
    ['text-completion-openai/gpt-3.5-turbo-instruct', 'openai', 'gpt-3.5-turbo-instruct'],
    ['openai_like/llama', 'openai', 'llama'],
    ['openrouter/anthropic/claude-sonnet-4', 'openrouter', 'anthropic/claude-sonnet-4'],
    ['gpt-4o', 'openai', 'gpt-4o'],
    ['claude-sonnet-4-5', 'anthropic', 'claude-sonnet-4-5'],
    ['mistralai/mistral-7b', 'groq', 'mistralai/mistral-7b'],
    ['openai/openai/gpt-oss-20b', 'openai', 'openai/gpt-oss-20b'],
  ])('the provider of %s is %s', (configured, provider, name) => {
    const { config } = parse(`model_list: [{ model_name: x, litellm_params: { model: ${configured} } }]`, { providerOfModel: (asked) => (asked === 'mistralai/mistral-7b' ? 'groq' : undefined) });
    expect(config.models[0]).toMatchObject({ provider, model: name, configuredModel: configured });
  });

  test('custom_llm_provider decides, and its own prefix is taken off', () => {
    const { config } = parse(`model_list:
  - { model_name: a, litellm_params: { model: groq/llama, custom_llm_provider: groq } }
  - { model_name: b, litellm_params: { model: meta/llama, custom_llm_provider: groq } }
  - { model_name: c, litellm_params: { model: openrouter/auto, custom_llm_provider: openrouter } }`);
    expect(config.models.map((entry) => [entry.provider, entry.model])).toEqual([['groq', 'llama'], ['groq', 'meta/llama'], ['openrouter', 'openrouter/auto']]);
  });

  test('ids stay when keys, weights and limits change, and differ between equal entries', () => {
    const twice = (params: string): readonly string[] => parse(`model_list:\n  - { model_name: a, litellm_params: { model: openai/x, ${params} } }\n  - { model_name: a, litellm_params: { model: openai/x, ${params} } }`).config.models.map((entry) => entry.id);
    const [first, second] = twice('api_key: one, weight: 1');
    expect(first).toMatch(/^[0-9a-f]{32}$/);
    expect(second).not.toBe(first);
    expect(twice('api_key: two, weight: 9, rpm: 5')).toEqual([first, second]);
    expect(twice('api_key: one, api_base: "http://other"')[0]).not.toBe(first);
  });

  test('router_settings win over litellm_settings, and fallback lists are merged by group', () => {
    const { config } = parse(`model_list:
${['a', 'b', 'c'].map((name) => `  - { model_name: ${name}, litellm_params: { model: openai/${name} } }`).join('\n')}
litellm_settings: { num_retries: 7, request_timeout: 20, cooldown_time: 9, fallbacks: [{ a: [b] }, { b: c }, { "*": [c] }] }
router_settings: { num_retries: 1, fallbacks: [{ a: [c, b] }] }`);
    expect(config.router).toMatchObject({ numRetries: 1, timeoutMs: 20_000, cooldownMs: 9000, defaultFallbacks: ['c'] });
    expect([...config.router.fallbacks]).toEqual([['a', ['c', 'b']], ['b', ['c']]]);
  });

  test('strategies by group take a name or a name with arguments of their own', () => {
    const { config } = parse(router('  routing_strategy: llmrouter-knn\n  routing_strategy_args: { model_name: knn, quality_cost_tradeoff: "0.5", neighbours: 7 }\n  strategies: { chat: least-busy, auto: { routing_strategy: llmrouter-mlp, routing_strategy_args: { model_name: mlp } } }\n'));
    expect(config.router.strategyArgs).toEqual({ model_name: 'knn', quality_cost_tradeoff: 0.5, neighbours: 7 });
    expect(config.router.strategies).toEqual({
      chat: { strategy: 'least-busy', args: { model_name: 'knn', quality_cost_tradeoff: 0.5, neighbours: 7 } },
      auto: { strategy: 'llmrouter-mlp', args: { model_name: 'mlp' } },
    });
  });

  test('a credential fills in what the entry does not set', () => {
    const { config } = parse(`credential_list: [{ credential_name: eu, credential_values: { api_key: os.environ/OPENAI_API_KEY, api_base: "http://eu" } }]
model_list: [{ model_name: a, litellm_params: { model: azure/x, litellm_credential_name: eu, api_base: "http://own" } }]`);
    expect(config.models[0]).toMatchObject({ apiKey: 'sk-provider-secret', apiBase: 'http://own' });
  });

  test('the revision is the digest of the bytes', () => {
    expect(parse(ONE_MODEL).config.revision).toBe(createHash('sha256').update(ONE_MODEL).digest('hex').slice(0, 12));
    expect(parse(ONE_MODEL, { candidates: '{}' }).config.revision).not.toBe(parse(ONE_MODEL).config.revision);
  });
});

describe('environment', () => {
  test('environment_variables win over the environment, may point into it, and never reach it', () => {
    const { config } = parse(`environment_variables: { MY_KEY: os.environ/OPENAI_API_KEY, RPM: 5 }\n${model('api_key: os.environ/MY_KEY, rpm: os.environ/RPM')}`);
    expect(config.models[0]).toMatchObject({ apiKey: 'sk-provider-secret', rpm: 5 });
    expect(process.env['MY_KEY']).toBeUndefined();
  });

  test.each(['NOT_THERE', 'EMPTY'])('a missing or empty variable (%s) is a warning that names it, and the key counts as not set', (name) => {
    const { config, warnings } = parse(model(`api_key: os.environ/${name}`));
    expect(config.models[0]?.apiKey).toBeUndefined();
    expect(warnings).toMatchObject([{ path: 'model_list[0].litellm_params.api_key', message: `the environment has no ${name}: taken as not set`, line: 3 }]);
  });

  test('a master key whose variable is missing is refused; a check far from the cluster may expect it', () => {
    const text = `${ONE_MODEL}general_settings: { master_key: os.environ/NOT_THERE }`;
    expect(refusal(text)).toMatchObject([{ path: 'general_settings.master_key', message: expect.stringContaining('NOT_THERE') as string }]);
    expect(parse(text, { missingVariables: 'expect' }).warnings).toEqual([]);
  });

  test('inherited properties of the environment object are not variables', () => {
    expect(parse(model('api_key: os.environ/constructor')).config.models[0]?.apiKey).toBeUndefined();
  });

  test('a well-known master key is accepted with a warning', () => {
    expect(parse(`${ONE_MODEL}general_settings: { master_key: sk-1234 }`).warnings).toMatchObject([{ path: 'general_settings.master_key' }]);
    expect(parse(`${ONE_MODEL}general_settings: { master_key: sk-1234, dangerously_permit_weak_or_unset_master_key: true }`).warnings).toEqual([]);
  });
});

describe('refusals', () => {
  const rows: readonly (readonly [name: string, text: string, path: string, suggestionOrWords: string])[] = [
    ['an empty file', '', '', 'empty'],
    ['a file of comments', '# nothing\n', '', 'empty'],
    ['a list at the top', '- a', '', 'mapping'],
    ['an unknown section', `${ONE_MODEL}litelm_settings: {}`, 'litelm_settings', 'litellm_settings'],
    ['an unknown key of a section', `${ONE_MODEL}general_settings: { masterkey: x }`, 'general_settings.masterkey', 'master_key'],
    ['an unknown key of an entry', ONE_MODEL.replace('litellm_params', 'litellm_param'), 'model_list[0].litellm_param', 'litellm_params'],
    ['a slip in litellm_params', model('temprature: 1'), 'model_list[0].litellm_params.temprature', 'temperature'],
    ['two swapped letters in litellm_params', model('wieght: 1'), 'model_list[0].litellm_params.wieght', 'weight'],
    ['a slip in strategy arguments', router('  routing_strategy_args: { model_verson: v1 }'), 'router_settings.routing_strategy_args.model_verson', 'model_version'],
    ['an unknown key of the breaker', router('  breaker: { failure: 3 }'), 'router_settings.breaker.failure', 'failures'],
    ['an unknown retry policy', router('  retry_policy: { RateLimitRetries: 3 }'), 'router_settings.retry_policy.RateLimitRetries', 'RateLimitErrorRetries'],
    ['a number that is none', router('  num_retries: many'), 'router_settings.num_retries', 'expected a whole number from 0 to 100, got text'],
    ['a negative number', router('  num_retries: -1'), 'router_settings.num_retries', 'whole number'],
    ['a fraction where whole numbers belong', router('  num_retries: "1.5"'), 'router_settings.num_retries', 'whole number'],
    ['a timeout of nothing', router('  timeout: 0'), 'router_settings.timeout', 'more than 0'],
    ['a timeout no timer can wait', router('  timeout: 52w'), 'router_settings.timeout', 'at most'],
    ['an infinite number', router('  timeout: .inf'), 'router_settings.timeout', 'finite'],
    ['a share above 100', router('  routing_strategy_args: { canary: { model_version: v2, weight: 101 } }'), 'router_settings.routing_strategy_args.canary.weight', 'from 0 to 100'],
    ['a stream recovery nobody knows', router('  stream_recovery: retry'), 'router_settings.stream_recovery', 'continue'],
    ['a strategy nobody knows', router('  routing_strategy: latency-based'), 'router_settings.routing_strategy', 'latency-based-routing'],
    ['a strategy for a group nobody knows', router('  strategies: { chat: lest-busy }'), 'router_settings.strategies.chat', 'least-busy'],
    ['a fallback list of names', router('  fallbacks: [chat]'), 'router_settings.fallbacks[0]', 'mapping'],
    ['a fallback mapping', router('  fallbacks: { chat: [chat] }'), 'router_settings.fallbacks', 'expected a list'],
    ['a fallback to nowhere', router('  fallbacks: [{ chat: [chta] }]'), 'router_settings.fallbacks.chat', 'chat'],
    ['a default fallback to nowhere', `${ONE_MODEL}litellm_settings: { default_fallbacks: [nowhere] }`, 'litellm_settings.default_fallbacks', 'nowhere'],
    ['an alias to nowhere', router('  model_group_alias: { a: nowhere }'), 'router_settings.model_group_alias.a', 'does not exist'],
    ['aliases in a circle', router('  model_group_alias: { a: b, b: a }'), 'router_settings.model_group_alias.a', 'circle'],
    ['an entry without a name', 'model_list: [{ litellm_params: { model: openai/x } }]', 'model_list[0].model_name', 'missing'],
    ['an entry without a model', 'model_list: [{ model_name: x, litellm_params: { api_key: k } }]', 'model_list[0].litellm_params.model', 'missing'],
    ['an entry that is text', 'model_list: [gpt-4o]', 'model_list[0]', 'mapping'],
    ['a model list that is a mapping', 'model_list: { chat: openai/x }', 'model_list', 'list'],
    ['a provider nobody knows', 'model_list: [{ model_name: x, litellm_params: { model: opnai/x } }]', 'model_list[0].litellm_params.model', 'openai'],
    ['a custom provider nobody knows', 'model_list: [{ model_name: x, litellm_params: { model: x, custom_llm_provider: grok } }]', 'model_list[0].litellm_params.custom_llm_provider', 'groq'],
    ['two entries with one id', 'model_list: [{ model_name: x, litellm_params: { model: openai/x }, model_info: { id: one } }, { model_name: y, litellm_params: { model: openai/y }, model_info: { id: one } }]', 'model_list[1].model_info.id', 'same id'],
    ['a missing credential', model('litellm_credential_name: eu', 'credential_list: [{ credential_name: eu1, credential_values: {} }]'), 'model_list[0].litellm_params.litellm_credential_name', 'eu1'],
    ['a key in the wrong section', `${ONE_MODEL}general_settings: { num_retries: 1 }`, 'general_settings.num_retries', 'router_settings.num_retries'],
    ['a setting at the top', `${ONE_MODEL}drop_params: true`, 'drop_params', 'litellm_settings.drop_params'],
    ['__proto__ as a key', `${ONE_MODEL}general_settings: { __proto__: { master_key: x } }`, 'general_settings.__proto__', 'not allowed'],
    ['a section that is text', `${ONE_MODEL}router_settings: yes please`, 'router_settings', 'mapping'],
    ['broken candidates', ONE_MODEL, 'llm_candidates.json', 'not valid JSON'],
  ];

  test.each(rows)('%s', (name, text, path, words) => {
    const problems = refusal(text, name === 'broken candidates' ? { candidates: '{' } : {});
    expect(problems.map((problem) => problem.path)).toContain(path);
    expect(problems.map((problem) => `${problem.message} ${problem.suggestion ?? ''}`).join()).toContain(words);
  });

  test('every problem is reported at once, with line and column', () => {
    const problems = refusal('model_list:\n  - model_name: chat\n    litellm_params: { model: openai/x, api_bse: y }\nrouter_settings:\n  num_retries: many\n  timeout: -3\nnonsense: 1\n');
    expect(problems.map(({ path, line, column }) => [path, line, column])).toEqual([
      ['model_list[0].litellm_params.api_bse', 3, 40], ['router_settings.num_retries', 5, 3], ['router_settings.timeout', 6, 3], ['nonsense', 7, 1],
    ]);
  });

  test('a strategy that this build lacks is refused with those it has', () => {
    const [problem] = refusal(router('  routing_strategy: llmrouter-knn'), { implementedStrategies: new Set(['simple-shuffle', 'least-busy']) });
    expect(problem?.message).toBe('this build does not implement the strategy "llmrouter-knn"; it has simple-shuffle, least-busy');
  });

  test('neither problems nor warnings show a secret', () => {
    const text = `model_list:
  - { model_name: chat, litellm_params: { model: openai/x, api_key: sk-hidden-1, tiemout: sk-hidden-2, weight: sk-hidden-3, strange_thing: sk-hidden-4 } }
general_settings: { master_key: [sk-hidden-5], database_url: "postgres://u:sk-hidden-6@h/db" }
credential_list: [{ credential_name: a, credential_values: sk-hidden-7 }]
router_settings: { timeout: sk-hidden-8, redis_password: sk-hidden-9, stream_recovery: sk-hidden-10 }`;
    let shown = '';
    try {
      parse(text);
    } catch (error) {
      if (!(error instanceof ConfigRejectedError)) throw error;
      shown = [error.message, ...error.problems.map(describeProblem), ...error.warnings.map(describeProblem)].join('\n');
    }
    expect(shown).toContain('router_settings.timeout');
    expect(shown).not.toContain('sk-hidden');
  });
});

describe('references that are fine', () => {
  test('fallbacks may name groups, aliases, deployment ids and what a wildcard matches', () => {
    const { warnings } = parse(`model_list:
  - { model_name: "openai/*", litellm_params: { model: "openai/*" } }
  - { model_name: chat, litellm_params: { model: openai/x }, model_info: { id: the-chat } }
router_settings: { model_group_alias: { short: chat }, fallbacks: [{ chat: [openai/gpt-4o, short] }, { short: [the-chat] }] }`);
    expect(warnings).toEqual([]);
  });

  test('fallbacks in a circle are fine: max_fallbacks ends them', () => {
    expect(parse(`model_list: [{ model_name: a, litellm_params: { model: openai/a } }, { model_name: b, litellm_params: { model: openai/b } }]
router_settings: { fallbacks: [{ a: [b] }, { b: [a] }] }`).warnings).toEqual([]);
  });

  test('a provider that only LiteLLM has leaves its entry out with a warning', () => {
    const { config, warnings } = parse(`${ONE_MODEL}  - { model_name: voice, litellm_params: { model: elevenlabs/x } }\nrouter_settings: { fallbacks: [{ chat: [voice] }] }`);
    expect(config.models.map((entry) => entry.group)).toEqual(['chat']);
    expect(warnings.map((warning) => warning.path)).toEqual(['model_list[1].litellm_params.model', 'router_settings.fallbacks.chat']);
  });
});

describe('include', () => {
  test('lists are joined, the rest is replaced, nested files are found, and problems name the file', () => {
    const files = [
      { path: 'conf/config.yaml', text: `include: [models/more.yaml]\n${ONE_MODEL}router_settings: { num_retries: 1, timeout: 5 }` },
      { path: 'conf/models/more.yaml', text: 'include: [deep.yaml, ../config.yaml]\nmodel_list:\n  - { model_name: b, litellm_params: { model: openai/b } }\nrouter_settings: { num_retries: 3 }' },
      { path: 'conf/models/deep.yaml', text: 'model_list:\n  - { model_name: c, litellm_params: { model: openai/c, strange_thing: 1 } }' },
    ];
    const { config, warnings } = parseGatewayConfig({ files, env: ENV, providerIds: PROVIDERS });
    expect(config.models.map((entry) => entry.group)).toEqual(['chat', 'b', 'c']);
    expect(config.router).toMatchObject({ numRetries: 3, timeoutMs: 6_000_000 });
    expect(warnings).toMatchObject([{ path: 'model_list[2].litellm_params.strange_thing', file: 'conf/models/deep.yaml', line: 2 }]);
  });

  test('a file that is not there is refused at its line', () => {
    expect(refusal(`${ONE_MODEL}include:\n  - nowhere.yaml`)).toMatchObject([{ path: 'include[0]', line: 5 }]);
  });
});
