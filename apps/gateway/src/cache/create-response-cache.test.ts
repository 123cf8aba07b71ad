import { once } from 'node:events';
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { connect } from 'node:net';
import type { JsonObject } from '@pointsman/schemas';
import { eventually } from '@pointsman/testing';
import { startTelemetry } from '@pointsman/telemetry';
import { ManualClock } from '@pointsman/timing';
import { describe, expect, test } from 'vitest';
import { digestKey, MasterKeyStore, type KeyStore } from '../access/key-store.ts';
import type { Principal } from '../access/principal.ts';
import { NO_PARAMETERS } from '../dispatch/gateway-parameters.ts';
import { chatConfig, chatReply, chunk, dataOf, entry, FakeProvider, fakeSnapshot, startFakeGateway, TEST_KEY, usageChunk, type Behaviour, type FakeGateway, type FakeGatewayOptions } from '../fake-gateway.fixture.ts';
import { parseJsonBody } from '../http/parse-json-body.ts';
import { createResponseCache, type CacheProblem } from './create-response-cache.ts';
import { FakeKeyValue } from './fake-key-value.fixture.ts';
import type { CacheQuestion, ResponseCache } from './response-cache.ts';

const CACHE = 'litellm_settings:\n  cache: true\n';
const withParams = (params: string): string => `${CACHE}  cache_params: ${params}\n`;
const answers: Behaviour = (call, index) => call.json(chatReply(`answer ${String(index)}`));
const streams: Behaviour = (call, index) => call.accept()
  .events(chunk({ role: 'assistant', content: '' }), chunk({ content: `é${String(index)}` })).events(chunk({ content: ' two ' })).events(chunk({ content: '😀' }), chunk({}, 'stop')).events(usageChunk(5, 2), '[DONE]').end();
const hello: JsonObject = { model: 'chat', messages: [{ role: 'user', content: 'hello' }] };

interface CachedGateway extends AsyncDisposable {
  readonly gateway: FakeGateway;
  readonly store: FakeKeyValue;
  readonly clock: ManualClock;
  readonly provider: FakeProvider;
  readonly problems: readonly (CacheProblem | undefined)[];
  /** The counts of `gateway_cache_requests_total`. */
  counts(): Promise<Record<string, number>>;
  /** The first choice of a reply to this body. */
  answer(body?: JsonObject, headers?: Readonly<Record<string, string>>): Promise<string>;
}

/** The cache alone, over a store that a test can look into. */
function bareCache(): { readonly cache: ResponseCache; readonly store: FakeKeyValue; readonly problems: readonly (CacheProblem | undefined)[] } {
  const clock = new ManualClock();
  const store = new FakeKeyValue(clock);
  const problems: (CacheProblem | undefined)[] = [];
  const { metrics } = startTelemetry({ serviceName: 'test', serviceVersion: '0', logLevel: 'silent', processMetrics: false });
  return { cache: createResponseCache({ keyValue: () => store, clock, metrics, onProblem: (problem) => void problems.push(problem) }), store, problems };
}

interface CachedOptions extends FakeGatewayOptions {
  readonly behave?: Behaviour;
  readonly more?: string;
  readonly readTimeoutMs?: number;
}

/** A gateway with the real cache over a store that a test can look into, and one deployment that gives each call another answer. */
async function startCached({ behave = answers, more = CACHE, readTimeoutMs, ...options }: CachedOptions = {}): Promise<CachedGateway> {
  const clock = new ManualClock(Date.now());
  const store = new FakeKeyValue(clock);
  const problems: (CacheProblem | undefined)[] = [];
  const { metrics } = startTelemetry({ serviceName: 'test', serviceVersion: '0', logLevel: 'silent', processMetrics: false });
  const provider = new FakeProvider(behave, { formats: ['chat', 'completions', 'embeddings', 'messages', 'responses'] });
  const cache = createResponseCache({ keyValue: () => store, clock, metrics, onProblem: (problem) => void problems.push(problem), ...(readTimeoutMs === undefined ? {} : { readTimeoutMs }) });
  const gateway = await startFakeGateway(chatConfig(['a'], more), { providers: { a: provider }, cache, ...options });
  return {
    gateway, store, clock, provider, problems,
    async counts() {
      const { text } = await metrics.exposition();
      return Object.fromEntries([...text.matchAll(/^gateway_cache_requests_total\{result="(\w+)"\} (\d+)/gm)].filter(([, , count]) => count !== '0').map(([, result, count]) => [result, Number(count)]));
    },
    async answer(body = {}, headers = {}) {
      const reply = await gateway.chat(body, { headers });
      const { choices } = (await reply.json()) as { choices?: { message: { content: string } }[] };
      return choices?.[0]?.message.content ?? `status ${String(reply.status)}`;
    },
    [Symbol.asyncDispose]: () => gateway[Symbol.asyncDispose](),
  };
}

