import { spawn } from 'node:child_process';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { context, SpanKind, trace, TraceFlags } from '@opentelemetry/api';
import { resourceFromAttributes } from '@opentelemetry/resources';
import { afterEach, expect, test, vi } from 'vitest';
import { createLogger } from './logger.ts';
import { TELEMETRY_SPANS_DROPPED, TELEMETRY_SPANS_EXPORTED } from './metric-names.ts';
import { createMetrics } from './metrics-registry.ts';
import { createSampler } from './sampler.ts';
import { startSpanExport, tracesUrl, type SpanExport } from './span-export.ts';
import { startTelemetry, type TelemetrySettings } from './start-telemetry.ts';
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
        scope: one(one(scopeSpans, 1)?.bytes ?? Buffer.alloc(0), 1)?.bytes.toString(),
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

const origin = { resource: resourceFromAttributes({ 'service.name': 'test' }), scope: { name: 'test', version: '1' } };

function startExport(endpoint: string, limits: { maxQueuedSpans?: number; exportTimeoutMs?: number } = {}) {
  const lines: Record<string, unknown>[] = [];
  const logger = createLogger({ service: 'test', level: 'info', write: (line) => void lines.push(JSON.parse(line) as Record<string, unknown>) });
  const metrics = createMetrics({ processMetrics: false });
  const spanExport: SpanExport = startSpanExport({ endpoint, headers: { 'x-tenant': 'one' }, origin, logger, metrics, batchDelayMs: 5, exportTimeoutMs: 200, ...limits });
  cleanups.push(() => spanExport.shutdown(0));
  const traces = createTraces({
    source: { ids: new TraceIds(), ...origin, onEnd: (span) => spanExport.add(span) },
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
  // A hundred are handed to the transport, which never ends with them; the rest has no place.
  for (let index = 0; index < 1000; index += 1) traces.begin('chat').end();
  expect(dropped('queue_full')).toBe(900);
  await spanExport.shutdown(50);
  expect(dropped('shutdown')).toBe(100);
  expect(lines.map((line) => line['msg'])).toEqual(['spans were lost at shutdown']);
  traces.begin('after').end();
  expect(dropped('shutdown') + dropped('queue_full')).toBe(1001);
});

test('the endpoint of the specification gets its signal path, with or without a slash', () => {
  expect(tracesUrl('http://collector:4318')).toBe('http://collector:4318/v1/traces');
  expect(tracesUrl('http://collector:4318/otlp/')).toBe('http://collector:4318/otlp/v1/traces');
});

async function startWithLibraries(endpoint: string, settings: Partial<TelemetrySettings> = {}) {
  const lines: Record<string, unknown>[] = [];
  const telemetry = startTelemetry({
    serviceName: 'gateway', serviceVersion: '1.2.3', otlpEndpoint: endpoint, resourceAttributes: { 'k8s.pod.name': 'gateway-0' }, logLevel: 'info', processMetrics: false,
    writeLine: (line) => void lines.push(JSON.parse(line) as Record<string, unknown>), ...settings,
  });
  cleanups.push(() => telemetry.shutdown(0));
  await telemetry.librariesTraced;
  return { telemetry, lines };
}

test('a span of a library and one of ours reach the same receiver with the same resource; shutdown sends both', async () => {
  const receiver = await startReceiver();
  const { telemetry, lines } = await startWithLibraries(receiver.url);
  const tracer = trace.getTracer('some-library', '4.5.6');
  const remote = { traceId: '0af7651916cd43dd8448eb211c80319c', spanId: 'b7ad6b7169203331', traceFlags: TraceFlags.SAMPLED, isRemote: true };
  tracer.startSpan('library call', { kind: SpanKind.CLIENT, attributes: { 'library.items': 3, long: 'x'.repeat(5000) } }, trace.setSpanContext(context.active(), remote)).end();
  const own = telemetry.traces.begin('chat');
  own.end();
  await telemetry.shutdown(5000);

  const library = receiver.spans.find((span) => span.name === 'library call');
  expect(library).toMatchObject({ scope: 'some-library', traceId: remote.traceId, parentSpanId: remote.spanId, kind: 3, attributes: { 'library.items': 3, long: 'x'.repeat(4096) } });
  const ours = receiver.spans.find((span) => span.spanId === own.spanId);
  expect(ours?.scope).toBe('@pointsman/telemetry');
  expect(library?.resource).toEqual({ 'service.name': 'gateway', 'service.version': '1.2.3', 'k8s.pod.name': 'gateway-0' });
  expect(library?.resource).toEqual(ours?.resource);
  expect(telemetry.metrics.counter(TELEMETRY_SPANS_EXPORTED).labels().value).toBe(2);
  expect(lines.filter((line) => line['level'] !== 'info')).toEqual([]);
});

test('the configured sampler decides on spans of libraries too, and goes with the parent where it says so', async () => {
  const receiver = await startReceiver();
  const { telemetry } = await startWithLibraries(receiver.url, { sampler: 'parentbased_always_off' });
  const tracer = trace.getTracer('some-library');
  const under = (traceFlags: TraceFlags) => trace.setSpanContext(context.active(), { traceId: '0af7651916cd43dd8448eb211c80319c', spanId: 'b7ad6b7169203331', traceFlags, isRemote: true });
  tracer.startSpan('root').end();
  tracer.startSpan('under an unsampled one', {}, under(TraceFlags.NONE)).end();
  tracer.startSpan('under a sampled one', {}, under(TraceFlags.SAMPLED)).end();
  await telemetry.shutdown(5000);
  expect(receiver.spans.map((span) => span.name)).toEqual(['under a sampled one']);
});

test('spans of a library do not hold up the shutdown when the receiver never answers, and are counted as lost', async () => {
  const receiver = await startReceiver(() => undefined);
  const { telemetry, lines } = await startWithLibraries(receiver.url);
  trace.getTracer('some-library').startSpan('library call').end();
  telemetry.traces.begin('chat').end();
  await telemetry.shutdown(50);
  expect(telemetry.metrics.counter(TELEMETRY_SPANS_DROPPED).labels('shutdown').value).toBe(2);
  expect(lines.map((line) => line['msg'])).toEqual(['spans were lost at shutdown']);
});

test('after the shutdown, and when it comes before the SDK is loaded, libraries make spans that nobody keeps', async () => {
  const receiver = await startReceiver();
  const { telemetry } = await startWithLibraries(receiver.url);
  expect(trace.getTracer('some-library').startSpan('before').isRecording()).toBe(true);
  await telemetry.shutdown(5000);
  expect(trace.getTracer('some-library').startSpan('after').isRecording()).toBe(false);
  const early = startTelemetry({ serviceName: 'gateway', serviceVersion: '1', otlpEndpoint: receiver.url, logLevel: 'silent', processMetrics: false });
  await early.shutdown(5000);
  await early.librariesTraced;
  expect(trace.getTracer('some-library').startSpan('early').isRecording()).toBe(false);
});

interface ChildReport {
  readonly loaded: readonly string[];
  readonly signals: readonly number[];
  readonly meters: string;
  readonly fields: readonly string[];
}

/** Starts telemetry in a process of its own and reports which modules it loaded and what it installed there. */
async function startInChild(endpoint: string | undefined, env: Record<string, string> = {}): Promise<{ report: ChildReport; otherOutput: string }> {
  const script = `import { registerHooks } from 'node:module';
const loaded = [];
registerHooks({ load(url, context, next) { loaded.push(url); return next(url, context); } });
const { startTelemetry } = await import(${JSON.stringify(new URL('./index.ts', import.meta.url).href)});
const telemetry = startTelemetry({ serviceName: 'child', serviceVersion: '1', otlpEndpoint: ${JSON.stringify(endpoint)}, logLevel: 'info', processMetrics: false });
await telemetry.librariesTraced;
const { diag, logs, metrics, propagation, trace } = await import(${JSON.stringify(import.meta.resolve('@opentelemetry/api'))});
trace.getTracer('some-library').startSpan('library call').end();
telemetry.traces.begin('chat').end();
logs.getLogger('some-library').emit({ body: 'a log record that goes nowhere' });
diag.error('what the SDK would write in plain text');
const signals = ['SIGTERM', 'SIGINT', 'SIGHUP', 'uncaughtException', 'unhandledRejection', 'beforeExit'].map((name) => process.listenerCount(name));
const meters = metrics.getMeterProvider().constructor.name;
const fields = propagation.fields();
await telemetry.shutdown(5000);
process.stdout.write('REPORT' + JSON.stringify({ loaded, signals, meters, fields }));`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...env } });
  let output = '';
  let errors = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (output += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (errors += text));
  await new Promise((resolve) => child.on('close', resolve));
  const [before = '', report = '{}'] = output.split('REPORT');
  return { report: JSON.parse(report) as ChildReport, otherOutput: before + errors };
}

