import { chatChunks, json, sse, startScriptedUpstream, type Script, type ScriptedUpstream, type UpstreamCall } from '@pointsman/testing';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { deployment, question, startGatewayUnderTest, type GatewayUnderTest } from './gateway-under-test.ts';
import { choicesOf, readStream, type StreamedReply } from './streamed-reply.ts';

interface ChunkOptions {
  readonly id: string;
  readonly model: string;
}

/** Chunks with the marks of one provider, so that what leaks of the second one shows. */
const chunksOf = (texts: readonly string[], { id, model }: ChunkOptions): object[] => chatChunks(texts, { model }).map((chunk) => ({ ...chunk, id }));
const usageOf = ({ id, model }: ChunkOptions, prompt: number, completion: number): object => ({
  id, model, object: 'chat.completion.chunk', created: 1, choices: [], usage: { prompt_tokens: prompt, completion_tokens: completion, total_tokens: prompt + completion },
});
const FIRST = { id: 'chatcmpl-first', model: 'first-2026-01-01' };
const SECOND = { id: 'chatcmpl-second', model: 'second-2026-01-01' };
const THIRD = { id: 'chatcmpl-third', model: 'third-2026-01-01' };
const withoutEnd = (chunks: readonly object[]): object[] => chunks.slice(0, -1);
const toolCall = (call: object): object => ({ ...FIRST, object: 'chat.completion.chunk', created: 1, choices: [{ index: 0, delta: { tool_calls: [{ index: 0, ...call }] }, finish_reason: null }] });

const SCRIPTS: Readonly<Record<string, Script>> = {
  'breaks-off': sse(withoutEnd(chunksOf(['Once upon ', 'a time ', 'there '], FIRST)), { done: false, end: 'reset' }),
  'ends-early': sse(withoutEnd(chunksOf(['Once upon ', 'a time ', 'there '], FIRST))),
  'reports-an-error': sse([...withoutEnd(chunksOf(['Once upon ', 'a time ', 'there '], FIRST)), { error: { message: 'out of memory', type: 'server_error' } }]),
  'falls-silent': sse(withoutEnd(chunksOf(['Once upon ', 'a time ', 'there '], FIRST)), { done: false, end: 'stall' }),
  'breaks-off-late': { ...sse([]), steps: [...sse(withoutEnd(chunksOf(['Once upon ', 'a time ', 'there '], FIRST)), { done: false }).steps, { waitMs: 800 }, { end: 'reset' }] },
  'goes-on': sse([...chunksOf(['was ', 'a fox.'], SECOND), usageOf(SECOND, 9, 2)]),
  'goes-on-slowly': { ...sse([...chunksOf(['was ', 'a fox.'], SECOND), usageOf(SECOND, 9, 2)]), before: [{ waitMs: 200 }] },
  // Some servers name the role in every chunk.
  'goes-on-with-roles': sse([...['was ', 'a fox.'].map((content) => ({ ...SECOND, object: 'chat.completion.chunk', created: 1, choices: [{ index: 0, delta: { role: 'assistant', content }, finish_reason: null }] })), ...chunksOf([], SECOND).slice(1)]),
  'goes-on-and-breaks-off': sse(withoutEnd(chunksOf(['was '], SECOND)), { done: false, end: 'fin' }),
  'ends-the-tale': sse([...chunksOf(['a fox.'], THIRD), usageOf(THIRD, 11, 1)]),
  'breaks-at-once': sse([], { done: false, end: 'reset' }),
  'refuses-a-prefill': json({ error: { message: 'the last message must be from the user', type: 'invalid_request_error' } }, { status: 400 }),
  'tool-call-cut': sse([...withoutEnd(chunksOf([], FIRST)), toolCall({ id: 'call_1', type: 'function', function: { name: 'look_up', arguments: '' } }), toolCall({ function: { arguments: '{"ci' } })], { done: false, end: 'reset' }),
};
const WHOLE = 'Once upon a time there was a fox.';
const PARTIAL = 'Once upon a time there ';

