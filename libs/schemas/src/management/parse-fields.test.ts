import { expect, test } from 'vitest';
import { keyGenerateFields } from './key-fields.ts';
import { spendLogsQuery } from './spend-fields.ts';
import { parseFields } from './parse-fields.ts';

test('what LiteLLM knows and has no effect here is told apart from what nobody knows', () => {
  expect(parseFields(keyGenerateFields, { max_budget: 0, guardrails: ['x'] })).toEqual({ fields: { max_budget: 0 }, ignored: ['guardrails'] });
  expect(() => parseFields(keyGenerateFields, { max_budgt: 5 })).toThrow(expect.objectContaining({ status: 400, param: 'max_budgt', message: "Unknown parameter: 'max_budgt'. Did you mean 'max_budget'?" }));
  expect(() => parseFields(keyGenerateFields, { entirely_different: 5 })).toThrow(expect.objectContaining({ message: "Unknown parameter: 'entirely_different'." }));
});

test.each(['__proto__', 'constructor', 'toString', 'hasOwnProperty'])('a field called %s is unknown, and nothing comes of it', (field) => {
  expect(() => parseFields(keyGenerateFields, JSON.parse(`{"${field}": {"role": "admin"}}`) as Record<string, unknown>)).toThrow(expect.objectContaining({ code: 'unknown_parameter' }));
});

test.each(['constructor', 'toString', 'hasOwnProperty'])('inside free objects %s is a name like any other', (field) => {
  const { fields } = parseFields(keyGenerateFields, { metadata: { [field]: 'x' }, aliases: { [field]: 'y' } });
  expect([Object.entries(fields.metadata ?? {}), Object.entries(fields.aliases ?? {})]).toEqual([[[field, 'x']], [[field, 'y']]]);
});

test('budgets per model have one form, however they were written', () => {
  expect(parseFields(keyGenerateFields, { model_max_budget: { a: 1, b: { max_budget: 2, budget_duration: '1d' }, c: { budget_limit: '0.5', time_period: '1mo' } } }).fields.model_max_budget).toEqual({
    a: { max_budget: 1, budget_duration: null }, b: { max_budget: 2, budget_duration: '1d' }, c: { max_budget: 0.5, budget_duration: '1mo' },
  });
});

test.each([
  ['2026-01-31', '2026-01-31T00:00:00.000Z', true], ['2026-01-31 12:30:00', '2026-01-31T12:30:00.000Z', false], ['2026-01-31T12:30:00', '2026-01-31T12:30:00.000Z', false],
  ['2026-01-31T12:30:00Z', '2026-01-31T12:30:00.000Z', false], ['2026-01-31T23:30:00-02:00', '2026-02-01T01:30:00.000Z', false],
])('%s is a moment in UTC', (text, at, wholeDay) => {
  expect(parseFields(spendLogsQuery, { start_date: text }).fields.start_date).toEqual({ at: new Date(at), wholeDay });
});
