import { expect, test } from 'vitest';
import { canonicalJson } from './index.ts';

test('the example of RFC 8785 comes out as the RFC prints it', () => {
  // Section 3.2.2 and 3.2.3.
  const value: unknown = JSON.parse('{"numbers":[333333333.33333329,1E30,4.50,2e-3,0.000000000000000000000000001],"string":"\\u20ac$\\u000F\\u000aA\'\\u0042\\u0022\\u005c\\\\\\"\\/","literals":[null,true,false]}');
  expect(canonicalJson(value)).toBe('{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],"string":"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}');
});

test('keys are sorted by UTF-16 code units at every level, whatever order they came in', () => {
  // Section 3.2.3: the order of the sample keys.
  const keys = ['\u20ac', '\r', '\ufb33', '1', '\ud83d\ude00', '\u0080', '\u00f6'];
  const sorted = JSON.parse(canonicalJson({ inner: Object.fromEntries(keys.map((key) => [key, 0])) })) as { inner: Record<string, number> };
  expect(Object.keys(sorted.inner)).toEqual(['1', '\r', '\u0080', '\u00f6', '\u20ac', '\ud83d\ude00', '\ufb33']);
  expect(canonicalJson({ b: undefined, a: [{ d: 1, c: 2 }] })).toBe('{"a":[{"c":2,"d":1}]}');
});

test('nesting without end is refused instead of running out of stack', () => {
  let deep: unknown = 1;
  for (let at = 0; at < 10_000; at += 1) deep = [deep];
  expect(() => canonicalJson(deep)).toThrow(RangeError);
});
