import { isJsonObject, type JsonObject, type JsonValue } from '@pointsman/schemas';
import { toolResult } from '../anthropic/to-chat-request.ts';
import { textOfParts } from '../chat/chat-chunk-reader.ts';
import { filePart, imagePart, plainContent, textPart, withoutAbsent } from '../chat/content-parts.ts';
import { untranslatable, type ChatExtension } from '../chat/translation.ts';

const ELSEWHERE = 'the model of this request is served by a provider without the Responses API';

/**
 * An OpenAI Responses body as a chat completions body.
 * `store` is not honoured (the reply says `store: false`); `metadata` stays in the reply and does not reach the provider.
 * @throws AppError `invalid_request` / `unsupported_parameter` naming the field that needs the Responses API itself.
 */
export function responsesToChat(body: JsonObject, keep: ReadonlySet<ChatExtension> = new Set()): JsonObject {
  refuseServerState(body);
  const messages: JsonObject[] = [];
  if (typeof body['instructions'] === 'string' && body['instructions'] !== '') messages.push({ role: 'system', content: body['instructions'] });
  if (typeof body['input'] === 'string') messages.push({ role: 'user', content: body['input'] });
  else new InputItems(messages, keep).addAll(list(body['input']));
  const tools = list(body['tools']).map((tool, index) => toolToChat(tool, `tools[${index}]`));
  const text = isJsonObject(body['text']) ? body['text'] : {};
  const isStream = body['stream'] === true;
  const topLogprobs = typeof body['top_logprobs'] === 'number' && body['top_logprobs'] > 0;
  if (topLogprobs) throw untranslatable('top_logprobs', `'top_logprobs' cannot be honoured: ${ELSEWHERE}.`);
  return withoutAbsent({
    model: body['model'],
    messages,
    max_tokens: body['max_output_tokens'],
    temperature: body['temperature'],
    top_p: body['top_p'],
    tools: tools.length > 0 ? tools : undefined,
    tool_choice: tools.length > 0 ? toolChoiceToChat(body['tool_choice']) : undefined,
    parallel_tool_calls: tools.length > 0 ? body['parallel_tool_calls'] : undefined,
    response_format: responseFormat(text['format']),
    verbosity: text['verbosity'],
    reasoning_effort: isJsonObject(body['reasoning']) ? body['reasoning']['effort'] : undefined,
    user: body['user'],
    stream: isStream ? true : undefined,
    stream_options: isStream ? { include_usage: true } : undefined,
  });
}

/** What lives on OpenAI's side between requests, and so cannot be had from another provider. */
function refuseServerState(body: JsonObject): void {
  for (const field of ['previous_response_id', 'conversation', 'prompt']) {
    if (body[field] !== undefined && body[field] !== null) {
      throw untranslatable(field, `'${field}' refers to something stored at OpenAI, but ${ELSEWHERE}. Send the whole input instead.`);
    }
  }
  if (body['background'] === true) throw untranslatable('background', `'background: true' cannot be honoured: ${ELSEWHERE}.`);
}

/** Gathers items into messages: a reasoning, a text and several calls in a row are one turn of the assistant. */
class InputItems {
  readonly #messages: JsonObject[];
  readonly #keep: ReadonlySet<ChatExtension>;
  #reasoning = '';
  /** The assistant's turn that further calls belong to. */
  #turn: JsonObject | undefined;
  /** Pictures that tools returned: a tool message cannot hold them, and nothing may stand between the results of one turn. */
  #attachments: JsonObject[] = [];

  constructor(messages: JsonObject[], keep: ReadonlySet<ChatExtension>) {
    this.#messages = messages;
    this.#keep = keep;
  }

  addAll(items: readonly unknown[]): void {
    for (const [index, item] of items.entries()) if (isJsonObject(item)) this.#add(item, `input[${index}]`);
    this.#flushAttachments();
  }