const KEY_OF_TEAM_MATE = 'sk-team-mate';
const KEY_OF_STRANGER = 'sk-stranger';

/** The master key is in no team; two others are in one, or not. */
function keys(): KeyStore {
  const master = new MasterKeyStore(TEST_KEY);
  const key = (name: string, teamId: string | undefined): [string, Principal] => {
    const keyHash = digestKey(name).toString('hex');
    return [keyHash, { keyHash, keyAlias: undefined, role: 'user', models: undefined, aliases: undefined, userId: undefined, teamId, tags: [], access: undefined }];
  };
  const others = new Map([key('sk-in-team', 'blue'), key(KEY_OF_TEAM_MATE, 'blue'), key(KEY_OF_STRANGER, 'red'), key('sk-alone', undefined)]);
  return { hasKeys: true, find: (digest) => others.get(digest.toString('hex')) ?? master.find(digest) };
}
const as = (key: string): Record<string, string> => ({ authorization: `Bearer ${key}` });

/** The pieces of a reply's body as they arrive, one per HTTP chunk. */
async function piecesOf(url: string, body: JsonObject, path = '/v1/chat/completions'): Promise<{ readonly reply: IncomingMessage; readonly pieces: readonly string[] }> {
  const call = httpRequest(url + path, { method: 'POST', agent: false, headers: { 'content-type': 'application/json', authorization: `Bearer ${TEST_KEY}` } });
  call.end(JSON.stringify(body));
  const [reply] = (await once(call, 'response')) as [IncomingMessage];
  const pieces: string[] = [];
  reply.on('data', (piece: Buffer) => pieces.push(piece.toString()));
  await once(reply, 'end');
  return { reply, pieces };
}

