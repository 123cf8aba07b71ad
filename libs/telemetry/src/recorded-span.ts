import { SpanKind, SpanStatusCode, TraceFlags, type Attributes, type HrTime, type Link, type SpanContext, type SpanStatus } from '@opentelemetry/api';
import type { InstrumentationScope } from '@opentelemetry/core';
import type { Resource } from '@opentelemetry/resources';
import type { ReadableSpan, TimedEvent } from '@opentelemetry/sdk-trace';
import type { AttributeSet } from './attribute-set.ts';
import { ERROR_TYPE } from './attribute-names.ts';
import type { AttributeValue, Span, SpanKindName } from './span.ts';
import type { TraceIds } from './trace-ids.ts';

/** What one span may hold, in the number of attributes and events and in the characters of a text. */
export const MAX_ATTRIBUTES = 96;
export const MAX_EVENTS = 32;
export const MAX_STRING_LENGTH = 4096;
const NO_LINKS: Link[] = [];
const NO_EVENTS: TimedEvent[] = [];

const KINDS: Readonly<Record<SpanKindName, SpanKind>> = { server: SpanKind.SERVER, client: SpanKind.CLIENT, internal: SpanKind.INTERNAL };

/** What the spans of one process share. */
export interface SpanSource {
  readonly ids: TraceIds;
  readonly resource: Resource;
  readonly scope: InstrumentationScope;
  readonly onEnd: (span: RecordedSpan) => void;
}

export interface RecordedSpanStart {
  readonly traceId: string;
  readonly parentSpanId: string | undefined;
  readonly parentIsRemote: boolean;
  readonly tracestate: string | undefined;
  readonly kind: SpanKindName;
  /** Milliseconds since the epoch, with a fraction. */
  readonly startMs: number;
  /** Add this to `performance.now()` to get milliseconds since the epoch: one value per trace, so that a clock step cannot tear it. */
  readonly clockOffsetMs: number;
}

/** Milliseconds since the epoch, or a duration, as seconds and nanoseconds. */
export function toHrTime(epochMs: number): HrTime {
  const seconds = Math.floor(epochMs / 1000);
  return [seconds, Math.round((epochMs - seconds * 1000) * 1e6)];
}

function bounded(value: AttributeValue): AttributeValue {
  return typeof value === 'string' && value.length > MAX_STRING_LENGTH ? value.slice(0, MAX_STRING_LENGTH) : value;
}

/**
 * A span that is kept. It is at once our `Span` and the SDK's `ReadableSpan`, so that it goes to the SDK's batch processor as it is,
 * without Tracer and Context: those cost several times the span itself. Attributes lie in one flat list (key, value, key, value …):
 * an object with this many changing keys would fall back to a dictionary.
 */
export class RecordedSpan implements Span, ReadableSpan {
  readonly name: string;
  readonly kind: SpanKind;
  readonly traceId: string;
  readonly spanId: string;
  readonly tracestate: string | undefined;
  readonly parentSpanId: string | undefined;
  readonly parentIsRemote: boolean;
  readonly startMs: number;
  endMs = 0;
  /** Key, value, key, value … */
  readonly attributeList: (string | AttributeValue)[] = [];
  /** Attributes shared with other spans; they come before the list. */
  readonly attributeSets: AttributeSet[] = [];
  statusCode: SpanStatusCode = SpanStatusCode.UNSET;
  statusMessage: string | undefined = undefined;
  droppedAttributesCount = 0;
  droppedEventsCount = 0;
  readonly #source: SpanSource;
  readonly #clockOffsetMs: number;
  #events: TimedEvent[] = NO_EVENTS;
  #traceparent: string | undefined = undefined;

  constructor(source: SpanSource, name: string, start: RecordedSpanStart) {
    this.#source = source;
    this.name = name;
    this.kind = KINDS[start.kind];
    this.traceId = start.traceId;
    this.spanId = source.ids.spanId();
    this.parentSpanId = start.parentSpanId;
    this.parentIsRemote = start.parentIsRemote;
    this.tracestate = start.tracestate;
    this.startMs = start.startMs;
    this.#clockOffsetMs = start.clockOffsetMs;
  }

  get sampled(): boolean {
    return true;
  }

  get recording(): boolean {
    return this.endMs === 0;
  }

