import type { WireFormat } from '@pointsman/providers';
import type { JsonObject } from '@pointsman/schemas';
import { expect, test } from 'vitest';
import { promptOf } from './prompt-text.ts';

const parts = [{ type: 'text', text: 'look: ' }, { type: 'image_url', image_url: { url: 'data:…' } }, { type: 'text', text: 'what is it?' }];

test.each<[string, WireFormat, JsonObject, string]>([
  ['chat: only the user\'s turns, in order', 'chat', { messages: [{ role: 'system', content: 'be brief' }, { role: 'user', content: 'one' }, { role: 'assistant', content: 'no' }, { role: 'user', content: 'two' }] }, 'one\ntwo'],
  ['chat: text parts of a turn, images left out', 'chat', { messages: [{ role: 'user', content: parts }] }, 'look: what is it?'],
  ['messages: the system prompt is not the user\'s', 'messages', { system: 'be brief', messages: [{ role: 'user', content: [{ type: 'text', text: 'hi' }] }] }, 'hi'],
  ['responses: a plain input', 'responses', { input: 'hi' }, 'hi'],
  ['responses: turns', 'responses', { instructions: 'x', input: [{ role: 'user', content: [{ type: 'input_text', text: 'hi' }] }, { role: 'assistant', content: 'no' }] }, 'hi'],
  ['completions: a prompt', 'completions', { prompt: 'once upon' }, 'once upon'],
  ['completions: several prompts', 'completions', { prompt: ['a', 'b'] }, 'a\nb'],
  ['embeddings: several inputs', 'embeddings', { input: ['a', 'b'] }, 'a\nb'],
  ['embeddings: token ids have no text', 'embeddings', { input: [1, 2, 3] }, ''],
])('the text to route by is the user\'s: %s', (_name, format, body, text) => {
  expect(promptOf(format, { value: body }).text()).toBe(text);
});

test('tokens count everything that is read: a quarter of all characters, rounded up', () => {
  expect(promptOf('chat', { value: { messages: [{ role: 'system', content: '1234' }, { role: 'user', content: '12345' }] } }).tokens()).toBe(3); // '1234\n12345'
  expect(promptOf('messages', { value: { system: [{ type: 'text', text: '12345678' }], messages: [{ role: 'user', content: '1234' }] } }).tokens()).toBe(4);
  expect(promptOf('responses', { value: { instructions: '12345678', input: [{ role: 'user', content: '1234' }] } }).tokens()).toBe(4);
});

test.each<[WireFormat, JsonObject]>([
  ['chat', {}], ['chat', { messages: 'no list' }], ['chat', { messages: [null, 5, { role: 'user' }, { role: 'user', content: 7 }, { role: 'user', content: [null, 5, { type: 'text' }] }] }],
  ['responses', {}], ['responses', { input: { a: 1 } }], ['completions', { prompt: { a: 1 } }], ['embeddings', {}], ['messages', { messages: null }],
])('a body of an unexpected shape has no text and does no harm: %s %j', (format, body) => {
  const prompt = promptOf(format, { value: body });
  expect(prompt.text().trim()).toBe(body['messages'] === 'no list' ? 'no list' : '');
  expect(Number.isInteger(prompt.tokens())).toBe(true);
});

test('the text is made when first asked for, and once', () => {
  let reads = 0;
  const body: JsonObject = {};
  Object.defineProperty(body, 'messages', { get: () => { reads += 1; return [{ role: 'user', content: 'hi' }]; } });
  const prompt = promptOf('chat', { value: body });
  expect(reads).toBe(0);
  prompt.text();
  prompt.text();
  prompt.tokens();
  prompt.tokens();
  expect(reads).toBe(2);
});
