import { expect, test } from 'vitest';
import { canonicalJson, safeText, safeValue } from './index.ts';

const HASH = 'a'.repeat(64);
const plain = (value: unknown): unknown => JSON.parse(canonicalJson(safeValue(value)));

test('hashes are kept, keys are not, wherever they stand', () => {
  expect(plain({
    token: HASH, key_name: 'sk-...abcd', key_alias: 'team a', max_tokens: 5, api_key: 'os.environ/OPENAI_API_KEY',
    key: 'sk-1234567890abcdef', litellm_params: { api_key: 'anything', aws_secret_access_key: ['x'] },
    note: 'use sk-proj-1234567890 or Bearer abcdefghijkl', 'sk-as-a-name-1234': 1, database: 'postgres://me:secret@db:5432/x',
    list: [{ password: 'p' }], client_token: 'abc', access_token: null,
  })).toEqual({
    token: HASH, key_name: 'sk-...abcd', key_alias: 'team a', max_tokens: 5, api_key: 'os.environ/OPENAI_API_KEY',
    key: '[redacted]', litellm_params: { api_key: '[redacted]', aws_secret_access_key: '[redacted]' },
    note: 'use [redacted] or Bearer [redacted]', '[redacted]': 1, database: 'postgres://me:[redacted]@db:5432/x',
    list: [{ password: '[redacted]' }], client_token: '[redacted]', access_token: null,
  });
});

test('what is deep or long is cut with a mark, and a circle ends', () => {
  const circle: Record<string, unknown> = {};
  circle['again'] = circle;
  expect(canonicalJson(safeValue(circle))).toBe('{"again":{"again":{"again":{"again":{"again":{"again":{"again":{"again":"[cut]"}}}}}}}}');
  const long = safeValue('x'.repeat(1_000_000)) as string;
  expect(long).toHaveLength(16 * 1024 - 1 + '[cut]'.length);
  expect(long.endsWith('x[cut]')).toBe(true);
  expect(canonicalJson(safeValue(Array.from({ length: 100_000 }, () => ({ a: 'b' })))).length).toBeLessThan(100_000);
  expect(canonicalJson(safeValue(Object.fromEntries(Array.from({ length: 100_000 }, (_, at) => [`k${String(at)}`, at])))).length).toBeLessThan(40_000);
  expect(safeText(`${'x'.repeat(9)} sk-1234567890abcdef`, 15)).toBe(`${'x'.repeat(9)} [reda[cut]`);
  expect(canonicalJson(safeValue(['eyJ-'.repeat(5_000), '://'.repeat(5_000), 'sk-'.repeat(5_000)]))).toContain('[cut]');
});

test('only what a jsonb column gives back as it was is kept', () => {
  expect(plain({ at: new Date(0), nul: 'a\0b', half: '\ud800', no: Infinity, zero: -0, many: 2n ** 70n, bytes: Buffer.from('ab'), set: new Set([1]), map: new Map([['a', undefined]]), f: () => 1, bad: new Date(NaN) }))
    .toEqual({ at: '1970-01-01T00:00:00.000Z', nul: 'a\ufffdb', half: '\ufffd', no: null, zero: 0, many: '1180591620717411303424', bytes: '[2 bytes]', set: [1], map: {}, bad: null });
  const hostile = JSON.parse('{"__proto__": {"isAdmin": true}}') as unknown;
  expect(canonicalJson(safeValue(hostile))).toBe('{"__proto__":{"isAdmin":true}}');
});
