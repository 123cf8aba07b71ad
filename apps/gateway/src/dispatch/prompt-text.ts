import type { WireFormat } from '@pointsman/providers';
import { promptInputOf, type PromptInput } from '@pointsman/routing';
import { isJsonObject, type JsonObject } from '@pointsman/schemas';
import type { RequestBody } from './request-body.ts';

export interface PromptText {
  /** The user's side of the conversation, made when first asked for. */
  readonly text: () => string;
  /** A rough count for routing and reservations: characters of all text / 4, token ids as they are. Always a whole number of at least 0. */
  readonly tokens: () => number;
  /** What routing features are made of. */
  readonly about: () => PromptInput;
}

export function textOfContent(content: unknown): string {
  if (typeof content === 'string') return content;
  if (!Array.isArray(content)) return '';
  let text = '';
  for (const part of content) {
    if (typeof part === 'string') text += part;
    else if (isJsonObject(part) && typeof part['text'] === 'string') text += part['text'];
  }
  return text;
}

function turnsOf(format: WireFormat, body: JsonObject): unknown {
  if (format === 'responses') return body['input'];
  return body['messages'];
}

function collect(format: WireFormat, body: JsonObject, onlyUser: boolean): string {
  const flat = format === 'completions' ? body['prompt'] : format === 'embeddings' ? body['input'] : undefined;
  if (flat !== undefined) return typeof flat === 'string' ? flat : Array.isArray(flat) ? flat.filter((item) => typeof item === 'string').join('\n') : '';
  const turns = turnsOf(format, body);
  if (typeof turns === 'string') return turns;
  if (!Array.isArray(turns)) return '';
  let text = onlyUser ? '' : textOfContent(body['system'] ?? body['instructions']);
  for (const turn of turns) {
    if (!isJsonObject(turn) || (onlyUser && turn['role'] !== 'user')) continue;
    const part = textOfContent(turn['content']);
    text = text === '' ? part : `${text}\n${part}`;
  }
  return text;
}

/**
 * A body that is broken inside a long string has no text: who asks is a strategy or a bill, in the middle of a call, and neither may fail for it.
 * The caller hears of it from whoever has to read the body to send it.
 */
function textOf(format: WireFormat, body: Pick<RequestBody, 'value'>, onlyUser: boolean): string {
  let value: JsonObject;
  try {
    ({ value } = body);
  } catch {
    return '';
  }
  return collect(format, value, onlyUser);
}

/** A body that is broken inside has nothing to decide by; whoever sends it says so. */
function readable(body: Pick<RequestBody, 'value'>): JsonObject {
  try {
    return body.value;
  } catch {
    return {};
  }
}

/** Tokens that the client counted itself: completions and embeddings take lists of token ids. */
function tokenIdsOf(format: WireFormat, body: Pick<RequestBody, 'value'>): number {
  if (format !== 'completions' && format !== 'embeddings') return 0;
  let input: unknown;
  try {
    input = body.value[format === 'completions' ? 'prompt' : 'input'];
  } catch {
    return 0;
  }
  if (!Array.isArray(input)) return 0;
  let ids = 0;
  for (const item of input) ids += typeof item === 'number' ? 1 : Array.isArray(item) ? item.length : 0;
  return ids;
}

/** Text of a request's prompt, computed once and only when somebody asks. */
export function promptOf(format: WireFormat, body: Pick<RequestBody, 'value'>): PromptText {
  let user: string | undefined;
  let tokens: number | undefined;
  let about: PromptInput | undefined;
  return {
    text: () => (user ??= textOf(format, body, true)),
    tokens: () => (tokens ??= Math.ceil(textOf(format, body, false).length / 4) + tokenIdsOf(format, body)),
    about: () => (about ??= promptInputOf(format, readable(body))),
  };
}