describe('an equal request', () => {
  test('gets the stored JSON reply byte for byte, for nothing, and nobody is asked', async () => {
    await using cached = await startCached();
    const { gateway, provider } = cached;
    const first = await gateway.post('/v1/chat/completions', '{"model":"chat","messages":[{"role":"user","content":"hello"}],"temperature":1}');
    const second = await gateway.post('/v1/chat/completions', '{ "temperature": 1.0, "messages": [ { "content": "hello", "role": "user" } ], "model": "chat" }');
    expect(Buffer.from(await second.arrayBuffer())).toEqual(Buffer.from(await first.arrayBuffer()));
    expect(provider.calls).toHaveLength(1);
    expect(first.headers.get('x-litellm-cache-hit')).toBeNull();
    expect(first.headers.get('x-litellm-cache-key')).toMatch(/^[0-9a-f]{64}$/);
    expect(Object.fromEntries(second.headers)).toMatchObject({
      'content-type': 'application/json', 'x-litellm-cache-hit': 'true', 'x-litellm-cache-key': first.headers.get('x-litellm-cache-key'), 'x-litellm-model-id': 'a',
      'x-router-strategy': 'cache', 'x-router-selected-model': first.headers.get('x-router-selected-model'), 'x-router-model-version': '',
      'x-litellm-model-group': 'chat', 'x-litellm-response-cost': '0', age: expect.stringMatching(/^\d+$/) as string,
    });
    expect(second.headers.get('x-request-id')).not.toBe(first.headers.get('x-request-id'));
    await eventually(() => expect(gateway.metrics.outcomes).toHaveLength(2));
    expect(gateway.settled).toEqual([{ totalTokens: 7, costUsd: 25 }, { totalTokens: 0, costUsd: 0 }]);
    expect(gateway.metrics.outcomes[1]?.record).toMatchObject({ cacheHit: true, costUsd: 0, usage: { promptTokens: 5, completionTokens: 2 }, finishReason: 'stop', responseId: 'chatcmpl-1', deployment: undefined });
    expect(await cached.counts()).toEqual({ hit: 1, miss: 1 });
  });

  test('gets the stored stream write by write, as the first client got it', async () => {
    await using cached = await startCached({ behave: streams });
    const { gateway, provider } = cached;
    const body = { ...hello, stream: true, stream_options: { include_usage: true } };
    const first = await piecesOf(gateway.url, body);
    const second = await piecesOf(gateway.url, body);
    expect(first.pieces.length).toBeGreaterThan(3);
    expect(second.pieces).toEqual(first.pieces);
    expect(dataOf(second.pieces.join('')).at(-1)).toBe('[DONE]');
    expect(second.reply.headers).toMatchObject({ 'content-type': 'text/event-stream; charset=utf-8', 'x-litellm-cache-hit': 'true', 'x-litellm-response-cost': '0', 'transfer-encoding': 'chunked' });
    expect(provider.calls).toHaveLength(1);
    await eventually(() => expect(gateway.metrics.streamsRunning).toBe(0));
    expect(gateway.settled[1]).toEqual({ totalTokens: 0, costUsd: 0 });
    expect(gateway.context.gate.running).toBe(0);
  });

  test('that is no stream does not get a stream, and the reverse', async () => {
    await using cached = await startCached({ behave: (call, index) => (call.request.stream ? streams : answers)(call, index) });
    await (await cached.gateway.chat({ stream: true })).text();
    expect(await cached.answer()).toBe('answer 1');
    expect(cached.provider.calls).toHaveLength(2);
  });

  test.each<[string, JsonObject, JsonObject]>([
    ['/v1/embeddings', { model: 'chat', input: 'x' }, { object: 'list', data: [{ object: 'embedding', index: 0, embedding: [0.5] }], model: 'm', usage: { prompt_tokens: 1, total_tokens: 1 } }],
    ['/v1/completions', { model: 'chat', prompt: 'x' }, { id: 'c', object: 'text_completion', created: 1, model: 'm', choices: [{ index: 0, text: 'y', finish_reason: 'length' }], usage: { prompt_tokens: 1, completion_tokens: 1, total_tokens: 2 } }],
    ['/v1/messages', { model: 'chat', max_tokens: 5, messages: [{ role: 'user', content: 'x' }] }, { id: 'm', type: 'message', role: 'assistant', model: 'm', content: [{ type: 'text', text: 'y' }], stop_reason: 'end_turn', stop_sequence: null, usage: { input_tokens: 1, output_tokens: 1 } }],
    ['/v1/responses', { model: 'chat', input: 'x' }, { id: 'r', object: 'response', created_at: 1, status: 'completed', model: 'm', output: [], usage: { input_tokens: 1, output_tokens: 1, total_tokens: 2 } }],
  ])('on %s is answered in its format', async (path, body, reply) => {
    await using cached = await startCached({ behave: (call) => call.json(reply) });
    const first = await (await cached.gateway.post(path, body)).text();
    expect(await (await cached.gateway.post(path, body)).text()).toBe(first);
    expect(cached.provider.calls).toHaveLength(1);
    // The same words on another route mean something else.
    expect(await cached.counts()).toEqual({ hit: 1, miss: 1 });
  });

  test('under another name of the model is asked again: the reply carries the name', async () => {
    await using cached = await startCached({ more: `${CACHE}router_settings:\n  model_group_alias: { other: chat }\n`, slowPlans: { other: async (plans) => { const plan = plans.get('chat'); if (plan === undefined) throw new Error('no plan'); return Promise.resolve(plan); } } });
    await cached.answer();
    const reply = await cached.gateway.chat({ model: 'other' });
    expect(await reply.json()).toMatchObject({ model: 'other', choices: [{ message: { content: 'answer 1' } }] });
  });

  test('after the time of the configuration is asked again', async () => {
    await using cached = await startCached({ more: withParams('{ ttl: 20 }') });
    expect(await cached.answer()).toBe('answer 0');
    cached.clock.advance(19_999);
    expect(await cached.answer()).toBe('answer 0');
    cached.clock.advance(1);
    expect(await cached.answer()).toBe('answer 1');
  });

  test('is looked for under the namespace of the configuration', async () => {
    await using cached = await startCached({ more: withParams('{ namespace: prod }') });
    expect([await cached.answer(), await cached.answer()]).toEqual(['answer 0', 'answer 0']);
    expect([...cached.store.entries.keys()]).toEqual([expect.stringMatching(/^prod:[0-9a-f]{64}$/)]);
  });

  test('tells its age', async () => {
    await using cached = await startCached();
    cached.clock.advance(-30_000);
    await cached.answer();
    const age = Number((await cached.gateway.chat()).headers.get('age'));
    expect(age).toBeGreaterThanOrEqual(30);
    expect(age).toBeLessThan(60);
  });
});

