import { expect, test } from 'vitest';
import { ModelGroups } from './model-groups.ts';
import { fillWildcards, matchWildcard, parseWildcard } from './wildcard.ts';

const aliases = new Map([
  ['gpt-4', { group: 'chat', hidden: false }],
  ['secret', { group: 'chat', hidden: true }],
  ['claude', { group: 'anthropic/claude-sonnet', hidden: false }],
  ['nowhere', { group: 'missing', hidden: false }],
]);
const groups = new ModelGroups({ groups: ['chat', 'chat', 'openai/*', 'openai/gpt-*', 'anthropic/*', 'openai/gpt-4o'], aliases });

test.each([
  ['chat', 'chat', []],
  ['openai/gpt-4o', 'openai/gpt-4o', []],
  ['openai/gpt-5', 'openai/gpt-*', ['5']],
  ['openai/o3', 'openai/*', ['o3']],
  ['openai/', 'openai/*', ['']],
])('%s is served by %s', (name, group, captured) => {
  expect(groups.resolve(name)).toEqual({ group, requested: name, resolved: name, isAlias: false, captured });
  expect(groups.resolve(name)).toEqual({ group, requested: name, resolved: name, isAlias: false, captured });
});

test('an alias leads to its group, also through a wildcard', () => {
  expect(groups.resolve('gpt-4')).toEqual({ group: 'chat', requested: 'gpt-4', resolved: 'chat', isAlias: true, captured: [] });
  expect(groups.resolve('claude')).toEqual({ group: 'anthropic/*', requested: 'claude', resolved: 'anthropic/claude-sonnet', isAlias: true, captured: ['claude-sonnet'] });
});

test('an alias goes before a group of the same name, and aliases do not chain', () => {
  const swapped = new ModelGroups({ groups: ['a', 'b'], aliases: new Map([['a', { group: 'b', hidden: false }], ['b', { group: 'a', hidden: false }]]) });
  expect(swapped.resolve('a')?.group).toBe('b');
  expect(swapped.resolve('b')?.group).toBe('a');
});

test('what nobody serves is undefined', () => {
  for (const name of ['nowhere', 'missing', 'openai', '', 'x'.repeat(5_000)]) expect(groups.resolve(name)).toBeUndefined();
});

test('names that objects know are names like any other', () => {
  for (const name of ['__proto__', 'constructor', 'toString', 'hasOwnProperty']) {
    expect(groups.resolve(name)).toBeUndefined();
    const all = new ModelGroups({ groups: ['*'], aliases: new Map([['__proto__', { group: 'x', hidden: false }]]) });
    expect(all.resolve(name)?.group).toBe('*');
    expect(new ModelGroups({ groups: [name] }).resolve(name)?.group).toBe(name);
  }
  expect(({} as Record<string, unknown>)['group']).toBeUndefined();
});

test('the list shows groups once and aliases that are neither hidden nor dead', () => {
  expect(groups.list()).toEqual(['chat', 'openai/*', 'openai/gpt-*', 'anthropic/*', 'openai/gpt-4o', 'gpt-4', 'claude']);
});

test('the pattern with the longest literal prefix wins, then the most literal characters', () => {
  const names = ['*', 'a*', 'ab*', 'a*z', '*-mini', 'ab*z*', 'ab*z'];
  const byPattern = new ModelGroups({ groups: names });
  const served = (name: string): string | undefined => byPattern.resolve(name)?.group;
  expect(['abc', 'abcz', 'abzc', 'axz', 'ax', 'o3-mini', 'zzz'].map(served)).toEqual(['ab*', 'ab*z', 'ab*z*', 'a*z', 'a*', '*-mini', '*']);
});

test('the memory of wildcard hits is bounded', () => {
  const small = new ModelGroups({ groups: ['openai/*'], cacheSize: 2 });
  const first = small.resolve('openai/0');
  expect(small.resolve('openai/0')).toBe(first);
  for (let index = 1; index <= 2; index += 1) small.resolve(`openai/${index}`);
  expect(small.resolve('openai/0')).not.toBe(first);
  expect(small.resolve('openai/0')).toEqual(first);
});

test.each([
  ['llm/*', 'llm/x', ['x']],
  ['fo::*::static::*', 'fo::hi::static::hey', ['hi', 'hey']],
  ['*meta.llama3*', 'hello-meta.llama3-70b', ['hello-', '-70b']],
  ['a*b*c', 'a1b2b3c', ['1b2', '3']],
  ['a*a', 'a', undefined],
  ['ab*bc', 'abc', undefined],
  ['a*bb*c', 'abc', undefined],
  ['ab*b*c', 'abxc', undefined],
  ['a**b', 'axb', ['x', '']],
  ['gpt.4*', 'gptx4o', undefined],
  ['openai/*', 'openai', undefined],
])('%s matches %s as %j', (pattern, name, captured) => {
  expect(matchWildcard(parseWildcard(pattern), name)).toEqual(captured);
});

test('a pattern made to be slow is not', () => {
  const pattern = parseWildcard('*a'.repeat(200) + 'b');
  expect(matchWildcard(pattern, 'a'.repeat(1_024))).toBeUndefined();
});

test.each([
  ['openai/*', ['gpt-4'], 'llm/gpt-4', 'openai/gpt-4'],
  ['openai/gpt-4o', ['x'], 'llm/x', 'openai/gpt-4o'],
  ['azure/fo::*::static::*', ['hi', 'hey'], 'r', 'azure/fo::hi::static::hey'],
  ['openai/*', ['a', 'b'], 'a-b', 'a-b'],
  ['x/*/*', ['a'], 'r', 'x/a/a'],
  ['openai/*', [], 'r', 'openai/'],
  ['openai/*', ['$&$1'], 'r', 'openai/$&$1'],
])('%s filled with %j', (model, captured, requested, expected) => {
  expect(fillWildcards(model, captured, requested)).toBe(expected);
});

test.each(['gemini/../../admin', 'gemini/.', 'gemini/a?key=b', 'gemini/a#b', 'gemini/%2e%2e', 'gemini/a\\b', 'gemini/a\r\nb: c', 'gemini/\0', 'gemini/\ud800'])('a wildcard does not take %j: providers put names into paths and headers', (name) => {
  expect(new ModelGroups({ groups: ['gemini/*'] }).resolve(name)).toBeUndefined();
  expect(new ModelGroups({ groups: ['gemini/*', name] }).resolve(name)?.group).toBe(name);
});
