import { expect, test } from 'vitest';
import { CodeUnits } from './code-units.ts';

test('every code unit of a text of any shape is there, lone surrogates too, and zeros behind them whatever was read before', () => {
  const units = new CodeUnits();
  const joined = ['abc', 'é', '\u{1f600}', '\ud800', '漢字'].join('');
  for (const text of ['x'.repeat(9_000), joined, `${joined}${joined}`.slice(2), '', 'a'.repeat(50_000), 'z']) {
    const length = units.read(text);
    expect(length).toBe(text.length);
    expect([...units.units.subarray(0, length)]).toEqual(Array.from({ length }, (_, at) => text.charCodeAt(at)));
    expect([...units.units.subarray(length, length + 4)]).toEqual([0, 0, 0, 0]);
  }
});
