import { DEFAULT_DEGRADED_MODE } from '@pointsman/gateway-config';
import { createMemoryCounters } from '@pointsman/redis';
import { eventually } from '@pointsman/testing';
import { ManualClock } from '@pointsman/timing';
import { expect, test } from 'vitest';
import { compilePrincipal } from '../access/compile-principal.ts';
import { CountedLimits } from '../access/counted-limits.ts';
import { keyAccess, keyRow } from '../access/key-access.fixture.ts';
import { chatConfig, FakeProvider, startFakeGateway, type FakeGateway } from '../fake-gateway.fixture.ts';

/** A gateway whose only key has these limits, over a provider that counts tokens when it is told to. */
async function start(change: Parameters<typeof keyRow>[1]): Promise<{ readonly gateway: FakeGateway; readonly counts: ((tokens: number) => void)[] }> {
  const clock = new ManualClock();
  const principal = compilePrincipal(keyAccess(keyRow('sk-limited', change)), clock.now());
  const limits = new CountedLimits({
    shared: undefined, memory: createMemoryCounters({ clock, maxEntries: 100 }), replicas: () => 1, degradedMode: () => DEFAULT_DEGRADED_MODE, clock, replicaId: 'r1', metrics: { limited: () => undefined },
  });
  const counts: ((tokens: number) => void)[] = [];
  const provider = Object.assign(new FakeProvider(() => undefined), { countTokens: () => new Promise<number>((resolve) => counts.push(resolve)) });
  return { gateway: await startFakeGateway(chatConfig(['a']), { providers: { a: provider }, keys: { find: () => principal, hasKeys: true }, limits }), counts };
}

const BODY = { model: 'chat', messages: [{ role: 'user', content: 'how long is this? '.repeat(50) }] };

test('counting tokens takes a request from the limits, and no tokens', async () => {
  const { gateway, counts } = await start({ rpm_limit: 1, tpm_limit: 10 });
  await using _gateway = gateway;
  const first = gateway.post('/v1/messages/count_tokens', BODY);
  await eventually(() => expect(counts).toHaveLength(1));
  counts[0]?.(42);
  const reply = await first;
  expect([reply.status, await reply.json()]).toEqual([200, { input_tokens: 42 }]);
  expect([reply.headers.get('x-ratelimit-remaining-requests'), reply.headers.get('x-ratelimit-remaining-tokens')]).toEqual(['0', '10']);
  const second = await gateway.post('/v1/messages/count_tokens', BODY);
  expect([second.status, second.headers.get('rate_limit_type')]).toEqual([429, 'requests']);
  expect(counts).toHaveLength(1);
});

test('a count holds a parallel place until it is answered, and gives it back', async () => {
  const { gateway, counts } = await start({ max_parallel_requests: 1 });
  await using _gateway = gateway;
  const first = gateway.post('/v1/messages/count_tokens', BODY);
  await eventually(() => expect(counts).toHaveLength(1));
  expect((await gateway.post('/v1/messages/count_tokens', BODY)).status).toBe(429);
  expect((await gateway.post('/v1/route', BODY)).status).toBe(429);
  counts[0]?.(42);
  expect((await first).status).toBe(200);
  expect((await gateway.post('/v1/route', BODY)).status).toBe(200);
  expect((await gateway.post('/v1/route', BODY)).status).toBe(200);
});

test('a client that leaves during a count gives its place back', async () => {
  const { gateway, counts } = await start({ max_parallel_requests: 1 });
  await using _gateway = gateway;
  const client = new AbortController();
  const left = gateway.post('/v1/messages/count_tokens', BODY, { signal: client.signal });
  await eventually(() => expect(counts).toHaveLength(1));
  client.abort();
  await expect(left).rejects.toThrow();
  counts[0]?.(1);
  await eventually(async () => expect((await gateway.post('/v1/route', BODY)).status).toBe(200));
});

test('the dry run of a decision takes a request from the limits', async () => {
  const { gateway } = await start({ rpm_limit: 1 });
  await using _gateway = gateway;
  const reply = await gateway.post('/v1/route', BODY);
  expect([reply.status, reply.headers.get('x-ratelimit-remaining-requests')]).toEqual([200, '0']);
  expect((await gateway.post('/v1/route', BODY)).status).toBe(429);
});
