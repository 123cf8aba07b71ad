import { isJsonObject, type JsonObject, type JsonValue } from '@pointsman/schemas';
import { filePart, imagePart, plainContent, textPart, withoutAbsent } from '../chat/content-parts.ts';
import { untranslatable, type ChatExtension } from '../chat/translation.ts';

type Keep = ReadonlySet<ChatExtension>;

/**
 * An Anthropic Messages body as a chat completions body.
 * @throws AppError `invalid_request` / `unsupported_parameter` naming the field that chat completions cannot express.
 */
export function messagesToChat(body: JsonObject, keep: Keep = new Set()): JsonObject {
  for (const field of ['mcp_servers', 'container']) {
    const value = body[field];
    if (value !== undefined && value !== null && !(Array.isArray(value) && value.length === 0)) {
      throw untranslatable(field, `'${field}' works only on Anthropic models; the model of this request is served by another provider.`);
    }
  }
  const messages: JsonObject[] = [];
  const system = systemContent(body['system'], keep);
  if (system !== undefined) messages.push({ role: 'system', content: system });
  for (const [index, message] of list(body['messages']).entries()) {
    if (isJsonObject(message)) addMessage(messages, message, `messages[${index}]`, keep);
  }
  const tools = list(body['tools']).map((tool, index) => toolToChat(tool, `tools[${index}]`, keep));
  const choice = isJsonObject(body['tool_choice']) ? body['tool_choice'] : undefined;
  const isStream = body['stream'] === true;
  return withoutAbsent({
    model: body['model'],
    messages,
    max_tokens: body['max_tokens'],
    temperature: body['temperature'],
    top_p: body['top_p'],
    top_k: keep.has('top_k') ? body['top_k'] : undefined,
    stop: list(body['stop_sequences']).length > 0 ? body['stop_sequences'] : undefined,
    tools: tools.length > 0 ? tools : undefined,
    tool_choice: tools.length > 0 ? toolChoiceToChat(choice) : undefined,
    parallel_tool_calls: tools.length > 0 && choice?.['disable_parallel_tool_use'] === true ? false : undefined,
    reasoning_effort: reasoningEffort(body),
    response_format: responseFormat(body),
    user: isJsonObject(body['metadata']) ? body['metadata']['user_id'] : undefined,
    stream: isStream ? true : undefined,
    stream_options: isStream ? { include_usage: true } : undefined,
  });
}

function systemContent(system: unknown, keep: Keep): JsonValue | undefined {
  if (typeof system === 'string') return system === '' ? undefined : system;
  const parts = list(system).filter(isJsonObject).map((block) => marked(textPart(words(block['text'])), block, keep));
  return parts.length === 0 ? undefined : plainContent(parts);
}

function addMessage(messages: JsonObject[], message: JsonObject, path: string, keep: Keep): void {
  const { role, content } = message;
  if (typeof content === 'string') {
    messages.push({ role: role as string, content });
  } else if (role === 'assistant') {
    messages.push(assistantMessage(list(content), `${path}.content`, keep));
  } else if (role === 'system') {
    messages.push({ role: 'system', content: systemContent(content, keep) ?? '' });
  } else {
    addUserMessages(messages, list(content), `${path}.content`, keep);
  }
}

/** Tool results become messages of their own, before whatever else the user says: chat wants them right after the call. */
function addUserMessages(messages: JsonObject[], blocks: readonly unknown[], path: string, keep: Keep): void {
  const parts: JsonObject[] = [];
  for (const [index, block] of blocks.entries()) {
    if (!isJsonObject(block)) continue;
    const at = `${path}[${index}]`;
    if (block['type'] !== 'tool_result') {
      parts.push(...partsOf(block, at, keep));
      continue;
    }
    const id = words(block['tool_use_id']);
    const result = typeof block['content'] === 'string' ? [textPart(block['content'])]
      : list(block['content']).filter(isJsonObject).flatMap((part, place) => partsOf(part, `${at}.content[${place}]`, new Set()));
    const { text, attachments } = toolResult(result);
    messages.push({ role: 'tool', tool_call_id: id, content: block['is_error'] === true && !/^\s*error/i.test(text) ? `Error: ${text}` : text });
    // A tool message holds text only: pictures follow in the user's turn, which is what the model sees next.
    if (attachments.length > 0) parts.push(textPart(`Attached to the result of tool call ${id}:`), ...attachments);
  }
  if (parts.length > 0) messages.push({ role: 'user', content: plainContent(parts) });
}

/** Splits what a tool returned into the text that a tool message can hold and the rest. */
export function toolResult(parts: readonly JsonObject[]): { readonly text: string; readonly attachments: readonly JsonObject[] } {
  const text = parts.filter((part) => part['type'] === 'text').map((part) => words(part['text'])).join('\n');
  const attachments = parts.filter((part) => part['type'] !== 'text');
  return { text: text === '' && attachments.length > 0 ? 'The result follows as an attachment.' : text, attachments };
}

