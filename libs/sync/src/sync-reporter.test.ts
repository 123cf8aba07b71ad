import { syncHealthSchema } from '@pointsman/schemas';
import { startTelemetry, type Traces } from '@pointsman/telemetry';
import { ManualClock } from '@pointsman/timing';
import { expect, test } from 'vitest';
import { NoGatewayError } from './apply/gateway-door.ts';
import { createSyncReporter, type SyncReporter } from './sync-reporter.ts';
import type { SyncResult } from './sync-steps.ts';

const AT = 1_700_000_000_000;

async function start(published?: string): Promise<{ reporter: SyncReporter; clock: ManualClock; lines: Record<string, unknown>[]; values(): Promise<Record<string, number>>; disk: { published: string | undefined } }> {
  const lines: Record<string, unknown>[] = [];
  const telemetry = startTelemetry({ serviceName: 'test', serviceVersion: '0', logLevel: 'info', processMetrics: false, writeLine: (line) => lines.push(JSON.parse(line) as Record<string, unknown>) });
  const clock = new ManualClock(AT);
  const disk = { published };
  const reporter = await createSyncReporter({ app: 'config-sync', telemetry, clock, published: () => Promise.resolve(disk.published), isStoreFailure: (failure) => failure instanceof Error && failure.message === 'store' });
  return {
    reporter, clock, lines, disk,
    values: async () => Object.fromEntries((await telemetry.metrics.exposition()).text.split('\n').filter((line) => line !== '' && !line.startsWith('#')).map((line) => [line.slice(0, line.lastIndexOf(' ')), Number(line.slice(line.lastIndexOf(' ') + 1))])),
  };
}

const ok = (result: SyncResult) => () => Promise.resolve(result);
const fails = (message: string) => () => Promise.reject(new Error(message));

test('starting until something is published, ok while in step, degraded while the store is away, ok again', async () => {
  const { reporter, clock, values } = await start();
  expect(reporter.health()).toEqual({ status: 'starting', revision: null, last_attempt_at: null, last_success_at: null, consecutive_failures: 0 });
  await expect(reporter.pass(fails('store'))).rejects.toThrow('store');
  expect(reporter.health()).toMatchObject({ status: 'starting', consecutive_failures: 1 });
  expect(await values()).toMatchObject({ 'gateway_degraded_mode{service="s3"}': 1, 'sync_passes_total{app="config-sync",outcome="failed"}': 1, 'sync_passes_total{app="config-sync",outcome="published"}': 0 });
  clock.advance(1_000);
  await reporter.pass(async ({ fetched }) => {
    fetched(100);
    fetched(20);
    clock.advance(500);
    return Promise.resolve({ outcome: 'published', revision: 'r1', serving: 'r1' });
  });
  expect(reporter.health()).toEqual({ status: 'ok', revision: 'r1', last_attempt_at: new Date(AT + 1_000).toISOString(), last_success_at: new Date(AT + 1_500).toISOString(), consecutive_failures: 0 });
  expect(await values()).toMatchObject({
    'gateway_degraded_mode{service="s3"}': 0, 'sync_passes_total{app="config-sync",outcome="published"}': 1, 'sync_published_info{app="config-sync",revision="r1"}': 1,
    'sync_bytes_total{app="config-sync"}': 120, 'sync_last_success_timestamp_seconds{app="config-sync"}': (AT + 1_500) / 1000, 'sync_pass_duration_seconds_count{app="config-sync"}': 2,
  });
  for (let n = 1; n <= 2; n += 1) {
    await expect(reporter.pass(fails('store'))).rejects.toThrow();
    expect(reporter.health()).toMatchObject({ status: 'degraded', revision: 'r1', consecutive_failures: n });
  }
  await reporter.pass(ok({ outcome: 'published', revision: 'r2', serving: 'r2' }));
  expect(reporter.health()).toMatchObject({ status: 'ok', revision: 'r2' });
  expect(Object.keys(await values()).filter((name) => name.startsWith('sync_published_info'))).toEqual(['sync_published_info{app="config-sync",revision="r2"}']);
  syncHealthSchema.parse(reporter.health());
});

