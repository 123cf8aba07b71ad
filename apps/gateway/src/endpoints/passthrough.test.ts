import { AppError } from '@pointsman/errors';
import type { Provider } from '@pointsman/providers';
import { eventually, startScriptedUpstream, type ScriptedUpstream } from '@pointsman/testing';
import { expect, test } from 'vitest';
import type { KeyStore } from '../access/key-store.ts';
import type { AdmissionRequest, Limits } from '../access/limits.ts';
import type { Principal } from '../access/principal.ts';
import { entry, FakeProvider, startFakeGateway, TEST_KEY, type FakeGateway, type FakeGatewayOptions } from '../fake-gateway.fixture.ts';
import type { ExchangeRecord } from '../record/exchange-record.ts';

/** A played provider whose HTTP surface is a scripted upstream. */
function passingTo(upstream: ScriptedUpstream): FakeProvider {
  const provider = new FakeProvider(() => undefined);
  const passthrough: Provider['passthrough'] = { baseUrl: `${upstream.url}/v1`, headers: () => ({ authorization: 'Bearer sk-upstream' }) };
  Object.assign(provider, { passthrough });
  return provider;
}

const CONFIG = `model_list:\n${entry('chat', 'chat-1')}${entry('ranker', 'rank-1').replace('id: rank-1', 'id: rank-1, mode: rerank')}`;

function keyThatMayUse(models: readonly string[]): KeyStore {
  const principal: Principal = { keyHash: 'a'.repeat(64), keyAlias: undefined, role: 'user', models: new Set(models), aliases: undefined, userId: undefined, teamId: undefined, tags: [], access: undefined };
  return { find: () => principal, hasKeys: true };
}

interface Booked {
  readonly gateway: FakeGateway;
  readonly booked: ExchangeRecord[];
  readonly settled: number[];
  readonly admitted: AdmissionRequest[];
}

async function start(upstream: ScriptedUpstream, options: FakeGatewayOptions & { readonly answer?: () => ReturnType<Limits['admit']> } = {}): Promise<Booked> {
  const booked: ExchangeRecord[] = [];
  const settled: number[] = [];
  const admitted: AdmissionRequest[] = [];
  const provider = passingTo(upstream);
  const { answer, ...rest } = options;
  const gateway = await startFakeGateway(CONFIG, {
    providers: { 'chat-1': provider, 'rank-1': provider }, book: (_exchange, record) => void booked.push({ ...record }),
    limits: { admit: (_principal, request) => { admitted.push(request); return answer?.() ?? { headers: ['x-ratelimit-limit-requests', '5'], settle: ({ costUsd }) => void settled.push(costUsd) }; } }, ...rest,
  });
  return { gateway, booked, settled, admitted };
}

const get = (gateway: FakeGateway, path: string, headers: Record<string, string> = {}, signal?: AbortSignal): Promise<Response> => fetch(gateway.url + path, { headers: { authorization: `Bearer ${TEST_KEY}`, ...headers }, ...(signal === undefined ? {} : { signal }) });

test('an untouched request is booked once, by its provider, under the limits of its key', async () => {
  await using upstream = await startScriptedUpstream({ reply: { headers: { 'content-type': 'application/json' }, steps: ['{"ok":true}'] } });
  const { gateway, booked, settled, admitted } = await start(upstream);
  await using _gateway = gateway;
  const reply = await get(gateway, '/openai/files');
  expect(reply.status).toBe(200);
  expect(reply.headers.get('x-ratelimit-limit-requests')).toBe('5');
  // Booked before its head was written.
  expect(booked).toMatchObject([{ operation: 'passthrough', requestedModel: '', group: '', costUsd: 0, usage: undefined, error: undefined, clientGone: false, deployment: { configured: { provider: 'openai' } } }]);
  await reply.text();
  await eventually(() => expect(settled).toEqual([0]));
  expect(admitted).toHaveLength(1);
  expect(admitted[0]?.outline).toEqual({ max_tokens: 0 });
  expect(admitted[0]?.promptTokens()).toBe(0);
  expect(booked).toHaveLength(1);
});

