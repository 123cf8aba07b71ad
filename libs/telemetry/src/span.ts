import type { AttributeSet } from './attribute-set.ts';

/** What an attribute of a span may hold. */
export type AttributeValue = string | number | boolean | readonly string[] | readonly number[];
export type SpanKindName = 'server' | 'client' | 'internal';

/**
 * One span of a trace. All methods are cheap no-ops once the span has ended, or when nothing records the trace.
 * Names and attribute keys come from this code (`attribute-names.ts`), never from a client.
 */
export interface Span {
  /** 32 lower-case hex digits. */
  readonly traceId: string;
  /** 16 lower-case hex digits. */
  readonly spanId: string;
  /** The sampled flag that goes on in `traceparent`. */
  readonly sampled: boolean;
  /** Whether attributes are kept: lets a caller skip work that only feeds attributes. */
  readonly recording: boolean;
  /** The header to send to whatever this span calls. */
  readonly traceparent: string;
  /** The caller's `tracestate`, to pass on unchanged. */
  readonly tracestate: string | undefined;
  /** Sets an attribute; the last value of a key counts, `undefined` is ignored. Long strings are cut at 4,096 characters; 96 attributes are kept. */
  set(key: string, value: AttributeValue | undefined): void;
  /** Adds attributes that other spans have too. A key of the set must not be set otherwise on this span. */
  add(set: AttributeSet): void;
  /** Starts a span below this one; `startedAt` in the milliseconds of `performance.now()`, which is the default. */
  child(name: string, kind: 'internal' | 'client', startedAt?: number): Span;
  /** Notes something that happened now. 32 events are kept. */
  addEvent(name: string, attributes?: Readonly<Record<string, AttributeValue>>): void;
  /** Marks the span as failed: status `error`, attribute `error.type` = `code`. The description must be free of secrets. */
  fail(code: string, description?: string): void;
  /** Ends the span, `endedAt` as in `child`; the second call does nothing. */
  end(endedAt?: number): void;
}

export type RequestSpan = Span;
