import { TraceFlags } from '@opentelemetry/api';
import { ExportResultCode, type ExportResult } from '@opentelemetry/core';
import { createOtlpHttpExportDelegate, httpAgentFactoryFromOptions } from '@opentelemetry/otlp-exporter-base/node-http';
import { ProtobufTraceSerializer } from '@opentelemetry/otlp-transformer';
import { BatchSpanProcessor, type SpanExporter, type SpanProcessor } from '@opentelemetry/sdk-trace';
import type { Logger } from './logger.ts';
import { TELEMETRY_SPANS_DROPPED, TELEMETRY_SPANS_EXPORTED } from './metric-names.ts';
import type { Metrics } from './metrics-registry.ts';
import { SpanEncoder, type SpanOrigin } from './otlp-span-serializer.ts';
import type { RecordedSpan } from './recorded-span.ts';

/** Spans per request to the receiver, and how many may wait: about 3 s of 1,000 requests/s with three spans each, some 15 MB. */
const BATCH_SPANS = 512;
const MAX_QUEUED_SPANS = 8192;
/** A batch goes out early when it has grown to this: prompts are not in spans, but 96 attributes of 4 KB may be. */
const BATCH_BYTES = 1024 * 1024;
const BATCH_DELAY_MS = 1000;
const EXPORT_TIMEOUT_MS = 10_000;

export interface SpanExport {
  /** Takes an ended span of ours; never blocks, drops and counts when too many wait to be sent. */
  add(span: RecordedSpan): void;
  /** The same way out for the spans of a `TracerProvider`: those that libraries make. */
  readonly processor: SpanProcessor;
  /** Sends what is waiting, for at most `timeoutMs`; what remains is counted as dropped. */
  shutdown(timeoutMs: number): Promise<void>;
}

export interface SpanExportSettings {
  /** The base URL of `OTEL_EXPORTER_OTLP_ENDPOINT`; `/v1/traces` is added. */
  readonly endpoint: string;
  /** `OTEL_EXPORTER_OTLP_HEADERS`, parsed. */
  readonly headers: Readonly<Record<string, string>>;
  /** What our own spans share: resource and scope. */
  readonly origin: SpanOrigin;
  readonly logger: Logger;
  readonly metrics: Metrics;
  readonly maxQueuedSpans?: number;
  /** How long an incomplete batch waits, in milliseconds. */
  readonly batchDelayMs?: number;
  /** Longest time for one batch, its retries included, in milliseconds. */
  readonly exportTimeoutMs?: number;
}