describe('what a client says', () => {
  test.each<[string, JsonObject, Record<string, string>]>([['body', { cache: { 'no-cache': true } }, {}], ['header', {}, { 'cache-control': 'no-cache' }], ['max-age=0', {}, { 'cache-control': 'max-age=0' }]])('no-cache by %s asks again and stores the new reply', async (_, body, headers) => {
    await using cached = await startCached();
    expect([await cached.answer(), await cached.answer(body, headers), await cached.answer()]).toEqual(['answer 0', 'answer 1', 'answer 1']);
    expect(await cached.counts()).toEqual({ miss: 1, skipped: 1, hit: 1 });
  });

  test.each<[string, JsonObject, Record<string, string>]>([['body', { cache: { 'no-store': true } }, {}], ['header', {}, { 'cache-control': 'no-store' }], ['a ttl of 0', { cache: { ttl: 0 } }, {}]])('no-store by %s stores nothing', async (_, body, headers) => {
    await using cached = await startCached();
    expect([await cached.answer(body, headers), await cached.answer()]).toEqual(['answer 0', 'answer 1']);
    expect(cached.store.sets).toBe(1);
  });

  test('ttl holds for its own reply', async () => {
    await using cached = await startCached();
    await cached.answer({ cache: { ttl: 5 } });
    expect([...cached.store.entries.values()].map(({ ttlMs }) => ttlMs)).toEqual([5_000]);
    cached.clock.advance(5_000);
    expect(await cached.answer()).toBe('answer 1');
  });

  test.each<[JsonObject, Record<string, string>]>([[{ cache: { 's-maxage': 10 } }, {}], [{ cache: { 's-max-age': 10 } }, {}], [{}, { 'cache-control': 'max-age=10' }]])('an older reply than %j %j will not do', async (body, headers) => {
    await using cached = await startCached();
    await cached.answer();
    cached.clock.advance(10_000);
    expect(await cached.answer(body, headers)).toBe('answer 0');
    cached.clock.advance(1);
    expect(await cached.answer(body, headers)).toBe('answer 1');
  });

  test('a namespace is apart from others, within the caller\'s own scope', async () => {
    await using cached = await startCached({ keys: keys() });
    const inX = { cache: { namespace: 'x' } };
    expect([await cached.answer(), await cached.answer(inX), await cached.answer(inX), await cached.answer({ cache: { namespace: 'y' } })]).toEqual(['answer 0', 'answer 1', 'answer 1', 'answer 2']);
    expect(await cached.answer(inX, as(KEY_OF_STRANGER))).toBe('answer 3');
  });

  test.each<[JsonObject, string]>([[{ cache: { ttl: 'long' } }, 'cache.ttl'], [{ cache: { no_store: true } }, 'cache.no_store'], [{ cache: true }, 'cache']])('%j is refused naming %s', async (body, param) => {
    await using cached = await startCached();
    const reply = await cached.gateway.chat(body);
    expect([reply.status, ((await reply.json()) as { error: JsonObject }).error]).toEqual([400, expect.objectContaining({ type: 'invalid_request_error', param })]);
    expect(cached.provider.calls).toHaveLength(0);
  });

  test('mode default_off answers only those who ask for it', async () => {
    await using cached = await startCached({ more: withParams('{ mode: default_off }') });
    const opted = { cache: { 'use-cache': true } };
    expect([await cached.answer(), await cached.answer(), await cached.answer(opted), await cached.answer(opted), await cached.answer()]).toEqual(['answer 0', 'answer 1', 'answer 2', 'answer 2', 'answer 3']);
    expect(await cached.counts()).toEqual({ skipped: 3, miss: 1, hit: 1 });
  });

  test('the provider never sees the parameter', async () => {
    await using cached = await startCached();
    await cached.answer({ cache: { ttl: 5, namespace: 'x' } });
    expect(cached.provider.calls[0]?.request.body).not.toHaveProperty('cache');
  });
});

