import { join } from 'node:path';
import { openObjectStore } from '@pointsman/object-store';
import { startHealthServer, type HealthReport } from '@pointsman/service';
import { metric, type OtlpPartialSuccess, type ReceivedSpan, type Telemetry } from '@pointsman/telemetry';
import { systemClock, type Clock } from '@pointsman/timing';
import { createForwarder } from './forward-otlp.ts';
import { readSpan, type ReceivedRecord } from './received-record.ts';
import { OtlpRefusal } from './read-otlp-body.ts';
import { startOtlpReceiver } from './receive-otlp.ts';
import { RowSpool } from './row-spool.ts';
import type { TraceExporterSettings } from './settings.ts';
import { RowWriter } from './write-rows.ts';

/** How long a stop may take to write what is left: a pod that ends takes its disk with it. */
const LAST_FLUSH_MS = 18_000;
const LAST_FORWARD_MS = 3_000;

export interface RunningTraceExporter {
  /** Of the OTLP receiver. */
  readonly url: string;
  readonly healthUrl: string;
  /** Takes no more, writes what is there without waiting for feedback, and closes. What the store does not take in time waits on disk. */
  stop(): Promise<void>;
}

/** Builds the parts and serves. */
export async function startTraceExporter(settings: TraceExporterSettings, telemetry: Telemetry, clock: Clock = systemClock): Promise<RunningTraceExporter> {
  const { logger, metrics } = telemetry;
  await telemetry.librariesTraced;
  const rows = metrics.counter(metric.TRACE_ROWS);
  const dropped = metrics.counter(metric.TRACE_ROWS_DROPPED);
  const received = metrics.counter(metric.TRACE_RECEIVED);
  // Shown from the start: an alert on a rate needs the zero before the first loss.
  for (const reason of ['spool_full', 'unreadable', 'too_large']) dropped.labels(reason);
  const losses = logger.oncePerState('rows lost');
  // Filled below: the port is taken before the spool is opened.
  const open: { spool?: RowSpool; writer?: RowWriter } = {};

  function take(spans: readonly ReceivedSpan[]): OtlpPartialSuccess | undefined {
    if (open.spool === undefined) throw new OtlpRefusal(503, 'Not ready yet.');
    const records: ReceivedRecord[] = [];
    for (const span of spans) {
      const record = readSpan(span);
      if (record === 'skipped') rows.labels('skipped').inc();
      else if (record !== undefined) records.push(record);
    }
    const { duplicates, tooLarge } = open.spool.append(records);
    if (duplicates > 0) rows.labels('duplicate').inc(duplicates);
    if (tooLarge === 0) return undefined;
    dropped.labels('too_large').inc(tooLarge);
    return { rejected: tooLarge, message: 'The rows of this request are larger than half of SPOOL_MAX_BYTES.' };
  }

  const forwards = metrics.counter(metric.TRACE_FORWARDS);
  const forwarder = settings.forward === undefined ? undefined : createForwarder({
    ...settings.forward,
    onOutcome: (signal, outcome, reason) => {
      forwards.labels(signal, outcome).inc();
      if (outcome === 'ok') logger.oncePerState('forward').change('well', 'info', 'what is received is forwarded');
      else logger.oncePerState('forward').change(outcome, 'warn', 'what is received is not forwarded', { outcome, reason });
    },
  });
  // The port first: two processes of one pod must not write to one spool, and only one of them has the port.
  const receiver = await startOtlpReceiver({
    port: settings.otlpPort, host: settings.otlpHost, onSpans: take, onRequest: forwarder === undefined ? undefined : (request) => forwarder.add(request),
    onAnswer: (signal, outcome) => received.labels(signal, outcome).inc(),
    onError: (error) => logger.oncePerState('receiver').change(String(error), 'error', 'spans cannot be taken: their senders are told to come again', { reason: error }),
  });
  const spool: RowSpool = new RowSpool({
    directory: join(settings.spoolDir, 'traces'), podName: settings.podName, maxBytes: settings.spoolMaxBytes, flushIntervalMs: settings.flushIntervalMs, clock,
    inHand: () => open.writer?.inHand,
    onDropped: (reason, count) => {
      dropped.labels(reason).inc(count);
      losses.change(reason, 'error', 'rows are lost', { reason, rows: count });
    },
  });
  const store = await openObjectStore(settings.storeUrl, { maxAttempts: 2, ...(settings.storeEndpoint === undefined ? {} : { endpoint: settings.storeEndpoint }) });
  const writer = new RowWriter({ spool, store, joinWindowMs: settings.joinWindowMs, spoolMaxBytes: settings.spoolMaxBytes, telemetry, clock });
  open.writer = writer;
  open.spool = spool;

  const [spoolRows, spoolBytes, spoolAge] = [metrics.gauge(metric.TRACE_SPOOL_ROWS), metrics.gauge(metric.TRACE_SPOOL_BYTES), metrics.gauge(metric.TRACE_SPOOL_OLDEST_SECONDS)];
  metrics.onCollect(() => {
    const { rows: waiting, bytes, oldestAtMs } = spool.backlog;
    spoolRows.labels().set(waiting);
    spoolBytes.labels().set(bytes);
    spoolAge.labels().set(oldestAtMs === undefined ? 0 : (clock.now() - oldestAtMs) / 1000);
  });
  const health = await startHealthServer({
    port: settings.healthPort, ...(settings.healthHost === undefined ? {} : { host: settings.healthHost }), path: '/health/trace-exporter', metrics,
    status: (): HealthReport => {
      const { lastAttemptAt, lastSuccessAt, failures, lastKey, failure } = writer.state;
      const { rows: waiting, bytes } = spool.backlog;
      return {
        status: failures > 0 ? 'degraded' : 'ok', revision: lastKey, last_attempt_at: lastAttemptAt, last_success_at: lastSuccessAt, consecutive_failures: failures,
        spool: { rows: waiting, bytes, max_bytes: settings.spoolMaxBytes }, ...(failure === undefined ? {} : { reason: failure }),
      };
    },
  });
  const { rows: inherited } = spool.backlog;
  logger.info('listening', { url: receiver.url, port: receiver.port, health_url: health.url, store: store.url, spool_dir: settings.spoolDir, inherited_rows: inherited, flush_interval_ms: settings.flushIntervalMs, join_window_ms: settings.joinWindowMs });

  return {
    url: receiver.url,
    healthUrl: health.url,
    async stop() {
      await receiver.close();
      await Promise.all([writer.flush(AbortSignal.timeout(LAST_FLUSH_MS)), forwarder?.close(AbortSignal.timeout(LAST_FORWARD_MS))]);
      spool.close();
      const { rows: left } = spool.backlog;
      if (left > 0) logger.warn('rows are left on disk for the next start', { rows: left });
      store.close();
      await health.close();
    },
  };
}
