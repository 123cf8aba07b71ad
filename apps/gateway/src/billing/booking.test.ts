import { AppError } from '@pointsman/errors';
import type { JsonObject } from '@pointsman/schemas';
import { eventually } from '@pointsman/testing';
import { countPrompt, countText } from '@pointsman/tokens';
import { expect, test } from 'vitest';
import {
  chatConfig, chatReply, chunk, entry, FakeProvider, startFakeGateway, TEST_KEY, usageChunk, type Behaviour, type FakeGateway, type FakeGatewayOptions,
} from '../fake-gateway.fixture.ts';
import type { ExchangeRecord } from '../record/exchange-record.ts';

/** USD as the fake gateway counts: 1 per prompt token, 10 per completion token. */
const usd = (prompt: number, completion: number): number => prompt + 10 * completion;
const PROMPT = countPrompt('chat', { messages: [{ role: 'user', content: 'hello' }] }, 'gpt-4o');
const CONTINUE = 'router_settings: { num_retries: 2, stream_recovery: continue, disable_cooldowns: true }\n';
const FALLBACK = `${chatConfig(['a'])}${entry('other', 'b')}router_settings: { num_retries: 0, fallbacks: [{ chat: [other] }] }\n`;

const speaks = (...words: readonly string[]): Behaviour => (call) => call.accept().events(...words.map((content) => chunk({ content })));
const answersWithout: Behaviour = (call) => {
  const { usage: _usage, ...reply } = chatReply('hello there') as JsonObject & { usage: unknown };
  call.json(reply);
};

interface Booked {
  readonly gateway: FakeGateway;
  /** Each record as it was when it was booked. */
  readonly booked: ExchangeRecord[];
  /** Whether the reply had been ended when its request was booked. */
  readonly ended: boolean[];
}

async function start(config: string, options: FakeGatewayOptions): Promise<Booked> {
  const booked: ExchangeRecord[] = [];
  const ended: boolean[] = [];
  const gateway = await startFakeGateway(config, { ...options, book: (exchange, record) => {
    booked.push({ ...record });
    ended.push(exchange.res.writableEnded);
  } });
  return { gateway, booked, ended };
}

interface Path {
  readonly config?: string;
  readonly providers: Readonly<Record<string, FakeProvider>>;
  readonly body?: JsonObject;
  readonly expected: Partial<Record<keyof ExchangeRecord, unknown>>;
}

