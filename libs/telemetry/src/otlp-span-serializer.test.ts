import { ProtobufTraceSerializer } from '@opentelemetry/otlp-transformer';
import { resourceFromAttributes } from '@opentelemetry/resources';
import { describe, expect, test } from 'vitest';
import { AttributeSet } from './attribute-set.ts';
import { SpanEncoder } from './otlp-span-serializer.ts';
import type { RecordedSpan } from './recorded-span.ts';
import { createSampler } from './sampler.ts';
import type { AttributeValue } from './span.ts';
import { TraceIds } from './trace-ids.ts';
import { createTraces } from './traces.ts';

const origin = {
  resource: resourceFromAttributes({ 'service.name': 'gateway', 'service.version': '1.2.3', 'k8s.pod.name': 'gateway-ü' }),
  scope: { name: '@pointsman/telemetry', version: '1.2.3' },
};

function recorder() {
  const spans: RecordedSpan[] = [];
  const traces = createTraces({
    source: {
      ids: new TraceIds(),
      ...origin,
      onEnd: (span) => spans.push(span),
    },
    sampler: createSampler('always_on'),
    exporting: true,
  });
  return { traces, spans };
}

function expectSameBytes(spans: RecordedSpan[]): void {
  const encoder = new SpanEncoder(origin);
  for (const span of spans) encoder.add(span);
  const ours = encoder.take();
  const theirs = ProtobufTraceSerializer.serializeRequest(spans);
  expect(Buffer.from(ours).toString('hex')).toBe(Buffer.from(theirs ?? []).toString('hex'));
}

const values: [string, AttributeValue][] = [
  ['empty text', ''],
  ['short text', 'gpt-4o'],
  ['a text of 127 characters', 'x'.repeat(127)],
  ['a text of 128 characters', 'x'.repeat(128)],
  ['a text longer than two length bytes', 'y'.repeat(4096)],
  ['text beyond ASCII', 'Grüße, 世界 🚀'],
  ['long text beyond ASCII', '世'.repeat(900)],
  ['a lone surrogate', 'a\ud800b'],
  ['zero', 0],
  ['127', 127],
  ['128', 128],
  ['2^31', 2 ** 31],
  ['2^32', 2 ** 32],
  ['2^32 + 1', 2 ** 32 + 1],
  ['the largest safe integer', Number.MAX_SAFE_INTEGER],
  ['a negative integer', -1],
  ['a large negative integer', -(2 ** 40)],
  ['a fraction', 0.1],
  ['a negative fraction', -273.15],
  ['infinity', Infinity],
  ['true', true],
  ['false', false],
  ['an empty list', []],
  ['a list of texts', ['openai/gpt-4o', 'ünïcode', '']],
  ['a list of numbers', [1, 0.5, -3]],
];

describe('the bytes on the wire are those of the SDK', () => {
  test.each(values)('for an attribute that is %s', (_name, value) => {
    const { traces, spans } = recorder();
    const span = traces.begin('chat');
    span.set('key', value);
    span.end();
    expectSameBytes(spans);
  });

  test('for attributes that several spans share, the first time and every other time', () => {
    const { traces, spans } = recorder();
    const shared = AttributeSet.of({ 'llm.provider': 'openai', left: undefined, 'router.candidates': ['a', 'ü'], 'router.scores': [0.5, 1] });
    for (let index = 0; index < 3; index += 1) {
      const span = traces.begin('chat');
      span.set('own', index);
      span.add(shared);
      span.add(AttributeSet.of({ 'http.route': '/v1/chat/completions' }));
      span.end();
    }
    expect(spans[2]?.attributes).toEqual({ 'llm.provider': 'openai', 'router.candidates': ['a', 'ü'], 'router.scores': [0.5, 1], 'http.route': '/v1/chat/completions', own: 2 });
    expectSameBytes(spans);
  });

  test('for parents, kinds, events, status, tracestate and dropped attributes', () => {
    const { traces, spans } = recorder();
    const request = traces.begin('POST /v1/chat/completions', { traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01', tracestate: 'vendor=opaque,other=1', startMs: 1_700_000_000_123.456 });
    const attempt = request.child('provider', 'client');
    attempt.addEvent('first-byte', { 'llm.time_to_first_token_ms': 12.5, note: 'ß' });
    attempt.addEvent('bare');
    attempt.fail('provider_timeout', 'No byte in 10 s — gave up.');
    attempt.end();
    for (let index = 0; index < 120; index += 1) request.set(`key.${index}`, index);
    for (let index = 0; index < 40; index += 1) request.addEvent('many');
    request.end();
    expectSameBytes(spans);
  });

  test('for a batch that is larger than the first buffer, for the batch after it, and for one in memory that is used again', () => {
    const { traces, spans } = recorder();
    const encoder = new SpanEncoder(origin);
    const encode = (batch: readonly RecordedSpan[]): Uint8Array => {
      for (const span of batch) encoder.add(span);
      expect(encoder.count).toBe(batch.length);
      return encoder.take();
    };
    for (let index = 0; index < 400; index += 1) {
      const span = traces.begin(`span ${index}`);
      span.set('text', 'z'.repeat(4000));
      span.end();
    }
    const small = spans.slice(0, 2);
    const first = encode(spans);
    const kept = Buffer.from(first).toString('hex');
    const second = encode(small);
    expect(Buffer.from(second).toString('hex')).toBe(Buffer.from(ProtobufTraceSerializer.serializeRequest(small) ?? []).toString('hex'));
    expect(Buffer.from(first).toString('hex')).toBe(kept);
    encoder.reuse(second);
    encode(spans.slice(2, 5));
    const last = encode(small);
    expect(last.buffer).toBe(second.buffer);
    expect(Buffer.from(last).toString('hex')).toBe(Buffer.from(ProtobufTraceSerializer.serializeRequest(small) ?? []).toString('hex'));
    expect(kept).toBe(Buffer.from(ProtobufTraceSerializer.serializeRequest(spans) ?? []).toString('hex'));
  });

  test.each([0, 1, 999_999, 1_000_000_000.5, 1_700_000_000_123.456, 4_102_444_799_999.999])('for a start at %d ms', (startMs) => {
    const { traces, spans } = recorder();
    traces.begin('t', { startMs }).end();
    expectSameBytes(spans);
  });
});
