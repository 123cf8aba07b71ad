import { readFileSync } from 'node:fs';
import { countTokens as cl100k } from 'gpt-tokenizer/encoding/cl100k_base';
import { countTokens as o200k } from 'gpt-tokenizer/encoding/o200k_base';
import { expect, test } from 'vitest';
import { countText, countTexts } from './count-text.ts';

const source = readFileSync(new URL('./prompt-pieces.ts', import.meta.url), 'utf8');
const samples = ['hello world', ' ', '\n\n\n', 'naïve café 👩‍👩‍👧 漢字仮名交じり文', source, `{"a":[1,2,3],"url":"https://example.com/${'path/'.repeat(30)}?q=1"}`];

test.each(samples)('text of OpenAI models is counted exactly: %.20s', (text) => {
  expect(countText(text, 'gpt-4o')).toBe(o200k(text));
  expect(countText(text, 'gpt-4')).toBe(cl100k(text));
});

test('the example of OpenAI\'s cookbook: "antidisestablishmentarianism" is 6 tokens in both vocabularies, "2 + 2 = 4" is 7', () => {
  expect([countText('antidisestablishmentarianism', 'gpt-4o'), countText('antidisestablishmentarianism', 'gpt-4')]).toEqual([6, 6]);
  expect([countText('2 + 2 = 4', 'gpt-4o'), countText('2 + 2 = 4', 'gpt-4')]).toEqual([7, 7]);
});

test('texts that do not touch are counted one by one, nothing is nothing, and another family takes its factor, rounded up', () => {
  expect(countTexts(['hel', 'lo'], 'gpt-4o')).toBe(o200k('hel') + o200k('lo'));
  expect([countTexts([], 'gpt-4o'), countText('', 'claude-3-haiku')]).toEqual([0, 0]);
  expect(countText(source, 'claude-3-haiku')).toBe(Math.ceil(o200k(source) * 1.12));
});

test('text with a few very long words is counted to within a hundredth', () => {
  const text = `${source}${Buffer.from(source).toString('base64')}${'x'.repeat(500)}`;
  expect(Math.abs(countText(text, 'gpt-4o') / o200k(text) - 1)).toBeLessThan(0.01);
  expect(Math.abs(countText(text, 'gpt-4') / cl100k(text) - 1)).toBeLessThan(0.01);
});

test('the names of special tokens in a text are text', () => {
  expect(countText('<|endoftext|>', 'gpt-4o')).toBeGreaterThan(1);
});

test('a long text is counted by samples from all of it, within two percent, one text or many', () => {
  const halves = `${source.repeat(8)}${'It is a truth universally acknowledged. '.repeat(1_500)}`;
  const exact = o200k(halves);
  expect(halves.length).toBeGreaterThan(65_536);
  expect(Math.abs(countText(halves, 'gpt-4o') / exact - 1)).toBeLessThan(0.02);
  const lines = halves.split('\n');
  const apart = lines.reduce((sum, line) => sum + o200k(line), 0);
  expect(Math.abs(countTexts(lines, 'gpt-4o') / apart - 1)).toBeLessThan(0.02);
});

test.each([
  ['one letter', 'a'], ['spaces', ' '], ['line ends', '\n'], ['Chinese without an end', '漢字仮名交'], ['families', '👩‍👩‍👧'], ['dashes', '-=!'], ['lone surrogates', '\ud800'],
])('a megabyte of %s is counted, to a sensible number', (_name, unit) => {
  const text = unit.repeat(Math.ceil(1_048_576 / unit.length));
  const tokens = countText(text, 'gpt-4o');
  expect(Number.isInteger(tokens)).toBe(true);
  expect(tokens).toBeGreaterThan(1_000);
  expect(tokens).toBeLessThanOrEqual(text.length * 3);
});
