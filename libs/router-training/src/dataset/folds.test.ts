import { expect, test } from 'vitest';
import { assignFolds } from './folds.ts';
import type { OutcomeRow } from './outcome-row.ts';
import { questionGroups, questionStem } from './question-groups.ts';

const row = (prompt: string | undefined, id = 'x'): OutcomeRow => ({ id, subject: '', prompt, features: undefined, quality: new Map(), answers: new Map(), weight: 1, at: undefined });

test('the same question with other choices, other case and other punctuation is one group', () => {
  const groups = questionGroups([row('What is it?\nA. this\nB. that\nAnswer:'), row('what is  IT\nA. other\nB. thing'), row('What else?\nA. this')]);
  expect(groups[0]).toBe(groups[1]);
  expect(groups[2]).not.toBe(groups[0]);
});

test('questions on one long passage are one group, short questions that begin alike are not', () => {
  const passage = 'It was a dark and stormy night in the harbour of the old town, where nobody had lit a lamp since the fire. '.repeat(5);
  const groups = questionGroups([row(`${passage}Who wrote it?`), row(`${passage}When was it written?`), row('It was a dark night. Who?'), row('It was a dark night. When?')]);
  expect(groups[0]).toBe(groups[1]);
  expect(new Set(groups).size).toBe(3);
});

test('a prompt that begins with its choices keeps them, and a row without a prompt stands by its id', () => {
  expect(questionStem('\nA. one\nB. two')).toBe('a one b two');
  expect(new Set(questionGroups([row(undefined, 'a'), row(undefined, 'b'), row(undefined, 'a')])).size).toBe(2);
});

test('folds keep groups together, spread every stratum evenly, and are the same for a seed', () => {
  const groups = Int32Array.from({ length: 300 }, (_, index) => index - (index % 3));
  const strata = Array.from({ length: 300 }, (_, index) => (index < 60 ? 'rare' : 'common'));
  const fold = assignFolds({ groups, strata, folds: 5, seed: 1 });
  groups.forEach((group, index) => expect(fold[index]).toBe(fold[group]));
  const rare = [0, 0, 0, 0, 0];
  fold.forEach((value, index) => {
    if (strata[index] === 'rare') rare[value]! += 1;
  });
  expect(Math.max(...rare) - Math.min(...rare)).toBeLessThanOrEqual(3);
  expect(assignFolds({ groups, strata, folds: 5, seed: 1 })).toEqual(fold);
  expect(assignFolds({ groups, strata, folds: 5, seed: 2 })).not.toEqual(fold);
});