describe('another caller', () => {
  test('sees nothing of a key\'s replies', async () => {
    await using cached = await startCached({ keys: keys() });
    expect([await cached.answer(), await cached.answer({}, as(KEY_OF_STRANGER)), await cached.answer({}, as(KEY_OF_TEAM_MATE)), await cached.answer()]).toEqual(['answer 0', 'answer 1', 'answer 2', 'answer 0']);
  });

  test('of the team sees them with scope team, others and keys without a team do not', async () => {
    await using cached = await startCached({ keys: keys(), more: withParams('{ scope: team }') });
    expect([await cached.answer({}, as('sk-in-team')), await cached.answer({}, as(KEY_OF_TEAM_MATE)), await cached.answer({}, as(KEY_OF_STRANGER)), await cached.answer({}, as('sk-alone')), await cached.answer()])
      .toEqual(['answer 0', 'answer 0', 'answer 1', 'answer 2', 'answer 3']);
  });

  test('sees them with scope shared', async () => {
    await using cached = await startCached({ keys: keys(), more: withParams('{ scope: shared }') });
    expect([await cached.answer(), await cached.answer({}, as(KEY_OF_STRANGER))]).toEqual(['answer 0', 'answer 0']);
  });
});

describe('a body that names a field twice', () => {
  const long = 'x'.repeat(10_000);
  const bodies = [
    '{"model":"chat","messages":[{"role":"user","content":"mine"}],"messages":[{"role":"user","content":"hello"}]}',
    '{"model":"chat","messages":[{"role":"user","content":"mine","content":"hello"}]}',
    `{"model":"chat","messages":[{"role":"user","content":"mine${long}","content":"${long}"}]}`,
  ];

  test.each(['team', 'shared'])('reaches the provider as the cache has read it with scope %s, so that nobody stores the reply to another question', async (scope) => {
    await using cached = await startCached({ keys: keys(), more: withParams(`{ scope: ${scope} }`) });
    for (const body of bodies) {
      const reply = await cached.gateway.post('/v1/chat/completions', body, { headers: as('sk-in-team') });
      expect(reply.status).toBe(200);
      await reply.arrayBuffer();
      const sent = cached.provider.calls.at(-1)?.request;
      expect(sent?.rawBody).toBeUndefined();
      expect(JSON.stringify(sent?.body)).not.toContain('mine');
      // The same question without the trick: the stored reply is an answer to it.
      const honest = await cached.gateway.post('/v1/chat/completions', JSON.stringify(JSON.parse(body)), { headers: as(KEY_OF_TEAM_MATE) });
      expect(honest.headers.get('x-litellm-cache-hit')).toBe('true');
      await honest.arrayBuffer();
      cached.store.entries.clear();
    }
  });

  test('that is wrong inside a long string is refused before it takes anything', async () => {
    await using cached = await startCached({ keys: keys(), more: withParams('{ scope: shared }') });
    const reply = await cached.gateway.post('/v1/chat/completions', `{"model":"chat","messages":[{"role":"user","content":"${long}\\q"}]}`, { headers: as('sk-in-team') });
    expect(reply.status).toBe(400);
    expect(await reply.json()).toMatchObject({ error: { code: 'invalid_json' } });
    expect(cached.gateway.metrics.streamsRunning).toBe(0);
    expect(cached.gateway.settled).toEqual([]);
  });

  test('is the caller\'s own business where nobody else sees the reply: the bytes go as they came', async () => {
    await using cached = await startCached({ keys: keys() });
    await (await cached.gateway.post('/v1/chat/completions', bodies[0] ?? '')).arrayBuffer();
    expect(cached.provider.calls[0]?.request.rawBody?.toString()).toBe(bodies[0]);
  });
});

