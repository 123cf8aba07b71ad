import { readFile } from 'node:fs/promises';
import { expect, test } from 'vitest';
import type { PromptInput } from './prompt-features.ts';
import { sampleText } from './sample-text.ts';
import { TEXT_FEATURES, TextFeatureMaker } from './text-features.ts';
import { WordScan } from './word-scan.ts';

type Name = (typeof TEXT_FEATURES)[number];
const maker = new TextFeatureMaker();
const words = new WordScan();
function featuresOf(text: string, rest: Partial<PromptInput> = {}): Record<Name, number> {
  const parts = sampleText(text);
  words.scan(parts);
  const values = maker.make({ text, system: '', turns: 1, images: 0, tools: 0, wantsJson: false, ...rest }, parts, words);
  return Object.fromEntries(TEXT_FEATURES.map((name, at) => [name, values[at]])) as Record<Name, number>;
}
/** Features that are not 0, to four decimals: the shape of a golden row. */
function golden(text: string, rest: Partial<PromptInput> = {}): Partial<Record<Name, number>> {
  return Object.fromEntries(Object.entries(featuresOf(text, rest)).filter(([, value]) => value !== 0).map(([name, value]) => [name, Number(value.toFixed(4))]));
}
const log = (count: number): number => Math.log1p(count);

test('names are unique', () => {
  expect(new Set(TEXT_FEATURES).size).toBe(TEXT_FEATURES.length);
});

test('an empty prompt has no features', () => {
  expect(golden('')).toEqual({});
});

// A change here is a change of FEATURE_VERSION: models were trained on these numbers.
test('golden: a question with choices', () => {
  expect(golden('Which of the following is NOT a prime number?\nA. 2\nB. 97\nC. 1,001.5\nD. None of the above\nAnswer:')).toMatchInlineSnapshot(`
    {
      "before_choices": 0.385,
      "capitalised": 0.3478,
      "characters": 0.4575,
      "choice_digit_share": 0.2963,
      "choice_length": 0.3413,
      "choice_spread": 0.9412,
      "choices": 0.8047,
      "decimals": 0.231,
      "digit_share": 0.0833,
      "digits": 0.4394,
      "largest_number": 0.3333,
      "latin_share": 1,
      "lines": 0.3584,
      "longest_line": 0.3829,
      "mathematics": 0.231,
      "negations": 0.5493,
      "numbers": 0.3466,
      "of_the_following": 1,
      "punctuation_share": 0.0833,
      "question_marks": 0.3466,
      "question_words": 0.231,
      "shouted_not": 1,
      "type_token_ratio": 0.8696,
      "uppercase_share": 0.1667,
      "word_length": 0.2957,
      "words": 0.3973,
    }
  `);
});
test('golden: arithmetic in prose', () => {
  expect(golden('In 1998, each of 12 boys paid $3.50 per ticket. How many dollars in total did they spend?')).toMatchInlineSnapshot(`
    {
      "arithmetic": 0.4621,
      "before_choices": 0.45,
      "capitalised": 0.1053,
      "characters": 0.45,
      "code_signs": 0.1386,
      "decimals": 0.231,
      "digit_share": 0.1011,
      "digits": 0.4605,
      "largest_number": 0.3333,
      "latex": 0.231,
      "latin_share": 1,
      "longest_line": 0.45,
      "numbers": 0.3466,
      "persons": 0.231,
      "punctuation_share": 0.0562,
      "quantifiers": 0.3662,
      "question_marks": 0.3466,
      "question_words": 0.231,
      "type_token_ratio": 0.9474,
      "uppercase_share": 0.0345,
      "word_length": 0.3526,
      "words": 0.3745,
      "years": 0.231,
    }
  `);
});
test('golden: code, LaTeX, list, links and a system prompt', () => {
  expect(
    golden('Write a function:\n- uses `map`\n* returns int[]\n1. see https://example.org or www.example.org\n```ts\nconst a = (b) => { return b ** 2; };\n```\n\\frac{1}{2} ____ “x”', {
      system: 'You are terse.', turns: 5, images: 1, tools: 3, wantsJson: true,
    }),
  ).toMatchInlineSnapshot(`
    {
      "before_choices": 0.5081,
      "blanks": 0.3466,
      "bullets": 0.4621,
      "capitalised": 0.037,
      "characters": 0.5081,
      "code_signs": 0.6271,
      "code_words": 0.5365,
      "digit_share": 0.025,
      "digits": 0.3219,
      "images": 0.3466,
      "instructions": 0.231,
      "largest_number": 0.0833,
      "latex": 0.231,
      "latin_share": 1,
      "lines": 0.4159,
      "longest_line": 0.3829,
      "math_signs": 0.5493,
      "mathematics": 0.231,
      "non_ascii_share": 0.0125,
      "numbers": 0.4024,
      "parentheses": 0.231,
      "punctuation_share": 0.2125,
      "quotes": 0.2747,
      "system": 0.2708,
      "tools": 0.3466,
      "turns": 0.4024,
      "type_token_ratio": 0.7778,
      "uppercase_share": 0.0118,
      "urls": 0.5493,
      "wants_json": 1,
      "word_length": 0.3296,
      "words": 0.4165,
    }
  `);
});
test('golden: many scripts', () => {
  expect(golden('Größe Привет مرحبا 你好 नमस्ते 😀 √2 ≤ ∞')).toMatchInlineSnapshot(`
    {
      "astral_share": 0.0526,
      "before_choices": 0.3664,
      "capitalised": 0.1429,
      "characters": 0.3664,
      "cjk_share": 0.0833,
      "cyrillic_share": 0.25,
      "digit_share": 0.0263,
      "digits": 0.1386,
      "largest_number": 0.0833,
      "latin_share": 0.2083,
      "longest_line": 0.3664,
      "math_signs": 0.3466,
      "non_ascii_share": 0.6842,
      "numbers": 0.1733,
      "other_script_share": 0.25,
      "right_to_left_share": 0.2083,
      "type_token_ratio": 1,
      "uppercase_share": 0.0417,
      "word_length": 0.3571,
      "words": 0.2599,
    }
  `);
});

