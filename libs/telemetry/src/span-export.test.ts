import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { resourceFromAttributes } from '@opentelemetry/resources';
import { afterEach, expect, test, vi } from 'vitest';
import { createLogger } from './logger.ts';
import { TELEMETRY_SPANS_DROPPED, TELEMETRY_SPANS_EXPORTED } from './metric-names.ts';
import { createMetrics } from './metrics-registry.ts';
import { createSampler } from './sampler.ts';
import { startSpanExport, tracesUrl, type SpanExport } from './span-export.ts';
import { startTelemetry } from './start-telemetry.ts';
import { TraceIds } from './trace-ids.ts';
import { createTraces } from './traces.ts';

/** A field of a protobuf message as it lies on the wire: number, and the bytes, varint or fixed value. */
interface Field {
  readonly number: number;
  readonly bytes: Buffer;
  readonly value: bigint;
}

function readFields(message: Buffer): Field[] {
  const fields: Field[] = [];
  let at = 0;
  const varint = (): bigint => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = message[at++] ?? 0;
      value |= BigInt(byte & 127) << shift;
      if (byte < 128) return value;
    }
  };
  while (at < message.length) {
    const tag = Number(varint());
    const empty = Buffer.alloc(0);
    switch (tag & 7) {
      case 0:
        fields.push({ number: tag >>> 3, bytes: empty, value: varint() });
        break;
      case 1:
        fields.push({ number: tag >>> 3, bytes: message.subarray(at, at + 8), value: message.readBigUInt64LE(at) });
        at += 8;
        break;
      case 2: {
        const length = Number(varint());
        fields.push({ number: tag >>> 3, bytes: message.subarray(at, at + length), value: 0n });
        at += length;
        break;
      }
      case 5:
        fields.push({ number: tag >>> 3, bytes: message.subarray(at, at + 4), value: BigInt(message.readUInt32LE(at)) });
        at += 4;
        break;
      default:
        throw new Error(`wire type ${tag & 7}`);
    }
  }
  return fields;
}

const all = (message: Buffer, number: number): Buffer[] => readFields(message).filter((field) => field.number === number).map((field) => field.bytes);
const one = (message: Buffer, number: number): Field | undefined => readFields(message).find((field) => field.number === number);

function readAnyValue(message: Buffer): unknown {
  const [field] = readFields(message);
  switch (field?.number) {
    case 1:
      return field.bytes.toString();
    case 2:
      return field.value === 1n;
    case 3:
      return Number(BigInt.asIntN(64, field.value));
    case 4:
      return field.bytes.readDoubleLE(0);
    case 5:
      return all(field.bytes, 1).map(readAnyValue);
    default:
      return undefined;
  }
}

function readAttributes(message: Buffer, number: number): Record<string, unknown> {
  return Object.fromEntries(all(message, number).map((pair) => [one(pair, 1)?.bytes.toString() ?? '', readAnyValue(one(pair, 2)?.bytes ?? Buffer.alloc(0))]));
}

function readSpans(body: Buffer) {
  return all(body, 1).flatMap((resourceSpans) =>
    all(resourceSpans, 2).flatMap((scopeSpans) =>
      all(scopeSpans, 2).map((span) => ({
        resource: readAttributes(one(resourceSpans, 1)?.bytes ?? Buffer.alloc(0), 1),
        traceId: one(span, 1)?.bytes.toString('hex'),
        spanId: one(span, 2)?.bytes.toString('hex'),
        tracestate: one(span, 3)?.bytes.toString(),
        parentSpanId: one(span, 4)?.bytes.toString('hex'),
        name: one(span, 5)?.bytes.toString(),
        kind: Number(one(span, 6)?.value),
        startNanos: one(span, 7)?.value ?? 0n,
        endNanos: one(span, 8)?.value ?? 0n,
        attributes: readAttributes(span, 9),
        events: all(span, 11).map((event) => ({ name: one(event, 2)?.bytes.toString(), attributes: readAttributes(event, 3) })),
        status: { code: Number(one(one(span, 15)?.bytes ?? Buffer.alloc(0), 3)?.value), message: one(one(span, 15)?.bytes ?? Buffer.alloc(0), 2)?.bytes.toString() },
      })),
    ),
  );
}