  #add(item: JsonObject, path: string): void {
    if (item['type'] !== 'function_call_output') this.#flushAttachments();
    switch (item['type'] ?? 'message') {
      case 'message':
        this.#addMessage(item, path);
        return;
      case 'function_call':
        this.#addCall(item);
        return;
      case 'function_call_output':
        this.#addOutput(item, path);
        return;
      case 'reasoning':
        this.#turn = undefined;
        this.#reasoning += textOfParts(item['content']) || textOfParts(item['summary']);
        return;
      default:
        throw untranslatable(`${path}.type`, `Input items of type '${words(item['type']).slice(0, 64)}' cannot be sent on: ${ELSEWHERE}.`);
    }
  }

  #addMessage(item: JsonObject, path: string): void {
    const parts = typeof item['content'] === 'string' ? [textPart(item['content'])]
      : list(item['content']).filter(isJsonObject).map((part, index) => partToChat(part, `${path}.content[${index}]`));
    if (item['role'] === 'assistant') {
      this.#turn = this.#assistantMessage(plainContent(parts, ''));
      this.#messages.push(this.#turn);
      return;
    }
    this.#turn = undefined;
    this.#messages.push({ role: chatRole(item['role'], `${path}.role`), content: plainContent(parts) });
  }

  #addCall(item: JsonObject): void {
    if (this.#turn === undefined) {
      this.#turn = this.#assistantMessage(null);
      this.#messages.push(this.#turn);
    }
    const call = { id: words(item['call_id']), type: 'function', function: { name: words(item['name']), arguments: words(item['arguments']) } };
    this.#turn['tool_calls'] = [...(list(this.#turn['tool_calls']) as JsonValue[]), call];
  }

  #addOutput(item: JsonObject, path: string): void {
    this.#turn = undefined;
    const parts = typeof item['output'] === 'string' ? [textPart(item['output'])]
      : list(item['output']).filter(isJsonObject).map((part, index) => partToChat(part, `${path}.output[${index}]`));
    const id = words(item['call_id']);
    const { text, attachments } = toolResult(parts);
    this.#messages.push({ role: 'tool', tool_call_id: id, content: text });
    if (attachments.length > 0) this.#attachments.push(textPart(`Attached to the result of tool call ${id}:`), ...attachments);
  }

  #flushAttachments(): void {
    if (this.#attachments.length === 0) return;
    this.#messages.push({ role: 'user', content: this.#attachments });
    this.#attachments = [];
  }

  #assistantMessage(content: JsonValue): JsonObject {
    const reasoning = this.#reasoning;
    this.#reasoning = '';
    return { role: 'assistant', content, ...(this.#keep.has('reasoning') && reasoning !== '' ? { reasoning_content: reasoning } : {}) };
  }
}

/** `developer` is OpenAI's newer word for `system`, which every chat server understands. */
function chatRole(role: unknown, path: string): string {
  if (role === 'developer') return 'system';
  if (role === 'user' || role === 'system') return role;
  throw untranslatable(path, `Invalid value for '${path}': '${words(role).slice(0, 64)}'. Supported values are: 'user', 'assistant', 'system' and 'developer'.`);
}

function partToChat(part: JsonObject, path: string): JsonObject {
  switch (part['type']) {
    case 'input_text': case 'output_text': case 'text':
      return textPart(words(part['text']));
    case 'refusal':
      return textPart(words(part['refusal']));
    case 'input_image':
      if (typeof part['image_url'] === 'string') return imagePart(part['image_url'], part['detail']);
      throw untranslatable(`${path}.file_id`, `Images must be given as 'image_url': ${ELSEWHERE}, which cannot read files uploaded to OpenAI.`);
    case 'input_file':
      if (typeof part['file_data'] === 'string') return filePart(part['file_data'], words(part['filename']) || 'file');
      throw untranslatable(`${path}.${part['file_url'] === undefined ? 'file_id' : 'file_url'}`, `Files must be given as 'file_data': ${ELSEWHERE}.`);
    case 'input_audio':
      return { type: 'input_audio', input_audio: part['input_audio'] ?? {} };
    default:
      throw untranslatable(`${path}.type`, `Content of type '${words(part['type']).slice(0, 64)}' cannot be sent on: ${ELSEWHERE}.`);
  }
}

function toolToChat(tool: unknown, path: string): JsonObject {
  if (!isJsonObject(tool) || tool['type'] !== 'function') {
    const type = isJsonObject(tool) ? words(tool['type']).slice(0, 64) : '';
    throw untranslatable(`${path}.type`, `The tool type '${type}' is run by OpenAI, but ${ELSEWHERE}. Only 'function' tools work there.`);
  }
  return { type: 'function', function: withoutAbsent({ name: tool['name'], description: tool['description'], parameters: tool['parameters'], strict: tool['strict'] }) };
}

function toolChoiceToChat(choice: unknown): JsonValue | undefined {
  if (choice === undefined || choice === null) return undefined;
  if (choice === 'auto' || choice === 'none' || choice === 'required') return choice;
  if (isJsonObject(choice) && choice['type'] === 'function') return { type: 'function', function: { name: words(choice['name']) } };
  throw untranslatable('tool_choice', `This 'tool_choice' cannot be honoured: ${ELSEWHERE}. Supported are 'auto', 'none', 'required' and a function by name.`);
}

function responseFormat(format: unknown): JsonValue | undefined {
  if (!isJsonObject(format) || format['type'] === 'text') return undefined;
  if (format['type'] === 'json_object') return { type: 'json_object' };
  if (format['type'] === 'json_schema') {
    return { type: 'json_schema', json_schema: withoutAbsent({ name: format['name'] ?? 'output', description: format['description'], schema: format['schema'], strict: format['strict'] }) };
  }
  throw untranslatable('text.format.type', `Invalid value for 'text.format.type': '${words(format['type']).slice(0, 64)}'. Supported values are: 'text', 'json_object' and 'json_schema'.`);
}

function list(raw: unknown): readonly unknown[] {
  return Array.isArray(raw) ? raw : [];
}

function words(raw: unknown): string {
  return typeof raw === 'string' ? raw : '';
}