test('counts are what they are called', () => {
  expect(featuresOf('not never nothing').negations).toBeCloseTo(log(2) / 2, 6);
  expect(featuresOf('a ____ b __ c _ d').blanks).toBeCloseTo(log(2) / 2, 6);
  expect(featuresOf('1 22 3.5 1,000,000 x2').numbers).toBeCloseTo(log(4) / 4, 6);
  expect(featuresOf('12,345,678 people').largest_number).toBeCloseTo(8 / 12, 6);
  expect(featuresOf('pi is 3.14159265358979').largest_number).toBeCloseTo(1 / 12, 6);
  expect(featuresOf('3.5 and 4.25').decimals).toBeCloseTo(log(2) / 3, 6);
  expect(featuresOf('in 1789 or 2024 but not 3000 or 12345').years).toBeCloseTo(log(2) / 3, 6);
  expect(featuresOf('a?b? c').question_marks).toBeCloseTo(log(2) / 2, 6);
  expect(featuresOf('x\n(A) one\n(B) three\n').choices).toBeCloseTo(log(2) / 2, 6);
  expect(featuresOf('- a b\n* c d\n• e f\n2) g h\nplain').bullets).toBeCloseTo(log(4) / 3, 6);
  expect(featuresOf('\\alpha and $x$').latex).toBeCloseTo(log(3) / 3, 6);
  expect(featuresOf('http://a www.b https://c').urls).toBeCloseTo(log(3) / 2, 6);
  expect(featuresOf('a b a b').type_token_ratio).toBeCloseTo(0.5, 6);
  expect(featuresOf('ABCdef').uppercase_share).toBeCloseTo(0.5, 6);
  expect(featuresOf('абв abc').cyrillic_share).toBeCloseTo(0.5, 6);
  expect(featuresOf('all of them EXCEPT one').shouted_not).toBe(1);
  expect(featuresOf('one of the following').of_the_following).toBe(1);
});

test('a number cut by the end of the text counts, digits inside a name do not', () => {
  expect(featuresOf('x 42').largest_number).toBeCloseTo(2 / 12, 6);
  expect(featuresOf('x 142nd').largest_number).toBeCloseTo(3 / 12, 6);
  expect(featuresOf('vitamin b12').largest_number).toBe(0);
});

test('a long text keeps its true length and is read at both ends', () => {
  const { characters, question_marks: marks, of_the_following: phrase } = featuresOf(`why? ${'x '.repeat(100_000)} of the following? end?`);
  expect(characters).toBeCloseTo(log(200_028) / 10, 5);
  expect(marks).toBeCloseTo(log(3) / 2, 6);
  expect(phrase).toBe(1);
});

test('impossible counts of a caller do not become features', () => {
  expect(golden('', { turns: Number.NaN, images: -3, tools: Infinity })).toEqual({});
});

test('the manual names every feature, in order', async () => {
  const page = await readFile(new URL('../../../../docs/routing-features.md', import.meta.url), 'utf8');
  const named = page.slice(page.indexOf('## Text features'), page.indexOf('## Embedders')).matchAll(/^\| `(\w+)` \|/gm);
  expect([...named].map(([, name]) => name)).toEqual([...TEXT_FEATURES]);
});
