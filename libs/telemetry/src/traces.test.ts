import { emptyResource } from '@opentelemetry/resources';
import { expect, test } from 'vitest';
import type { RecordedSpan } from './recorded-span.ts';
import { createSampler, type SamplerName } from './sampler.ts';
import { TraceIds } from './trace-ids.ts';
import { createTraces } from './traces.ts';

const TRACE = '0af7651916cd43dd8448eb211c80319c';
const SPAN = 'b7ad6b7169203331';

function start({ sampler = 'parentbased_always_on', ratio = 1, exporting = true }: { sampler?: SamplerName; ratio?: number; exporting?: boolean } = {}) {
  const ended: RecordedSpan[] = [];
  const source = { ids: new TraceIds(), resource: emptyResource(), scope: { name: 'test' }, onEnd: (span: RecordedSpan) => ended.push(span) };
  return { ended, traces: createTraces({ source, sampler: createSampler(sampler, ratio), exporting }) };
}

test('a request goes on with the trace of its caller, and hands its own span id down', () => {
  const { traces, ended } = start();
  const request = traces.begin('chat', { traceparent: `00-${TRACE}-${SPAN}-01`, tracestate: 'a=b' });
  const attempt = request.child('provider', 'client');
  expect(request.traceId).toBe(TRACE);
  expect(attempt.traceId).toBe(TRACE);
  expect(attempt.traceparent).toBe(`00-${TRACE}-${attempt.spanId}-01`);
  expect(attempt.tracestate).toBe('a=b');
  attempt.end();
  request.end();
  expect(ended.map((span) => span.parentSpanId)).toEqual([request.spanId, SPAN]);
});

test('an invalid traceparent starts a new trace and loses its tracestate', () => {
  const { traces } = start();
  const span = traces.begin('chat', { traceparent: 'nonsense', tracestate: 'a=b' });
  expect(span.traceId).toMatch(/^[0-9a-f]{32}$/);
  expect(span.spanId).toMatch(/^[0-9a-f]{16}$/);
  expect(span.tracestate).toBeUndefined();
});

test('ids do not repeat and are never zero', () => {
  const ids = new TraceIds();
  const seen = new Set(Array.from({ length: 5000 }, () => ids.traceId()).concat(Array.from({ length: 5000 }, () => ids.spanId())));
  expect(seen.size).toBe(10_000);
  expect([...seen].some((id) => id.startsWith('00'))).toBe(false);
});

test.each([
  ['always_on', undefined, true],
  ['always_on', '00', true],
  ['always_off', '01', false],
  ['parentbased_always_on', undefined, true],
  ['parentbased_always_on', '00', false],
  ['parentbased_always_off', undefined, false],
  ['parentbased_always_off', '01', true],
  ['traceidratio', '01', false],
  ['parentbased_traceidratio', '01', true],
  ['parentbased_traceidratio', undefined, false],
] as const)('%s with a parent of flags %s samples: %s', (sampler, flags, sampled) => {
  const { traces, ended } = start({ sampler, ratio: 0 });
  const span = traces.begin('chat', flags === undefined ? {} : { traceparent: `00-${TRACE}-${SPAN}-${flags}` });
  expect(span.sampled).toBe(sampled);
  expect(span.recording).toBe(sampled);
  expect(span.traceparent.endsWith(sampled ? '-01' : '-00')).toBe(true);
  span.child('below', 'internal').end();
  span.end();
  expect(ended).toHaveLength(sampled ? 2 : 0);
});

test('a ratio keeps about that share of traces', () => {
  const { traces, ended } = start({ sampler: 'traceidratio', ratio: 0.25 });
  for (let index = 0; index < 4000; index += 1) traces.begin('chat').end();
  expect(ended.length).toBeGreaterThan(800);
  expect(ended.length).toBeLessThan(1200);
});

test('without an exporter a span carries ids and keeps the flag of its caller, and nothing else', () => {
  const { traces, ended } = start({ exporting: false });
  const span = traces.begin('chat', { traceparent: `00-${TRACE}-${SPAN}-01` });
  span.set('key', 'value');
  expect(span.recording).toBe(false);
  expect(span.traceparent).toBe(`00-${TRACE}-${span.spanId}-01`);
  span.end();
  expect(ended).toEqual([]);
});

test('the last value of an attribute counts, undefined is ignored, and nothing changes after the end', () => {
  const { traces, ended } = start();
  const span = traces.begin('chat');
  span.set('model', 'first');
  span.set('model', 'second');
  span.set('none', undefined);
  span.end();
  span.set('late', 1);
  span.addEvent('late');
  span.fail('late');
  span.end();
  expect(ended).toHaveLength(1);
  expect(ended[0]?.attributes).toEqual({ model: 'second' });
  expect(ended[0]?.status).toEqual({ code: 0 });
  expect(ended[0]?.events).toEqual([]);
});

test('a span is bounded: attributes, their length, events', () => {
  const { traces, ended } = start();
  const span = traces.begin('chat');
  span.set('long', 'x'.repeat(100_000));
  for (let index = 0; index < 200; index += 1) span.set(`key.${index}`, index);
  for (let index = 0; index < 200; index += 1) span.addEvent('again');
  span.end();
  const [kept] = ended;
  expect(String(kept?.attributes['long'])).toHaveLength(4096);
  expect(Object.keys(kept?.attributes ?? {})).toHaveLength(96);
  expect(kept?.droppedAttributesCount).toBe(105);
  expect(kept?.events).toHaveLength(32);
  expect(kept?.droppedEventsCount).toBe(168);
});

test('a failure sets the status and error.type', () => {
  const { traces, ended } = start();
  const span = traces.begin('chat');
  span.fail('provider_timeout', 'No byte in time.');
  span.end();
  expect(ended[0]?.status).toEqual({ code: 2, message: 'No byte in time.' });
  expect(ended[0]?.attributes).toEqual({ 'error.type': 'provider_timeout' });
});

test('a span that was said to start later than now does not end before it started', () => {
  const { traces, ended } = start();
  traces.begin('chat', { startMs: Date.now() + 60_000 }).end();
  expect(ended[0]?.duration).toEqual([0, 0]);
});
