import type { JsonObject } from '@pointsman/schemas';
import { expect, test } from 'vitest';
import { createStreamInspector } from './stream-inspector.ts';
import { textsOfReply } from './text-of-reply.ts';
import type { StreamFormat } from './inspect/stream-facts.ts';
import type { UsageFormat } from './usage.ts';

const said = (format: StreamFormat, ...events: readonly JsonObject[]): string => {
  const inspector = createStreamInspector(format);
  for (const event of events) inspector.inspect({ event: '', data: JSON.stringify(event) });
  return inspector.unreported.text;
};
const delta = (more: JsonObject, rest: JsonObject = {}): JsonObject => ({ id: 'c', choices: [{ index: 0, delta: more, finish_reason: null }], ...rest });

test('a chat stream\'s content, reasoning, refusals and tool calls are known at its end, escapes undone', () => {
  expect(said('chat', delta({ role: 'assistant', content: '' }), delta({ reasoning_content: 'hm', reasoning: 'hm' }), delta({ content: 'a' }), delta({ content: 'b' }), delta({ content: 'c\n"d"' }), delta({ refusal: 'no' }),
    delta({ tool_calls: [{ index: 0, id: 't', function: { name: 'f', arguments: '' } }] }), delta({ tool_calls: [{ index: 0, function: { arguments: '{"x":1}' } }] }), delta({ content: [{ type: 'text', text: 'z' }] }))).toBe('hmabc\n"d"nof{"x":1}z');
  expect(said('completions', { choices: [{ index: 0, text: 'once' }] }, { choices: [{ index: 0, text: ' upon' }] })).toBe('once upon');
});

test('a Messages stream\'s and a Responses stream\'s too', () => {
  expect(said('messages', { type: 'message_start', message: { usage: { input_tokens: 5, output_tokens: 3 } } }, { type: 'content_block_start', content_block: { type: 'thinking', thinking: '' } },
    { type: 'content_block_delta', delta: { type: 'thinking_delta', thinking: 'hm' } }, { type: 'content_block_delta', delta: { type: 'signature_delta', signature: 'XXXX' } },
    { type: 'content_block_delta', delta: { type: 'text_delta', text: 'a' } }, { type: 'content_block_delta', delta: { type: 'text_delta', text: 'b' } },
    { type: 'content_block_start', content_block: { type: 'tool_use', id: 't', name: 'f', input: {} } }, { type: 'content_block_delta', delta: { type: 'input_json_delta', partial_json: '{}' } })).toBe('hmabf{}');
  expect(said('responses', { type: 'response.output_text.delta', output_index: 0, delta: 'a' }, { type: 'response.reasoning_summary_text.delta', delta: 'hm' }, { type: 'response.output_text.done', text: 'a' },
    { type: 'response.output_item.added', item: { type: 'function_call', name: 'f' } }, { type: 'response.function_call_arguments.delta', delta: '{}' }, { type: 'response.audio.delta', delta: 'UklGR' })).toBe('ahmf{}');
});

test('what the provider has counted is forgotten; a count of nothing and that of message_start count nothing', () => {
  const inspector = createStreamInspector('chat');
  const inspect = (event: JsonObject): void => void inspector.inspect({ event: '', data: JSON.stringify(event) });
  inspect(delta({ content: 'a' }, { usage: { prompt_tokens: 5, completion_tokens: 0 } }));
  expect(inspector.unreported).toMatchObject({ text: 'a', reportedTokens: 0 });
  inspect(delta({ content: 'b' }, { usage: { prompt_tokens: 5, completion_tokens: 2 } }));
  expect(inspector.unreported).toMatchObject({ text: '', reportedTokens: 2 });
  inspect(delta({ content: 'c' }));
  expect(inspector.unreported).toMatchObject({ text: 'c', reportedTokens: 2 });
  const messages = createStreamInspector('messages');
  for (const event of [{ type: 'message_start', message: { usage: { input_tokens: 5, output_tokens: 3 } } }, { type: 'content_block_delta', delta: { type: 'text_delta', text: 'a' } }]) messages.inspect({ event: '', data: JSON.stringify(event) });
  expect(messages.unreported).toMatchObject({ text: 'a', reportedTokens: 0 });
  messages.inspect({ event: '', data: JSON.stringify({ type: 'message_delta', delta: { stop_reason: 'end_turn' }, usage: { output_tokens: 9 } }) });
  expect(messages.unreported).toMatchObject({ text: '', reportedTokens: 9 });
});

test('a mebi of characters is kept, the rest measured', () => {
  const inspector = createStreamInspector('chat');
  for (let index = 0; index < 1_100; index += 1) inspector.inspect({ event: '', data: JSON.stringify(delta({ content: `${'x'.repeat(999)}${String(index % 10)}` })) });
  expect(inspector.unreported.text).toHaveLength(1_048_000);
  expect(inspector.unreported.droppedCharacters).toBe(52_000);
});

test.each<[UsageFormat, JsonObject, readonly string[]]>([
  ['chat', { choices: [{ message: { content: 'a', reasoning: 'hm', tool_calls: [{ function: { name: 'f', arguments: '{}' } }] } }, { message: { content: [{ type: 'text', text: 'b' }], refusal: 'no' } }] }, ['a', 'hm', 'f', '{}', 'b', 'no']],
  ['completions', { choices: [{ text: 'a' }, { text: 'b' }] }, ['a', 'b']],
  ['messages', { content: [{ type: 'thinking', thinking: 'hm' }, { type: 'text', text: 'a' }, { type: 'tool_use', name: 'f', input: { x: 1 } }] }, ['hm', 'a', 'f', '{"x":1}']],
  ['responses', { output: [{ type: 'reasoning', summary: [{ text: 'hm' }] }, { type: 'message', content: [{ type: 'output_text', text: 'a' }] }, { type: 'function_call', name: 'f', arguments: '{}' }] }, ['hm', 'a', 'f', '{}']],
  ['embeddings', { data: [{ embedding: [1] }] }, []],
  ['chat', { choices: 'none' }, []], ['messages', { content: [null, 5] }, []], ['responses', {}, []], ['chat', { choices: [{ message: null }, { message: { tool_calls: [{}, null] } }] }, []],
])('the texts of a whole %s reply', (format, value, texts) => {
  expect(textsOfReply(format, value)).toEqual(texts);
});
