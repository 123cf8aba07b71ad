import { eventually } from '@pointsman/testing';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startBilledUpstream, USD_PER_TOKEN, type BilledUpstream } from './billed-upstream.ts';
import { question, startGatewayUnderTest, type GatewayUnderTest } from './gateway-under-test.ts';
import { readUntil } from './read-until.ts';
import { admin, createKey, type SharedState, startSharedState, untilDatabase } from './shared-state.ts';

const REPLICAS = 3;
/** What one `whole` reply costs. */
const USD_PER_REPLY = 7 * USD_PER_TOKEN;

let state: SharedState;
let provider: BilledUpstream;
let gateways: readonly GatewayUnderTest[];

beforeAll(async () => {
  [state, provider] = await Promise.all([startSharedState(), startBilledUpstream()]);
  const config = { model_list: provider.modelList, router_settings: { num_retries: 0 } };
  gateways = await Promise.all(Array.from({ length: REPLICAS }, () => startGatewayUnderTest({ config, env: state.env })));
  // Each has its database before the first key is made.
  await Promise.all(gateways.map(untilDatabase));
}, 120_000);

afterAll(async () => {
  await Promise.all(gateways.map((gateway) => gateway[Symbol.asyncDispose]()));
  await Promise.all([provider[Symbol.asyncDispose](), state[Symbol.asyncDispose]()]);
});

function at(index: number): GatewayUnderTest {
  const gateway = gateways[index % REPLICAS];
  if (gateway === undefined) throw new Error('no gateway');
  return gateway;
}

function ask(index: number, key: string, model = 'whole', body: object = {}): Promise<Response> {
  return at(index).post('/v1/chat/completions', { model, ...question, ...body }, { headers: { authorization: `Bearer ${key}` } });
}

test('a key that may make 100 requests a minute makes exactly 100 over three replicas, and the others are told when to come back', async () => {
  const key = await createKey(at(0), { rpm_limit: 100 });
  // Each replica has met the key: on a busy machine its first look at it may come too late, which refuses as not checkable and takes nothing from the limit.
  for (let index = 0; index < REPLICAS; index += 1) {
    await eventually(async () => {
      const response = await ask(index, key);
      await response.text();
      expect(response.status).toBe(200);
    });
  }
  const answers = await Promise.all(Array.from({ length: 240 - REPLICAS }, async (_, index) => {
    const response = await ask(index, key);
    await response.text();
    return response;
  }));
  const refused = answers.filter(({ status }) => status === 429);
  expect(answers.filter(({ status }) => status === 200)).toHaveLength(100 - REPLICAS);
  expect(refused).toHaveLength(140);
  for (const { headers } of refused) {
    const seconds = Number(headers.get('retry-after'));
    expect(seconds).toBeGreaterThan(0);
    expect(seconds).toBeLessThanOrEqual(60);
  }
  const served = answers.find(({ status }) => status === 200);
  expect(served?.headers.get('x-ratelimit-limit-requests')).toBe('100');
});

test('tokens are taken before a request and corrected after it, over all replicas', async () => {
  const key = await createKey(at(0), { tpm_limit: 1_000 });
  let served = 0;
  for (let index = 0; index < 40; index += 1) {
    const response = await ask(index, key, 'whole', { max_tokens: 100 });
    await response.text();
    if (response.status !== 200) break;
    served += 1;
  }
  // 17 tokens each by the provider's count. Reserved are up to 100 more, given back when the reply is there: with nothing given back, ten would be the end.
  expect(served).toBe(40);
  const spent = await ask(0, key, 'whole', { max_tokens: 900 });
  expect(spent.status).toBe(429);
  expect(await spent.json()).toMatchObject({ error: { message: expect.stringMatching(/tokens/), type: expect.any(String), code: '429' } });
});

test('no more than max_parallel_requests run at once over all replicas, and a place is free again when its request ends', async () => {
  const key = await createKey(at(0), { max_parallel_requests: 4 });
  const leaving = new AbortController();
  const held = await Promise.all(Array.from({ length: 4 }, (_, index) => at(index).post('/v1/chat/completions', { model: 'left-by-client', stream: true, ...question }, { headers: { authorization: `Bearer ${key}` }, signal: leaving.signal })));
  expect(held.map(({ status }) => status)).toEqual([200, 200, 200, 200]);
  for (let index = 0; index < REPLICAS; index += 1) expect((await ask(index, key)).status).toBe(429);
  // All three words have gone out before they leave: the ledger and the provider then agree about what was served.
  await Promise.all(held.map((response) => readUntil(response, 'three')));
  leaving.abort();
  await eventually(async () => expect((await ask(1, key)).status).toBe(200));
});

test('a budget is not passed by more than what was under way', async () => {
  const replies = 20;
  const atOnce = 6;
  const key = await createKey(at(0), { max_budget: replies * USD_PER_REPLY });
  let accepted = 0;
  let next = 0;
  let isSpent = false;
  await Promise.all(Array.from({ length: atOnce }, async () => {
    while (!isSpent && next < 200) {
      next += 1;
      const response = await ask(next, key);
      await response.text();
      if (response.status === 200) accepted += 1;
      else {
        expect([400, 422, 429]).toContain(response.status);
        isSpent = true;
      }
    }
  }));
  expect(isSpent).toBe(true);
  // A reservation may turn a request away a little early while others are under way, never late by more than those.
  expect(accepted).toBeGreaterThanOrEqual(replies - atOnce);
  expect(accepted).toBeLessThanOrEqual(replies + atOnce);
  const refused = await ask(0, key);
  if (accepted >= replies) expect(await refused.json()).toMatchObject({ error: { type: 'budget_exceeded' } });
});

test('a key that is deleted or blocked on one replica is refused by all', async () => {
  const [deleted, blocked] = [await createKey(at(0)), await createKey(at(1))];
  for (let index = 0; index < REPLICAS; index += 1) {
    expect((await ask(index, deleted)).status).toBe(200);
    expect((await ask(index, blocked)).status).toBe(200);
  }
  expect((await admin(at(0), '/key/delete', { keys: [deleted] })).status).toBe(200);
  expect((await admin(at(1), '/key/block', { key: blocked })).status).toBe(200);
  for (let index = 0; index < REPLICAS; index += 1) {
    await eventually(async () => {
      expect((await ask(index, deleted)).status).toBe(401);
      expect([401, 403]).toContain((await ask(index, blocked)).status);
    }, { timeoutMs: 10_000 });
  }
  expect((await admin(at(2), '/key/unblock', { key: blocked })).status).toBe(200);
  await eventually(async () => expect((await ask(0, blocked)).status).toBe(200), { timeoutMs: 10_000 });
});

test('a rotated key works under both its names until the grace period is over', async () => {
  const old = await createKey(at(0), { key_alias: 'rotated' });
  const rotated = await admin(at(0), '/key/regenerate', { key: old, grace_period: '3s' });
  expect(rotated.status).toBe(200);
  const { key } = rotated.body as { readonly key: string };
  expect((await ask(1, key)).status).toBe(200);
  expect((await ask(2, old)).status).toBe(200);
  await eventually(async () => expect((await ask(2, old)).status).toBe(401), { timeoutMs: 20_000 });
  expect((await ask(2, key)).status).toBe(200);
});

test('what every replica served stands in one ledger', async () => {
  await eventually(async () => {
    const { body } = await admin(at(1), '/global/spend');
    expect((body as { readonly spend: number }).spend).toBeCloseTo(provider.servedUsd(), 6);
  }, { timeoutMs: 20_000 });
});
