import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { chatChunks, createGate, eventually, json, readProcessTree, sse, startScriptedUpstream, type Script, type ScriptedUpstream, type UpstreamCall } from '@pointsman/testing';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { deployment, MASTER_KEY, question, startGatewayUnderTest, type GatewayUnderTest } from './gateway-under-test.ts';

const never = createGate();
const MEGABYTE = 1024 * 1024;
const PIECE = 'x'.repeat(64 * 1024);
const PIECES = 800; // 50 MB
const begun = chatChunks(['One ', 'two ', 'three ']).slice(0, -1);

const heldStream: Script = { ...sse(begun, { done: false }), steps: [...sse(begun, { done: false }).steps, { until: never.opened }] };
const SCRIPTS: Readonly<Record<string, Script>> = {
  'held-stream': heldStream,
  'held-translated': heldStream,
  'held-before-the-head': { before: [{ until: never.opened }], steps: [] },
  'held-in-the-body': { headers: { 'content-type': 'application/json', 'content-length': '1000' }, steps: ['{"id":', { until: never.opened }] },
  'silent-stream': { ...sse([], { done: false }), steps: [{ until: never.opened }] },
  'asks-to-wait': json({ error: { message: 'busy', type: 'server_error' } }, { status: 500, headers: { 'retry-after': '2' } }),
  'endless': sse(chatChunks(Array.from({ length: PIECES }, () => PIECE))),
};

let upstream: ScriptedUpstream;
let gateway: GatewayUnderTest;

beforeAll(async () => {
  upstream = await startScriptedUpstream({ scripts: SCRIPTS });
  gateway = await startGatewayUnderTest({
    config: {
      model_list: Object.keys(SCRIPTS).map((name) => deployment(name, upstream, name, { params: { input_cost_per_token: 0.001, output_cost_per_token: 0.01 } })),
      router_settings: { num_retries: 2, disable_cooldowns: true },
    },
  });
}, 60_000);

afterAll(async () => {
  await gateway[Symbol.asyncDispose]();
  await upstream.close();
});

function callOf(model: string): UpstreamCall | undefined {
  return upstream.calls.find(({ json: body }) => (body as { readonly model?: string }).model === model);
}

const activeStreams = (): Promise<number> => gateway.metric('active_llm_streams');

