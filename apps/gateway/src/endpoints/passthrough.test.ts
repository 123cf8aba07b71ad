import { AppError } from '@pointsman/errors';
import type { Provider } from '@pointsman/providers';
import { eventually, startScriptedUpstream, type ScriptedUpstream } from '@pointsman/testing';
import { expect, test } from 'vitest';
import { compilePrincipal } from '../access/compile-principal.ts';
import { budgetRow, keyAccess, keyRow, teamRow, userRow } from '../access/key-access.fixture.ts';
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
  ['some of them: not a route of one kind, whose bodies could name the others', ['ranker'], '/v1/rerank', 401],
  ['some of them: not by naming one of them', ['ranker'], '/v1/rerank?model=ranker', 401],
  ['some of them: nor on a route of another kind', ['ranker'], '/v1/images/generations?model=ranker', 401],
  ['all of them: a route of one kind', ['chat', 'ranker'], '/v1/rerank?model=ranker', 200],
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

test('a restricted key gets the provider of the kind that it may use wholly, though another comes first', async () => {
  await using upstream = await startScriptedUpstream({ reply: { headers: { 'content-type': 'application/json' }, steps: ['{}'] } });
  const provider = passingTo(upstream);
  const other = entry('own-ranker', 'own-1').replace('openai/gpt-4o', 'cohere/rerank-v3.5').replace('id: own-1', 'id: own-1, mode: rerank');
  const booked: ExchangeRecord[] = [];
  await using gateway = await startFakeGateway(CONFIG + other, {
    providers: { 'chat-1': provider, 'rank-1': provider, 'own-1': provider }, keys: keyThatMayUse(['ranker', 'own-ranker']), book: (_exchange, record) => void booked.push({ ...record }),
  });
  expect((await gateway.post('/v1/rerank', {})).status).toBe(200);
  expect(booked).toMatchObject([{ requestedModel: 'own-ranker' }]);
});

test.each([
  '/v1/images//chat/completions?model=ranker', '/v1/images/..;/chat/completions', '/v1/images/%252e%252e/chat/completions', '/v1/images/chat/completions', '/v1/files/f/chat/completions', '/v1/rerank/x',
  '/openai//chat/completions', '/openai/..;/x', '/openai/%252e%252e/x', '/openai/a%2fb', '/openai/a%5cb',
])('%s reaches no provider, whoever asks', async (path) => {
  await using upstream = await startScriptedUpstream({ reply: { steps: ['{}'] } });
  const { gateway, booked } = await start(upstream);
  await using _gateway = gateway;
  expect([400, 404]).toContain((await gateway.post(path, {})).status);
  expect(upstream.calls).toHaveLength(0);
  expect(booked).toHaveLength(0);
});

type Change = Parameters<typeof keyRow>[1];

function keysWith(change: Change, more: Parameters<typeof keyAccess>[1] = {}): KeyStore {
  const principal = compilePrincipal(keyAccess(keyRow('sk-limited', change), more), 0);
  return { find: () => principal, hasKeys: true };
}

test.each<[string, KeyStore]>([
  ['a budget', keysWith({ max_budget: 0.00001 })],
  ['a token limit', keysWith({ tpm_limit: 10 })],
  ['a budget for one model', keysWith({ model_max_budget: { chat: { max_budget: 1, budget_duration: null } } })],
  ['a token limit for one model', keysWith({ model_tpm_limit: { chat: 5 } })],
  ['a budget row', keysWith({}, { budget: budgetRow({ max_budget: 1 }) })],
  ['a team with a budget', keysWith({ team_id: 't1' }, { team: teamRow({ max_budget: 1 }) })],
  ['a user with a token limit', keysWith({ user_id: 'u1' }, { user: userRow({ tpm_limit: 1 }) })],
])('nothing is passed through untouched for a key with %s, since nobody could hold it to that', async (_what, keys) => {
  await using upstream = await startScriptedUpstream({ reply: { steps: ['{}'] } });
  const { gateway, booked } = await start(upstream, { keys });
  await using _gateway = gateway;
  for (const path of ['/v1/batches', '/v1/files/f1', '/files', '/v1/rerank?model=ranker', '/v1/images/generations', '/openai/assistants', '/openai/v1/responses/r1']) {
    const reply = await gateway.post(path, {});
    expect([path, reply.status, await reply.json()]).toMatchObject([path, 403, { error: { code: 'passthrough_not_metered', message: expect.stringContaining('allowed_routes') as string } }]);
  }
  for (const [path, instead] of [['/openai/v1/chat/completions', '/v1/chat/completions'], ['/openai/embeddings', '/v1/embeddings'], ['/openai/v1/Responses/', '/v1/responses'], ['/openai/v1/messages', '/v1/messages']] as const) {
    const reply = await gateway.post(path, {});
    expect([path, reply.status, await reply.json()]).toMatchObject([path, 403, { error: { code: 'passthrough_not_metered', message: expect.stringContaining(`Use ${instead} with`) as string } }]);
  }
  expect(upstream.calls).toHaveLength(0);
  expect(booked).toHaveLength(0);
});

test.each<[string, Change, string, number]>([
  ['limits of requests only', { rpm_limit: 100, max_parallel_requests: 5, model_rpm_limit: { chat: 3 } }, '/openai/v1/chat/completions', 200],
  ['no limits', {}, '/v1/batches', 200],
  ['a budget, but the path is named', { max_budget: 1, allowed_routes: ['llm_api_routes', '/v1/rerank'] }, '/v1/rerank', 200],
  ['a budget, but the path is named, spelt the other way', { max_budget: 1, allowed_routes: ['/v1/files/*'] }, '/files/f1/content', 200],
  ['a budget, but the path is named below its provider', { max_budget: 1, allowed_routes: ['/openai/assistants*'] }, '/openai/assistants/a1', 200],
  ['a budget, but the route of all providers is named', { max_budget: 1, allowed_routes: ['/{provider}/*'] }, '/openai/assistants/a1', 200],
  ['a budget and another path that is named', { max_budget: 1, allowed_routes: ['llm_api_routes', '/v1/rerank'] }, '/v1/files', 403],
  ['a budget and a star for everything', { max_budget: 1, allowed_routes: ['*', '/v1/*'] }, '/v1/files', 403],
  ['a budget and a group of routes', { max_budget: 1, allowed_routes: ['llm_api_routes', 'passthrough_routes'] }, '/openai/assistants', 403],
  ['a budget and a provider that is named, on a path that is served metered', { max_budget: 1, allowed_routes: ['/openai/*'] }, '/openai/chat/completions', 403],
])('untouched requests of a key with %s', async (_what, change, path, status) => {
  await using upstream = await startScriptedUpstream({ reply: { headers: { 'content-type': 'application/json' }, steps: ['{}'] } });
  const { gateway } = await start(upstream, { keys: keysWith(change) });
  await using _gateway = gateway;
  expect((await gateway.post(path, {})).status).toBe(status);
  expect(upstream.calls).toHaveLength(status === 200 ? 1 : 0);
});
