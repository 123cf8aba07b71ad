import { describe, expect, test } from 'vitest';
import { readYaml } from './read-yaml.ts';

function root(text: string): unknown {
  const outcome = readYaml({ path: 'c.yaml', text });
  if ('problems' in outcome) throw new Error(outcome.problems.map((problem) => problem.message).join());
  return outcome.file.root;
}

function refusal(text: string): string {
  const outcome = readYaml({ path: 'c.yaml', text });
  if (!('problems' in outcome)) throw new Error('accepted');
  return outcome.problems.map(({ path, message, line, column }) => `${String(line ?? '')}:${String(column ?? '')} ${path} ${message}`).join('\n');
}

test('YAML 1.1 as PyYAML reads it, except that dates and times stay text', () => {
  expect(root('a: yes\nb: off\nc: 20_000\nd: 2024-06-01\ne: 10:30\nf: y\ng: 0x10\nh: 1e-6\ni: ~\n429: x')).toEqual({
    a: true, b: false, c: 20_000, d: '2024-06-01', e: '10:30', f: 'y', g: 16, h: 1e-6, i: null, 429: 'x',
  });
});

test('merge keys and aliases are expanded into values of their own', () => {
  const read = root('base: &b { x: 1, y: [2] }\nown: { <<: *b, x: 3 }\nsame: *b') as { base: { y: unknown }; same: { y: unknown } };
  expect(read).toEqual({ base: { x: 1, y: [2] }, own: { x: 3, y: [2] }, same: { x: 1, y: [2] } });
  expect(read.base.y).not.toBe(read.same.y);
});

test('five hundred references to one anchor are no attack', () => {
  expect(root(`key: &k secret\nlist:\n${'  - *k\n'.repeat(500)}`)).toMatchObject({ key: 'secret' });
});

describe('refused', () => {
  const bomb = `a: &a [x,x,x,x,x,x,x,x,x,x]\n${'bcdefghijk'.split('').map((name, index) => `${name}: &${name} [${Array.from({ length: 10 }, () => `*${'abcdefghij'[index] ?? 'a'}`).join()}]`).join('\n')}\n`;
  test.each([
    ['a missing bracket', 'a:\n  b: [1, 2\nc: 3', '3:'],
    ['a tab', 'a:\n\tb: 1', 'tab'],
    ['wrong indentation', 'a:\n  b: 1\n c: 2', '3:'],
    ['a key twice', 'a: 1\nb: 2\na: 3', '3:1  the same key appears twice'],
    ['two documents', 'a: 1\n---\nb: 2', 'more than one'],
    ['an unknown anchor', 'a: *nowhere', 'anchor'],
    ['an alias bomb', bomb, 'expand to too much'],
    ['__proto__', 'a: { __proto__: { polluted: true } }', 'a.__proto__ this key is not allowed'],
    ['__proto__ through an alias', 'a: &p { __proto__: 1 }\nb: *p', 'not allowed'],
    ['a mapping as a key', '{ { a: 1 }: 2 }', 'key'],
    ['an infinite number', 'a: .inf', 'finite'],
    ['nothing but a comment', '# hello', 'empty'],
    ['text', 'hello', 'mapping'],
    ['deep nesting', `a: ${'['.repeat(5000)}${']'.repeat(5000)}`, 'deep'],
    ['moderate nesting', `a: ${'['.repeat(60)}${']'.repeat(60)}`, 'deep'],
    ['a binary file', '\u0000\u0001\u0002: \u0007', ''],
  ])('%s', (_name, text, words) => {
    expect(refusal(text)).toContain(words);
    expect({}).not.toHaveProperty('polluted');
  });

  test('an anchor that holds itself, once for each place', () => {
    expect(refusal('a: &a [*a, *a]').split('\n')).toEqual(['1:1 a[0] nested too deeply', '1:1 a[1] nested too deeply']);
  });

  test('without quoting the file', () => {
    expect(refusal('general_settings:\n  master_key: "sk-secret\n  other: @sk-secret\n')).not.toContain('sk-secret');
  });
});

test('places are found through lists and mappings; what is not written is its nearest ancestor', () => {
  const outcome = readYaml({ path: 'c.yaml', text: 'a:\n  - b: 1\n  - c:\n      d: 2\n' });
  if ('problems' in outcome) throw new Error('refused');
  expect(outcome.file.locate(['a', 1, 'c', 'd'])).toEqual({ line: 4, column: 7 });
  expect(outcome.file.locate(['a', 1, 'x'])).toEqual({ line: 3, column: 5 });
});