test('a rerank by a model that is named, or that fits the route, is charged per request and per query', async () => {
  await using upstream = await startScriptedUpstream({ reply: { headers: { 'content-type': 'application/json' }, steps: ['{}'] } });
  const { gateway, booked, settled } = await start(upstream);
  await using _gateway = gateway;
  const deployment = gateway.snapshot.plan('ranker');
  if (deployment === undefined || deployment instanceof Promise) throw new Error('the plan is at hand');
  Object.assign(deployment.deployments[0] ?? {}, { costOf: ({ queries }: { readonly queries?: number }) => 0.25 + 2 * (queries ?? 0) });
  await (await gateway.post('/v1/rerank', {}, { headers: { 'x-litellm-model': 'ranker' } })).text();
  await (await gateway.post('/v1/rerank', {})).text();
  await (await gateway.post('/v1/images/generations', {}, { headers: { 'x-litellm-model': 'ranker' } })).text();
  expect(booked.map(({ requestedModel, group, costUsd }) => [requestedModel, group, costUsd])).toEqual([['ranker', 'ranker', 2.25], ['ranker', 'ranker', 2.25], ['ranker', 'ranker', 0.25]]);
  await eventually(() => expect(settled).toEqual([2.25, 2.25, 0.25]));
});

test('a provider that refuses or cannot be reached is booked as a failure and costs nothing', async () => {
  await using upstream = await startScriptedUpstream({ reply: { status: 429, headers: { 'content-type': 'application/json' }, steps: ['{}'] } });
  const { gateway, booked, settled } = await start(upstream);
  await using _gateway = gateway;
  expect((await get(gateway, '/openai/files')).status).toBe(429);
  await upstream.close();
  expect((await get(gateway, '/openai/files')).status).toBe(502);
  expect(booked.map(({ error, costUsd }) => [error?.code, costUsd])).toEqual([['provider_status_429', undefined], ['provider_unreachable', undefined]]);
  await eventually(() => expect(settled).toEqual([0, 0]));
});

test('a client that leaves before the head is booked once, and gives its place back', async () => {
  await using upstream = await startScriptedUpstream({ reply: { before: [{ end: 'stall' }], steps: [] } });
  const { gateway, booked, settled } = await start(upstream);
  await using _gateway = gateway;
  const client = new AbortController();
  const reply = get(gateway, '/openai/files', {}, client.signal);
  await eventually(() => expect(upstream.calls).toHaveLength(1));
  client.abort();
  await expect(reply.then((answer) => answer.text())).rejects.toThrow();
  await eventually(() => expect(settled).toEqual([0]));
  expect(booked).toHaveLength(1);
});

test('what a limit refuses reaches no provider and is not booked', async () => {
  await using upstream = await startScriptedUpstream({ reply: { steps: ['{}'] } });
  const { gateway, booked } = await start(upstream, { answer: () => new AppError('rate_limited', 'rate_limit_exceeded', 'Too many requests.') });
  await using _gateway = gateway;
  expect((await get(gateway, '/openai/files')).status).toBe(429);
  expect(upstream.calls).toHaveLength(0);
  expect(booked).toHaveLength(0);
});

test.each<[string, readonly string[], string, number]>([
  ['all models of the provider: its whole surface', ['chat', 'ranker'], '/openai/chat/completions', 200],
  ['some of them: not the provider\'s surface, whose bodies could name the others', ['chat'], '/openai/chat/completions', 401],
  ['some of them: not files, which a batch could run with the others', ['chat'], '/v1/files', 401],
  ['some of them: a route of one kind, by a model of that kind', ['ranker'], '/v1/rerank', 200],
  ['none of the kind: not that route', ['chat'], '/v1/rerank', 401],
])('a key that may use %s', async (_what, models, path, status) => {
  await using upstream = await startScriptedUpstream({ reply: { headers: { 'content-type': 'application/json' }, steps: ['{}'] } });
  const { gateway, booked } = await start(upstream, { keys: keyThatMayUse(models) });
  await using _gateway = gateway;
  const reply = await gateway.post(path, {});
  expect(reply.status).toBe(status);
  if (status === 401) expect(await reply.json()).toMatchObject({ error: { type: 'key_model_access_denied', param: 'model' } });
  expect(upstream.calls).toHaveLength(status === 200 ? 1 : 0);
  expect(booked).toHaveLength(status === 200 ? 1 : 0);
});