test('without an endpoint nothing of the SDK for Node is loaded, with one it is', async () => {
  const receiver = await startReceiver();
  const ofSdk = (urls: readonly string[]) => urls.filter((url) => /@opentelemetry\/(sdk-node|instrumentation|exporter-|context-async-hooks)/.test(url));
  const without = await startInChild(undefined);
  expect(without.otherOutput).toBe('');
  expect(without.report.loaded.some((url) => url.endsWith('/start-telemetry.ts'))).toBe(true);
  expect(ofSdk(without.report.loaded)).toEqual([]);
  expect(ofSdk((await startInChild(receiver.url)).report.loaded).length).toBeGreaterThan(5);
});

test('the SDK takes nothing from the environment: no metrics, logs, propagators, resource, sampler, limits or console output of its own, and no handlers', async () => {
  const receiver = await startReceiver();
  const { report, otherOutput } = await startInChild(receiver.url, {
    OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url, OTEL_EXPORTER_OTLP_HEADERS: 'x-surprise=1', OTEL_METRICS_EXPORTER: 'otlp,console', OTEL_LOGS_EXPORTER: 'otlp,console', OTEL_TRACES_EXPORTER: 'console',
    OTEL_PROPAGATORS: 'tracecontext,baggage,b3', OTEL_NODE_RESOURCE_DETECTORS: 'all', OTEL_RESOURCE_ATTRIBUTES: 'surprise=1', OTEL_SERVICE_NAME: 'surprise',
    OTEL_TRACES_SAMPLER: 'always_off', OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT: '0', OTEL_LOG_LEVEL: 'info', OTEL_BSP_MAX_QUEUE_SIZE: '1',
  });
  expect(otherOutput.trim().split('\n').map((line) => (JSON.parse(line) as { msg: string }).msg)).toEqual(['spans are being exported']);
  expect(report.signals).toEqual([0, 0, 0, 0, 0, 0]);
  expect(report.meters).toBe('NoopMeterProvider');
  expect(report.fields).toEqual([]);
  expect(new Set(receiver.requests.map((request) => `${String(request.url)} ${String(request.headers['x-surprise'])}`))).toEqual(new Set(['/v1/traces undefined']));
  expect(receiver.spans.map((span) => [span.name, span.resource]).sort()).toEqual(['chat', 'library call'].map((name) => [name, { 'service.name': 'child', 'service.version': '1' }]));
});
