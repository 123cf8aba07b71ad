import { eventually } from '@pointsman/testing';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startBilledUpstream, type BilledUpstream } from './billed-upstream.ts';
import { startGatewayUnderTest, type GatewayUnderTest } from './gateway-under-test.ts';
import { createKey, type SharedState, startSharedState, untilDatabase } from './shared-state.ts';

let state: SharedState;
let provider: BilledUpstream;
let gateways: readonly [GatewayUnderTest, GatewayUnderTest];
let key: string;
let other: string;

beforeAll(async () => {
  [state, provider] = await Promise.all([startSharedState(), startBilledUpstream()]);
  const config = { model_list: provider.modelList, litellm_settings: { cache: true, cache_params: { type: 'redis', ttl: 600 } } };
  gateways = await Promise.all([startGatewayUnderTest({ config, env: state.env }), startGatewayUnderTest({ config, env: state.env })]);
  await Promise.all(gateways.map(untilDatabase));
  [key, other] = [await createKey(gateways[0]), await createKey(gateways[0])];
}, 120_000);

afterAll(async () => {
  await Promise.all(gateways.map((gateway) => gateway[Symbol.asyncDispose]()));
  await Promise.all([provider[Symbol.asyncDispose](), state[Symbol.asyncDispose]()]);
});

interface Answer {
  readonly calls: number;
  readonly hit: boolean;
  readonly text: string;
  readonly response: Response;
}

/** Asks one of the two replicas; `calls` is how often the provider was asked for it. */
async function ask(replica: 0 | 1, content: string, { as = key, body = {}, headers = {} }: { readonly as?: string; readonly body?: object; readonly headers?: Readonly<Record<string, string>> } = {}): Promise<Answer> {
  const before = provider.upstream.calls.length;
  const response = await gateways[replica].post('/v1/chat/completions', { model: 'whole', messages: [{ role: 'user', content }], ...body }, { headers: { authorization: `Bearer ${as}`, ...headers } });
  const text = await response.text();
  expect(response.status, text).toBe(200);
  return { calls: provider.upstream.calls.length - before, hit: response.headers.get('x-litellm-cache-hit') === 'true', text, response };
}

/** Storing is not waited for by a reply: asks until the other replica has it. */
async function askUntilHit(content: string, options: Parameters<typeof ask>[2] = {}): Promise<Answer> {
  let answer: Answer | undefined;
  await eventually(async () => {
    answer = await ask(1, content, options);
    expect(answer.hit).toBe(true);
  });
  if (answer === undefined) throw new Error('no answer');
  return answer;
}

test('what one replica was told, the other answers by itself: byte for byte, at no cost, with the order of keys another', async () => {
  const first = await ask(0, 'said once');
  expect(first).toMatchObject({ calls: 1, hit: false });
  const second = await askUntilHit('said once');
  expect(second).toMatchObject({ calls: 0, text: first.text });
  expect(second.response.headers.get('x-litellm-response-cost')).toBe('0');
  const reordered = await gateways[1].post('/v1/chat/completions', { messages: [{ content: 'said once', role: 'user' }], model: 'whole' }, { headers: { authorization: `Bearer ${key}` } });
  expect(await reordered.text()).toBe(first.text);
  expect(reordered.headers.get('x-litellm-cache-hit')).toBe('true');
});

test('another key, another namespace, no-cache and no-store each ask the provider', async () => {
  await ask(0, 'mine');
  await askUntilHit('mine');
  expect(await ask(1, 'mine', { as: other })).toMatchObject({ calls: 1, hit: false });
  expect(await ask(1, 'mine', { body: { cache: { namespace: 'elsewhere' } } })).toMatchObject({ calls: 1, hit: false });
  expect(await ask(1, 'mine', { body: { cache: { 'no-cache': true } } })).toMatchObject({ calls: 1, hit: false });
  expect(await ask(1, 'mine', { headers: { 'cache-control': 'no-cache' } })).toMatchObject({ calls: 1, hit: false });
  expect(await ask(0, 'kept by nobody', { body: { cache: { 'no-store': true } } })).toMatchObject({ calls: 1, hit: false });
  expect(await ask(1, 'kept by nobody', { body: { cache: { 'no-store': true } } })).toMatchObject({ calls: 1, hit: false });
});

test('a reply is forgotten when its time is over', async () => {
  await ask(0, 'short-lived', { body: { cache: { ttl: 1 } } });
  await askUntilHit('short-lived', { body: { cache: { ttl: 1 } } });
  await eventually(async () => expect((await ask(1, 'short-lived', { body: { cache: { ttl: 1, 'no-store': true } } })).hit).toBe(false));
});

test('a stream comes again as the same stream, frame by frame; one that broke does not', async () => {
  const first = await ask(0, 'streamed', { body: { stream: true } });
  expect(first).toMatchObject({ calls: 1, hit: false });
  const again = await askUntilHit('streamed', { body: { stream: true } });
  expect(again.calls).toBe(0);
  expect(again.text).toBe(first.text);
  expect(again.response.headers.get('content-type')).toContain('text/event-stream');
  expect(again.text.trimEnd().endsWith('data: [DONE]')).toBe(true);
  for (let round = 0; round < 3; round += 1) expect(await ask(0, 'cut', { body: { stream: true, model: 'cut-by-provider' } })).toMatchObject({ calls: 1, hit: false });
});

test('with Redis away every request is answered, from the memory of its replica where it has it', async () => {
  await state.redis.kill();
  for (let round = 0; round < 20; round += 1) await ask(0, 'while it is away');
  await eventually(async () => expect((await ask(0, 'while it is away')).hit).toBe(true));
  await state.redis.restart();
  await eventually(async () => expect(await gateways[0].metric('gateway_degraded_mode', { service: 'redis' })).toBe(0), { timeoutMs: 60_000 });
  await ask(0, 'back again');
  await askUntilHit('back again');
}, 120_000);

test('hits are in the ledger at no cost, and the total is what the provider served', async () => {
  await eventually(async () => {
    const [[hits, spend] = []] = await state.postgres.sql("select count(*) filter (where cache_hit), sum(spend) from pointsman.spend_logs");
    expect(Number(hits)).toBeGreaterThan(5);
    expect(Number(spend)).toBeCloseTo(provider.servedUsd(), 6);
  }, { timeoutMs: 20_000 });
});