const GROUPS: Readonly<Record<string, readonly string[]>> = {
  'reset': ['breaks-off', 'goes-on'],
  'done-too-early': ['ends-early', 'goes-on'],
  'error-object': ['reports-an-error', 'goes-on'],
  'stall': ['falls-silent', 'goes-on'],
  'late': ['breaks-off-late', 'goes-on-slowly'],
  'roles-everywhere': ['breaks-off', 'goes-on-with-roles'],
  'twice': ['breaks-off', 'goes-on-and-breaks-off', 'ends-the-tale'],
  'second-breaks-at-once': ['breaks-off', 'breaks-at-once', 'goes-on'],
  'both-break': ['breaks-off', 'goes-on-and-breaks-off'],
  'nobody-goes-on': ['breaks-off', 'breaks-at-once'],
  'refused': ['breaks-off', 'refuses-a-prefill'],
  'tool-call': ['tool-call-cut', 'goes-on'],
  'lone': ['breaks-off'],
  'covered': ['breaks-off'],
  'cover': ['goes-on'],
  'billed': ['breaks-off', 'goes-on'],
};

let upstream: ScriptedUpstream;
let gateway: GatewayUnderTest;
let callsBefore = 0;
const newCalls = (): readonly UpstreamCall[] => upstream.calls.slice(callsBefore);

beforeAll(async () => {
  upstream = await startScriptedUpstream({ scripts: SCRIPTS });
  gateway = await startGatewayUnderTest({
    config: {
      model_list: Object.entries(GROUPS).flatMap(([group, models]) => models.map((model, index) => deployment(group, upstream, model, {
        params: { order: index + 1, stream_timeout: group === 'late' ? 10 : 1, input_cost_per_token: 0.001, output_cost_per_token: 0.01 },
      }))),
      router_settings: { stream_recovery: 'continue', num_retries: 2, disable_cooldowns: true, retry_budget_ratio: 10, breaker: { failures: 1000 }, fallbacks: [{ covered: ['cover'] }] },
    },
  });
}, 60_000);

beforeEach(() => {
  callsBefore = upstream.calls.length;
});

afterAll(async () => {
  await gateway[Symbol.asyncDispose]();
  await upstream.close();
});

async function ask(model: string, extra: object = {}): Promise<StreamedReply> {
  return readStream(await gateway.post('/v1/chat/completions', { model, stream: true, ...question, ...extra }));
}

function expectOneStream(reply: StreamedReply): void {
  const chunks = reply.frames.flatMap(({ json: chunk }) => (chunk === undefined ? [] : [chunk]));
  expect(reply.status).toBe(200);
  expect(reply.text).toBe(WHOLE);
  expect(new Set(chunks.map((chunk) => chunk['id']))).toEqual(new Set([FIRST.id]));
  expect(new Set(chunks.map((chunk) => chunk['model'])).size).toBe(1);
  expect(reply.raw).not.toMatch(/2026-01-01/);
  expect(chunks.flatMap(choicesOf).filter((choice) => (choice['delta'] as { role?: string }).role !== undefined)).toHaveLength(1);
  expect(reply.endings).toEqual(['stop']);
  expect(reply.errors).toEqual([]);
  expect(reply.frames.at(-1)?.data).toBe('[DONE]');
}

function expectBroken(reply: StreamedReply, text: string): void {
  expect(reply.status).toBe(200);
  expect(reply.text).toBe(text);
  expect(reply.errors).toHaveLength(1);
  expect(reply.frames.at(-1)).toBe(reply.errors[0]);
  expect(reply.endings).toEqual([]);
  expect(reply.isDone).toBe(false);
}

