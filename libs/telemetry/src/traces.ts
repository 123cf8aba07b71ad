import { RecordedSpan, type SpanSource } from './recorded-span.ts';
import type { Sampler } from './sampler.ts';
import type { RequestSpan, SpanKindName } from './span.ts';
import { acceptTraceState, parseTraceParent } from './trace-context.ts';
import { UnrecordedSpan } from './unrecorded-span.ts';

export interface BeginOptions {
  /** The caller's `traceparent` header; an invalid one starts a new trace. */
  readonly traceparent?: string | undefined;
  /** The caller's `tracestate` header; kept only with a valid `traceparent`. */
  readonly tracestate?: string | undefined;
  /** When the work began, in milliseconds since the epoch; now when absent. */
  readonly startMs?: number | undefined;
  /** `server` for a request (default), `internal` for work that this process starts itself. */
  readonly kind?: SpanKindName | undefined;
}

/** Starts traces. */
export interface Traces {
  begin(name: string, options?: BeginOptions): RequestSpan;
}

export interface TracesParts {
  readonly source: SpanSource;
  readonly sampler: Sampler;
  /** False when no exporter is configured: spans then carry ids only. */
  readonly exporting: boolean;
}

const NO_OPTIONS: BeginOptions = {};

export function createTraces({ source, sampler, exporting }: TracesParts): Traces {
  return {
    begin(name, options = NO_OPTIONS) {
      const parent = parseTraceParent(options.traceparent);
      const traceId = parent === undefined ? source.ids.traceId() : parent.traceId;
      const tracestate = parent === undefined ? undefined : acceptTraceState(options.tracestate);
      const sampled = sampler(traceId, parent?.sampled);
      if (!sampled || !exporting) return new UnrecordedSpan(traceId, source.ids.spanId(), sampled, tracestate);
      const nowMs = Date.now();
      return new RecordedSpan(source, name, {
        traceId,
        parentSpanId: parent?.spanId,
        parentIsRemote: parent !== undefined,
        tracestate,
        kind: options.kind ?? 'server',
        startMs: options.startMs ?? nowMs,
        clockOffsetMs: nowMs - performance.now(),
      });
    },
  };
}
