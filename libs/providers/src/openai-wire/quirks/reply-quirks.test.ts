import type { JsonObject } from '@pointsman/schemas';
import { expect, test } from 'vitest';
import type { QuirkName } from './quirk-names.ts';
import { REPLY_QUIRKS } from './reply-quirks.ts';

const request: JsonObject = { tools: [{ type: 'function', function: { name: 'weather' } }] };
const reply = (message: JsonObject, more: JsonObject = {}): JsonObject => ({ choices: [{ index: 0, message, finish_reason: 'stop' }], ...more });
const chunk = (delta: JsonObject, finishReason: string | null = null): JsonObject => ({ choices: [{ index: 0, delta, finish_reason: finishReason }] });

function onReply(name: QuirkName, value: JsonObject): JsonObject {
  return REPLY_QUIRKS[name]?.reply(value, { request }) ?? {};
}

/** As the adapter does it: only chunks with a mark are looked at. */
function onStream(name: QuirkName, chunks: readonly JsonObject[]): JsonObject[] {
  const stream = REPLY_QUIRKS[name]?.stream;
  const change = stream?.begin();
  return chunks.map((value) => (stream?.marks.some((mark) => JSON.stringify(value).includes(mark)) === true ? change?.(value, { request }) ?? {} : value));
}

test('citations become annotations at the places that name them', () => {
  const value = reply({ content: 'Yes [1], no [2] and [9].' }, { citations: ['https://a.example', 'https://b.example'], search_results: [{ title: 'A' }] });
  expect(onReply('citations_to_annotations', value)).toMatchObject({
    citations: ['https://a.example', 'https://b.example'],
    choices: [{ message: { annotations: [
      { type: 'url_citation', url_citation: { start_index: 4, end_index: 7, url: 'https://a.example', title: 'A' } },
      { type: 'url_citation', url_citation: { start_index: 12, end_index: 15, url: 'https://b.example', title: '' } },
    ] } }],
  });
});

test('a tool call that finished with stop finished with tool_calls', () => {
  expect(onReply('finish_reason_for_tools', reply({ tool_calls: [{ id: 'a' }] }))).toMatchObject({ choices: [{ finish_reason: 'tool_calls' }] });
  expect(onReply('finish_reason_for_tools', reply({ content: 'x' }))).toMatchObject({ choices: [{ finish_reason: 'stop' }] });
});

test('in a stream the tool call may have come chunks before its finish reason', () => {
  expect(onStream('finish_reason_for_tools', [chunk({ tool_calls: [{ index: 0 }] }), chunk({}, 'stop')])[1]).toMatchObject({ choices: [{ finish_reason: 'tool_calls' }] });
  expect(onStream('finish_reason_for_tools', [chunk({ content: 'x' }), chunk({}, 'stop')])[1]).toMatchObject({ choices: [{ finish_reason: 'stop' }] });
  expect(onStream('finish_reason_for_tools', [chunk({ tool_calls: [{ index: 0 }] }), chunk({}, '')])[1]).toMatchObject({ choices: [{ finish_reason: 'tool_calls' }] });
});

test('one stream remembers nothing of another', () => {
  onStream('finish_reason_for_tools', [chunk({ tool_calls: [{ index: 0 }] })]);
  expect(onStream('finish_reason_for_tools', [chunk({}, 'stop')])[0]).toMatchObject({ choices: [{ finish_reason: 'stop' }] });
});

test('reasoning is also reasoning_content', () => {
  expect(onReply('reasoning_field', reply({ reasoning: 'why' }))).toMatchObject({ choices: [{ message: { reasoning: 'why', reasoning_content: 'why' } }] });
  expect(onStream('reasoning_field', [chunk({ reasoning: 'why' })])[0]).toMatchObject({ choices: [{ delta: { reasoning_content: 'why' } }] });
});

test('reasoning tokens are counted once inside the completion', () => {
  const usage = { prompt_tokens: 10, completion_tokens: 5, total_tokens: 35, completion_tokens_details: { reasoning_tokens: 20 } };
  expect(onReply('reasoning_tokens_into_completion', { usage })).toMatchObject({ usage: { completion_tokens: 25, total_tokens: 35 } });
  const already = { usage: { ...usage, completion_tokens: 25 } };
  expect(onReply('reasoning_tokens_into_completion', already)).toBe(already);
  expect(onStream('reasoning_tokens_into_completion', [{ choices: [], usage }])[0]).toMatchObject({ usage: { completion_tokens: 25 } });
});

test('search queries are counted as web searches', () => {
  expect(onReply('search_queries_in_usage', { usage: { num_search_queries: 2 } })).toMatchObject({ usage: { prompt_tokens_details: { web_search_requests: 2 } } });
});

test('thinking parts become reasoning_content and text', () => {
  const content = [{ type: 'thinking', thinking: [{ type: 'text', text: 'hm' }] }, { type: 'text', text: 'yes' }];
  expect(onReply('thinking_blocks', reply({ content }))).toMatchObject({ choices: [{ message: { content: 'yes', reasoning_content: 'hm' } }] });
  expect(onStream('thinking_blocks', [chunk({ content })])[0]).toMatchObject({ choices: [{ delta: { content: 'yes', reasoning_content: 'hm' } }] });
});

test('a call written into the content is a tool call, if such a tool was offered', () => {
  expect(onReply('tool_calls_in_content', reply({ content: '{"type":"function","name":"weather","parameters":{"city":"Bern"}}' }))).toMatchObject({
    choices: [{ finish_reason: 'tool_calls', message: { content: null, tool_calls: [{ type: 'function', function: { name: 'weather', arguments: '{"city":"Bern"}' } }] } }],
  });
  const other = reply({ content: '{"name":"nuke","parameters":{}}' });
  expect(onReply('tool_calls_in_content', other)).toBe(other);
});

test('plain and odd replies pass every quirk as they are', () => {
  for (const value of [reply({ content: 'x' }), {}, { choices: 1 }, { choices: [null, 1, {}] }, { usage: null }] as JsonObject[]) {
    for (const quirk of Object.values(REPLY_QUIRKS)) {
      expect(quirk.reply(value, { request })).toBe(value);
      expect(quirk.stream?.begin()(value, { request }) ?? value).toBe(value);
    }
  }
});
