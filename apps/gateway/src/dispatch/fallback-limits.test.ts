import { AppError } from '@pointsman/errors';
import { DEFAULT_DEGRADED_MODE } from '@pointsman/gateway-config';
import { createMemoryCounters } from '@pointsman/redis';
import { eventually } from '@pointsman/testing';
import { ManualClock } from '@pointsman/timing';
import { expect, test } from 'vitest';
import { compilePrincipal } from '../access/compile-principal.ts';
import { CountedLimits } from '../access/counted-limits.ts';
import { keyAccess, keyRow } from '../access/key-access.fixture.ts';
import type { AdmissionRequest, Limits } from '../access/limits.ts';
import { chatReply, entry, FakeProvider, startFakeGateway, type FakeGateway } from '../fake-gateway.fixture.ts';
import { FallbackLimits } from './fallback-limits.ts';

const GROUPS = `model_list:\n${entry('chat', 'a')}${entry('second', 'b')}${entry('third', 'c')}router_settings: { num_retries: 0, disable_cooldowns: true, fallbacks: [{ chat: [second, third] }] }\n`;

function countedLimits(): CountedLimits {
  const clock = new ManualClock();
  return new CountedLimits({
    shared: undefined, memory: createMemoryCounters({ clock, maxEntries: 100 }), replicas: () => 1, degradedMode: () => DEFAULT_DEGRADED_MODE, clock, replicaId: 'r1', metrics: { limited: () => undefined },
  });
}

interface Asked {
  readonly group: string;
  readonly settled: { readonly totalTokens: number; readonly costUsd: number }[];
}

/** Fails the first group; the real limits answer, and what they were asked is kept. */
async function start(change: Parameters<typeof keyRow>[1], around: (answer: ReturnType<Limits['admit']>, request: AdmissionRequest) => ReturnType<Limits['admit']> = (answer) => answer): Promise<{
  readonly gateway: FakeGateway; readonly asked: Asked[]; readonly calls: () => number[];
}> {
  const principal = compilePrincipal(keyAccess(keyRow('sk-limited', change)), 0);
  const counted = countedLimits();
  const asked: Asked[] = [];
  const a = new FakeProvider((call) => call.fail('server_error', { upstreamStatus: 500 }));
  const [b, c] = [new FakeProvider((call) => call.json(chatReply('b'))), new FakeProvider((call) => call.json(chatReply('c')))];
  const limits: Limits = {
    admit: (who, request) => {
      const entered: Asked = { group: request.plan.group, settled: [] };
      asked.push(entered);
      const answer = counted.admit(who, request);
      if (answer instanceof AppError || answer instanceof Promise) return around(answer, request);
      return around({ headers: answer.headers, settle: (used) => { entered.settled.push(used); answer.settle(used); } }, request);
    },
  };
  const gateway = await startFakeGateway(GROUPS, { providers: { a, b, c }, keys: { find: () => principal, hasKeys: true }, limits });
  return { gateway, asked, calls: () => [a, b, c].map(({ calls }) => calls.length) };
}

test('a limit of a fallback group holds: the walk goes on to the next, and when none is left the refusal is the answer', async () => {
  const { gateway, calls } = await start({ model_rpm_limit: { second: 1, third: 1 } });
  await using _gateway = gateway;
  expect((await gateway.chat()).headers.get('x-litellm-model-group')).toBe('second');
  expect((await gateway.chat()).headers.get('x-litellm-model-group')).toBe('third');
  const refused = await gateway.chat();
  expect([refused.status, await refused.json()]).toMatchObject([429, { error: { message: expect.stringContaining('model_per_key') as string } }]);
  expect(calls()).toEqual([3, 1, 1]);
});

test('a budget of a fallback group is charged with what was used there', async () => {
  const { gateway, asked } = await start({ model_max_budget: { second: { max_budget: 30, budget_duration: null } } });
  await using _gateway = gateway;
  expect((await gateway.chat()).status).toBe(200);
  await eventually(() => expect(asked.map(({ group, settled }) => [group, settled])).toEqual([
    ['chat', [{ totalTokens: 7, costUsd: 25 }]], ['second', [{ totalTokens: 7, costUsd: 25 }]],
  ]));
  expect((await gateway.chat()).headers.get('x-litellm-model-group')).toBe('second');
  // 50 of 30 are spent.
  expect((await gateway.chat()).headers.get('x-litellm-model-group')).toBe('third');
});

test('a request that falls back is one request: its key\'s other limits are asked once', async () => {
  const { gateway } = await start({ rpm_limit: 2, max_parallel_requests: 1, model_rpm_limit: { second: 5 } });
  await using _gateway = gateway;
  for (const remaining of ['1', '0']) {
    const reply = await gateway.chat();
    expect([reply.status, reply.headers.get('x-litellm-model-group'), reply.headers.get('x-ratelimit-remaining-requests')]).toEqual([200, 'second', remaining]);
  }
  expect((await gateway.chat()).status).toBe(429);
});

test('a limit that is for the deployments of both groups counts the request once', async () => {
  const { gateway, asked } = await start({ model_rpm_limit: { 'openai/gpt-4o': 1 } });
  await using _gateway = gateway;
  expect((await gateway.chat()).headers.get('x-litellm-model-group')).toBe('second');
  expect(asked.map(({ group }) => group)).toEqual(['chat']);
  expect((await gateway.chat()).status).toBe(429);
});

test('callers without limits per model are not asked again', async () => {
  const { gateway, asked } = await start({ rpm_limit: 10 });
  await using _gateway = gateway;
  expect((await gateway.chat()).headers.get('x-litellm-model-group')).toBe('second');
  expect(asked.map(({ group }) => group)).toEqual(['chat']);
  expect(FallbackLimits.of(countedLimits(), { ...compilePrincipal(keyAccess(keyRow('sk-free')), 0) }, {} as AdmissionRequest)).toBeUndefined();
});

test('a place in a fallback group that comes after the client has left is given back, and nobody is called', async () => {
  let open = (): void => undefined;
  const gate = new Promise<void>((resolve) => { open = resolve; });
  const { gateway, asked, calls } = await start({ model_rpm_limit: { second: 5 }, model_tpm_limit: { second: 1_000 } }, (answer, { plan }) => (plan.group === 'second' ? gate.then(() => answer) : answer));
  await using _gateway = gateway;
  const client = new AbortController();
  const reply = gateway.chat({}, { signal: client.signal });
  await eventually(() => expect(asked).toHaveLength(2));
  client.abort();
  await expect(reply).rejects.toThrow();
  await eventually(() => expect(gateway.context.gate.running).toBe(0));
  open();
  await eventually(() => expect(asked[1]?.settled).toEqual([{ totalTokens: 0, costUsd: 0 }]));
  expect(calls()).toEqual([1, 0, 0]);
  expect(gateway.fallbacks).toEqual([]);
});

test('limits that cannot be asked pass the group over', async () => {
  const { gateway } = await start({ model_rpm_limit: { second: 5 } }, (answer, { plan }) => (plan.group === 'second' ? Promise.reject(new Error('the counters broke')) : answer));
  await using _gateway = gateway;
  expect((await gateway.chat()).headers.get('x-litellm-model-group')).toBe('third');
});
