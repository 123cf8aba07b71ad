import { JsonTraceSerializer, ProtobufTraceSerializer } from '@opentelemetry/otlp-transformer';
import { resourceFromAttributes } from '@opentelemetry/resources';
import { describe, expect, test } from 'vitest';
import { SpanEncoder } from '../otlp-span-serializer.ts';
import type { RecordedSpan } from '../recorded-span.ts';
import { createSampler } from '../sampler.ts';
import { TraceIds } from '../trace-ids.ts';
import { createTraces } from '../traces.ts';
import { decodeTraces, encodeOtlpResponse, encodeOtlpStatus, type OtlpEncoding } from './decode-traces.ts';
import { MalformedOtlpError } from './received-span.ts';

const origin = { resource: resourceFromAttributes({ 'service.name': 'gateway' }), scope: { name: '@pointsman/telemetry', version: '1.2.3' } };
const ATTRIBUTES = {
  text: 'Grüße, 世界', empty: '', yes: true, no: false, whole: 42, negative: -7, large: 2 ** 40, fraction: 0.125, tiny: -1.5e-300,
  texts: ['a', 'b'], numbers: [0, 1.5, -2], none: [], long: 'x'.repeat(4_000),
};

function recordedSpans(): RecordedSpan[] {
  const spans: RecordedSpan[] = [];
  const traces = createTraces({ source: { ids: new TraceIds(), ...origin, onEnd: (span) => spans.push(span) }, sampler: createSampler('always_on'), exporting: true });
  const request = traces.begin('/v1/chat/completions', { startMs: 1_700_000_000_123.5, traceparent: `00-${'ab'.repeat(16)}-${'cd'.repeat(8)}-01`, tracestate: 'x=y' });
  for (const [key, value] of Object.entries(ATTRIBUTES)) request.set(key, value);
  request.addEvent('an event', { more: 1 });
  const child = request.child('router.decide', 'internal');
  child.fail('wrong', 'described');
  child.end();
  request.end();
  return spans;
}

function ours(spans: readonly RecordedSpan[]): Buffer {
  const encoder = new SpanEncoder(origin);
  for (const span of spans) encoder.add(span);
  return encoder.take();
}

const ENCODERS: readonly (readonly [string, OtlpEncoding, (spans: RecordedSpan[]) => Buffer])[] = [
  ['protobuf of our own exporter', 'protobuf', ours],
  ['protobuf of the SDK', 'protobuf', (spans) => Buffer.from(ProtobufTraceSerializer.serializeRequest(spans) ?? [])],
  ['JSON of the SDK', 'json', (spans) => Buffer.from(JsonTraceSerializer.serializeRequest(spans) ?? [])],
];

describe.each(ENCODERS)('%s', (_, encoding, encode) => {
  test('is read back: ids, names, times and every kind of value', () => {
    const spans = recordedSpans();
    const decoded = decodeTraces(encoding, encode(spans));
    expect(decoded.map(({ traceId, spanId, name }) => ({ traceId, spanId, name }))).toEqual(spans.map(({ traceId, spanId, name }) => ({ traceId, spanId, name })));
    const request = decoded[1]!;
    expect(request.startMs).toBeCloseTo(1_700_000_000_123.5, 2);
    expect(request.endMs).toBeCloseTo(spans[1]!.endMs, 2);
    expect(Object.fromEntries(request.attributes)).toEqual(ATTRIBUTES);
    expect(decoded[0]!.attributes.get('error.type')).toBe('wrong');
  });

  test('cut anywhere is refused or gives fewer spans, and never anything else', () => {
    const whole = encode(recordedSpans());
    for (let length = 0; length < whole.length; length += 13) {
      try {
        expect(decodeTraces(encoding, whole.subarray(0, length)).length).toBeLessThan(2);
      } catch (error) {
        expect(error).toBeInstanceOf(MalformedOtlpError);
      }
    }
  });
});

test.each([
  ['json', '{"resourceSpans":{}}'], ['json', '[]'], ['json', 'null'], ['json', '{"resourceSpans":[{"scopeSpans":[{"spans":[{"attributes":[1]}]}]}]}'], ['json', '{'],
  ['protobuf', 'text is not protobuf'], ['protobuf', '\n\u00ff\u00ff\u00ff\u00ff\u000f'],
] as const)('%s %j is refused', (encoding, body) => {
  expect(() => decodeTraces(encoding, Buffer.from(body, 'latin1'))).toThrow(MalformedOtlpError);
});

test('keys that name the prototype are plain keys', () => {
  const body = { resourceSpans: [{ scopeSpans: [{ spans: [{ traceId: 'AB'.repeat(16), spanId: 'CD'.repeat(8), attributes: [{ key: '__proto__', value: { stringValue: 'x' } }] }] }] }] };
  const [span] = decodeTraces('json', Buffer.from(JSON.stringify(body)));
  expect(span?.attributes.get('__proto__')).toBe('x');
  expect(span?.traceId).toBe('ab'.repeat(16));
});

test('lists within lists end at a depth', () => {
  let value: object = { stringValue: 'deep' };
  for (let depth = 0; depth < 100; depth += 1) value = { arrayValue: { values: [value] } };
  const body = { resourceSpans: [{ scopeSpans: [{ spans: [{ attributes: [{ key: 'deep', value }] }] }] }] };
  expect(decodeTraces('json', Buffer.from(JSON.stringify(body)))[0]?.attributes.get('deep')).toEqual([[[[null]]]]);
});

test('a reply says what was not taken, as the SDK reads it', () => {
  expect(encodeOtlpResponse('protobuf')).toHaveLength(0);
  const bytes = encodeOtlpResponse('protobuf', { rejected: 300, message: 'too large' });
  expect(ProtobufTraceSerializer.deserializeResponse(bytes)).toMatchObject({ partialSuccess: { rejectedSpans: 300, errorMessage: 'too large' } });
  expect(JSON.parse(encodeOtlpResponse('json', { rejected: 300, message: 'too large' }).toString())).toEqual({ partialSuccess: { rejectedSpans: '300', errorMessage: 'too large' } });
  expect(encodeOtlpStatus('protobuf', 'no').toString('latin1')).toBe('\u0012\u0002no');
});
