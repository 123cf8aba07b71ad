import { describe, expect, test } from 'vitest';
import { acceptTraceState, parseTraceParent } from './trace-context.ts';

const TRACE = '0af7651916cd43dd8448eb211c80319c';
const SPAN = 'b7ad6b7169203331';

describe('traceparent', () => {
  test.each([
    [`00-${TRACE}-${SPAN}-01`, true],
    [`00-${TRACE}-${SPAN}-00`, false],
    [`00-${TRACE}-${SPAN}-03`, true],
    [`cc-${TRACE}-${SPAN}-01`, true],
    [`cc-${TRACE}-${SPAN}-01-what-the-future-brings`, true],
  ])('%s is read', (header, sampled) => {
    expect(parseTraceParent(header)).toEqual({ traceId: TRACE, spanId: SPAN, sampled });
  });

  test.each([
    ['nothing', undefined],
    ['empty', ''],
    ['no ids', '00---01'],
    ['upper-case hex', `00-${TRACE.toUpperCase()}-${SPAN}-01`],
    ['a zero trace id', `00-${'0'.repeat(32)}-${SPAN}-01`],
    ['a zero span id', `00-${TRACE}-${'0'.repeat(16)}-01`],
    ['version ff', `ff-${TRACE}-${SPAN}-01`],
    ['more after version 00', `00-${TRACE}-${SPAN}-01-more`],
    ['more without a dash', `cc-${TRACE}-${SPAN}-01more`],
    ['a short trace id', `00-${TRACE.slice(1)}-${SPAN}-01x`],
    ['white space', ` 00-${TRACE}-${SPAN}-0`],
    ['a letter that is no hex digit', `00-${TRACE}-${SPAN.slice(1)}g-01`],
    ['flags that are no hex', `00-${TRACE}-${SPAN}-zz`],
    ['a header that never ends', `cc-${TRACE}-${SPAN}-01-${'x'.repeat(10_000)}`],
  ])('%s is refused', (_name, header) => {
    expect(parseTraceParent(header)).toBeUndefined();
  });
});

test('tracestate is passed on unchanged, or not at all when it is empty, longer than 512 characters or not printable', () => {
  expect(acceptTraceState('rojo=00f067aa0ba902b7,congo=t61rcWkgMzE')).toBe('rojo=00f067aa0ba902b7,congo=t61rcWkgMzE');
  expect(acceptTraceState('a='.padEnd(512, 'x'))).toHaveLength(512);
  expect(acceptTraceState('a='.padEnd(513, 'x'))).toBeUndefined();
  expect(acceptTraceState('')).toBeUndefined();
  expect(acceptTraceState('a=b\r\nx: y')).toBeUndefined();
  expect(acceptTraceState('a=ü')).toBeUndefined();
});
