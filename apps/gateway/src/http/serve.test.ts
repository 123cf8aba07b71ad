import { AppError } from '@pointsman/errors';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { eventually } from '@pointsman/testing';
import { expect, test } from 'vitest';
import { digestKey, type KeyStore } from '../access/key-store.ts';
import type { Principal } from '../access/principal.ts';
import { chatConfig, fakeSnapshot, startFakeGateway, TEST_KEY, type FakeGateway } from '../fake-gateway.fixture.ts';
import { serve, serveWithBody, type Handler } from './serve.ts';

const somebody: Principal = { keyHash: digestKey(TEST_KEY).toString('hex'), keyAlias: undefined, role: 'user', aliases: undefined, tags: [], access: undefined, models: undefined, userId: 'u', teamId: undefined };

/** Answers later, when told to. */
class SlowKeys implements KeyStore {
  readonly hasKeys = true;
  readonly asked: { resolve: (principal: Principal | undefined) => void; reject: (error: Error) => void }[] = [];

  find(): Promise<Principal | undefined> {
    return new Promise((resolve, reject) => this.asked.push({ resolve, reject }));
  }
}

/** One handler on a real socket. */
async function serving(handler: Handler): Promise<AsyncDisposable & { get: (init?: RequestInit) => Promise<Response> }> {
  const server = createServer(handler);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    get: (init = {}) => fetch(`http://127.0.0.1:${String((server.address() as AddressInfo).port)}/x`, { ...init, headers: { authorization: `Bearer ${TEST_KEY}`, ...init.headers } }),
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

/** Whatever happened: each request was counted once, its span ended once, and its snapshot given back. */
async function expectGivenBack(gateway: FakeGateway, statuses: readonly number[]): Promise<void> {
  await eventually(() => expect(gateway.context.gate.running).toBe(0));
  expect(gateway.metrics.outcomes.map(({ status }) => status)).toEqual(statuses);
  expect(gateway.spans.map(({ ends }) => ends)).toEqual(statuses.map(() => 1));
  expect(gateway.snapshot.closes).toBe(0);
  gateway.live.replace(fakeSnapshot(chatConfig(['next'])));
  expect(gateway.snapshot.closes).toBe(1);
}

const OPTIONS = { route: '/x' };

test('a handler that answers at once, later, or fails either way: one reply and everything is given back', async () => {
  await using gateway = await startFakeGateway(chatConfig(['a']));
  const { context } = gateway;
  await using at = await serving(serve(context, OPTIONS, ({ exchange }) => void exchange.res.writeHead(200).end()));
  await using later = await serving(serve(context, OPTIONS, async ({ exchange }) => { await Promise.resolve(); exchange.res.writeHead(201).end(); }));
  await using throws = await serving(serve(context, OPTIONS, () => { throw new AppError('not_found', 'gone', 'Gone.'); }));
  await using rejects = await serving(serve(context, OPTIONS, () => Promise.reject(new Error('secret detail'))));
  expect((await at.get()).status).toBe(200);
  expect((await later.get()).status).toBe(201);
  expect((await throws.get()).status).toBe(404);
  const broken = await rejects.get();
  expect(broken.status).toBe(500);
  expect(await broken.text()).not.toContain('secret detail');
  await expectGivenBack(gateway, [200, 201, 404, 500]);
});

test('what the gateway did wrong is logged once at error, what the caller did wrong is not', async () => {
  await using gateway = await startFakeGateway(chatConfig(['a']));
  await using broken = await serving(serve(gateway.context, OPTIONS, () => { throw new Error('a bug'); }));
  await using refused = await serving(serve(gateway.context, OPTIONS, () => { throw new AppError('invalid_request', 'bad', 'Bad.'); }));
  await broken.get();
  await refused.get();
  const errors = gateway.lines.map((line) => JSON.parse(line) as { level: string; msg: string }).filter(({ level }) => level === 'error');
  expect(errors.map(({ msg }) => msg)).toEqual(['request failed']);
});

test('no key and a wrong key are 401, and the handler is never run', async () => {
  await using gateway = await startFakeGateway(chatConfig(['a']));
  let runs = 0;
  await using route = await serving(serve(gateway.context, OPTIONS, () => { runs += 1; }));
  expect((await route.get({ headers: { authorization: '' } })).status).toBe(401);
  expect((await route.get({ headers: { authorization: 'Bearer sk-wrong' } })).status).toBe(401);
  expect(runs).toBe(0);
  await expectGivenBack(gateway, [401, 401]);
});

test('a key store that answers later lets in, refuses, or fails without hanging', async () => {
  const keys = new SlowKeys();
  await using gateway = await startFakeGateway(chatConfig(['a']), { keys });
  await using route = await serving(serve(gateway.context, OPTIONS, ({ exchange }) => void exchange.res.end(exchange.principal.userId)));
  const ask = async (answer: (asked: SlowKeys['asked'][number] | undefined) => void): Promise<Response> => {
    const before = keys.asked.length;
    const reply = route.get();
    await eventually(() => keys.asked.length > before);
    answer(keys.asked.at(-1));
    return reply;
  };
  expect(await (await ask((asked) => asked?.resolve(somebody))).text()).toBe('u');
  expect((await ask((asked) => asked?.resolve(undefined))).status).toBe(401);
  expect((await ask((asked) => asked?.reject(new Error('database away')))).status).toBe(500);
  await expectGivenBack(gateway, [200, 401, 500]);
});

test('a client that leaves while its key is looked up is never served', async () => {
  const keys = new SlowKeys();
  await using gateway = await startFakeGateway(chatConfig(['a']), { keys });
  let runs = 0;
  await using route = await serving(serve(gateway.context, OPTIONS, () => { runs += 1; }));
  const client = new AbortController();
  const reply = route.get({ signal: client.signal });
  await eventually(() => keys.asked.length === 1);
  client.abort();
  await expect(reply).rejects.toThrow();
  await eventually(() => expect(gateway.context.gate.running).toBe(0));
  keys.asked[0]?.resolve(somebody);
  await new Promise(setImmediate);
  expect(runs).toBe(0);
  await expectGivenBack(gateway, [499]);
});

test('while draining every route answers 503 and closes, and nothing is begun', async () => {
  await using gateway = await startFakeGateway(chatConfig(['a']));
  await using route = await serving(serve(gateway.context, { route: '/x', errorShape: 'anthropic' }, () => undefined));
  await gateway.context.gate.drain(0);
  const reply = await route.get();
  expect(reply.status).toBe(503);
  expect(reply.headers.get('connection')).toBe('close');
  expect(reply.headers.get('retry-after')).toBe('1');
  expect(await reply.json()).toMatchObject({ type: 'error', error: { type: 'overloaded_error' } });
  expect(gateway.spans).toEqual([]);
});

test('a route that answers before the first configuration answers while draining too: an operator may look at a pod that ends', async () => {
  await using gateway = await startFakeGateway(chatConfig(['a']));
  await using route = await serving(serve(gateway.context, { route: '/x', beforeReady: true }, ({ exchange }) => void exchange.res.end()));
  await gateway.context.gate.drain(0);
  expect((await route.get()).status).toBe(200);
});

test('before the first configuration a route says so; one that needs none answers', async () => {
  await using gateway = await startFakeGateway(chatConfig(['a']), { ready: false });
  await using route = await serving(serve(gateway.context, OPTIONS, () => undefined));
  await using health = await serving(serve(gateway.context, { route: '/x', beforeReady: true }, ({ exchange }) => void exchange.res.end()));
  const refused = await route.get();
  expect(refused.status).toBe(503);
  expect(refused.headers.get('retry-after')).toBe('5');
  expect((await health.get()).status).toBe(200);
});

test('a client that leaves is told to whoever works for it, once', async () => {
  await using gateway = await startFakeGateway(chatConfig(['a']));
  let told = 0;
  let started = false;
  await using route = await serving(serve(gateway.context, OPTIONS, ({ exchange }) => {
    started = true;
    exchange.runner = { clientGone: () => { told += 1; }, endNow: () => undefined };
  }));
  const client = new AbortController();
  const reply = route.get({ signal: client.signal });
  await eventually(() => started);
  client.abort();
  await expect(reply).rejects.toThrow();
  await eventually(() => expect(told).toBe(1));
  await expectGivenBack(gateway, [499]);
  expect(told).toBe(1);
});

test('work that knows no better end is cut off when the drain limit has passed', async () => {
  await using gateway = await startFakeGateway(chatConfig(['a']));
  await using route = await serving(serve(gateway.context, OPTIONS, () => undefined));
  const cutOff = expect(route.get()).rejects.toThrow();
  await eventually(() => gateway.context.gate.running === 1);
  expect(await gateway.context.gate.drain(0)).toBe(1);
  await cutOff;
  await expectGivenBack(gateway, [499]);
});

test('a running request keeps its snapshot through a reload', async () => {
  await using gateway = await startFakeGateway(chatConfig(['a']));
  let finish = (): void => undefined;
  await using route = await serving(serve(gateway.context, OPTIONS, ({ exchange }) => new Promise<void>((resolve) => {
    finish = () => { exchange.res.end(exchange.snapshot.revision); resolve(); };
  })));
  const reply = route.get();
  await eventually(() => gateway.context.gate.running === 1);
  gateway.live.replace(fakeSnapshot(chatConfig(['next'])));
  expect(gateway.snapshot.closes).toBe(0);
  finish();
  expect(await (await reply).text()).toBe(gateway.snapshot.revision);
  await eventually(() => expect(gateway.snapshot.closes).toBe(1));
});

test('a body is read only after the key was found good, and one that is too large is 413', async () => {
  await using gateway = await startFakeGateway(chatConfig(['a'], 'general_settings: { max_request_size_mb: 1 }\n'));
  const bodies: string[] = [];
  await using route = await serving(serveWithBody(gateway.context, OPTIONS, ({ exchange }, raw) => {
    bodies.push(raw.toString());
    exchange.res.end();
  }));
  expect((await route.get({ method: 'POST', body: 'first', headers: { authorization: 'Bearer sk-wrong' } })).status).toBe(401);
  expect((await route.get({ method: 'POST', body: 'second' })).status).toBe(200);
  const large = await route.get({ method: 'POST', body: 'x'.repeat(1_048_577) }).catch(() => undefined);
  expect(large === undefined || large.status === 413).toBe(true); // the connection may end while the client still writes
  expect(bodies).toEqual(['second']);
  await expectGivenBack(gateway, [401, 200, 413]);
});

test('a handler of a body that throws or rejects is one error reply', async () => {
  await using gateway = await startFakeGateway(chatConfig(['a']));
  await using throws = await serving(serveWithBody(gateway.context, OPTIONS, () => { throw new AppError('invalid_request', 'bad', 'Bad.'); }));
  await using rejects = await serving(serveWithBody(gateway.context, OPTIONS, () => Promise.reject(new AppError('forbidden', 'no', 'No.'))));
  expect((await throws.get({ method: 'POST', body: '{}' })).status).toBe(400);
  expect((await rejects.get({ method: 'POST', body: '{}' })).status).toBe(403);
  await expectGivenBack(gateway, [400, 403]);
});

test('a request id that a client chose comes back where it is safe, else a new one is made', async () => {
  await using gateway = await startFakeGateway(chatConfig(['a']));
  await using route = await serving(serve(gateway.context, OPTIONS, ({ exchange }) => void exchange.res.end(exchange.requestId)));
  const idFor = async (id: string): Promise<string> => (await route.get({ headers: { 'x-request-id': id } })).text();
  expect(await idFor('my-id:1.2_3')).toBe('my-id:1.2_3');
  for (const unsafe of ['has space', 'a"b', 'x'.repeat(129), '<b>']) expect(await idFor(unsafe)).toMatch(/^[0-9a-f-]{36}$/);
});

test.each(['/health/config', '/health', '/config/reload'])('the admin route %s refuses ordinary keys', async (path) => {
  await using gateway = await startFakeGateway(chatConfig(['a']), { keys: { hasKeys: true, find: () => somebody } });
  await using route = await serving(serve(gateway.context, { ...OPTIONS, route: path }, ({ exchange }) => void exchange.res.end('served')));
  expect((await route.get()).status).toBe(403);
});
