import { codeAt } from './code-at.ts';

/** What a `traceparent` header says about the caller's span. Ids are lower-case hex. */
export interface TraceParent {
  readonly traceId: string;
  readonly spanId: string;
  readonly sampled: boolean;
}

const ZERO_TRACE_ID = '0'.repeat(32);
const ZERO_SPAN_ID = '0'.repeat(16);
const DASH = 45;

function isLowerHex(text: string, from: number, to: number): boolean {
  for (let index = from; index < to; index += 1) {
    const code = codeAt(text, index);
    if (!((code >= 48 && code <= 57) || (code >= 97 && code <= 102))) return false;
  }
  return true;
}

/**
 * Reads a `traceparent` header; undefined when it is not valid, which means: start a new trace.
 * Strict as W3C Trace Context (https://www.w3.org/TR/trace-context/#traceparent-header) asks: lower-case hex only, no zero ids,
 * version `ff` refused, version `00` exactly 55 characters; a higher version may carry more after a further dash.
 */
export function parseTraceParent(header: string | undefined): TraceParent | undefined {
  if (header === undefined || header.length < 55 || header.length > 256) return undefined;
  if (codeAt(header, 2) !== DASH || codeAt(header, 35) !== DASH || codeAt(header, 52) !== DASH) return undefined;
  if (!isLowerHex(header, 0, 2) || !isLowerHex(header, 3, 35) || !isLowerHex(header, 36, 52) || !isLowerHex(header, 53, 55)) return undefined;
  if (header.startsWith('ff')) return undefined;
  if (header.length > 55 && (header.startsWith('00') || codeAt(header, 55) !== DASH)) return undefined;
  const traceId = header.slice(3, 35);
  const spanId = header.slice(36, 52);
  if (traceId === ZERO_TRACE_ID || spanId === ZERO_SPAN_ID) return undefined;
  return { traceId, spanId, sampled: (Number.parseInt(header.slice(53, 55), 16) & 1) === 1 };
}

/** W3C asks to carry at least 512 characters of `tracestate`; what is longer is dropped whole rather than cut in the middle of an entry. */
const MAX_TRACESTATE_LENGTH = 512;

/** The `tracestate` to pass on, unchanged, or undefined when it is empty, too long or holds anything but printable ASCII. */
export function acceptTraceState(header: string | undefined): string | undefined {
  if (header === undefined || header.length === 0 || header.length > MAX_TRACESTATE_LENGTH) return undefined;
  for (let index = 0; index < header.length; index += 1) {
    const code = codeAt(header, index);
    if ((code < 32 && code !== 9) || code > 126) return undefined;
  }
  return header;
}
