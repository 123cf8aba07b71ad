import { isJsonObject, type JsonObject, type JsonValue } from '@pointsman/schemas';
import { simulatedTokens } from './simulated-tokens.ts';

export interface Prompt {
  /** The text of the last user message. */
  readonly question: string;
  /** The text of the tool result that the conversation ends with, if it does. */
  readonly toolResult: string | undefined;
  readonly images: number;
  /** Number of messages of the conversation. */
  readonly turns: number;
  /** Tokens of all messages, with the few that a chat template adds. */
  readonly tokens: number;
}

/** What a simulated model understands of a chat request. Takes any body: what is not a message is passed over. */
export function readPrompt(body: JsonObject): Prompt {
  const messages = Array.isArray(body['messages']) ? body['messages'].filter(isJsonObject) : [];
  let question = '';
  let images = 0;
  let tokens = 3;
  for (const message of messages) {
    const text = textOf(message['content']);
    tokens += 4 + simulatedTokens(text).length;
    if (message['role'] !== 'user') continue;
    question = text;
    images += imagesIn(message['content']);
  }
  const last = messages.at(-1);
  return { question, toolResult: last?.['role'] === 'tool' ? textOf(last['content']) : undefined, images, turns: messages.length, tokens: tokens + images * 85 };
}

/** The text of a message's `content`: a string, or the text parts of a list. */
function textOf(content: JsonValue | undefined): string {
  if (typeof content === 'string') return content;
  if (!Array.isArray(content)) return '';
  return content.map((part) => (isJsonObject(part) && typeof part['text'] === 'string' ? part['text'] : '')).filter((text) => text !== '').join('\n');
}

function imagesIn(content: JsonValue | undefined): number {
  return Array.isArray(content) ? content.filter((part) => isJsonObject(part) && part['type'] === 'image_url').length : 0;
}