describe('the cache has nothing to do with', () => {
  test('any request where none is configured', async () => {
    await using cached = await startCached({ more: '' });
    expect([await cached.answer(), await cached.answer()]).toEqual(['answer 0', 'answer 1']);
    expect([cached.store.gets, await cached.counts()]).toEqual([0, {}]);
    expect((await cached.gateway.chat()).headers.has('x-litellm-cache-key')).toBe(false);
  });

  test.each<[string, JsonObject]>([['a made-up reply', { mock_response: 'made up' }], ['numbers that cannot be told apart', { x_unknown: [1e300] }]])('%s', async (_, body) => {
    await using cached = await startCached();
    await cached.answer(body);
    await cached.answer(body);
    expect([cached.store.gets, cached.store.sets, await cached.counts()]).toEqual([0, 0, { skipped: 2 }]);
  });

  test('calls that the configuration leaves out', async () => {
    await using cached = await startCached({ more: withParams('{ supported_call_types: [aembedding] }') });
    expect([await cached.answer(), await cached.answer()]).toEqual(['answer 0', 'answer 1']);
  });

  test.each([{ background: true }, { conversation: 'conv_1' }])('a response with %j, which changes something at the provider', async (more) => {
    await using cached = await startCached({ behave: (call) => call.json({ id: 'r', object: 'response', created_at: 1, status: 'completed', model: 'm', output: [], usage: { input_tokens: 1, output_tokens: 1, total_tokens: 2 } }) });
    await (await cached.gateway.post('/v1/responses', { model: 'chat', input: 'x', ...more })).text();
    expect(cached.store.gets + cached.store.sets).toBe(0);
  });

  test('a deployment that other tags choose', async () => {
    const yaml = `model_list:\n${entry('chat', 'a', 'tags: [paid]')}${entry('chat', 'b', 'tags: [free]')}${CACHE}router_settings:\n  enable_tag_filtering: true\n`;
    const { cache } = bareCache();
    const providers = { a: new FakeProvider((call) => call.json(chatReply('paid'))), b: new FakeProvider((call) => call.json(chatReply('free'))) };
    await using gateway = await startFakeGateway(yaml, { providers, cache });
    const text = async (tags: readonly string[]): Promise<string> => (await gateway.chat({ tags: [...tags] })).text();
    expect([await text(['paid']), await text(['free']), await text(['paid'])].map((reply) => /paid|free/.exec(reply)?.[0])).toEqual(['paid', 'free', 'paid']);
    expect([providers.a.calls.length, providers.b.calls.length]).toEqual([1, 1]);
  });
});

describe('nothing is stored of', () => {
  const bad: readonly [string, Behaviour, JsonObject, string][] = [
    ['an error', (call) => call.fail('bad_request', { upstreamStatus: 400 }), {}, ''],
    ['a stream that breaks', (call) => { call.accept().events(chunk({ content: 'hel' })).fail('truncated'); }, { stream: true }, ''],
    ['a stream that ends without a finish reason', (call) => { call.accept().events(chunk({ content: 'hel' })).end(); }, { stream: true }, ''],
    ['a reply longer than max_reply_kb', (call) => call.json(chatReply('x'.repeat(2_000))), {}, '{ max_reply_kb: 1 }'],
    ['a reply whose bytes are more than its characters', (call) => call.json(chatReply('é'.repeat(700))), {}, '{ max_reply_kb: 1 }'],
    ['a stream longer than max_reply_kb', (call) => { call.accept().events(chunk({ content: 'x'.repeat(700) })).events(chunk({ content: 'x'.repeat(700) }), chunk({}, 'stop'), '[DONE]').end(); }, { stream: true }, '{ max_reply_kb: 1 }'],
    ['a reply without a finish reason', (call) => call.json(chatReply('x', { choices: [{ index: 0, message: { role: 'assistant', content: 'x' }, finish_reason: null }] })), {}, ''],
  ];
  test.each(bad)('%s', async (_, behave, body, params) => {
    await using cached = await startCached({ behave, more: params === '' ? CACHE : withParams(params) });
    await (await cached.gateway.chat(body)).text();
    await (await cached.gateway.chat(body)).text();
    expect(cached.provider.calls.length).toBeGreaterThanOrEqual(2);
    expect([cached.store.sets, await cached.counts()]).toEqual([0, { miss: 2 }]);
  });

  test('a stream that a second deployment continued', async () => {
    const b = new FakeProvider((call) => { call.accept().events(chunk({ content: 'lo' }), chunk({}, 'stop'), '[DONE]').end(); });
    const a = new FakeProvider((call) => { call.accept().events(chunk({ content: 'hel' })).fail('truncated'); });
    const { cache, store } = bareCache();
    await using gateway = await startFakeGateway(chatConfig(['a', 'b'], `${CACHE}router_settings:\n  stream_recovery: continue\n`), { providers: { a, b }, cache });
    const text = await (await gateway.chat({ stream: true })).text();
    expect(dataOf(text).at(-1)).toBe('[DONE]');
    expect(gateway.record().recovered).toBe(true);
    expect(store.sets).toBe(0);
  });

  test('an answer of a fallback group: the next request may reach the model that was asked for', async () => {
    const yaml = `model_list:\n${entry('chat', 'a')}${entry('spare', 'b')}${CACHE}router_settings:\n  num_retries: 0\n  fallbacks: [{ chat: [spare] }]\n`;
    const { cache, store } = bareCache();
    const providers = { a: new FakeProvider((call) => call.fail('server_error', { upstreamStatus: 500 })), b: new FakeProvider(answers) };
    await using gateway = await startFakeGateway(yaml, { providers, cache });
    expect((await gateway.chat()).status).toBe(200);
    expect(store.sets).toBe(0);
  });

  test('a stream whose client leaves', async () => {
    await using cached = await startCached({ behave: (call) => void call.accept().events(chunk({ content: 'hel' })) });
    const leaving = new AbortController();
    const reply = await cached.gateway.chat({ stream: true }, { signal: leaving.signal });
    await reply.body?.getReader().read();
    leaving.abort();
    await eventually(() => expect(cached.gateway.metrics.outcomes).toHaveLength(1));
    expect(cached.store.sets).toBe(0);
  });
});

