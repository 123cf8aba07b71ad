import { isJsonObject, type JsonObject } from '@pointsman/schemas';

const CHARACTERS_PER_TOKEN = 4;
/** What a picture of usual size costs at Anthropic: width × height / 750 for about one megapixel. */
const TOKENS_PER_IMAGE = 1400;
/** Role and separators of one message. */
const TOKENS_PER_MESSAGE = 4;

/**
 * A rough count of the input tokens of an Anthropic body (`/v1/messages` or `/v1/messages/count_tokens`), for models whose provider does not count:
 * four characters a token over system, messages and tool definitions. Typically within a fifth for English; low for languages that tokenise finely.
 */
export function estimateInputTokens(body: JsonObject): number {
  const messages = Array.isArray(body['messages']) ? body['messages'] : [];
  const parts = [body['system'], body['tools'], ...messages.map((message) => (isJsonObject(message) ? message['content'] : undefined))];
  let tokens = messages.length * TOKENS_PER_MESSAGE;
  for (const part of parts) tokens += tokensOf(part);
  return Math.max(1, Math.ceil(tokens));
}

function tokensOf(part: unknown): number {
  if (typeof part === 'string') return part.length / CHARACTERS_PER_TOKEN;
  if (Array.isArray(part)) return part.reduce((sum: number, each) => sum + tokensOf(each), 0);
  if (!isJsonObject(part)) return 0;
  switch (part['type']) {
    case 'text': return tokensOf(part['text']);
    case 'thinking': case 'redacted_thinking': return 0; // earlier reasoning is not read again
    case 'image': return TOKENS_PER_IMAGE;
    case 'tool_result': return tokensOf(part['content']);
    case 'document': case 'search_result': return tokensOf(part['title']) + tokensOf(part['content']) + sourceTokens(part['source']);
    default: return JSON.stringify(part).length / CHARACTERS_PER_TOKEN; // tool definitions and calls, which models read as JSON
  }
}

/** A PDF is far longer than its words, and base64 longer still: a coarse guess of one token for twelve characters. */
function sourceTokens(source: unknown): number {
  if (!isJsonObject(source)) return tokensOf(source);
  if (source['type'] === 'content') return tokensOf(source['content']);
  if (typeof source['data'] !== 'string') return 0;
  return source['type'] === 'base64' ? source['data'].length / 12 : tokensOf(source['data']);
}