test('rejected content keeps the status, names what is refused, is logged once with the trace, and is gone when something good comes', async () => {
  const { reporter, lines } = await start('r1');
  for (let n = 0; n < 3; n += 1) {
    await reporter.pass(({ rejected }) => {
      rejected({ revision: 'bad', reason: 'model_list[0].x: not a key' });
      return Promise.resolve({ outcome: 'rejected', revision: 'bad', serving: 'r1' });
    });
  }
  expect(reporter.health()).toMatchObject({ status: 'ok', revision: 'r1', rejected: { revision: 'bad', reason: 'model_list[0].x: not a key' }, consecutive_failures: 0, last_success_at: null });
  const told = lines.filter(({ msg }) => msg === 'content rejected');
  expect(told).toHaveLength(1);
  expect(told[0]).toMatchObject({ level: 'error', rejected_revision: 'bad', serving: 'r1', trace_id: expect.stringMatching(/^[0-9a-f]{32}$/) as string });
  await reporter.pass(({ rejected }) => {
    rejected(undefined);
    return Promise.resolve({ outcome: 'published', revision: 'r2', serving: 'r2' });
  });
  expect(reporter.health()).not.toHaveProperty('rejected');
});

test('a failure that is not the store’s is degraded without blaming the store, one that repeats is one line, and stopping is none', async () => {
  const { reporter, values, lines, disk } = await start();
  disk.published = 'r1';
  for (let n = 0; n < 3; n += 1) await expect(reporter.pass(fails('no gateway'))).rejects.toThrow();
  expect(reporter.health()).toMatchObject({ status: 'degraded', revision: 'r1', consecutive_failures: 3 });
  expect(await values()).toMatchObject({ 'gateway_degraded_mode{service="s3"}': 0 });
  expect(lines.filter(({ msg }) => msg === 'pass failed')).toHaveLength(1);
  await expect(reporter.pass(() => Promise.reject(new DOMException('stopped', 'AbortError')))).rejects.toThrow('stopped');
  expect(reporter.health()).toMatchObject({ consecutive_failures: 3 });
});

test('each pass is one span that says what came of it, and its children hang below it', async () => {
  const telemetry = startTelemetry({ serviceName: 'test', serviceVersion: '0', logLevel: 'silent', processMetrics: false });
  const spans: { name: string; attributes: Record<string, unknown>; failed?: string; ended: boolean }[] = [];
  const traces: Traces = {
    begin(name, options) {
      const span = telemetry.traces.begin(name, options);
      const seen: (typeof spans)[number] = { name, attributes: {}, ended: false };
      spans.push(seen);
      return { ...span, traceId: span.traceId, spanId: span.spanId, set: (key, value) => void (seen.attributes[key] = value), fail: (code) => void (seen.failed = code), end: () => void (seen.ended = true), child: (child, kind) => span.child(child, kind) };
    },
  };
  const reporter = await createSyncReporter({ app: 'model-sync', telemetry: { ...telemetry, traces }, clock: new ManualClock(AT), published: () => Promise.resolve(undefined), isStoreFailure: () => false });
  await reporter.pass(({ span, fetched }) => {
    fetched(7);
    expect(span.child('object_store.read', 'client').traceId).toBe(span.traceId);
    return Promise.resolve({ outcome: 'published', revision: 'r1', serving: 'r1' });
  });
  await expect(reporter.pass(() => Promise.reject(new TypeError('broken')))).rejects.toThrow();
  expect(spans).toEqual([
    { name: 'model-sync.pass', ended: true, attributes: { 'sync.app': 'model-sync', 'sync.outcome': 'published', 'sync.revision': 'r1', 'sync.bytes': 7 } },
    { name: 'model-sync.pass', ended: true, failed: 'TypeError', attributes: { 'sync.app': 'model-sync', 'sync.outcome': 'failed' } },
  ]);
});

test('a gateway that starts beside its sidecars is waited for without a warning, one that does not come is warned of', async () => {
  const { reporter, clock, lines } = await start('r1');
  const absent = () => Promise.reject(new NoGatewayError('/run/gateway.pid does not exist'));
  await expect(reporter.pass(absent)).rejects.toThrow('No gateway runs');
  expect(lines.at(-1)).toMatchObject({ level: 'info', msg: 'waiting for the gateway to start' });
  clock.advance(31_000);
  await expect(reporter.pass(absent)).rejects.toThrow();
  expect(lines.at(-1)).toMatchObject({ level: 'warn', msg: 'pass failed' });
  await reporter.pass(ok({ outcome: 'unchanged', revision: 'r1', serving: 'r1' }));
  await expect(reporter.pass(absent)).rejects.toThrow();
  expect(lines.at(-1), 'it was there and is gone').toMatchObject({ level: 'warn' });
});
