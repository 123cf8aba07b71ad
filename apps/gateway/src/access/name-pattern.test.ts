import { expect, test } from 'vitest';
import { matchesPattern } from './name-pattern.ts';

test.each([
  ['*', '', true], ['*', 'x', true], ['openai/*', 'openai/gpt-4o', true], ['openai/*', 'openai', false], ['openai/*', 'azure/openai/x', false], ['*-mini', 'gpt-4o-mini', true],
  ['*-mini', 'gpt-4o-mini-x', false], ['a*b*c', 'a1b2c', true], ['a*b*c', 'acb', false], ['a*b*c', 'abc', true], ['ab*ba', 'aba', false], ['a*bb*b', 'abb', false], ['a*bb*b', 'abbb', true], ['exact', 'exact', true], ['exact', 'exactly', false],
  ['.*', 'x', false],
])('%s and %s: %s', (pattern, name, expected) => {
  expect(matchesPattern(pattern, name)).toBe(expected);
});

test('a pattern made to be slow is not', () => {
  expect(matchesPattern(`${'a*'.repeat(500)}b`, 'a'.repeat(100_000))).toBe(false);
});
