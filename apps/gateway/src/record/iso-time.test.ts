import { expect, test } from 'vitest';
import { createIsoTime } from './iso-time.ts';

test('a time is written as Date writes it: over midnight, backwards, with a fraction, before 1970, on a leap day', () => {
  const isoTime = createIsoTime();
  const midnight = Date.UTC(2027, 0, 1);
  const times = [midnight - 1, midnight, midnight + 1, midnight - 1, 0, -1, Date.UTC(2028, 1, 29, 23, 59, 59, 999), midnight + 45_296_789, ...Array.from({ length: 200 }, (_, at) => midnight + at * 7_654_321)];
  expect(times.map(isoTime)).toEqual(times.map((time) => new Date(time).toISOString()));
  expect(isoTime(midnight + 0.999)).toBe('2027-01-01T00:00:00.000Z');
});
