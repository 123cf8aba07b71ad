import { setTimeout as sleep } from 'node:timers/promises';
import { once } from 'node:events';
import { Agent, createServer, request, type IncomingMessage } from 'node:http';
import { connect, type AddressInfo } from 'node:net';
import { gunzipSync } from 'node:zlib';
import { chatChunks, createGate, eventually, json, sse, startScriptedUpstream, type Script } from '@pointsman/testing';
import { expect, test } from 'vitest';
import { deployment, MASTER_KEY, question, startGatewayUnderTest, type GatewayUnderTest } from './gateway-under-test.ts';
import { readStream, type StreamedReply } from './streamed-reply.ts';

const STREAMS = 50;
/** What Kubernetes waits by default before it kills is 30 s; a pod of ours is given 35. */
const LONGEST_EXIT_MS = 35_000;

/** A stream that stands still after its first words until the gate opens. */
function heldStream(gate: { readonly opened: Promise<void> }): Script {
  const { steps, ...rest } = sse(chatChunks(['One ', 'two ', 'three']));
  return { ...rest, steps: [...steps.slice(0, 3), { until: gate.opened }, ...steps.slice(3)] };
}

interface OpenStream {
  /** Settles when the first words are there. */
  readonly begun: Promise<void>;
  /** The whole reply; rejects when the connection breaks. */
  readonly reply: Promise<StreamedReply>;
}

function openStream(gateway: GatewayUnderTest, requestId: string): OpenStream {
  const begun = Promise.withResolvers<void>();
  const reply = gateway.post('/v1/chat/completions', { model: 'held', stream: true, ...question }, { headers: { 'x-request-id': requestId } }).then(async (response) => {
    const [first, second] = response.body?.tee() ?? [];
    const reader = first?.getReader();
    const decoder = new TextDecoder();
    for (let text = ''; !text.includes('two '); ) {
      const { value, done } = await reader?.read() ?? { value: undefined, done: true };
      if (done) break;
      text += decoder.decode(value, { stream: true });
    }
    begun.resolve();
    // The other branch has all of it; this one must not hold it back.
    void reader?.cancel();
    return readStream(new Response(second ?? null, { status: response.status, headers: response.headers }));
  });
  reply.catch((error: unknown) => begun.reject(error));
  return { begun: begun.promise, reply };
}

interface PlainReply {
  readonly status: number;
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
  readonly reusedSocket: boolean;
}

function send(gateway: GatewayUnderTest, path: string, { agent, body }: { readonly agent?: Agent; readonly body?: object } = {}): Promise<PlainReply> {
  return new Promise((resolve, reject) => {
    const sent = request(`${gateway.url}${path}`, {
      method: body === undefined ? 'GET' : 'POST', ...(agent === undefined ? {} : { agent }), headers: { authorization: `Bearer ${MASTER_KEY}`, 'content-type': 'application/json' },
    }, (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (chunk: string) => { text += chunk; });
      response.on('end', () => resolve({ status: response.statusCode ?? 0, headers: response.headers, body: text, reusedSocket: sent.reusedSocket }));
      response.on('error', reject);
    });
    sent.on('error', reject);
    sent.end(body === undefined ? undefined : JSON.stringify(body));
  });
}

interface SpanReceiver extends AsyncDisposable {
  readonly url: string;
  /** All the bytes that came, as text: ids and attributes stand in them as they are. */
  received(): string;
}