describe('a stored reply on its way', () => {
  const long: Behaviour = (call) => {
    call.accept();
    for (let piece = 0; piece < 8; piece += 1) call.events(chunk({ content: 'x'.repeat(2_000_000) }));
    call.events(chunk({}, 'stop'), '[DONE]').end();
  };

  /** Asks for the stream and reads only its head: what follows fills the buffers of both sockets. */
  async function slowClient(cached: CachedGateway): Promise<{ readonly socket: ReturnType<typeof connect>; readonly seen: () => string }> {
    const body = JSON.stringify({ ...hello, stream: true });
    const socket = connect(Number(new URL(cached.gateway.url).port), '127.0.0.1');
    socket.write(`POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${TEST_KEY}\r\ncontent-type: application/json\r\ncontent-length: ${String(Buffer.byteLength(body))}\r\n\r\n${body}`);
    const [head] = (await once(socket, 'data')) as [Buffer];
    socket.pause();
    const parts = [head];
    return { socket, seen: () => { for (let part = socket.read() as Buffer | null; part !== null; part = socket.read() as Buffer | null) parts.push(part); return Buffer.concat(parts).toString(); } };
  }

  test('waits for a client that reads slowly, and stops when it leaves', async () => {
    await using cached = await startCached({ behave: long, more: withParams('{ max_reply_kb: 65536 }') });
    await (await cached.gateway.chat({ stream: true })).text();
    const { socket } = await slowClient(cached);
    expect(cached.gateway.metrics.streamsRunning).toBe(1);
    expect(cached.gateway.context.gate.running).toBe(1);
    socket.destroy();
    await eventually(() => expect(cached.gateway.metrics.outcomes).toHaveLength(2));
    expect(cached.gateway.metrics.outcomes[1]?.record).toMatchObject({ cacheHit: true, clientGone: true });
    expect([cached.gateway.metrics.streamsRunning, cached.gateway.settled.length, cached.provider.calls.length]).toEqual([0, 2, 1]);
  });

  test('goes to nobody when the client left while the store was asked', async () => {
    await using cached = await startCached({ behave: streams });
    await (await cached.gateway.chat({ stream: true })).text();
    let answer: (() => void) | undefined;
    cached.store.onGet = (found) => new Promise((resolve) => { answer = () => resolve(found); });
    const leaving = new AbortController();
    const asked = cached.gateway.chat({ stream: true }, { signal: leaving.signal });
    await eventually(() => expect(answer).toBeDefined());
    leaving.abort();
    await expect(asked).rejects.toThrow();
    await eventually(() => expect(cached.gateway.context.gate.running).toBe(0));
    answer?.();
    await eventually(() => expect(cached.gateway.settled).toHaveLength(2));
    expect([cached.gateway.metrics.streamsRunning, cached.provider.calls.length]).toEqual([0, 1]);
  });

  test('comes whole to a client that reads slowly', async () => {
    await using cached = await startCached({ behave: long, more: withParams('{ max_reply_kb: 65536 }') });
    const first = await (await cached.gateway.chat({ stream: true })).text();
    const second = await cached.gateway.chat({ stream: true });
    expect(second.headers.get('x-litellm-cache-hit')).toBe('true');
    expect(await second.text()).toBe(first);
  });

  test('ends with an error frame when the drain limit passes', async () => {
    await using cached = await startCached({ behave: long, more: withParams('{ max_reply_kb: 65536 }') });
    await (await cached.gateway.chat({ stream: true })).text();
    const { socket, seen } = await slowClient(cached);
    const drained = cached.gateway.context.gate.drain(0);
    socket.resume();
    let text = seen();
    socket.on('data', (part: Buffer) => { text += part.toString(); });
    expect(await drained).toBe(1);
    await eventually(() => expect(text.endsWith('0\r\n\r\n')).toBe(true));
    expect(dataOf(text.slice(-1_000)).at(-1)).toMatchObject({ error: { code: 'gateway_draining' } });
    await eventually(() => expect(cached.gateway.metrics.outcomes[1]?.record).toMatchObject({ error: { code: 'gateway_draining' }, cacheHit: true }));
    socket.destroy();
  });
});

