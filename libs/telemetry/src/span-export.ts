import { TraceFlags } from '@opentelemetry/api';
import { ExportResultCode } from '@opentelemetry/core';
import { createOtlpHttpExportDelegate, httpAgentFactoryFromOptions } from '@opentelemetry/otlp-exporter-base/node-http';
import { TraceExporterMetricsHelper } from '@opentelemetry/otlp-transformer';
import { BatchSpanProcessor, type ReadableSpan, type SpanExporter, type SpanProcessor } from '@opentelemetry/sdk-trace';
import type { Logger } from './logger.ts';
import { TELEMETRY_SPANS_DROPPED, TELEMETRY_SPANS_EXPORTED } from './metric-names.ts';
import type { Metrics } from './metrics-registry.ts';
import { createSpanSerializer } from './otlp-span-serializer.ts';

/** Spans per request to the receiver, and how many may wait: about 3 s of 1,000 requests/s with three spans each, some 15 MB. */
const BATCH_SPANS = 512;
const MAX_QUEUED_SPANS = 8192;
const BATCH_DELAY_MS = 1000;
const EXPORT_TIMEOUT_MS = 10_000;

export interface SpanExport {
  /** Takes an ended span; never blocks, drops and counts when the queue is full. */
  add(span: ReadableSpan): void;
  /** The same queue for the spans of a `TracerProvider`. */
  readonly processor: SpanProcessor;
  /** Sends what is waiting, for at most `timeoutMs`; what remains is counted as dropped. */
  shutdown(timeoutMs: number): Promise<void>;
}

export interface SpanExportSettings {
  /** The base URL of `OTEL_EXPORTER_OTLP_ENDPOINT`; `/v1/traces` is added. */
  readonly endpoint: string;
  /** `OTEL_EXPORTER_OTLP_HEADERS`, parsed. */
  readonly headers: Readonly<Record<string, string>>;
  readonly logger: Logger;
  readonly metrics: Metrics;
  readonly maxQueuedSpans?: number;
  /** How long an incomplete batch waits, in milliseconds. */
  readonly batchDelayMs?: number;
  /** Longest time for one batch, its retries included, in milliseconds. */
  readonly exportTimeoutMs?: number;
}

/** `http://host:4318` → `http://host:4318/v1/traces`, as the OTLP exporter specification says for the endpoint without a signal. */
export function tracesUrl(endpoint: string): string {
  return `${endpoint.replace(/\/+$/, '')}/v1/traces`;
}

/**
 * Batches ended spans and sends them as OTLP over HTTP with protobuf. A receiver that is down, slow or failing costs spans, never requests
 * or memory: the queue is bounded, drops are counted, and the log has one line when it starts to fail and one when it works again.
 */
export function startSpanExport({
  endpoint,
  headers,
  logger,
  metrics,
  maxQueuedSpans = MAX_QUEUED_SPANS,
  batchDelayMs = BATCH_DELAY_MS,
  exportTimeoutMs = EXPORT_TIMEOUT_MS,
}: SpanExportSettings): SpanExport {
  const batchSpans = Math.min(BATCH_SPANS, maxQueuedSpans);
  const delegate = createOtlpHttpExportDelegate<ReadableSpan[], unknown>(
    {
      url: tracesUrl(endpoint),
      headers: () => Promise.resolve({ ...headers, 'content-type': 'application/x-protobuf' }),
      timeoutMillis: exportTimeoutMs,
      // Shutting down sends every waiting batch at once.
      concurrencyLimit: Math.ceil(maxQueuedSpans / batchSpans) + 2,
      compression: 'none',
      agentFactory: httpAgentFactoryFromOptions({ keepAlive: true }),
    },
    createSpanSerializer(),
    'otlp_http_span_exporter',
    TraceExporterMetricsHelper,
    undefined,
  );
  const exported = metrics.counter(TELEMETRY_SPANS_EXPORTED).labels();
  const dropped = metrics.counter(TELEMETRY_SPANS_DROPPED);
  const droppedFull = dropped.labels('queue_full');
  const droppedFailed = dropped.labels('export_failed');
  const droppedShutdown = dropped.labels('shutdown');
  const state = logger.oncePerState('telemetry.span_export');
  let queued = 0;
  let sending = 0;
  let closed = false;

  const exporter: SpanExporter = {
    export: (spans, done) => {
      queued -= spans.length;
      sending += spans.length;
      delegate.export(spans, (result) => {
        sending -= spans.length;
        if (closed) return done(result);
        if (result.code === ExportResultCode.SUCCESS) {
          exported.inc(spans.length);
          state.change('working', 'info', 'spans are being exported');
        } else {
          droppedFailed.inc(spans.length);
          state.change('failing', 'warn', 'spans cannot be exported', { error: result.error });
        }
        done(result);
      });
    },
    shutdown: () => delegate.shutdown(),
    forceFlush: () => delegate.forceFlush(),
  };
  const batches = new BatchSpanProcessor({ exporter, maxQueueSize: maxQueuedSpans, maxExportBatchSize: batchSpans, scheduledDelayMillis: batchDelayMs, exportTimeoutMillis: exportTimeoutMs * 2 });

  function add(span: ReadableSpan): void {
    // Counted here, because the processor only tells a log how many it dropped.
    if (queued >= maxQueuedSpans || closed) {
      droppedFull.inc();
      return;
    }
    queued += 1;
    batches.onEnd(span);
  }

  return {
    add,
    processor: {
      onStart: () => undefined,
      onEnd(span) {
        // The batches skip what is not sampled; counted as queued, it would take its place for ever.
        if ((span.spanContext().traceFlags & TraceFlags.SAMPLED) !== 0) add(span);
      },
      forceFlush: () => batches.forceFlush(),
      shutdown: () => batches.shutdown(),
    },
    async shutdown(timeoutMs) {
      if (closed) return;
      const { promise: timedOut, resolve } = Promise.withResolvers<void>();
      const timer = setTimeout(resolve, timeoutMs);
      // A failed export was already counted and logged above.
      await Promise.race([batches.shutdown().catch(() => undefined), timedOut]);
      clearTimeout(timer);
      closed = true;
      if (queued + sending > 0) {
        droppedShutdown.inc(queued + sending);
        logger.warn('spans were lost at shutdown', { spans: queued + sending });
      }
    },
  };
}