const paths: Readonly<Record<string, () => Path>> = {
  'a JSON reply': () => ({ providers: { a: new FakeProvider((call) => call.json(chatReply('hi'))) }, expected: { costUsd: usd(5, 2), usageEstimated: false } }),
  'a JSON reply without usage': () => ({ providers: { a: new FakeProvider(answersWithout) }, expected: { costUsd: usd(PROMPT, 2), usageEstimated: true } }),
  'a JSON reply whose usage names the prompt only': () => ({
    providers: { a: new FakeProvider((call) => call.json(chatReply('hello there', { usage: { prompt_tokens: 5 } }))) }, expected: { costUsd: usd(5, 2), usageEstimated: true },
  }),
  'a whole stream': () => ({
    providers: { a: new FakeProvider((call) => call.accept().events(chunk({ content: 'hi' }), chunk({}, 'stop'), usageChunk(5, 2), '[DONE]').end()) }, body: { stream: true },
    expected: { costUsd: usd(5, 2), usageEstimated: false, error: undefined },
  }),
  'a whole stream without usage': () => ({
    providers: { a: new FakeProvider((call) => call.accept().events(chunk({ content: 'hello' }), chunk({ content: ' there' }), chunk({}, 'stop'), '[DONE]').end()) }, body: { stream: true },
    expected: { costUsd: usd(PROMPT, 2), usageEstimated: true, error: undefined },
  }),
  'a stream cut by its provider': () => ({
    providers: { a: new FakeProvider((call) => call.accept().events(chunk({ content: 'hello' }), chunk({ content: ' there' })).fail('truncated')) }, body: { stream: true },
    expected: { costUsd: usd(PROMPT, 2), usageEstimated: true },
  }),
  'a stream cut after a running count: the provider\'s count, and ours from there': () => ({
    providers: {
      a: new FakeProvider((call) => call.accept().events(
        chunk({ content: 'hello' }, null, { usage: { prompt_tokens: 5, completion_tokens: 7 } }), chunk({ content: ' there' }),
      ).fail('truncated')),
    },
    body: { stream: true }, expected: { costUsd: usd(5, 8), usageEstimated: true },
  }),
  'an error in the stream': () => ({
    providers: { a: new FakeProvider((call) => call.accept().events(chunk({ content: 'hello' }), { error: { message: 'overloaded' } })) }, body: { stream: true },
    expected: { costUsd: usd(PROMPT, 1), usageEstimated: true },
  }),
  'reasoning and tool calls, cut': () => ({
    providers: {
      a: new FakeProvider((call) => call.accept().events(
        chunk({ reasoning_content: 'think' }), chunk({ tool_calls: [{ index: 0, id: 't', type: 'function', function: { name: 'look', arguments: '{"at":"it"}' } }] }),
      ).fail('truncated')),
    },
    body: { stream: true }, expected: { costUsd: usd(PROMPT, countText('thinklook{"at":"it"}', 'gpt-4o')), usageEstimated: true },
  }),
  'a broken stream that another deployment goes on with: both parts': () => ({
    config: chatConfig(['a', 'b'], CONTINUE),
    providers: {
      a: new FakeProvider((call) => call.accept().events(chunk({ content: 'hello' })).fail('truncated')),
      b: new FakeProvider((call) => call.accept().events(chunk({ content: ' there' }), chunk({}, 'stop'), usageChunk(9, 3), '[DONE]').end()),
    },
    body: { stream: true }, expected: { costUsd: usd(PROMPT, 1) + usd(9, 3), usageEstimated: true, recovered: true },
  }),
  'a fallback after a reply that could not be used but was counted: both attempts': () => ({
    config: FALLBACK,
    providers: {
      a: new FakeProvider((call) => call.accept().events(usageChunk(5, 1)).fail('truncated')),
      b: new FakeProvider((call) => call.accept().events(chunk({ content: 'hi' }), chunk({}, 'stop'), usageChunk(9, 3), '[DONE]').end()),
    },
    body: { stream: true }, expected: { costUsd: usd(5, 1) + usd(9, 3), usageEstimated: false, fallbacks: 1 },
  }),
  'a failure before any content': () => ({
    config: chatConfig(['a'], 'router_settings: { num_retries: 0 }\n'), providers: { a: new FakeProvider((call) => call.fail('server_error')) }, expected: { costUsd: undefined, usage: undefined },
  }),
  'the deadline': () => ({
    config: chatConfig(['a'], 'router_settings: { num_retries: 0 }\n'), providers: { a: new FakeProvider(() => undefined) }, body: { timeout: 0.02 }, expected: { costUsd: undefined, usage: undefined },
  }),
};

test.each(Object.entries(paths))('booked once, before the last byte, with what it cost: %s', async (_name, path) => {
  const { config = chatConfig(['a'], 'router_settings: { num_retries: 0 }\n'), providers, body = {}, expected } = path();
  const { gateway, booked, ended } = await start(config, { providers });
  await using _gateway = gateway;
  await (await gateway.chat(body)).text();
  // The reply is whole here: what is booked after it would be lost with the process.
  expect(booked).toHaveLength(1);
  expect(ended).toEqual([false]);
  expect(booked[0]).toMatchObject(expected);
  await eventually(() => expect(gateway.context.gate.running).toBe(0));
  expect(booked).toHaveLength(1);
  expect(gateway.settled).toEqual([{ totalTokens: booked[0]?.usage?.totalTokens ?? 0, costUsd: booked[0]?.costUsd ?? 0 }]);
});

test('a request that the provider cannot be asked is booked, at no cost', async () => {
  const a = new FakeProvider(() => undefined, { formats: ['embeddings'] });
  const { gateway, booked, ended } = await start(chatConfig(['a'], 'router_settings: { num_retries: 0 }\n'), { providers: { a } });
  await using _gateway = gateway;
  expect((await gateway.chat()).status).toBeGreaterThanOrEqual(400);
  expect(booked).toMatchObject([{ costUsd: undefined, usage: undefined, error: { code: 'format_not_supported' } }]);
  expect(ended).toEqual([false]);
});

test('a request that its limits or its body refuse is not booked', async () => {
  const a = new FakeProvider(() => undefined);
  const { gateway, booked } = await start(chatConfig(['a']), { providers: { a }, limits: { admit: () => new AppError('rate_limited', 'rate_limit_exceeded', 'Too many.') } });
  await using _gateway = gateway;
  expect((await gateway.chat()).status).toBe(429);
  expect((await gateway.chat({ messages: 'none' })).status).toBe(400);
  expect(booked).toHaveLength(0);
  expect(a.calls).toHaveLength(0);
});

