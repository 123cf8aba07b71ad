import { expect, test } from 'vitest';
import { parseCount, parseDuration, parsePercent, parseStages, showMs, showRate } from './quantities.ts';

test.each([['300ms', 300], ['30s', 30_000], ['5m', 300_000], ['1.5h', 5_400_000], ['0s', 0]])('%s is %d ms', (text, ms) => {
  expect(parseDuration(text)).toBe(ms);
});

test.each([['5'], ['5 m'], ['-1s'], ['m'], ['']])('%j is no duration', (text) => {
  expect(() => parseDuration(text)).toThrow('Expected a duration');
});

test('a percentage says that it is one, so that 0.01 cannot be meant in two ways', () => {
  expect([parsePercent('1%'), parsePercent('0.5 %'), parsePercent('100%')]).toEqual([0.01, 0.005, 1]);
  for (const text of ['0.01', '1', '101%', '-1%', '%']) expect(() => parsePercent(text)).toThrow('1%');
});

test('stages rise to 100', () => {
  expect(parseStages('10,50,100')).toEqual([10, 50, 100]);
  expect(parseStages('0.5%, 100%')).toEqual([0.5, 100]);
  for (const text of ['', '10', '50,10,100', '0,100', '10,x,100', '10,101']) expect(() => parseStages(text)).toThrow('rising percents');
});

test('counts are whole', () => {
  expect(parseCount('20')).toBe(20);
  for (const text of ['-1', '1.5', 'x']) expect(() => parseCount(text)).toThrow('whole number');
});

test('times and rates for people', () => {
  expect([showMs(300), showMs(9_949), showMs(42_000), showMs(125_000)]).toEqual(['0.3 s', '9.9 s', '42 s', '2:05']);
  expect([showRate({ errors: 1, requests: 300 }), showRate({ errors: 0, requests: 0 })]).toEqual(['0.33 %', '-']);
});
