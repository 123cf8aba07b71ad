import { setImmediate as nextTurn } from 'node:timers/promises';
import { createGate, json, startScriptedUpstream } from '@pointsman/testing';
import { expect, test } from 'vitest';
import { UpstreamPools, type UpstreamDispatcher } from './upstream-pools.ts';

function get(dispatcher: UpstreamDispatcher, origin: string): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  let body = '';
  dispatcher.dispatch({ origin, path: '/', method: 'POST', body: '{}' }, {
    onRequestStart: () => undefined,
    onResponseStart: () => undefined,
    onResponseData: (_controller, chunk) => {
      body += chunk.toString();
    },
    onResponseEnd: () => resolve(body),
    onResponseError: (_controller, error) => reject(error),
  });
  return promise;
}

test('holders of one origin share its connections', async () => {
  await using upstream = await startScriptedUpstream({ reply: json({}) });
  const pools = new UpstreamPools();
  const first = pools.acquire(upstream.url);
  const second = pools.acquire(upstream.url);
  expect(second.dispatcher).toBe(first.dispatcher);
  await get(first.dispatcher, upstream.url);
  await nextTurn(); // undici gives a connection back one turn of the loop after its reply
  await get(second.dispatcher, upstream.url);
  await nextTurn();
  expect(upstream.calls.map((call) => call.connection)).toEqual([1, 1]);
  expect(pools.counts()).toEqual([{ origin: upstream.url, holders: 2, connections: 1, idle: 1, running: 0, queued: 0 }]);
  await pools.close();
});

test('other TLS settings are another pool', () => {
  const pools = new UpstreamPools();
  const strict = pools.acquire('https://localhost');
  const lenient = pools.acquire('https://localhost', { tls: { rejectUnauthorized: false } });
  expect(lenient.dispatcher).not.toBe(strict.dispatcher);
  strict.release();
  lenient.release();
});

test('calls under way finish after the last holder has let go, and then the connection closes', async () => {
  const gate = createGate();
  await using upstream = await startScriptedUpstream({ reply: { framing: 'chunked', steps: ['begin ', { until: gate.opened }, 'end'] } });
  const pools = new UpstreamPools();
  const lease = pools.acquire(upstream.url);
  const reply = get(lease.dispatcher, upstream.url);
  await expect.poll(() => upstream.calls[0]?.bytesSent).toBe(6);
  lease.release();
  expect(pools.counts()).toEqual([]);
  gate.open();
  expect(await reply).toBe('begin end');
  await expect.poll(() => upstream.openConnections).toBe(0);
});

test('releasing twice gives back one holding only', async () => {
  await using upstream = await startScriptedUpstream({ reply: json({ ok: 1 }) });
  const pools = new UpstreamPools();
  const first = pools.acquire(upstream.url);
  const second = pools.acquire(upstream.url);
  first.release();
  first.release();
  expect(await get(second.dispatcher, upstream.url)).toBe('{"ok":1}');
  second.release();
});

test('an origin that comes back after its last holder left gets a new pool', async () => {
  await using upstream = await startScriptedUpstream({ reply: json({ ok: 1 }) });
  const pools = new UpstreamPools();
  pools.acquire(upstream.url).release();
  const again = pools.acquire(upstream.url);
  expect(await get(again.dispatcher, upstream.url)).toBe('{"ok":1}');
  again.release();
});

test('close waits for calls under way', async () => {
  const gate = createGate();
  await using upstream = await startScriptedUpstream({ reply: { framing: 'chunked', steps: ['a', { until: gate.opened }, 'b'] } });
  const pools = new UpstreamPools();
  const lease = pools.acquire(upstream.url);
  const reply = get(lease.dispatcher, upstream.url);
  await expect.poll(() => upstream.calls[0]?.bytesSent).toBe(1);
  let closed = false;
  const closing = pools.close().then(() => {
    closed = true;
  });
  gate.open();
  expect(await reply).toBe('ab');
  await closing;
  expect(closed).toBe(true);
  lease.release();
});

test('a limit on connections makes further calls wait', async () => {
  const gate = createGate();
  await using upstream = await startScriptedUpstream({ reply: { steps: ['x'], before: [{ until: gate.opened }] } });
  const pools = new UpstreamPools();
  const lease = pools.acquire(upstream.url, { connections: 1 });
  const replies = [get(lease.dispatcher, upstream.url), get(lease.dispatcher, upstream.url)];
  await expect.poll(() => pools.counts()).toMatchObject([{ connections: 1, running: 1, queued: 1 }]);
  gate.open();
  expect(await Promise.all(replies)).toEqual(['x', 'x']);
  expect(upstream.calls.map((call) => call.connection)).toEqual([1, 1]);
  lease.release();
});