type Handler = (request: IncomingMessage, response: ServerResponse) => void;
const cleanups: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0)) await cleanup();
});

async function startReceiver(answer: Handler = (_request, response) => response.writeHead(200, { 'content-type': 'application/x-protobuf' }).end()) {
  const spans: ReturnType<typeof readSpans> = [];
  const requests: IncomingMessage[] = [];
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      requests.push(request);
      spans.push(...readSpans(Buffer.concat(chunks)));
      answer(request, response);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  cleanups.push(() => {
    server.closeAllConnections();
    return new Promise<void>((resolve) => server.close(() => resolve()));
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, spans, requests };
}

function startExport(endpoint: string, limits: { maxQueuedSpans?: number; exportTimeoutMs?: number } = {}) {
  const lines: Record<string, unknown>[] = [];
  const logger = createLogger({ service: 'test', level: 'info', write: (line) => void lines.push(JSON.parse(line) as Record<string, unknown>) });
  const metrics = createMetrics({ processMetrics: false });
  const spanExport: SpanExport = startSpanExport({ endpoint, headers: { 'x-tenant': 'one' }, logger, metrics, batchDelayMs: 5, exportTimeoutMs: 200, ...limits });
  cleanups.push(() => spanExport.shutdown(0));
  const traces = createTraces({
    source: { ids: new TraceIds(), resource: resourceFromAttributes({ 'service.name': 'test' }), scope: { name: 'test', version: '1' }, onEnd: (span) => spanExport.add(span) },
    sampler: createSampler('always_on'),
    exporting: true,
  });
  const dropped = (reason: string): number => metrics.counter(TELEMETRY_SPANS_DROPPED).labels(reason).value;
  const exported = (): number => metrics.counter(TELEMETRY_SPANS_EXPORTED).labels().value;
  return { lines, spanExport, traces, dropped, exported };
}

test('spans reach an OTLP receiver as they were: resource, ids, links, times, kinds, attributes, events, status; shutdown sends what waits', async () => {
  const receiver = await startReceiver();
  const telemetry = startTelemetry({ serviceName: 'gateway', serviceVersion: '1.2.3', otlpEndpoint: `${receiver.url}/`, resourceAttributes: { 'k8s.pod.name': 'gateway-0' }, logLevel: 'silent', processMetrics: false });
  const startMs = Date.now() - 250;
  const request = telemetry.traces.begin('chat gpt-4o', { traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01', tracestate: 'v=1', startMs });
  request.set('llm.usage.prompt_tokens', 812);
  request.set('router.score', 0.91);
  request.set('router.candidates', ['openai/gpt-4o', 'groq/llama']);
  request.set('router.scores', [0.91, 0.4]);
  request.set('llm.stream', true);
  const attempt = request.child('provider openai', 'client');
  attempt.addEvent('first-byte', { ms: 12 });
  attempt.fail('provider_timeout', 'No byte in time.');
  attempt.end();
  request.end();
  await telemetry.shutdown(5000);

  const [first, second] = receiver.spans;
  expect(receiver.spans).toHaveLength(2);
  expect(first).toMatchObject({
    resource: { 'service.name': 'gateway', 'service.version': '1.2.3', 'k8s.pod.name': 'gateway-0' },
    traceId: '0af7651916cd43dd8448eb211c80319c',
    spanId: attempt.spanId,
    parentSpanId: request.spanId,
    tracestate: 'v=1',
    name: 'provider openai',
    kind: 3,
    attributes: { 'error.type': 'provider_timeout' },
    events: [{ name: 'first-byte', attributes: { ms: 12 } }],
    status: { code: 2, message: 'No byte in time.' },
  });
  expect(second).toMatchObject({
    spanId: request.spanId,
    parentSpanId: 'b7ad6b7169203331',
    name: 'chat gpt-4o',
    kind: 2,
    attributes: { 'llm.usage.prompt_tokens': 812, 'router.score': 0.91, 'router.candidates': ['openai/gpt-4o', 'groq/llama'], 'router.scores': [0.91, 0.4], 'llm.stream': true },
    status: { code: 0 },
  });
  expect(second?.startNanos).toBe(BigInt(startMs) * 1_000_000n);
  expect(Number((second?.endNanos ?? 0n) - (second?.startNanos ?? 0n))).toBeGreaterThanOrEqual(249e6);
  expect(receiver.requests[0]?.url).toBe('/v1/traces');
  expect(receiver.requests[0]?.headers['content-type']).toBe('application/x-protobuf');
});

test('many spans arrive complete, in batches, with the configured headers', async () => {
  const receiver = await startReceiver();
  const { traces, spanExport, exported, dropped } = startExport(receiver.url, { exportTimeoutMs: 5000 });
  for (let index = 0; index < 3000; index += 1) traces.begin('chat').end();
  await spanExport.shutdown(5000);
  expect(receiver.spans).toHaveLength(3000);
  expect(new Set(receiver.spans.map((span) => span.spanId)).size).toBe(3000);
  expect(receiver.requests.length).toBeLessThan(10);
  expect(receiver.requests[0]?.headers['x-tenant']).toBe('one');
  expect([exported(), dropped('queue_full'), dropped('export_failed')]).toEqual([3000, 0, 0]);
});

test.each([
  ['is not there', undefined],
  ['answers 400', 400],
  ['answers 500', 500],
])('a receiver that %s costs spans, one log line and nothing else; another line when it works again', async (_name, status) => {
  let failing = true;
  const receiver = await startReceiver((request, response) => {
    if (failing && status === undefined) request.socket.destroy();
    else response.writeHead(failing ? (status ?? 200) : 200).end();
  });
  const { traces, lines, dropped, exported } = startExport(receiver.url);
  for (let batch = 1; batch <= 3; batch += 1) {
    traces.begin('chat').end();
    await vi.waitFor(() => expect(dropped('export_failed')).toBe(batch), { timeout: 5000 });
  }
  expect(lines.map((line) => [line['level'], line['msg'], line['state']])).toEqual([['warn', 'spans cannot be exported', 'failing']]);
  failing = false;
  traces.begin('chat').end();
  await vi.waitFor(() => expect(exported()).toBe(1), { timeout: 5000 });
  expect(lines.map((line) => line['state'])).toEqual(['failing', 'working']);
});

test('a receiver that never answers: the queue is bounded, what is more is counted, shutdown keeps to its time', async () => {
  const receiver = await startReceiver(() => undefined);
  const { traces, spanExport, dropped, lines } = startExport(receiver.url, { maxQueuedSpans: 100, exportTimeoutMs: 60_000 });
  // The first full batch is handed to the transport at once and never ends; the next hundred wait; the rest has no place.
  for (let index = 0; index < 1000; index += 1) traces.begin('chat').end();
  expect(dropped('queue_full')).toBe(800);
  await spanExport.shutdown(50);
  expect(dropped('shutdown')).toBe(200);
  expect(lines.map((line) => line['msg'])).toEqual(['spans were lost at shutdown']);
  traces.begin('after').end();
  expect(dropped('shutdown') + dropped('queue_full')).toBe(1001);
});

test('the endpoint of the specification gets its signal path, with or without a slash', () => {
  expect(tracesUrl('http://collector:4318')).toBe('http://collector:4318/v1/traces');
  expect(tracesUrl('http://collector:4318/otlp/')).toBe('http://collector:4318/otlp/v1/traces');
});