describe('a client that leaves', () => {
  test.each([
    ['held-stream', '/v1/chat/completions', { model: 'held-stream', stream: true, ...question }],
    ['held-translated', '/v1/messages', { model: 'held-translated', stream: true, max_tokens: 10, ...question }],
  ])('in the middle of a stream stops the call, pays for what was streamed and is no longer counted: %s', async (model, path, body) => {
    const client = new AbortController();
    const response = await gateway.post(path, body, { signal: client.signal });
    const reader = response.body?.getReader();
    const decoder = new TextDecoder();
    for (let text = ''; !text.includes('three '); ) text += decoder.decode((await reader?.read())?.value, { stream: true });
    expect(await activeStreams()).toBe(1);
    expect(callOf(model)?.aborted).toBe(false);

    client.abort();
    await eventually(() => callOf(model)?.aborted === true);
    await eventually(async () => expect(await activeStreams()).toBe(0));
    await eventually(async () => expect(await gateway.metric('gateway_streams_ended_total', { model, outcome: 'client_gone' })).toBe(1));
    expect(await gateway.metric('active_streams_count')).toBe(0);
    expect(await gateway.metric('gateway_tokens_total', { model, type: 'completion' })).toBe(4);
    expect(await gateway.metric('gateway_spend_usd_total', { model })).toBeCloseTo(12 * 0.001 + 4 * 0.01, 9);
    expect(await gateway.metric('gateway_provider_attempts_total', { model, outcome: 'cancelled' })).toBe(1);
  });

  test('before a stream has any content stops the call', async () => {
    const client = new AbortController();
    const response = gateway.post('/v1/chat/completions', { model: 'silent-stream', stream: true, ...question }, { signal: client.signal }).catch(() => undefined);
    await eventually(() => callOf('silent-stream') !== undefined);
    client.abort();
    await eventually(() => callOf('silent-stream')?.aborted === true);
    await eventually(async () => expect(await activeStreams()).toBe(0));
    expect(await response).toBeUndefined();
  });

  test.each(['held-before-the-head', 'held-in-the-body'])('while it waits for a whole reply stops the call: %s', async (model) => {
    const client = new AbortController();
    const response = gateway.post('/v1/chat/completions', { model, ...question }, { signal: client.signal }).catch(() => undefined);
    await eventually(() => callOf(model) !== undefined);
    client.abort();
    await eventually(() => callOf(model)?.aborted === true);
    await eventually(async () => expect(await gateway.metric('gateway_requests_total', { model, status: '499' })).toBe(1));
    await eventually(async () => expect(await gateway.metric('gateway_inflight_requests')).toBe(0));
    expect(await response).toBeUndefined();
  });

  test('while the gateway waits before a retry is not retried for', async () => {
    const client = new AbortController();
    const response = gateway.post('/v1/chat/completions', { model: 'asks-to-wait', ...question }, { signal: client.signal }).catch(() => undefined);
    await eventually(async () => expect(await gateway.metric('gateway_retries_total', { model: 'asks-to-wait' })).toBe(1));
    client.abort();
    await eventually(async () => expect(await gateway.metric('gateway_requests_total', { model: 'asks-to-wait', status: '499' })).toBe(1));
    expect(await response).toBeUndefined();
    // Another request waits out the same two seconds: by its retry the one that was given up would have been sent too.
    await gateway.post('/v1/chat/completions', { model: 'asks-to-wait', ...question, num_retries: 1 });
    expect(upstream.calls.filter(({ json: body }) => (body as { model?: string }).model === 'asks-to-wait')).toHaveLength(3);
  });
});

describe('a client that does not read', () => {
  test('holds the provider back instead of filling the memory of the gateway, and gets all once it reads', async () => {
    const rssBefore = readProcessTree(gateway.pid).rssBytes;
    const socket = connect({ port: Number(new URL(gateway.url).port), host: '127.0.0.1' });
    await once(socket, 'connect');
    socket.pause();
    const body = JSON.stringify({ model: 'endless', stream: true, ...question });
    socket.write(`POST /v1/chat/completions HTTP/1.1\r\nhost: gateway\r\nauthorization: Bearer ${MASTER_KEY}\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: ${String(body.length)}\r\n\r\n${body}`);
    await eventually(() => callOf('endless')?.blocked === true, { timeoutMs: 30_000 });
    // Blocked for good, not for a moment: a whole round trip through the gateway later nothing has moved.
    const moved = async (): Promise<number> => {
      const before = callOf('endless')?.bytesSent ?? 0;
      for (let round = 0; round < 20; round += 1) await gateway.get('/health/liveliness');
      return (callOf('endless')?.bytesSent ?? 0) - before;
    };
    await eventually(async () => expect(await moved()).toBe(0), { timeoutMs: 30_000 });
    expect(callOf('endless')?.bytesSent).toBeLessThan(25 * MEGABYTE);
    expect(readProcessTree(gateway.pid).rssBytes - rssBefore).toBeLessThan(64 * MEGABYTE);
    expect(callOf('endless')?.finished).toBe(false);

    const received = await readToEnd(socket);
    expect(received.bytes).toBeGreaterThan(PIECES * PIECE.length);
    expect(received.tail).toContain('data: [DONE]');
    expect(callOf('endless')?.finished).toBe(true);
    await eventually(async () => expect(await activeStreams()).toBe(0));
  }, 120_000);
});

async function readToEnd(socket: Socket): Promise<{ readonly bytes: number; readonly tail: string }> {
  let bytes = 0;
  let tail = '';
  socket.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
    tail = (tail + chunk.toString('latin1')).slice(-200);
  });
  socket.resume(); // it was paused by hand: a listener alone does not start it
  await once(socket, 'close');
  return { bytes, tail };
}
