import type { WireFormat } from '@pointsman/providers';
import { isJsonObject, type JsonObject } from '@pointsman/schemas';

/** What a reply says, as far as somebody can judge it. */
export interface ReplyContent {
  /** Its words: content and refusal, without reasoning. */
  readonly text: string;
  /** It calls tools. */
  readonly isToolCall: boolean;
}

/** Reads a whole reply in the client's format, JSON or the frames of a stream. What cannot be read says nothing. */
export function readReply(format: WireFormat, text: string, isStream: boolean): ReplyContent {
  const content = new Content();
  if (!isStream) {
    const value = parsed(text);
    if (value !== undefined) readWhole(format, value, content);
    return content;
  }
  for (const line of text.split('\n')) {
    if (!line.startsWith('data:')) continue;
    const value = parsed(line.slice(5));
    if (value !== undefined) readEvent(format, value, content);
  }
  return content;
}

class Content implements ReplyContent {
  text = '';
  isToolCall = false;

  add(piece: unknown): void {
    if (typeof piece === 'string') this.text += piece;
  }
}

function parsed(text: string): JsonObject | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return isJsonObject(value) ? value : undefined;
  } catch {
    return undefined; // `[DONE]`
  }
}

function readWhole(format: WireFormat, value: JsonObject, content: Content): void {
  if (format === 'messages') for (const block of listOf(value['content'])) readBlock(block, content);
  else if (format === 'responses') for (const item of listOf(value['output'])) readItem(item, content);
  else readMessage(firstOf(value['choices']), 'message', content);
}

function readEvent(format: WireFormat, value: JsonObject, content: Content): void {
  if (format === 'messages') {
    const { content_block: block, delta } = value;
    if (isJsonObject(block)) readBlock(block, content);
    if (isJsonObject(delta)) content.add(delta['text']);
  } else if (format === 'responses') {
    const { type, item } = value;
    if (type === 'response.output_text.delta' || type === 'response.refusal.delta') content.add(value['delta']);
    // The words of an item came as deltas.
    else if (type === 'response.output_item.added' && isJsonObject(item) && isCall(item)) content.isToolCall = true;
  } else readMessage(firstOf(value['choices']), 'delta', content);
}

function readMessage(choice: JsonObject | undefined, key: 'message' | 'delta', content: Content): void {
  if (choice === undefined) return;
  content.add(choice['text']);
  const message = choice[key];
  if (!isJsonObject(message)) return;
  content.add(message['content']);
  for (const part of listOf(message['content'])) content.add(part['text']);
  content.add(message['refusal']);
  if (listOf(message['tool_calls']).length > 0 || isJsonObject(message['function_call'])) content.isToolCall = true;
}

function readBlock(block: JsonObject, content: Content): void {
  content.add(block['text']);
  if (block['type'] === 'tool_use' || block['type'] === 'server_tool_use') content.isToolCall = true;
}

function readItem(item: JsonObject, content: Content): void {
  if (isCall(item)) content.isToolCall = true;
  for (const part of listOf(item['content'])) content.add(part['text'] ?? part['refusal']);
}

function isCall({ type }: JsonObject): boolean {
  return typeof type === 'string' && type.endsWith('_call');
}

function firstOf(value: unknown): JsonObject | undefined {
  const first: unknown = Array.isArray(value) ? value[0] : undefined;
  return isJsonObject(first) ? first : undefined;
}

function listOf(value: unknown): JsonObject[] {
  return Array.isArray(value) ? value.filter(isJsonObject) : [];
}