test.each<[string, Behaviour, Partial<Record<keyof ExchangeRecord, unknown>>]>([
  ['after the first content: the prompt and what was streamed', speaks('hello', ' there'), { costUsd: usd(PROMPT, 2), usageEstimated: true }],
  ['before any content: nothing, since nobody knows whether the provider charges', (call) => void call.accept().events(chunk({ role: 'assistant', content: '' })), { costUsd: undefined, usage: undefined, usageEstimated: false }],
  ['before any content, but the provider has named the prompt: the prompt', (call) => void call.accept().events(chunk({ role: 'assistant', content: '' }, null, { usage: { prompt_tokens: 5, completion_tokens: 0 } })), { costUsd: usd(5, 0), usageEstimated: false }],
])('a client that leaves is booked once: %s', async (_name, behaviour, expected) => {
  let called = (): void => undefined;
  const calls = new Promise<void>((resolve) => { called = resolve; });
  const a = new FakeProvider((call, index) => { behaviour(call, index); called(); });
  const { gateway, booked } = await start(chatConfig(['a']), { providers: { a } });
  await using _gateway = gateway;
  const client = new AbortController();
  const reply = gateway.chat({ stream: true }, { signal: client.signal }).then((answer) => answer.text());
  await calls;
  client.abort();
  await expect(reply).rejects.toThrow();
  await eventually(() => expect(booked).toHaveLength(1));
  expect(booked[0]).toMatchObject({ clientGone: true, ...expected });
  await eventually(() => expect(gateway.context.gate.running).toBe(0));
  expect(booked).toHaveLength(1);
});

test('the end of a drain books what was streamed until then, before the error frame', async () => {
  const a = new FakeProvider(speaks('hello', ' there'));
  const { gateway, booked, ended } = await start(chatConfig(['a']), { providers: { a } });
  await using _gateway = gateway;
  const stream = await gateway.chat({ stream: true });
  await gateway.context.gate.drain(0);
  await stream.text();
  expect(booked).toMatchObject([{ costUsd: usd(PROMPT, 2), usageEstimated: true, error: { code: 'gateway_draining' } }]);
  expect(ended).toEqual([false]);
});

test('a Messages stream that is cut has its prompt from the provider and its output counted here', async () => {
  const a = new FakeProvider((call) => call.accept().events(
    { type: 'message_start', message: { id: 'm', usage: { input_tokens: 100, cache_read_input_tokens: 20, output_tokens: 1 } } }, { type: 'content_block_start', index: 0, content_block: { type: 'text', text: '' } },
    { type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text: 'hello there, how are you' } },
  ).fail('truncated'), { formats: ['messages'] });
  const { gateway, booked } = await start(chatConfig(['a']), { providers: { a } });
  await using _gateway = gateway;
  await (await gateway.post('/v1/messages', { model: 'chat', max_tokens: 100, stream: true, messages: [{ role: 'user', content: 'hello' }] })).text();
  const written = countText('hello there, how are you', 'gpt-4o');
  expect(written).toBeGreaterThan(1);
  expect(booked).toMatchObject([{ costUsd: usd(120, written), usageEstimated: true, usage: { promptTokens: 120, cachedTokens: 20, completionTokens: written, totalTokens: 120 + written } }]);
});

test('embeddings without usage are paid for by their input', async () => {
  const a = new FakeProvider((call) => call.json({ object: 'list', data: [{ object: 'embedding', index: 0, embedding: [0.1] }], model: 'm' }));
  const { gateway, booked } = await start(chatConfig(['a']), { providers: { a } });
  await using _gateway = gateway;
  await (await gateway.post('/v1/embeddings', { model: 'chat', input: 'hello there' })).text();
  expect(booked).toMatchObject([{ costUsd: usd(2, 0), usageEstimated: true }]);
});

test('tokens are counted for any model where the provider has no count of its own, and the reply says so', async () => {
  const a = new FakeProvider(() => undefined);
  await using gateway = await startFakeGateway(chatConfig(['a']), { providers: { a } });
  const body = { model: 'chat', system: 'be brief', messages: [{ role: 'user', content: 'hello' }] };
  const reply = await fetch(`${gateway.url}/v1/messages/count_tokens`, { method: 'POST', body: JSON.stringify(body), headers: { 'content-type': 'application/json', 'x-api-key': TEST_KEY } });
  expect(await reply.json()).toEqual({ input_tokens: countPrompt('messages', body, 'gpt-4o') });
  expect(reply.headers.get('x-pointsman-token-count')).toBe('estimated');
});
