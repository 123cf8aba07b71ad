import { setImmediate as nextTurn } from 'node:timers/promises';
import { createGate, json, sse, startScriptedUpstream, type Script } from '@pointsman/testing';
import { afterAll, expect, test } from 'vitest';
import type { ProviderError } from './provider-error.ts';
import { UpstreamPools } from './upstream-pools.ts';
import { startWireCall, type WireListener, type WireRequest } from './wire-call.ts';

const pools = new UpstreamPools();
afterAll(() => pools.close());

class Heard implements WireListener {
  status = 0;
  readonly statuses: number[] = [];
  bytes = '';
  error: ProviderError | undefined;
  readonly #over = Promise.withResolvers<void>();
  readonly over = this.#over.promise;
  onHead(status: number): void {
    this.status = status;
    this.statuses.push(status);
  }
  onBytes(chunk: Buffer): void {
    this.bytes += chunk.toString();
  }
  onEnd(): void {
    this.#over.resolve();
  }
  onError(error: ProviderError): void {
    this.error = error;
    this.#over.resolve();
  }
}

async function exchange(url: string, overrides: Partial<WireRequest> = {}): Promise<Heard> {
  const lease = pools.acquire(url);
  const heard = new Heard();
  startWireCall({ provider: 'test', dispatcher: lease.dispatcher, origin: url, path: '/', method: 'POST', headers: {}, body: '{}', headersTimeoutMs: 5000, idleTimeoutMs: 5000, ...overrides }, heard);
  await heard.over;
  await nextTurn(); // undici gives a connection back one turn of the loop after its reply
  return heard;
}

const ok = json({ ok: true });
const resetAtOnce: Script = { ...ok, before: [{ end: 'reset' }] };
const closeAtOnce: Script = { ...ok, before: [{ end: 'fin' }] };

test.each([['reset', resetAtOnce], ['closed', closeAtOnce]])('a kept-alive connection that is %s under the request is replaced once by a fresh one', async (_name, script) => {
  await using upstream = await startScriptedUpstream({ reply: [ok, script, ok] });
  const lease = pools.acquire(upstream.url); // keeps the pool between the two calls
  expect((await exchange(upstream.url)).status).toBe(200);
  const second = await exchange(upstream.url);
  expect(second.error).toBeUndefined();
  expect(second.bytes).toBe('{"ok":true}');
  expect(upstream.calls.map((call) => call.connection)).toEqual([1, 1, 2]);
  lease.release();
});

test('a fresh connection that is reset is not tried again', async () => {
  await using upstream = await startScriptedUpstream({ reply: resetAtOnce });
  expect((await exchange(upstream.url)).error?.fault).toBe('unreachable');
  expect(upstream.calls).toHaveLength(1);
});

test('the second reset in a row is a failure', async () => {
  await using upstream = await startScriptedUpstream({ reply: [ok, resetAtOnce, resetAtOnce, ok] });
  const lease = pools.acquire(upstream.url);
  await exchange(upstream.url);
  expect((await exchange(upstream.url)).error?.fault).toBe('unreachable');
  expect(upstream.calls).toHaveLength(3);
  lease.release();
});

test('a reply of which one byte had come is not asked for again', async () => {
  await using upstream = await startScriptedUpstream({ reply: [ok, { framing: 'raw', steps: ['HTTP/1.1 2', { end: 'fin' }] }, ok] });
  const lease = pools.acquire(upstream.url);
  await exchange(upstream.url);
  expect((await exchange(upstream.url)).error).toBeDefined();
  expect(upstream.calls).toHaveLength(2);
  lease.release();
});

test('a stream without its last chunk is truncated also when the provider announced that it would close', async () => {
  await using upstream = await startScriptedUpstream({ reply: sse(['{}'], { headers: { connection: 'close' }, end: 'fin' }) });
  expect((await exchange(upstream.url)).error?.fault).toBe('truncated');
});

test('a body delimited by the end of the connection ends with it', async () => {
  await using upstream = await startScriptedUpstream({ reply: { framing: 'close', steps: ['abc', 'def'] } });
  expect(await exchange(upstream.url)).toMatchObject({ status: 200, bytes: 'abcdef', error: undefined });
});

test('a chunk that is not framed as one is a bad reply', async () => {
  await using upstream = await startScriptedUpstream({ reply: { framing: 'raw', steps: ['HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\nabc\r\n'] } });
  expect((await exchange(upstream.url)).error?.fault).toBe('bad_reply');
});