async function startSpanReceiver(): Promise<SpanReceiver> {
  let text = '';
  const server = createServer((req, res) => {
    const chunks: Buffer[] = [];
    req.on('data', (chunk: Buffer) => chunks.push(chunk));
    req.on('end', () => {
      const body = Buffer.concat(chunks);
      text += (req.headers['content-encoding'] === 'gzip' ? gunzipSync(body) : body).toString('latin1');
      res.writeHead(200, { 'content-type': 'application/x-protobuf' }).end();
    });
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${String((server.address() as AddressInfo).port)}`,
    received: () => text,
    [Symbol.asyncDispose]: async () => {
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
    },
  };
}

function expectQuietLog(gateway: GatewayUnderTest): void {
  expect(gateway.output()).not.toContain('connection closed unexpectedly');
  expect(gateway.logs().filter(({ level }) => level !== 'debug' && level !== 'info' && level !== 'warn')).toEqual([]);
}

async function expectDraining(gateway: GatewayUnderTest): Promise<void> {
  await eventually(async () => expect((await send(gateway, '/health/readiness')).status).toBe(503));
}

test('at SIGTERM every stream finishes whole, new work is sent elsewhere, the last spans are delivered and the process ends with 0', async () => {
  const gate = createGate();
  await using receiver = await startSpanReceiver();
  await using upstream = await startScriptedUpstream({ scripts: { held: heldStream(gate), quick: json({ id: 'x', object: 'chat.completion', created: 1, model: 'quick', choices: [{ index: 0, message: { role: 'assistant', content: 'ok' }, finish_reason: 'stop' }] }) } });
  await using gateway = await startGatewayUnderTest({
    config: { model_list: [deployment('held', upstream, 'held'), deployment('quick', upstream, 'quick')] },
    env: { OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url },
  });
  const keptAlive = new Agent({ keepAlive: true, maxSockets: 1 });
  const idle = new Agent({ keepAlive: true, maxSockets: 1 });
  const quick = { model: 'quick', ...question };
  expect(await send(gateway, '/v1/chat/completions', { agent: keptAlive, body: quick })).toMatchObject({ status: 200 });
  expect(await send(gateway, '/v1/chat/completions', { agent: idle, body: quick })).toMatchObject({ status: 200 });
  const ids = Array.from({ length: STREAMS }, (_, index) => `stream-number-${String(index)}-of-the-drain`);
  const streams = ids.map((id) => openStream(gateway, id));
  await Promise.all(streams.map(({ begun }) => begun));
  expect(await gateway.metric('active_llm_streams')).toBe(STREAMS);

  const stoppedAt = performance.now();
  gateway.signal('SIGTERM');
  await expectDraining(gateway);
  expect(await send(gateway, '/health/liveliness')).toMatchObject({ status: 200 });
  expect(await send(gateway, '/metrics')).toMatchObject({ status: 200 });
  const onOldSocket = await send(gateway, '/v1/chat/completions', { agent: keptAlive, body: quick });
  expect(onOldSocket.reusedSocket).toBe(true);
  const onNewSocket = await send(gateway, '/v1/chat/completions', { body: quick });
  for (const refused of [onOldSocket, onNewSocket]) {
    expect(refused.status).toBe(503);
    expect(refused.headers.connection).toBe('close');
    expect(Number(refused.headers['retry-after'])).toBeGreaterThan(0);
    expect(JSON.parse(refused.body)).toMatchObject({ error: { message: expect.any(String), type: 'service_unavailable', code: 'gateway_draining' } });
  }
  const refusedMessages = await send(gateway, '/v1/messages', { body: { ...quick, max_tokens: 10 } });
  expect(refusedMessages.status).toBe(503);
  expect(JSON.parse(refusedMessages.body)).toMatchObject({ type: 'error', error: { type: 'overloaded_error' } });

  gate.open();
  for (const { reply } of streams) {
    const { text, endings, errors, isDone } = await reply;
    expect({ text, endings, errors, isDone }).toEqual({ text: 'One two three', endings: ['stop'], errors: [], isDone: true });
  }
  expect(await gateway.ended).toBe(0);
  expect(performance.now() - stoppedAt).toBeLessThan(LONGEST_EXIT_MS);
  expectQuietLog(gateway);
  expect(gateway.logs().filter(({ level }) => level === 'warn').map(({ msg }) => msg).filter((msg) => msg !== 'config warning')).toEqual([]);
  expect(ids.filter((id) => !receiver.received().includes(id))).toEqual([]);
  keptAlive.destroy();
  idle.destroy();
}, 90_000);

test('a stream longer than SHUTDOWN_STREAM_TIMEOUT_S gets one error frame and a defined end, a waiting request a 503', async () => {
  const gate = createGate();
  await using upstream = await startScriptedUpstream({ scripts: { held: heldStream(gate), slow: { before: [{ until: gate.opened }], steps: [] } } });
  await using gateway = await startGatewayUnderTest({
    config: { model_list: [deployment('held', upstream, 'held'), deployment('slow', upstream, 'slow')] }, env: { SHUTDOWN_STREAM_TIMEOUT_S: '2' },
  });
  const stream = openStream(gateway, 'too-long');
  const waiting = send(gateway, '/v1/chat/completions', { body: { model: 'slow', ...question } });
  await stream.begun;
  await eventually(() => upstream.calls.length === 2);

  gateway.signal('SIGTERM');
  const reply = await stream.reply;
  expect(reply.text).toBe('One two ');
  expect(reply.errors).toHaveLength(1);
  expect(reply.errors[0]?.json).toMatchObject({ error: { code: 'gateway_draining', type: 'service_unavailable' } });
  expect(reply.frames.at(-1)).toBe(reply.errors[0]);
  expect(reply.endings).toEqual([]);
  expect(reply.isDone).toBe(false);
  const refused = await waiting;
  expect(refused.status).toBe(503);
  expect(refused.headers['retry-after']).toBeDefined();
  expect(await gateway.ended).toBe(0);
  expect(upstream.calls.every(({ aborted }) => aborted)).toBe(true);
  expectQuietLog(gateway);
}, 60_000);

test('a client that never reads cannot keep the process', async () => {
  await using upstream = await startScriptedUpstream({ reply: sse(chatChunks(Array.from({ length: 800 }, () => 'x'.repeat(65_536)))) });
  await using gateway = await startGatewayUnderTest({ config: { model_list: [deployment('endless', upstream, 'endless')] }, env: { SHUTDOWN_STREAM_TIMEOUT_S: '0.5' } });
  const socket = connect({ port: Number(new URL(gateway.url).port), host: '127.0.0.1' });
  socket.on('error', () => undefined);
  await once(socket, 'connect');
  socket.pause();
  const body = JSON.stringify({ model: 'endless', stream: true, ...question });
  socket.write(`POST /v1/chat/completions HTTP/1.1\r\nhost: gateway\r\nauthorization: Bearer ${MASTER_KEY}\r\ncontent-type: application/json\r\ncontent-length: ${String(body.length)}\r\n\r\n${body}`);
  await eventually(() => upstream.calls[0]?.blocked === true);
  expect(await gateway.stop('SIGTERM', LONGEST_EXIT_MS)).toBe(0);
  expectQuietLog(gateway);
  socket.destroy();
}, 60_000);

test('SIGINT drains like SIGTERM, SIGHUP meanwhile kills nothing, and an idle gateway ends at once', async () => {
  const gate = createGate();
  await using upstream = await startScriptedUpstream({ scripts: { held: heldStream(gate) } });
  await using gateway = await startGatewayUnderTest({ config: { model_list: [deployment('held', upstream, 'held')] } });
  const stream = openStream(gateway, 'drained-by-sigint');
  await stream.begun;
  gateway.signal('SIGINT');
  await expectDraining(gateway);
  gateway.signal('SIGHUP');
  expect((await send(gateway, '/health/liveliness')).status).toBe(200);
  gate.open();
  expect(await stream.reply).toMatchObject({ text: 'One two three', endings: ['stop'], errors: [], isDone: true });
  expect(await gateway.ended).toBe(0);
  expectQuietLog(gateway);

  await using unused = await startGatewayUnderTest({ config: { model_list: [deployment('held', upstream, 'held')] } });
  expect(await unused.stop('SIGTERM', 10_000)).toBe(0);
}, 90_000);

test('the second signal ends the process at once with 1', async () => {
  await using upstream = await startScriptedUpstream({ scripts: { held: heldStream(createGate()) } });
  await using gateway = await startGatewayUnderTest({ config: { model_list: [deployment('held', upstream, 'held')] } });
  const stream = openStream(gateway, 'given-up');
  stream.reply.catch(() => undefined);
  await stream.begun;
  gateway.signal('SIGTERM');
  await expectDraining(gateway);
  // Within half a second it would count as an echo of the first.
  await sleep(600);
  gateway.signal('SIGINT');
  expect(await gateway.ended).toBe(1);
  expect(gateway.logs()).toContainEqual(expect.objectContaining({ msg: 'forced to stop', level: 'warn' }));
  await expect(stream.reply).rejects.toThrow();
}, 60_000);
