import { MalformedOtlpError, MAX_DEPTH, MAX_SPAN_ATTRIBUTES, MAX_SPANS, type ReceivedSpan, type ReceivedValue } from './received-span.ts';

// OTLP in JSON (https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding): camelCase keys, ids in hex, 64-bit integers as text or numbers. Unknown keys are ignored.

type JsonRecord = Readonly<Record<string, unknown>>;

function recordOf(value: unknown): JsonRecord {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as JsonRecord;
  throw new MalformedOtlpError('An object was expected.');
}

function listOf(value: unknown): readonly unknown[] {
  if (value === undefined || value === null) return [];
  if (Array.isArray(value)) return value;
  throw new MalformedOtlpError('A list was expected.');
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

/** The spans of an ExportTraceServiceRequest. @throws MalformedOtlpError */
export function decodeTracesJson(text: string): ReceivedSpan[] {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch (error) {
    throw new MalformedOtlpError('The body is not JSON.', { cause: error });
  }
  const spans: ReceivedSpan[] = [];
  for (const resourceSpans of listOf(recordOf(parsed)['resourceSpans'])) {
    for (const scopeSpans of listOf(recordOf(resourceSpans)['scopeSpans'])) {
      for (const span of listOf(recordOf(scopeSpans)['spans'])) {
        if (spans.length >= MAX_SPANS) throw new MalformedOtlpError(`More than ${String(MAX_SPANS)} spans in one request.`);
        spans.push(readSpan(recordOf(span)));
      }
    }
  }
  return spans;
}

function readSpan(span: JsonRecord): ReceivedSpan {
  const attributes = new Map<string, ReceivedValue>();
  for (const pair of listOf(span['attributes']).slice(0, MAX_SPAN_ATTRIBUTES)) {
    const { key, value } = recordOf(pair);
    attributes.set(textOf(key), readValue(value, 0));
  }
  return {
    traceId: textOf(span['traceId']).toLowerCase(), spanId: textOf(span['spanId']).toLowerCase(), name: textOf(span['name']),
    startMs: milliseconds(span['startTimeUnixNano']), endMs: milliseconds(span['endTimeUnixNano']), attributes,
  };
}

function milliseconds(nanoseconds: unknown): number {
  const value = Number(nanoseconds ?? 0) / 1e6;
  return Number.isFinite(value) ? value : 0;
}

function readValue(value: unknown, depth: number): ReceivedValue {
  if (value === undefined || value === null) return null;
  const { stringValue, boolValue, intValue, doubleValue, arrayValue, bytesValue } = recordOf(value);
  if (typeof stringValue === 'string') return stringValue;
  if (typeof boolValue === 'boolean') return boolValue;
  if (intValue !== undefined) return Number(intValue);
  // `NaN` and the infinities are texts.
  if (doubleValue !== undefined) return Number(doubleValue);
  if (arrayValue !== undefined && depth < MAX_DEPTH) return listOf(recordOf(arrayValue)['values']).map((item) => readValue(item, depth + 1));
  return typeof bytesValue === 'string' ? bytesValue : null;
}
