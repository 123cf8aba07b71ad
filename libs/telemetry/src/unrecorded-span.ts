import type { Span } from './span.ts';

/**
 * A span that nobody keeps: it has ids, for log lines and for `traceparent`, and does nothing else.
 * Its children are itself, so that an unsampled request makes one object.
 */
export class UnrecordedSpan implements Span {
  readonly traceId: string;
  readonly spanId: string;
  readonly sampled: boolean;
  readonly tracestate: string | undefined;

  constructor(traceId: string, spanId: string, sampled: boolean, tracestate: string | undefined) {
    this.traceId = traceId;
    this.spanId = spanId;
    this.sampled = sampled;
    this.tracestate = tracestate;
  }

  get recording(): boolean {
    return false;
  }

  get traceparent(): string {
    return `00-${this.traceId}-${this.spanId}-${this.sampled ? '01' : '00'}`;
  }

  child(): Span {
    return this;
  }

  set(): void {}
  add(): void {}
  addEvent(): void {}
  fail(): void {}
  end(): void {}
}
