import { isJsonObject, type JsonObject } from '@pointsman/schemas';
import type { UsageFormat } from './usage.ts';

/** Everything a whole reply says, each text by itself: content, reasoning, refusals, tool calls. For counting what a provider did not count. */
export function textsOfReply(format: UsageFormat, value: JsonObject): string[] {
  const texts: string[] = [];
  const add = (text: unknown): void => {
    if (typeof text === 'string' && text !== '') texts.push(text);
  };
  if (format === 'messages') for (const block of listOf(value['content'])) addBlock(block, add);
  else if (format === 'responses') for (const item of listOf(value['output'])) addItem(item, add);
  else if (format === 'completions') for (const choice of listOf(value['choices'])) add(choice['text']);
  else if (format === 'chat') for (const choice of listOf(value['choices'])) addMessage(choice['message'], add);
  return texts;
}

type Add = (text: unknown) => void;

function listOf(value: unknown): JsonObject[] {
  return Array.isArray(value) ? value.filter(isJsonObject) : [];
}

function addBlock(block: JsonObject, add: Add): void {
  add(block['text']);
  add(block['thinking']);
  if (block['type'] !== 'tool_use' && block['type'] !== 'server_tool_use') return;
  add(block['name']);
  if (block['input'] !== undefined) add(JSON.stringify(block['input']));
}

function addItem(item: JsonObject, add: Add): void {
  add(item['name']);
  add(item['arguments']);
  for (const part of [...listOf(item['content']), ...listOf(item['summary'])]) {
    add(part['text']);
    add(part['refusal']);
  }
}

function addMessage(message: unknown, add: Add): void {
  if (!isJsonObject(message)) return;
  add(message['content']);
  for (const part of listOf(message['content'])) add(part['text'] ?? part['thinking']);
  add(typeof message['reasoning_content'] === 'string' ? message['reasoning_content'] : message['reasoning']);
  add(message['refusal']);
  const calls = listOf(message['tool_calls']);
  for (const call of calls.length > 0 ? calls : [{ function: message['function_call'] ?? null }]) {
    const made = call['function'];
    if (!isJsonObject(made)) continue;
    add(made['name']);
    add(made['arguments']);
  }
}
