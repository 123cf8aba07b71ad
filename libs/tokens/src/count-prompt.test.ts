import { createRequire } from 'node:module';
import type { JsonObject } from '@pointsman/schemas';
import type { UsageFormat } from '@pointsman/wire-formats';
import { expect, test } from 'vitest';
import { countPrompt } from './count-prompt.ts';
import { countText } from './count-text.ts';

const { encodeChat } = createRequire(import.meta.url)('gpt-tokenizer/cjs/encoding/o200k_base') as { encodeChat: (chat: readonly { role: string; content: string }[], model: string) => readonly number[] };

/** The example of OpenAI's cookbook, for which the API reported 124 prompt tokens with gpt-4o and 129 with gpt-4. */
const cookbook = [
  { role: 'system', content: 'You are a helpful, pattern-following assistant that translates corporate jargon into plain English.' },
  { role: 'system', name: 'example_user', content: 'New synergies will help drive top-line growth.' },
  { role: 'system', name: 'example_assistant', content: 'Things working well together will increase revenue.' },
  { role: 'system', name: 'example_user', content: 'Let\'s circle back when we have more bandwidth to touch base on opportunities for increased leverage.' },
  { role: 'system', name: 'example_assistant', content: 'Let\'s talk later when we\'re less busy about how to do better.' },
  { role: 'user', content: 'This late pivot means we don\'t have time to boil the ocean for the client deliverable.' },
];

test('messages are counted as the API counts them', () => {
  expect(countPrompt('chat', { messages: cookbook }, 'gpt-4o')).toBe(124);
  expect(countPrompt('chat', { messages: cookbook }, 'gpt-4')).toBe(129);
  const plain = [{ role: 'system', content: 'be brief' }, { role: 'user', content: 'hello' }];
  expect(countPrompt('chat', { messages: plain }, 'gpt-4o')).toBe(encodeChat(plain, 'gpt-4o').length);
});

test('tools are counted as the API counts them: the cookbook\'s example is 101 tokens with gpt-4o', () => {
  const body = {
    messages: [{ role: 'system', content: 'You are a helpful assistant that can answer to questions about the weather.' }, { role: 'user', content: 'What\'s the weather like in San Francisco?' }],
    tools: [{
      type: 'function',
      function: {
        name: 'get_current_weather', description: 'Get the current weather in a given location',
        parameters: {
          type: 'object', required: ['location'],
          properties: {
            location: { type: 'string', description: 'The city and state, e.g. San Francisco, CA' },
            unit: { type: 'string', description: 'The unit of temperature to return', enum: ['celsius', 'fahrenheit'] },
          },
        },
      },
    }],
  };
  expect(countPrompt('chat', body, 'gpt-4o')).toBe(101);
});

test.each<[string, UsageFormat, JsonObject]>([
  ['Messages', 'messages', { system: 'be brief', messages: [{ role: 'user', content: [{ type: 'text', text: 'hello' }] }] }],
  ['Responses', 'responses', { instructions: 'be brief', input: 'hello' }],
  ['Responses with items', 'responses', { instructions: 'be brief', input: [{ role: 'user', content: [{ type: 'input_text', text: 'hello' }] }] }],
])('the same prompt is the same number in every format: %s', (_name, format, body) => {
  expect(countPrompt(format, body, 'gpt-4o')).toBe(countPrompt('chat', { messages: [{ role: 'system', content: 'be brief' }, { role: 'user', content: 'hello' }] }, 'gpt-4o'));
});

test('prompts and inputs have no separators; token ids count themselves', () => {
  expect(countPrompt('completions', { prompt: 'once upon a time' }, 'davinci-002')).toBe(countText('once upon a time', 'davinci-002'));
  expect(countPrompt('completions', { prompt: ['a', 'b'], suffix: 'c' }, 'davinci-002')).toBe(3);
  expect(countPrompt('embeddings', { input: [[1, 2, 3], [4]] }, 'text-embedding-3-small')).toBe(4);
  expect(countPrompt('embeddings', { input: [1, 2, 3] }, 'text-embedding-3-small')).toBe(3);
});

const alone = (content: JsonObject, model = 'gpt-4o'): number => countPrompt('chat', { messages: [{ role: 'user', content: [content] }] }, model) - countPrompt('chat', { messages: [{ role: 'user', content: '' }] }, model);

test('a picture costs what its family charges, never its base64', () => {
  const image_url = { url: `data:image/png;base64,${'A'.repeat(100_000)}` };
  expect(alone({ type: 'image_url', image_url })).toBe(765);
  expect(alone({ type: 'image_url', image_url: { ...image_url, detail: 'low' } })).toBe(85);
  expect(alone({ type: 'image', source: { type: 'base64', data: 'A'.repeat(100_000) } }, 'claude-sonnet-4')).toBe(1400);
  expect(alone({ type: 'image_url', image_url }, 'gemini-2.5-flash')).toBe(258);
  expect(alone({ type: 'input_audio', input_audio: { data: 'A'.repeat(30_000) } })).toBe(10);
  expect(alone({ type: 'document', title: 'hello', source: { type: 'base64', data: 'A'.repeat(1_200) } })).toBe(101);
});

test('tool calls and their results are read again, earlier reasoning is not', () => {
  const empty = countPrompt('messages', { messages: [{ role: 'assistant', content: [] }] }, 'gpt-4o');
  const count = (part: JsonObject): number => countPrompt('messages', { messages: [{ role: 'assistant', content: [part] }] }, 'gpt-4o') - empty;
  expect(count({ type: 'thinking', thinking: 'a long story', signature: 'x' })).toBe(0);
  expect(count({ type: 'tool_result', tool_use_id: 't', content: [{ type: 'text', text: 'hello' }] })).toBe(1);
  expect(count({ type: 'tool_use', id: 't', name: 'hello', input: {} })).toBe(2);
  expect(countPrompt('responses', { input: [{ type: 'function_call', name: 'hello', arguments: '{}' }, { type: 'function_call_output', output: 'hello' }, { type: 'reasoning', content: 'x' }] }, 'gpt-4o')).toBe(1 + 1 + 1 + 2 * 3 + 3);
});

test('Anthropic\'s tools come behind a system prompt of 346 tokens', () => {
  const body = { messages: [{ role: 'user', content: 'hi' }] };
  const tools = [{ name: 'f', input_schema: { type: 'object' } }];
  expect(countPrompt('messages', { ...body, tools }, 'claude-sonnet-4') - countPrompt('messages', body, 'claude-sonnet-4')).toBeGreaterThan(346);
});

test.each<[UsageFormat, JsonObject]>([
  ['chat', {}], ['chat', { messages: [null, 5, [], { content: 7 }, { content: [null, 5, { type: 'text' }, { type: 'file' }] }], tools: [null, 5, {}, { function: { parameters: { properties: { a: null, b: { enum: [1, null] } } } } }] }],
  ['messages', { messages: { a: 1 }, system: 5 }], ['responses', { input: { a: 1 }, text: 5 }], ['completions', { prompt: { a: 1 } }], ['embeddings', { input: [null] }],
])('a body of an unexpected shape is counted all the same: %s', (format, body) => {
  expect(Number.isSafeInteger(countPrompt(format, body, 'gpt-4o'))).toBe(true);
});