describe('a store that', () => {
  test('answers late, but in time, is waited for', async () => {
    await using cached = await startCached();
    await cached.answer();
    cached.store.onGet = async (found) => { await new Promise(setImmediate); return found; };
    expect(await cached.answer()).toBe('answer 0');
    expect(await cached.counts()).toEqual({ hit: 1, miss: 1 });
  });

  const troubles: readonly [string, CacheProblem, FakeKeyValue['onGet']][] = [
    ['throws', 'failed', () => { throw new Error('connection refused'); }],
    ['rejects', 'failed', () => Promise.reject(new Error('connection lost'))],
    ['never answers', 'slow', () => new Promise(() => undefined)],
    ['answers with something else', 'broken', () => Buffer.from('{"choices":[]}')],
    ['answers with broken bytes', 'broken', (found) => found?.subarray(0, -1)],
    ['answers with broken bytes later', 'broken', (found) => Promise.resolve(found?.subarray(1))],
    ['answers with what is no buffer', 'broken', () => 'text' as unknown as Buffer],
  ];
  test.each(troubles)('%s is a miss, and the problem is told once', async (_, problem, onGet) => {
    await using cached = await startCached({ readTimeoutMs: 20 });
    await cached.answer();
    cached.store.onGet = onGet;
    expect([await cached.answer(), await cached.answer()]).toEqual(['answer 1', 'answer 2']);
    expect(cached.problems).toEqual([problem]);
    expect(await cached.counts()).toEqual({ miss: 3 });
  });

  test('works again is told when it was quiet for a while', async () => {
    await using cached = await startCached();
    cached.store.onGet = () => { throw new Error('away'); };
    await cached.answer();
    cached.store.onGet = undefined;
    await cached.answer();
    expect(cached.problems).toEqual(['failed']);
    cached.clock.advance(10_000);
    await cached.answer();
    expect(cached.problems).toEqual(['failed', undefined]);
  });

  test.each<[string, FakeKeyValue['onSet']]>([['throws', () => { throw new Error('full'); }], ['rejects', () => Promise.reject(new Error('full'))]])('%s on writing costs no client anything', async (_, onSet) => {
    await using cached = await startCached();
    cached.store.onSet = onSet;
    expect([await cached.answer(), await cached.answer()]).toEqual(['answer 0', 'answer 1']);
    await eventually(() => expect(cached.problems).toEqual(['failed']));
  });

  test('takes no writes holds a bounded number of them, and the rest is dropped', async () => {
    await using cached = await startCached();
    cached.store.onSet = () => new Promise(() => undefined);
    for (let index = 0; index < 260; index += 1) await cached.answer({ seed: index });
    expect(cached.store.sets).toBe(256);
    expect(cached.problems).toEqual(['behind']);
  });

  const questionOf = (body: JsonObject): CacheQuestion => {
    const principal = keys().find(digestKey(TEST_KEY));
    if (principal === undefined || principal instanceof Promise) throw new Error('the master key is known at once');
    return {
      snapshot: fakeSnapshot(chatConfig(['a'], CACHE)), principal, format: 'chat', group: 'chat', model: 'chat', stream: false, body: parseJsonBody(Buffer.from(JSON.stringify(body))),
      parameters: NO_PARAMETERS, cacheControl: undefined, anthropicBeta: undefined,
    };
  };

  test('is in this process is asked without a promise', () => {
    const { cache, store } = bareCache();
    expect(cache.visit(questionOf(hello))?.found).toBeUndefined();
    store.onGet = () => Promise.resolve(undefined);
    expect(cache.visit(questionOf(hello))?.found).toBeInstanceOf(Promise);
  });

  test('answers nobody is soon not asked any more, and nobody waits', () => {
    const { cache, store, problems } = bareCache();
    store.onGet = () => new Promise(() => undefined);
    for (let asked = 0; asked < 1_000; asked += 1) cache.visit(questionOf(hello));
    expect(cache.visit(questionOf(hello))?.found).toBeUndefined();
    expect(store.gets).toBe(1_000);
    expect(problems).toEqual(['slow']);
  });
});
