import { describe, expect, test } from 'vitest';
import type { z } from 'zod';
import { budgetNewFields } from './budget-fields.ts';
import { keyGenerateFields, keyListQuery } from './key-fields.ts';
import { spendLogsQuery } from './spend-fields.ts';
import { parseFields } from './parse-fields.ts';
import { teamMemberAddFields, teamNewFields } from './team-fields.ts';
import { userDeleteFields, userNewFields } from './user-fields.ts';

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

test.each<[Record<string, unknown>, string]>([
  [{ models: Array.from({ length: 1_001 }, () => 'a') }, "Invalid value for 'models': expected at most 1000 items, but got 1001 instead."],
  [{ tags: ['x'.repeat(513)] }, "Invalid value for 'tags[0]': expected at most 512 characters, but got 513 instead."],
  [{ max_budget: JSON.parse('1e309') as number }, "Invalid type for 'max_budget': expected a finite number, but got one that is too large instead."],
  [{ max_budget: 1e16 }, "Invalid value for 'max_budget': expected at most 1000000000000000, but got 10000000000000000 instead."],
])('a message says what is counted: %#', (body, message) => {
  expect(() => parseFields(keyGenerateFields, body)).toThrow(expect.objectContaining({ message }));
});

const UNSEEN = { 'an ANSI escape': 'a\u001b[31m', 'a line break': 'a\nb', 'a zero-width space': 'a\u200bb', 'a change of direction': 'a\u202eb', 'a line separator': 'a\u2028b', 'a delete': 'a\u007f', 'a C1 control': 'a\u009b31m' };

describe.each(Object.entries(UNSEEN))('%s', (_name, text) => {
  test.each<[string, { readonly schema: z.ZodObject; readonly withoutEffect: ReadonlySet<string> }, string]>([
    ['key', keyGenerateFields, 'key_alias'], ['key', keyGenerateFields, 'user_id'], ['team', teamNewFields, 'team_id'], ['team', teamNewFields, 'team_alias'], ['user', userNewFields, 'user_id'], ['user', userNewFields, 'user_email'],
    ['user', userNewFields, 'user_alias'], ['user', userNewFields, 'key_alias'], ['budget', budgetNewFields, 'budget_id'],
  ])('is in no name that is given to a %s', (_kind, fields, field) => {
    expect(() => parseFields(fields, { [field]: text })).toThrow(expect.objectContaining({ status: 400, param: field, message: expect.stringContaining('cannot be seen') as string }));
  });

  test('is in no id of a member, and does not keep from finding what has one already', () => {
    expect(() => parseFields(teamMemberAddFields, { team_id: 't', member: { user_id: text } })).toThrow(expect.objectContaining({ status: 400 }));
    expect(parseFields(keyListQuery, { key_alias: text, user_id: text }).fields).toEqual({ key_alias: text, user_id: text });
    expect(parseFields(userDeleteFields, { user_ids: [text] }).fields).toEqual({ user_ids: [text] });
  });
});

test.each(['master', 'Master', ' master', '\uff4daster'])('no key is called as the audit log calls the master key: %s', (key_alias) => {
  expect(() => parseFields(keyGenerateFields, { key_alias })).toThrow(expect.objectContaining({ param: 'key_alias', message: expect.stringContaining('master key') as string }));
  expect(parseFields(keyGenerateFields, { key_alias: `${key_alias}-of-ceremonies` }).fields).toEqual({ key_alias: `${key_alias}-of-ceremonies` });
});
