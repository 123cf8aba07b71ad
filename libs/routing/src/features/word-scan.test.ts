import { expect, test } from 'vitest';
import { MAX_WORDS, WordScan } from './word-scan.ts';

function wordsOf(...parts: string[]): string[] {
  const scan = new WordScan();
  scan.scan(parts);
  const decoder = new TextDecoder('utf-8', { fatal: true });
  return Array.from({ length: scan.count }, (_, at) => decoder.decode(scan.bytes.subarray(scan.start[at], scan.end[at])));
}

test.each([
  ['', []],
  [' \n\t', []],
  ['Hello, World!', ['hello', 'world']],
  ["Don't 'quote' it’s o'", ["don't", 'quote', "it's", 'o']],
  ['x=3.14', ['x', '3', '14']],
  ['Crème BRÛLÉE', ['crème', 'brûlée']],
  ['Привет МИР', ['привет', 'мир']],
  ['你好 abc한국', ['你', '好', 'abc', '한', '국']],
  ['a😀b', ['a', 'b']],
  ['lone\ud83dsurrogate', ['lone', 'surrogate']],
])('words of %j', (text, expected) => {
  expect(wordsOf(text)).toEqual(expected);
});

test('a word of 1,000 letters is cut into pieces of 64', () => {
  expect(wordsOf('a'.repeat(1_000)).map((word) => word.length)).toEqual([...new Array<number>(15).fill(64), 40]);
});

test('lower-casing that lengthens a text does not overrun the scratch space', () => {
  expect(wordsOf('İ'.repeat(4_096), 'İ'.repeat(4_096)).join('').length).toBe(2 * 4_096);
  expect(wordsOf('\uffee'.repeat(8_192)).length).toBeLessThanOrEqual(MAX_WORDS);
});

test('no more than the documented number of words is taken, half of it from each part', () => {
  expect(wordsOf('漢'.repeat(8_192))).toHaveLength(MAX_WORDS);
  const scan = new WordScan();
  scan.scan(['漢'.repeat(4_096), '字'.repeat(4_096)]);
  expect([scan.count, scan.secondPart]).toEqual([MAX_WORDS, MAX_WORDS / 2]);
});
