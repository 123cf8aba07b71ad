import type { JsonObject } from '@pointsman/schemas';
import { expect, test } from 'vitest';
import { EARLIER_TEXT_LIMIT, promptInputOf } from './prompt-input.ts';

const bare = { system: '', turns: 1, images: 0, tools: 0, wantsJson: false };

test('chat: the last user message and the earlier ones in order; answers and tool results do not count', () => {
  const body: JsonObject = {
    messages: [
      { role: 'system', content: 'Be brief.' },
      { role: 'developer', content: [{ type: 'text', text: 'No jokes.' }] },
      { role: 'user', content: 'first question' },
      { role: 'assistant', content: 'an answer', tool_calls: [] },
      { role: 'tool', content: 'a result', tool_call_id: 'x' },
      { role: 'user', content: [{ type: 'text', text: 'second' }, { type: 'image_url', image_url: { url: 'data:…' } }, { type: 'text', text: ' question' }] },
    ],
    tools: [{ type: 'function' }, { type: 'function' }],
    response_format: { type: 'json_schema', json_schema: {} },
  };
  expect(promptInputOf('chat', body)).toEqual({ text: 'first question\nsecond question', system: 'Be brief.\nNo jokes.', turns: 4, images: 1, tools: 2, wantsJson: true });
});

test('chat: earlier user messages fit into their budget, newest first, the last message is whole', () => {
  const last = 'z'.repeat(50_000);
  const { text } = promptInputOf('chat', {
    messages: [
      { role: 'user', content: `oldest ${'o'.repeat(5_000)}` },
      { role: 'user', content: `middle ${'m'.repeat(1_493)}` },
      { role: 'user', content: last },
    ],
  });
  const [oldest, middle, newest] = text.split('\n');
  expect(newest).toBe(last);
  expect(middle).toBe(`middle ${'m'.repeat(1_493)}`);
  expect(oldest).toBe(`oldest ${'o'.repeat(EARLIER_TEXT_LIMIT - 1_500 - 7)}`);
});

test('completions and embeddings: text, a list of texts, token ids', () => {
  expect(promptInputOf('completions', { prompt: 'say' })).toEqual({ ...bare, text: 'say' });
  expect(promptInputOf('completions', { prompt: ['one', 'two'] })).toEqual({ ...bare, text: 'one\ntwo' });
  expect(promptInputOf('completions', { prompt: [1, 2, 3] })).toEqual({ ...bare, text: '' });
  expect(promptInputOf('embeddings', { input: 'word' })).toEqual({ ...bare, text: 'word' });
});

test('responses: a bare input, and items with instructions, images, reasoning and a JSON format', () => {
  expect(promptInputOf('responses', { input: 'hello', instructions: 'Be kind.' })).toEqual({ ...bare, text: 'hello', system: 'Be kind.' });
  const body: JsonObject = {
    input: [
      { role: 'user', content: [{ type: 'input_text', text: 'look' }, { type: 'input_image', image_url: 'data:…' }] },
      { type: 'reasoning', summary: [] },
      { type: 'function_call', name: 'f' },
      { type: 'function_call_output', output: 'long text' },
    ],
    text: { format: { type: 'json_object' } },
    tools: [{ type: 'web_search' }],
  };
  expect(promptInputOf('responses', body)).toEqual({ text: 'look', system: '', turns: 3, images: 1, tools: 1, wantsJson: true });
});

test('messages: a user message of tool results only is not the last question', () => {
  const body: JsonObject = {
    system: [{ type: 'text', text: 'You are a pirate.' }],
    messages: [
      { role: 'user', content: [{ type: 'image', source: {} }, { type: 'text', text: 'what is this?' }] },
      { role: 'assistant', content: [{ type: 'tool_use', id: 't' }] },
      { role: 'user', content: [{ type: 'tool_result', tool_use_id: 't', content: 'a parrot' }] },
    ],
    output_config: { format: { type: 'json_schema' } },
  };
  expect(promptInputOf('messages', body)).toEqual({ text: 'what is this?', system: 'You are a pirate.', turns: 3, images: 1, tools: 0, wantsJson: true });
});

test.each([{}, { messages: null }, { messages: 7 }, { messages: [null, 'x', [], 3, { role: 'user' }, { role: 'user', content: 5 }] }, { messages: [{ role: 'user', content: [null, 4, { text: 3 }] }], tools: 'x', text: 1 }] as JsonObject[])(
  'a body of another shape has no text and does not throw: %j',
  (body) => {
    for (const format of ['chat', 'completions', 'responses', 'messages', 'embeddings'] as const) {
      const { text, images, tools, wantsJson, turns } = promptInputOf(format, body);
      expect([text, images, tools, wantsJson]).toEqual(['', 0, 0, false]);
      expect(turns).toBeGreaterThanOrEqual(1);
    }
  },
);
