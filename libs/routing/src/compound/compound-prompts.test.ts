import { expect, test } from 'vitest';
import { aggregatorPrompt, partsOfPlan, plannerPrompt } from './compound-prompts.ts';

test.each<[string, readonly string[]]>([
  ['{"parts": ["one", "two"]}', ['one', 'two']], ['```json\n{"parts": ["one", "two"]}\n```', ['one', 'two']], ['{"parts": []}', []], ['{"parts": ["one"]}', []], ['{"parts": ["one", "one"]}', []],
  ['{"parts": ["one", 2]}', []], ['{"parts": ["one", " "]}', []], ['{"parts": ["1", "2", "3", "4", "5"]}', []], ['{"parts": ["one", "two"], "more": 1}', []], ['["one", "two"]', []],
  ['Sure: {"parts": ["one", "two"]}', []], ['null', []], ['', []], [`{"parts": ["one", "${'x'.repeat(3_000)}"]}`, []], ['{"__proto__": {"parts": ["one", "two"]}}', []],
])('a plan %s is read strictly', (answer, parts) => {
  expect(partsOfPlan(answer, 4)).toEqual(parts);
});

test('planner and aggregator are told what there is', () => {
  expect(plannerPrompt('Why?', 3)).toContain('at most 3 parts');
  const prompt = aggregatorPrompt([{ part: 'one', answer: 'first' }, { part: 'two', answer: undefined }]);
  expect(prompt).toContain('first');
  expect(prompt).toContain('(not answered)');
});
