import { isJsonObject, type JsonObject } from '../json.ts';
import { CHAT_ROLES, chatBodySchema } from './chat-body.ts';

const ROLES: ReadonlySet<unknown> = new Set(CHAT_ROLES);
const CHECKED: ReadonlySet<string> = new Set(Object.keys(chatBodySchema.shape));

/**
 * Whether a chat body has the shape that nearly all have, and is right. False says nothing: ask `chatBodySchema`, which also finds the words for what is wrong.
 * True only where the schema says so too, at a tenth of its cost, because nothing is copied: this runs on every request, and conversations are long.
 */
export function isPlainChatBody(body: unknown): boolean {
  if (!isJsonObject(body) || !isFilled(body['model']) || !areMessages(body['messages'])) return false;
  for (const key in body) {
    if (!isPlainField(key, body[key])) return false;
  }
  return true;
}

function isPlainField(key: string, value: unknown): boolean {
  switch (key) {
    case 'model': case 'messages':
      return true;
    case 'stream': case 'parallel_tool_calls': case 'logprobs':
      return typeof value === 'boolean';
    case 'temperature': case 'top_p': case 'presence_penalty': case 'frequency_penalty':
      return Number.isFinite(value);
    case 'seed':
      return Number.isSafeInteger(value);
    case 'max_tokens': case 'max_completion_tokens':
      return isCount(value);
    case 'n':
      return isCount(value) && value <= 128;
    case 'user': case 'stop': case 'reasoning_effort': case 'tool_choice':
      return typeof value === 'string';
    case 'stream_options':
      return isJsonObject(value) && isAbsentOr(value['include_usage'], 'boolean');
    case 'metadata':
      return isJsonObject(value);
    case 'tools':
      return Array.isArray(value) && value.every(isPlainTool);
    default:
      return !CHECKED.has(key);
  }
}

function areMessages(messages: unknown): boolean {
  if (!Array.isArray(messages) || messages.length === 0) return false;
  for (const message of messages) {
    if (!isJsonObject(message) || !ROLES.has(message['role'])) return false;
    if (!isAbsentOr(message['name'], 'string') || !isAbsentOr(message['tool_call_id'], 'string')) return false;
    const { content, tool_calls: calls } = message;
    const isSaid = typeof content === 'string' || (Array.isArray(content) && content.every(isPlainPart));
    if (!isSaid && !(content === null && message['role'] === 'assistant')) return false;
    if (calls !== undefined && !(Array.isArray(calls) && calls.every(isPlainCall))) return false;
  }
  return true;
}

function isPlainPart(part: unknown): boolean {
  if (!isJsonObject(part) || part['input_audio'] !== undefined || part['file'] !== undefined) return false;
  if (part['type'] === 'text') return typeof part['text'] === 'string' && part['image_url'] === undefined;
  if (part['type'] !== 'image_url' || part['text'] !== undefined) return false;
  return isJsonObject(part['image_url']) && typeof part['image_url']['url'] === 'string';
}

function isPlainCall(call: unknown): boolean {
  return isJsonObject(call) && isAbsentOr(call['id'], 'string') && isAbsentOr(call['type'], 'string') && hasName(call) && isAbsentOr(call['function']['arguments'], 'string');
}

function isPlainTool(tool: unknown): boolean {
  if (!isJsonObject(tool) || typeof tool['type'] !== 'string' || !hasName(tool)) return false;
  const { name, description, parameters, strict } = tool['function'];
  return name !== '' && isAbsentOr(description, 'string') && isAbsentOr(strict, 'boolean') && (parameters === undefined || isJsonObject(parameters));
}

function hasName(holder: JsonObject): holder is JsonObject & { readonly function: JsonObject } {
  return isJsonObject(holder['function']) && typeof holder['function']['name'] === 'string';
}

function isAbsentOr(value: unknown, type: 'string' | 'boolean'): boolean {
  return value === undefined || typeof value === type;
}

function isFilled(value: unknown): boolean {
  return typeof value === 'string' && value !== '';
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 1;
}