  get traceparent(): string {
    return (this.#traceparent ??= `00-${this.traceId}-${this.spanId}-01`);
  }

  set(key: string, value: AttributeValue | undefined): void {
    if (value === undefined || this.endMs !== 0) return;
    const list = this.attributeList;
    for (let index = 0; index < list.length; index += 2) {
      if (list[index] === key) {
        list[index + 1] = bounded(value);
        return;
      }
    }
    if (list.length >= MAX_ATTRIBUTES * 2) this.droppedAttributesCount += 1;
    else list.push(key, bounded(value));
  }

  add(set: AttributeSet): void {
    if (this.endMs === 0) this.attributeSets.push(set);
  }

  child(name: string, kind: 'internal' | 'client', startedAt = performance.now()): RecordedSpan {
    return new RecordedSpan(this.#source, name, {
      traceId: this.traceId,
      parentSpanId: this.spanId,
      parentIsRemote: false,
      tracestate: this.tracestate,
      kind,
      startMs: this.#clockOffsetMs + startedAt,
      clockOffsetMs: this.#clockOffsetMs,
    });
  }

  addEvent(name: string, attributes?: Readonly<Record<string, AttributeValue>>): void {
    if (this.endMs !== 0) return;
    if (this.#events.length >= MAX_EVENTS) {
      this.droppedEventsCount += 1;
      return;
    }
    if (this.#events === NO_EVENTS) this.#events = [];
    const kept: Record<string, AttributeValue> = {};
    for (const [key, value] of Object.entries(attributes ?? {})) kept[key] = bounded(value);
    this.#events.push({ name, time: toHrTime(this.#clockOffsetMs + performance.now()), attributes: kept as Attributes, droppedAttributesCount: 0 });
  }

  fail(code: string, description?: string): void {
    if (this.endMs !== 0) return;
    this.set(ERROR_TYPE, code);
    this.statusCode = SpanStatusCode.ERROR;
    this.statusMessage = (description ?? code).slice(0, 1024);
  }

  end(endedAt = performance.now()): void {
    if (this.endMs !== 0) return;
    // A caller may have started the span in the future of this clock; a span never lasts less than nothing.
    this.endMs = Math.max(this.startMs, this.#clockOffsetMs + endedAt);
    this.#source.onEnd(this);
  }

  // The SDK's view, formatted only when an exporter asks.

  spanContext(): SpanContext {
    const state = this.tracestate;
    const context: SpanContext = { traceId: this.traceId, spanId: this.spanId, traceFlags: TraceFlags.SAMPLED };
    if (state === undefined) return context;
    return { ...context, traceState: { get: () => undefined, set: () => { throw new TypeError('A finished span does not change.'); }, unset: () => { throw new TypeError('A finished span does not change.'); }, serialize: () => state } };
  }

  get parentSpanContext(): SpanContext | undefined {
    if (this.parentSpanId === undefined) return undefined;
    return { traceId: this.traceId, spanId: this.parentSpanId, traceFlags: TraceFlags.SAMPLED, isRemote: this.parentIsRemote };
  }

  get startTime(): HrTime {
    return toHrTime(this.startMs);
  }

  get endTime(): HrTime {
    return toHrTime(this.endMs);
  }

  get duration(): HrTime {
    return toHrTime(this.endMs - this.startMs);
  }

  get ended(): boolean {
    return this.endMs !== 0;
  }

  get attributes(): Attributes {
    const attributes: Record<string, AttributeValue> = {};
    for (const { list } of this.attributeSets) {
      for (let index = 0; index + 1 < list.length; index += 2) attributes[String(list[index])] = list[index + 1] as AttributeValue;
    }
    for (let index = 0; index + 1 < this.attributeList.length; index += 2) {
      attributes[String(this.attributeList[index])] = this.attributeList[index + 1] as AttributeValue;
    }
    return attributes as Attributes;
  }

  get status(): SpanStatus {
    return this.statusMessage === undefined ? { code: this.statusCode } : { code: this.statusCode, message: this.statusMessage };
  }

  get events(): TimedEvent[] {
    return this.#events;
  }

  get links(): Link[] {
    return NO_LINKS;
  }

  get droppedLinksCount(): number {
    return 0;
  }

  get resource(): Resource {
    return this.#source.resource;
  }

  get instrumentationScope(): InstrumentationScope {
    return this.#source.scope;
  }
}
