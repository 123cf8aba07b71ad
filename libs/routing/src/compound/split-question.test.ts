import { expect, test } from 'vitest';
import { splitQuestion } from './split-question.ts';

test.each<[string, string, readonly string[]]>([
  ['one question', 'Who wrote Faust?', []],
  ['two questions', 'Who wrote Faust? Which river flows through Weimar?', ['Who wrote Faust?', 'Which river flows through Weimar?']],
  ['facts go with each', 'Anna has 5 apples. How many are left after two? What do they weigh together?', ['Anna has 5 apples.\nHow many are left after two?', 'Anna has 5 apples.\nWhat do they weigh together?']],
  ['a list', 'Answer briefly:\n1. Who wrote Faust?\n2) Explain photosynthesis\n', ['Answer briefly:\nWho wrote Faust?', 'Answer briefly:\nExplain photosynthesis']],
  ['a point of two lines', '- Who wrote\n  Faust and when?\n- Explain photosynthesis', ['Who wrote Faust and when?', 'Explain photosynthesis']],
  ['choices of one question', 'Which is a fruit?\nA. A potato is one\nB. An apple is one', []],
  ['a list of facts', 'Given:\n- the ball weighs 3 kg\n- it falls for 2 s\nHow fast is it?', []],
  ['more parts than allowed', 'Is it one? Is it two? Is it three? Is it four? Is it five?', []],
  ['nothing', '', []],
])('%s', (_, prompt, parts) => {
  expect(splitQuestion(prompt, 4)).toEqual(parts);
});

test('documents are left whole, and texts made to take long are read once', () => {
  for (const piece of ['a? ', '1. ', '- x\n', ' ', '?']) expect(splitQuestion(piece.repeat(200_000 / piece.length), 4)).toEqual([]);
  expect(splitQuestion(' '.repeat(11_000), 4)).toEqual([]);
});