describe('with stream_recovery: continue', () => {
  test.each(['reset', 'done-too-early', 'error-object', 'stall'])('a client sees one whole stream although the provider broke: %s', async (group) => {
    expectOneStream(await ask(group));
    expect(newCalls()).toHaveLength(2);
    expect(newCalls()[1]?.json).toMatchObject({ model: 'goes-on', messages: [...question.messages, { role: 'assistant', content: PARTIAL }] });
  });

  test('a client hears the role once, although the second provider names it in every chunk', async () => {
    expectOneStream(await ask('roles-everywhere'));
  });

  test('a stream that breaks after the deadline for its beginning is continued too', async () => {
    expectOneStream(await ask('late', { timeout: 0.5 }));
  });

  test('the continuation may itself be continued, from all that the client has', async () => {
    expectOneStream(await ask('twice'));
    expect(newCalls()[2]?.json).toMatchObject({ messages: [...question.messages, { role: 'assistant', content: `${PARTIAL}was ` }] });
  });

  test('a deployment that cannot even begin to continue is passed over', async () => {
    expectOneStream(await ask('second-breaks-at-once'));
    expect(newCalls()).toHaveLength(3);
  });

  test('a fallback group continues when the group has nobody left', async () => {
    expectOneStream(await ask('covered', { num_retries: 0 }));
    expect(newCalls().map(({ json: body }) => (body as { model: string }).model)).toEqual(['breaks-off', 'goes-on']);
  });

  test('a long conversation reaches the second deployment word for word', async () => {
    const messages = Array.from({ length: 40 }, (_, index) => ({ role: index % 2 === 0 ? 'user' : 'assistant', content: `${String(index)}: "${'Grüße, \\u00e9 \n日本 '.repeat(400)}"` }));
    expectOneStream(await ask('reset', { messages }));
    const sent = newCalls().map(({ json: body }) => (body as { readonly messages: readonly object[] }).messages);
    expect(sent).toEqual([messages, [...messages, { role: 'assistant', content: PARTIAL }]]);
  });

  test('usage is told once, and only to the client that asked', async () => {
    const silent = await ask('reset');
    expect(silent.raw).not.toContain('prompt_tokens');
    const reply = await ask('reset', { stream_options: { include_usage: true } });
    const told = reply.frames.filter(({ json: chunk }) => chunk?.['usage'] !== undefined && chunk['usage'] !== null);
    expect(told).toHaveLength(1);
    const { prompt_tokens: prompt, completion_tokens: completion, total_tokens: total } = told[0]?.json?.['usage'] as Record<string, number>;
    expect(prompt).toBeGreaterThan(0);
    expect(completion).toBeGreaterThan(0);
    expect(total).toBe((prompt ?? 0) + (completion ?? 0));
    expect(reply.frames.at(-1)?.data).toBe('[DONE]');
  });

  test('both deployments are paid: what the first one streamed is counted, what the second one reports is taken', async () => {
    await ask('billed');
    // The first, by the tokenizer: 12 tokens of prompt, 6 of what was streamed. The second says 9 and 2.
    expect(await gateway.metric('gateway_tokens_total', { model: 'billed', type: 'prompt' })).toBe(12 + 9);
    expect(await gateway.metric('gateway_tokens_total', { model: 'billed', type: 'completion' })).toBe(6 + 2);
    expect(await gateway.metric('gateway_spend_usd_total', { model: 'billed' })).toBeCloseTo((12 + 9) * 0.001 + (6 + 2) * 0.01, 9);
    expect(await gateway.metric('gateway_streams_ended_total', { model: 'billed', outcome: 'recovered' })).toBe(1);
  });

  test('a tool call cut in the middle cannot be continued: an error ends the stream and nobody else is asked', async () => {
    const reply = await ask('tool-call');
    expectBroken(reply, '');
    expect(newCalls()).toHaveLength(1);
  });

  test('when the second deployment breaks too, an error ends the stream', async () => {
    expectBroken(await ask('both-break', { num_retries: 1 }), `${PARTIAL}was `);
  });

  test('when nobody can go on, an error ends the stream', async () => {
    expectBroken(await ask('nobody-goes-on', { num_retries: 1 }), PARTIAL);
  });

  test('when the second deployment takes no prefill, an error ends the stream', async () => {
    expectBroken(await ask('refused'), PARTIAL);
  });

  test('without retries and fallbacks an error ends the stream', async () => {
    expectBroken(await ask('lone', { num_retries: 0 }), PARTIAL);
  });

  test('an Anthropic client sees one whole message', async () => {
    const reply = await readStream(await gateway.post('/v1/messages', { model: 'reset', stream: true, max_tokens: 100, ...question }));
    expect(reply.text).toBe(WHOLE);
    expect(reply.errors).toEqual([]);
    const types = reply.frames.map(({ event }) => event);
    for (const once of ['message_start', 'content_block_start', 'content_block_stop', 'message_delta', 'message_stop']) expect(types.filter((type) => type === once)).toHaveLength(1);
    expect(types.at(-1)).toBe('message_stop');
  });

  test('a Responses client sees one whole response', async () => {
    const reply = await readStream(await gateway.post('/v1/responses', { model: 'reset', stream: true, input: 'How do you do?' }));
    expect(reply.text).toBe(WHOLE);
    expect(reply.errors).toEqual([]);
    expect(reply.endings).toEqual(['response.completed']);
    expect(reply.frames.filter(({ event }) => event === 'response.created')).toHaveLength(1);
  });
});