test('interim responses are passed over', async () => {
  await using upstream = await startScriptedUpstream({ reply: { framing: 'raw', steps: ['HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n', 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok'] } });
  expect(await exchange(upstream.url)).toMatchObject({ statuses: [200], bytes: 'ok', error: undefined });
});

test('silence while paused is not the provider\'s', async () => {
  const gate = createGate();
  await using upstream = await startScriptedUpstream({ reply: { framing: 'chunked', steps: ['a', { until: gate.opened }, 'b'] } });
  const lease = pools.acquire(upstream.url);
  const heard = new Heard();
  const call = startWireCall({ provider: 'test', dispatcher: lease.dispatcher, origin: upstream.url, path: '/', method: 'POST', headers: {}, body: '{}', headersTimeoutMs: 5000, idleTimeoutMs: 60 }, heard);
  await expect.poll(() => heard.bytes).toBe('a');
  call.pause();
  const { promise: waited, resolve } = Promise.withResolvers<void>();
  setTimeout(resolve, 150); // longer than the idle timeout: what is promised is that this time does not count
  await waited;
  expect(heard.error).toBeUndefined();
  gate.open();
  call.resume();
  await heard.over;
  expect(heard).toMatchObject({ bytes: 'ab', error: undefined });
  lease.release();
});

test('silence after a pause counts again', async () => {
  await using upstream = await startScriptedUpstream({ reply: { framing: 'chunked', steps: [{ end: 'stall' }] } });
  const lease = pools.acquire(upstream.url);
  const heard = new Heard();
  const call = startWireCall({ provider: 'test', dispatcher: lease.dispatcher, origin: upstream.url, path: '/', method: 'POST', headers: {}, body: '{}', headersTimeoutMs: 5000, idleTimeoutMs: 30 }, heard);
  call.pause();
  await expect.poll(() => heard.statuses).toEqual([200]);
  const { promise: waited, resolve } = Promise.withResolvers<void>();
  setTimeout(resolve, 80); // the idle timer fires once while paused
  await waited;
  expect(heard.error).toBeUndefined();
  call.resume();
  await heard.over;
  expect(heard.error?.fault).toBe('timeout');
  lease.release();
});

test('a pause before the head takes effect with it', async () => {
  await using upstream = await startScriptedUpstream({ reply: json({ ok: true }) });
  const lease = pools.acquire(upstream.url);
  const heard = new Heard();
  const call = startWireCall({ provider: 'test', dispatcher: lease.dispatcher, origin: upstream.url, path: '/', method: 'POST', headers: {}, body: '{}', headersTimeoutMs: 5000, idleTimeoutMs: 5000 }, heard);
  call.pause();
  await expect.poll(() => heard.statuses).toEqual([200]);
  await expect.poll(() => upstream.calls[0]?.finished).toBe(true);
  expect(heard.bytes).toBe('');
  call.resume();
  await heard.over;
  expect(heard.bytes).toBe('{"ok":true}');
  lease.release();
});

test('a request that cannot even be written fails after the start has returned', async () => {
  await using upstream = await startScriptedUpstream({ reply: ok });
  const lease = pools.acquire(upstream.url);
  const heard = new Heard();
  startWireCall({ provider: 'test', dispatcher: lease.dispatcher, origin: upstream.url, path: '/', method: 'POST', headers: { 'x-a': 'b\r\nc: d' }, body: '{}', headersTimeoutMs: 5000, idleTimeoutMs: 5000 }, heard);
  expect(heard.error).toBeUndefined();
  await heard.over;
  expect(heard.error).toBeDefined();
  expect(upstream.calls).toHaveLength(0);
  lease.release();
});

test('a paused call stops the provider from sending', async () => {
  const large = Buffer.alloc(32 * 1024 * 1024, 'x');
  await using upstream = await startScriptedUpstream({ reply: { framing: 'chunked', steps: ['start', large] } });
  const lease = pools.acquire(upstream.url);
  const heard = new Heard();
  let paused = 0;
  const call = startWireCall({ provider: 'test', dispatcher: lease.dispatcher, origin: upstream.url, path: '/', method: 'POST', headers: {}, body: '{}', headersTimeoutMs: 5000, idleTimeoutMs: 30_000 }, {
    onHead: () => undefined,
    onBytes: (chunk) => {
      heard.bytes += 'x'.repeat(Math.min(1, chunk.length));
      paused += chunk.length;
      if (paused === chunk.length) call.pause();
    },
    onEnd: () => heard.onEnd(),
    onError: (error) => heard.onError(error),
  });
  await expect.poll(() => upstream.calls[0]?.blocked).toBe(true);
  expect(paused).toBeLessThan(large.length);
  call.resume();
  await heard.over;
  expect(heard.error).toBeUndefined();
  expect(paused).toBe(large.length + 5);
  lease.release();
});

test('a headers timeout also covers the wait for a free connection', async () => {
  await using upstream = await startScriptedUpstream({ reply: { steps: [], before: [{ end: 'stall' }] } });
  const lease = pools.acquire(upstream.url, { connections: 1 });
  const request = (headersTimeoutMs: number): WireRequest => ({ provider: 'test', dispatcher: lease.dispatcher, origin: upstream.url, path: '/', method: 'POST', headers: {}, body: '{}', headersTimeoutMs, idleTimeoutMs: 5000 });
  const holder = new Heard();
  const held = startWireCall(request(5000), holder);
  await expect.poll(() => upstream.calls.length).toBe(1);
  const waiting = new Heard();
  startWireCall(request(50), waiting);
  await waiting.over;
  expect(waiting.error?.fault).toBe('timeout');
  held.cancel();
  lease.release();
});