interface EncodedBatch {
  /** ExportTraceServiceRequest. */
  readonly request: Uint8Array;
  readonly spans: number;
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
  origin,
  logger,
  metrics,
  maxQueuedSpans = MAX_QUEUED_SPANS,
  batchDelayMs = BATCH_DELAY_MS,
  exportTimeoutMs = EXPORT_TIMEOUT_MS,
}: SpanExportSettings): SpanExport {
  const batchSpans = Math.min(BATCH_SPANS, maxQueuedSpans);
  const transport = createOtlpHttpExportDelegate<EncodedBatch, unknown>(
    {
      url: tracesUrl(endpoint),
      headers: () => Promise.resolve({ ...headers, 'content-type': 'application/x-protobuf' }),
      timeoutMillis: exportTimeoutMs,
      // Shutting down sends every waiting batch at once.
      concurrencyLimit: Math.ceil(maxQueuedSpans / batchSpans) * 2 + 4,
      compression: 'none',
      agentFactory: httpAgentFactoryFromOptions({ keepAlive: true }),
    },
    { serializeRequest: ({ request }) => request, deserializeResponse: (data) => ProtobufTraceSerializer.deserializeResponse(data) },
    'otlp_http_span_exporter',
    { name: 'span', countItems: ({ spans }) => spans },
    undefined,
  );
  const exported = metrics.counter(TELEMETRY_SPANS_EXPORTED).labels();
  const dropped = metrics.counter(TELEMETRY_SPANS_DROPPED);
  const droppedFull = dropped.labels('queue_full');
  const droppedFailed = dropped.labels('export_failed');
  const droppedShutdown = dropped.labels('shutdown');
  const state = logger.oncePerState('telemetry.span_export');
  const encoder = new SpanEncoder(origin);
  let timer: NodeJS.Timeout | undefined;
  let sending = 0;
  let queuedLibrarySpans = 0;
  let closed = false;
  let idle: (() => void) | undefined;

  function send(batch: EncodedBatch, done?: (result: ExportResult) => void): void {
    sending += batch.spans;
    transport.export(batch, (result) => {
      sending -= batch.spans;
      if (!closed) {
        if (result.code === ExportResultCode.SUCCESS) {
          exported.inc(batch.spans);
          state.change('working', 'info', 'spans are being exported');
        } else {
          droppedFailed.inc(batch.spans);
          state.change('failing', 'warn', 'spans cannot be exported', { error: result.error });
        }
      }
      done?.(result);
      if (sending === 0) idle?.();
    });
  }

  function flush(): void {
    clearTimeout(timer);
    timer = undefined;
    if (encoder.count === 0) return;
    const spans = encoder.count;
    const request = encoder.take();
    // After a failure a socket may still hold on to the bytes; a receiver that answered well has read them.
    send({ request, spans }, ({ code }) => {
      if (code === ExportResultCode.SUCCESS) encoder.reuse(request);
    });
  }

  const libraryExporter: SpanExporter = {
    export(spans, done) {
      queuedLibrarySpans -= spans.length;
      const request = ProtobufTraceSerializer.serializeRequest(spans);
      if (request === undefined) done({ code: ExportResultCode.SUCCESS });
      else send({ request, spans: spans.length }, done);
    },
    shutdown: () => Promise.resolve(),
    forceFlush: () => Promise.resolve(),
  };
  const libraryBatches = new BatchSpanProcessor({
    exporter: libraryExporter, maxQueueSize: maxQueuedSpans, maxExportBatchSize: batchSpans, scheduledDelayMillis: batchDelayMs, exportTimeoutMillis: exportTimeoutMs * 2,
  });

  return {
    add(span) {
      if (closed || encoder.count + sending >= maxQueuedSpans) {
        droppedFull.inc();
        return;
      }
      encoder.add(span);
      if (encoder.count >= batchSpans || encoder.bytes >= BATCH_BYTES) flush();
      else timer ??= setTimeout(flush, batchDelayMs).unref();
    },
    processor: {
      onStart: () => undefined,
      onEnd(span) {
        // The batches skip what is not sampled; counted as queued, it would take its place for ever.
        if ((span.spanContext().traceFlags & TraceFlags.SAMPLED) === 0) return;
        if (closed || queuedLibrarySpans >= maxQueuedSpans) {
          droppedFull.inc();
          return;
        }
        queuedLibrarySpans += 1;
        libraryBatches.onEnd(span);
      },
      forceFlush: () => libraryBatches.forceFlush(),
      shutdown: () => libraryBatches.shutdown(),
    },
    async shutdown(timeoutMs) {
      if (closed) return;
      const { promise: timedOut, resolve } = Promise.withResolvers<void>();
      const limit = setTimeout(resolve, timeoutMs);
      flush();
      const sent = (async () => {
        // A failed export was already counted and logged above.
        await libraryBatches.shutdown().catch(() => undefined);
        if (sending > 0) await new Promise<void>((done) => { idle = done; });
        await transport.shutdown();
      })();
      await Promise.race([sent, timedOut]);
      clearTimeout(limit);
      closed = true;
      const lost = encoder.count + queuedLibrarySpans + sending;
      if (lost > 0) {
        droppedShutdown.inc(lost);
        logger.warn('spans were lost at shutdown', { spans: lost });
      }
    },
  };
}
