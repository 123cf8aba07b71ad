import { expect, test } from 'vitest';
import { NO_CONTROLS, readCacheControls, withCacheControl } from './cache-controls.ts';

test('every control of the body is read, seconds as milliseconds', () => {
  expect(readCacheControls({ 'no-cache': true, 'no-store': true, 'use-cache': true, ttl: 30, 's-maxage': 1.5, namespace: 'x' })).toEqual({
    noCache: true, noStore: true, useCache: true, ttlMs: 30_000, maxAgeMs: 1_500, namespace: 'x',
  });
});

test.each([undefined, null])('%s says nothing', (value) => {
  expect(readCacheControls(value)).toBeUndefined();
});

test('null stands for a control that is not set', () => {
  expect(readCacheControls({ 'no-cache': null, ttl: null, 's-maxage': null, namespace: null })).toEqual(NO_CONTROLS);
});

test('of two ages the lesser holds', () => {
  expect(readCacheControls({ 's-maxage': 600, 's-max-age': 60 })).toMatchObject({ maxAgeMs: 60_000 });
});

test.each([
  [true, 'cache'], [[], 'cache'], ['no-cache', 'cache'], [{ 'no-cache': 'yes' }, 'cache.no-cache'], [{ no_store: true }, 'cache.no_store'], [{ ttl: '30' }, 'cache.ttl'], [{ ttl: -1 }, 'cache.ttl'],
  [{ 's-maxage': 1e12 }, 'cache.s-maxage'], [{ 's-max-age': {} }, 'cache.s-max-age'], [{ namespace: 7 }, 'cache.namespace'], [{ namespace: 'x'.repeat(257) }, 'cache.namespace'],
])('%j is refused, and %s is named', (value, param) => {
  expect(() => readCacheControls(value)).toThrow(expect.objectContaining({ kind: 'invalid_request', status: 400, param, message: expect.stringMatching(/was expected\.$/) as string }));
});

test.each([
  ['no-cache', { noCache: true }], ['No-Store, public', { noStore: true }], ['max-age=5', { maxAgeMs: 5_000 }], ['max-age=soon', { maxAgeMs: 0 }], ['max-age=', { maxAgeMs: 0 }],
  ['no-transform, stale-if-error=5', {}], ['', {}], [`${','.repeat(100_000)}no-cache`, {}],
])('the header %j adds %j', (header, added) => {
  expect(withCacheControl(NO_CONTROLS, header)).toEqual({ ...NO_CONTROLS, ...added });
});

test('the header does not take away what the body says', () => {
  expect(withCacheControl({ ...NO_CONTROLS, noCache: true, maxAgeMs: 1_000 }, 'max-age=60')).toMatchObject({ noCache: true, maxAgeMs: 1_000 });
});
