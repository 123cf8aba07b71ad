import type { JsonObject } from '@pointsman/schemas';
import { describe, expect, test } from 'vitest';
import { spliceBody } from './splice-body.ts';

const USAGE = '"stream_options":{"include_usage":true}';

/** What the provider reads must be what the slow path would have sent. */
function expectSameAsSerialised(raw: string | Buffer, model: string): Buffer | undefined {
  const bytes = Buffer.from(raw);
  const body = JSON.parse(bytes.toString('utf8')) as JsonObject;
  const spliced = spliceBody(bytes, model, undefined);
  if (spliced !== undefined) expect(JSON.parse(spliced.toString('utf8'))).toEqual({ ...body, model });
  const withUsage = body['stream_options'] === undefined ? spliceBody(bytes, model, USAGE) : undefined;
  if (withUsage !== undefined) expect(JSON.parse(withUsage.toString('utf8'))).toEqual({ ...body, model, stream_options: { include_usage: true } });
  return spliced;
}

test('the model name is replaced and every other byte stays', () => {
  const raw = '{ "messages": [{"role":"user","content":"Gr\\u00fc\u00df \\"Gott\\""}],\n "temperature":1.0, "model" : "fast" , "n":1e0 }';
  expect(spliceBody(Buffer.from(raw), 'gpt-4o', undefined)?.toString()).toBe(raw.replace('"fast"', '"gpt-4o"'));
});

test('fields go to the front', () => {
  expect(spliceBody(Buffer.from(' {"model":"fast"}'), 'm', USAGE)?.toString()).toBe(` {${USAGE},"model":"m"}`);
});

test('a body that already has the right name is not copied', () => {
  const raw = Buffer.from('{"model":"gpt-4o","messages":[]}');
  expect(spliceBody(raw, 'gpt-4o', undefined)).toBe(raw);
});

describe('takes the fast path', () => {
  test.each([
    ['a longer name', '{"model":"a","x":1}', 'accounts/fireworks/models/llama'],
    ['a name that needs escaping', '{"model":"a"}', 'quote " backslash \\ line \n'],
    ['a name beyond ASCII', '{"x":"ä","model":"ü"}', '模型'],
    ['a client name with escapes', '{"model":"a\\"b\\\\","x":"\\\\"}', 'm'],
    ['non-English prompts written as escapes', '{"model":"a","x":"\\u4f60\\u597d \\ud83d\\ude00"}', 'm'],
    ['a nested key with another name', '{"metadata":{"models":"x","model_name":"y"},"model":"a"}', 'm'],
    ['quoted talk about a model', '{"messages":[{"content":"the \\"model\\" said"}],"model":"a"}', 'm'],
    ['__proto__ in the body', '{"__proto__":{"a":1},"model":"a"}', 'm'],
  ])('%s', (_name, raw, model) => {
    expect(expectSameAsSerialised(raw, model)).toBeDefined();
  });
});

describe('leaves to the slow path', () => {
  test.each([
    ['a duplicate key', '{"model":"a","model":"b"}'],
    ['a nested model', '{"metadata":{"model":"x"},"model":"a"}'],
    ['a nested model before an escaped key', '{"metadata":{"model":"x"},"\\u006dodel":"a"}'],
    ['an escaped key and a literal one', '{"model":"a","mo\\u0064el":"b"}'],
    ['a key escaped in the middle', '{"mod\\u0065l":"a"}'],
    ['the word as a value', '{"x":"model","model":"a"}'],
    ['the word as a list item', '{"x":["model"],"model":"a"}'],
    ['a string that ends in a quoted word', '{"x":"say \\"model","model":"a"}'],
    ['a string of quote and word alone', '{"x":"\\"model","mo\\u0064el":"a"}'],
    ['no model', '{"messages":[]}'],
    ['a model that is a number', '{"model":1}'],
    ['a model that is an object', '{"model":{"model":"a"}}'],
  ])('%s', (_name, raw) => {
    expect(spliceBody(Buffer.from(raw), 'm', undefined)).toBeUndefined();
  });

  test('bytes that are not UTF-8, which parsing has replaced', () => {
    const raw = Buffer.concat([Buffer.from('{"x":"'), Buffer.from([0xff, 0xc3]), Buffer.from('","model":"a"}')]);
    expect(spliceBody(raw, 'm', undefined)).toBeUndefined();
  });

  test('a byte order mark', () => {
    expect(spliceBody(Buffer.from('\ufeff{"model":"a"}'), 'm', undefined)).toBeUndefined();
  });
});

test('what is spliced always reads like what would have been serialised, for 20,000 random bodies', () => {
  let seed = 1;
  const random = (below: number): number => {
    seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648;
    return Math.floor((seed / 2_147_483_648) * below);
  };
  const pick = <T>(items: readonly T[]): T => items[random(items.length)] as T;
  const keys = ['"model"', '"mode\\u006c"', '"\\u006Dodel"', '"messages"', '"model "', '" model"', '"\\"model"', '"model\\""', '"\\\\"', '"x"', '"__proto__"', '"stream"'];
  const strings = ['"model"', '"a"', '""', '"\\""', '"\\\\"', '"\\"model\\""', '":"', '"\\u006d"', '"{\\"model\\":1}"', '"\\\\\\"model"', '"ü"', '"😀"'];
  const space = (): string => pick(['', '', ' ', '\n', '\t ']);
  const value = (depth: number): string => {
    const kind = depth > 3 ? 0 : random(6);
    if (kind === 4) return `[${Array.from({ length: random(3) }, () => `${space()}${value(depth + 1)}${space()}`).join(',')}]`;
    if (kind === 5) return object(depth + 1);
    return kind === 3 ? pick(['1', 'true', 'null', '-1.5e3']) : pick(strings);
  };
  const object = (depth: number): string => `{${Array.from({ length: random(4) + (depth === 0 ? 1 : 0) }, () => `${space()}${pick(keys)}${space()}:${space()}${value(depth)}${space()}`).join(',')}}`;
  let fast = 0;
  for (let round = 0; round < 20_000; round += 1) {
    const raw = `${space()}${object(0)}${space()}`;
    const body = JSON.parse(raw) as JsonObject;
    if (typeof body['model'] !== 'string') continue; // the caller does not try
    if (expectSameAsSerialised(raw, pick(['m', 'a', '', '"', 'ü/\\'])) !== undefined) fast += 1;
  }
  expect(fast).toBeGreaterThan(300);
});
