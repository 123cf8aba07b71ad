import { expect, test } from 'vitest';
import { after } from './expiry.ts';

test.each([
  ['2026-01-31T10:00:00Z', '30s', '2026-01-31T10:00:30Z'], ['2026-01-31T10:00:00Z', '15m', '2026-01-31T10:15:00Z'], ['2026-01-31T10:00:00Z', '12h', '2026-01-31T22:00:00Z'],
  ['2026-01-31T10:00:00Z', '7d', '2026-02-07T10:00:00Z'], ['2026-01-31T10:00:00Z', '2w', '2026-02-14T10:00:00Z'], ['2026-01-31T10:00:00Z', '1mo', '2026-02-28T10:00:00Z'],
  ['2026-01-15T10:00:00Z', '1mo', '2026-02-15T10:00:00Z'], ['2024-12-31T10:00:00Z', '2mo', '2025-02-28T10:00:00Z'], ['2026-01-31T10:00:00Z', '12mo', '2027-01-31T10:00:00Z'],
])('%s and %s is %s', (from, duration, expected) => {
  expect(after(new Date(from), duration)).toEqual(new Date(expected));
});

test('the longest duration is still a date that a database can hold', () => {
  expect(after(new Date('2026-01-01T00:00:00Z'), '100000mo').toISOString()).toBe('+010359-05-01T00:00:00.000Z');
});
