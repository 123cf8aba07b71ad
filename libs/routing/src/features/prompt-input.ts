import { isJsonObject, type JsonObject, type JsonValue } from '@pointsman/schemas';
import type { PromptInput } from './prompt-features.ts';

/** Wire formats as the gateway names them. */
export type PromptFormat = 'chat' | 'completions' | 'responses' | 'messages' | 'embeddings';

/** Most characters taken of the user messages before the last one. */
export const EARLIER_TEXT_LIMIT = 2_000;
/** Most characters kept of the system prompts; their number beyond it does not change a decision. */
const SYSTEM_LIMIT = 100_000;

type JsonPart = JsonValue | undefined;

/**
 * What routing looks at in a request's body (docs/routing-features.md says why):
 *
 * - `text`: the last user message that has text, whole, and before it as many of the earlier user messages, newest first, as fit into 2,000
 *   characters (the one that does not fit is cut at its end), in the order they were said, joined by line ends. Answers and tool results do not count.
 * - `system`: messages of the roles `system` and `developer`, `system` (messages), `instructions` (responses), joined by line ends.
 * - `turns`: messages that are not system ones, tool calls and results included; 1 for a bare prompt.
 * - `images` in any message, `tools` offered, `wantsJson` when a JSON object or schema is asked for.
 *
 * Never throws: what has another shape than the format's counts as absent. Reads the body, never changes it.
 */
export function promptInputOf(format: PromptFormat, body: JsonObject): PromptInput {
  const tools = countOf(body['tools']) + countOf(body['functions']);
  const wantsJson = asksForJson(body);
  if (format === 'completions' || format === 'embeddings') {
    return { text: flatText(body[format === 'completions' ? 'prompt' : 'input']), system: '', turns: 1, images: 0, tools, wantsJson };
  }
  const messages = body[format === 'responses' ? 'input' : 'messages'];
  const systems = [contentText(body['system']), contentText(body['instructions'])];
  if (!Array.isArray(messages)) {
    const text = typeof messages === 'string' ? messages : '';
    return { text, system: joinSystem(systems), turns: 1, images: 0, tools, wantsJson };
  }
  let turns = 0;
  let images = 0;
  for (const message of messages) {
    if (!isJsonObject(message) || message['type'] === 'reasoning') continue;
    if (isSystem(message)) systems.push(contentText(message['content']));
    else turns += 1;
    images += countImages(message['content']);
  }
  return { text: userText(messages), system: joinSystem(systems), turns: Math.max(1, turns), images, tools, wantsJson };
}

function isSystem(message: JsonObject): boolean {
  return message['role'] === 'system' || message['role'] === 'developer';
}

function joinSystem(systems: readonly string[]): string {
  const system = systems.filter((text) => text !== '').join('\n');
  return system.length > SYSTEM_LIMIT ? system.slice(0, SYSTEM_LIMIT) : system;
}

/** From the end: only as far back as the budget for earlier messages goes. */
function userText(messages: readonly JsonPart[]): string {
  const texts: string[] = [];
  let left = EARLIER_TEXT_LIMIT;
  for (let at = messages.length - 1; at >= 0 && left > 0; at -= 1) {
    const message = messages[at];
    if (!isJsonObject(message) || message['role'] !== 'user') continue;
    const text = contentText(message['content']);
    if (text === '') continue;
    if (texts.length === 0) {
      texts.push(text);
      continue;
    }
    texts.push(text.length > left ? text.slice(0, left) : text);
    left -= text.length;
  }
  return texts.length === 1 ? texts[0]! : texts.reverse().join('\n');
}

/** Text of a message's content: the string, or its text parts without anything between them. Tool results hold their text deeper and stay out. */
function contentText(content: JsonPart): string {
  if (typeof content === 'string') return content;
  if (!Array.isArray(content)) return '';
  let text = '';
  for (const part of content) {
    if (typeof part === 'string') text += part;
    else if (isJsonObject(part) && typeof part['text'] === 'string') text += part['text'];
  }
  return text;
}

function flatText(prompt: JsonPart): string {
  if (typeof prompt === 'string') return prompt;
  return Array.isArray(prompt) ? prompt.filter((item) => typeof item === 'string').join('\n') : '';
}

/** `image_url` (chat), `input_image` (responses), `image` (messages). */
function countImages(content: JsonPart): number {
  if (!Array.isArray(content)) return 0;
  let images = 0;
  for (const part of content) {
    if (!isJsonObject(part)) continue;
    const type = part['type'];
    if (type === 'image_url' || type === 'input_image' || type === 'image') images += 1;
  }
  return images;
}

function countOf(list: JsonPart): number {
  return Array.isArray(list) ? list.length : 0;
}

/** `response_format` (chat), `text.format` (responses), `output_format` and `output_config.format` (messages). */
function asksForJson(body: JsonObject): boolean {
  const text = body['text'];
  const config = body['output_config'];
  return [body['response_format'], isJsonObject(text) ? text['format'] : undefined, body['output_format'], isJsonObject(config) ? config['format'] : undefined].some(
    (format) => isJsonObject(format) && (format['type'] === 'json_object' || format['type'] === 'json_schema'),
  );
}