function assistantMessage(blocks: readonly unknown[], path: string, keep: Keep): JsonObject {
  const parts: JsonObject[] = [];
  const calls: JsonObject[] = [];
  const thinking: JsonObject[] = [];
  for (const [index, block] of blocks.entries()) {
    if (!isJsonObject(block)) continue;
    if (block['type'] === 'tool_use') {
      calls.push({ id: words(block['id']), type: 'function', function: { name: words(block['name']), arguments: JSON.stringify(block['input'] ?? {}) } });
    } else if (block['type'] === 'thinking' || block['type'] === 'redacted_thinking') {
      thinking.push(block);
    } else {
      parts.push(...partsOf(block, `${path}[${index}]`, keep));
    }
  }
  const keepsThinking = keep.has('reasoning') && thinking.length > 0;
  return {
    role: 'assistant',
    content: parts.length === 0 ? (calls.length === 0 ? '' : null) : plainContent(parts, ''),
    ...(calls.length > 0 ? { tool_calls: calls } : {}),
    ...(keepsThinking ? { reasoning_content: thinking.map((block) => words(block['thinking'])).join(''), thinking_blocks: thinking } : {}),
  };
}

function partsOf(block: JsonObject, path: string, keep: Keep): JsonObject[] {
  switch (block['type']) {
    case 'text':
      return block['text'] === '' ? [] : [marked(textPart(words(block['text'])), block, keep)];
    case 'image':
      return [imageToChat(block['source'], `${path}.source`)];
    case 'document':
      return documentToChat(block, path);
    case 'search_result':
      return [textPart([block['title'], block['source'], ...list(block['content']).map((part) => (isJsonObject(part) ? part['text'] : ''))].map(words).filter((line) => line !== '').join('\n'))];
    default:
      throw untranslatable(`${path}.type`, `Content of type '${words(block['type'])}' works only on Anthropic models; the model of this request is served by another provider.`);
  }
}

function imageToChat(source: unknown, path: string): JsonObject {
  if (isJsonObject(source)) {
    if (source['type'] === 'base64') return imagePart(`data:${words(source['media_type'])};base64,${words(source['data'])}`);
    if (source['type'] === 'url') return imagePart(words(source['url']));
  }
  throw untranslatable(`${path}.type`, "Images must be given as 'base64' or 'url' for a model that another provider serves: uploaded files are known to Anthropic alone.");
}

function documentToChat(block: JsonObject, path: string): JsonObject[] {
  const source = isJsonObject(block['source']) ? block['source'] : {};
  const title = words(block['title']);
  switch (source['type']) {
    case 'text':
      return [textPart([title, words(block['context']), words(source['data'])].filter((line) => line !== '').join('\n\n'))];
    case 'content': {
      const content = typeof source['content'] === 'string' ? [textPart(source['content'])]
        : list(source['content']).filter(isJsonObject).flatMap((part, index) => partsOf(part, `${path}.source.content[${index}]`, new Set()));
      return title === '' ? content : [textPart(title), ...content];
    }
    case 'base64':
      return [filePart(`data:${words(source['media_type'])};base64,${words(source['data'])}`, title === '' ? 'document.pdf' : title)];
    default:
      throw untranslatable(`${path}.source.type`, "Documents must be given as 'base64', 'text' or 'content' for a model that another provider serves.");
  }
}

function toolToChat(tool: unknown, path: string, keep: Keep): JsonObject {
  if (!isJsonObject(tool)) throw untranslatable(path, `'${path}' must be an object.`);
  if (tool['type'] !== undefined && tool['type'] !== null && tool['type'] !== 'custom') {
    throw untranslatable(`${path}.type`, `The tool type '${words(tool['type'])}' is run by Anthropic; the model of this request is served by another provider. Only custom tools work there.`);
  }
  const definition = withoutAbsent({ name: tool['name'], description: tool['description'], parameters: tool['input_schema'], strict: tool['strict'] });
  return marked({ type: 'function', function: definition }, tool, keep);
}

function toolChoiceToChat(choice: JsonObject | undefined): JsonValue | undefined {
  switch (choice?.['type']) {
    case 'auto': return 'auto';
    case 'any': return 'required';
    case 'none': return 'none';
    case 'tool': return { type: 'function', function: { name: words(choice['name']) } };
    case undefined: return undefined;
    default: throw untranslatable('tool_choice.type', `Invalid value for 'tool_choice.type': '${words(choice?.['type']).slice(0, 64)}'. Supported values are: 'auto', 'any', 'tool' and 'none'.`);
  }
}

/** Budgets in tokens against OpenAI's words, with LiteLLM's thresholds, so that a moved client sees no difference. */
function reasoningEffort(body: JsonObject): string | undefined {
  const output = isJsonObject(body['output_config']) ? body['output_config'] : {};
  const thinking = isJsonObject(body['thinking']) ? body['thinking'] : {};
  if (thinking['type'] === 'disabled') return undefined;
  if (typeof output['effort'] === 'string') return output['effort'];
  const budget = thinking['budget_tokens'];
  if (thinking['type'] !== 'enabled' || typeof budget !== 'number') return undefined;
  if (budget >= 10_000) return 'high';
  if (budget >= 5000) return 'medium';
  return budget >= 2000 ? 'low' : 'minimal';
}

function responseFormat(body: JsonObject): JsonValue | undefined {
  const output = isJsonObject(body['output_config']) ? body['output_config']['format'] : undefined;
  const format = output ?? body['output_format'];
  if (!isJsonObject(format) || format['type'] !== 'json_schema') return undefined;
  return { type: 'json_schema', json_schema: { name: 'output', schema: format['schema'] ?? {}, strict: true } };
}

function marked(part: JsonObject, block: JsonObject, keep: Keep): JsonObject {
  return keep.has('cache_control') && isJsonObject(block['cache_control']) ? { ...part, cache_control: block['cache_control'] } : part;
}

function list(raw: unknown): readonly unknown[] {
  return Array.isArray(raw) ? raw : [];
}

function words(raw: unknown): string {
  return typeof raw === 'string' ? raw : '';
}
