import { expect, test } from 'vitest';
import { ANSWER_FEATURES, answerFeatures } from './answer-features.ts';
import { checkArithmetic } from './check-arithmetic.ts';

const QUESTION = 'Anna has 48 clips. She sold half as many in May as in April, when she sold 48. How many did she sell together?';
const ANSWER = 'In May she sold 48 / 2 = <<48/2=24>>24 clips.\nTogether 48 + 24 = <<48+24=72>>72.\n#### 72';

function feature(name: string, answer: string, question = QUESTION): number {
  return answerFeatures(question, answer)[ANSWER_FEATURES.indexOf(name)] ?? NaN;
}

test('names are unique, and there is a finite value for each, also for nothing at all', () => {
  expect(new Set(ANSWER_FEATURES).size).toBe(ANSWER_FEATURES.length);
  for (const [question, answer] of [['', ''], [QUESTION, ''], ['', ANSWER], ['\u{1F600}', '\ud800']] as const) {
    const features = answerFeatures(question, answer);
    expect(features).toHaveLength(ANSWER_FEATURES.length);
    expect(features.every(Number.isFinite)).toBe(true);
  }
});

test('the same texts give the same features', () => {
  expect(answerFeatures(QUESTION, ANSWER)).toEqual(answerFeatures(QUESTION, ANSWER));
});

test('a solution that is right looks like one', () => {
  expect(feature('wrong_equations', ANSWER)).toBe(0);
  expect(feature('has_final_mark', ANSWER)).toBe(1);
  expect(feature('final_is_last_result', ANSWER)).toBe(1);
  expect(feature('final_is_last_result', ANSWER.replace('#### 72', '#### 96'))).toBe(0);
  expect(feature('unused_share', ANSWER)).toBe(0);
  expect(feature('unused_share', 'It is 7.')).toBe(1);
  expect(feature('cut_off', `${ANSWER} and then`)).toBe(1);
  expect(feature('refusal', 'I am sorry, I cannot say.')).toBeGreaterThan(0);
});

test('the question counts by its own features as well', () => {
  expect(feature('asked:characters', ANSWER)).toBeGreaterThan(0);
  expect(feature('asked:characters', ANSWER)).toBe(feature('asked:characters', ''));
});

test.each([
  ['2 + 2 = 4', 1, 0], ['2 + 2 = 5', 1, 1], ['3 x 4 = 12', 1, 0], ['$1,200 / 4 = $300', 1, 0], ['3 boxes * 12 = 36 eggs', 1, 0], ['20% * 50 = 10', 1, 0], ['1 / 4 = 25%', 1, 0],
  ['(2 + 3) * 4 = 20', 1, 0], ['2 + 3 * 4 = 20', 1, 1], ['10 - 3 = 7 - 2 = 5', 2, 0], ['5 \\times 6 = 30', 1, 0], ['4 − 6 = -2', 1, 0], ['1 / 3 = 0.333', 1, 0], ['1 / 0 = 5', 0, 0], ['x = 5', 0, 0], ['72', 0, 0], ['((((1', 0, 0],
])('%s: %s equations, %s of them wrong', (text, equations, wrong) => {
  expect(checkArithmetic(text)).toMatchObject({ equations, wrong });
});

test('texts made to take long take no longer than others: each is read once', () => {
  const pieces = ['1', '1+', '(', ' ', '<<', 'a = ', '1,', '-', 'x1', '\n', '1=', '$', '\\', 'aaaaaa ', '. '];
  for (const piece of pieces) {
    const text = piece.repeat(200_000 / piece.length);
    expect(answerFeatures(text, text).every(Number.isFinite)).toBe(true);
  }
});
