import { hash } from 'node:crypto';
import type { JsonObject, JsonValue } from '@pointsman/schemas';
import { describe, expect, test } from 'vitest';
import { parseJsonBody } from '../http/parse-json-body.ts';
import { cacheKeyOf, type CacheKeyParts } from './cache-key.ts';

const PARTS: Omit<CacheKeyParts, 'body'> = { scope: 'key:a', namespace: '', format: 'chat', stream: false, group: 'chat', model: 'chat', tags: [], beta: '' };
const keyOfText = (text: string, parts: Partial<CacheKeyParts> = {}): string | undefined => cacheKeyOf({ ...PARTS, ...parts, body: parseJsonBody(Buffer.from(text)) });
const keyOf = (body: JsonObject, parts: Partial<CacheKeyParts> = {}): string | undefined => keyOfText(JSON.stringify(body), parts);

/** mulberry32, so that a failure comes again. */
function randomOf(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

const WORDS = ['', 'a', 'ab', '"', '\\', '\n', 'é', '😀', '\u0000', '1:a', 'n', 'x'.repeat(3_000), `line "one"\n${'y'.repeat(2_500)}`, '(long string)', '\u2028'];

function randomValue(random: () => number, depth: number): JsonValue {
  const pick = random();
  if (depth > 3 || pick < 0.4) return WORDS[Math.floor(random() * WORDS.length)] ?? '';
  if (pick < 0.5) return Math.round(random() * 1e6) / (random() < 0.5 ? 1 : 1_000);
  if (pick < 0.55) return random() < 0.5;
  if (pick < 0.6) return null;
  const length = Math.floor(random() * 4);
  if (pick < 0.75) return Array.from({ length }, () => randomValue(random, depth + 1));
  return Object.fromEntries(Array.from({ length }, (_, index) => [`${WORDS[Math.floor(random() * 10)] ?? ''}${String(index)}`, randomValue(random, depth + 1)]));
}

function shuffled<T>(items: readonly T[], random: () => number): T[] {
  return items.map((item) => ({ item, at: random() })).sort((a, b) => a.at - b.at).map(({ item }) => item);
}

/** The same value with its keys in another order and other white space. */
function respelt(value: JsonValue | undefined, random: () => number): string {
  const space = (): string => [' ', '', '\n', '\t \r\n'][Math.floor(random() * 4)] ?? '';
  if (Array.isArray(value)) return `[${space()}${value.map((item) => respelt(item, random)).join(`${space()},${space()}`)}${space()}]`;
  if (typeof value === 'object' && value !== null) {
    return `{${space()}${shuffled(Object.entries(value), random).map(([key, item]) => `${JSON.stringify(key)}${space()}:${space()}${respelt(item, random)}`).join(`,${space()}`)}${space()}}`;
  }
  return JSON.stringify(value);
}

/** Every value that differs from this one in one leaf, one key, one place. */
function* changed(value: JsonValue | undefined): Generator<JsonValue> {
  if (Array.isArray(value)) {
    yield [...value, null];
    for (const [index, item] of value.entries()) {
      yield value.filter((_, at) => at !== index);
      for (const other of changed(item)) yield value.with(index, other);
    }
  } else if (typeof value === 'object' && value !== null) {
    yield { ...value, 'one more': null };
    for (const [key, item] of Object.entries(value)) {
      yield Object.fromEntries(Object.entries(value).filter(([name]) => name !== key));
      yield Object.fromEntries(Object.entries(value).map(([name, kept]) => [name === key ? `${name}'` : name, kept]));
      for (const other of changed(item)) yield { ...value, [key]: other };
    }
  } else if (typeof value === 'string') {
    yield `${value} `;
    yield [value];
    if (value !== '') yield `${value.slice(0, -1)}#`;
  } else {
    yield typeof value === 'number' ? value + 0.5 : value === true ? false : value === null ? 0 : true;
    yield JSON.stringify(value);
  }
}

describe('equal requests', () => {
  test('with their keys in any order and any white space have one key; a change of any leaf gives another', () => {
    const random = randomOf(4);
    let changes = 0;
    for (let round = 0; round < 150; round += 1) {
      const body: JsonObject = { model: 'chat', messages: randomValue(random, 0), tools: randomValue(random, 0), temperature: random(), unknown_parameter: randomValue(random, 1) };
      const key = keyOf(body);
      for (let spelling = 0; spelling < 4; spelling += 1) expect(keyOfText(respelt(body, random))).toBe(key);
      for (const part of ['messages', 'tools', 'temperature', 'unknown_parameter']) {
        for (const other of changed(body[part])) {
          changes += 1;
          expect(keyOf({ ...body, [part]: other }), `${part}: ${JSON.stringify(other).slice(0, 200)}`).not.toBe(key);
        }
      }
    }
    expect(changes).toBeGreaterThan(2_000);
  });

  test('one number may be spelt 1, 1.0 and 1e0', () => {
    expect(new Set(['1', '1.0', '1e0', '10e-1'].map((one) => keyOfText(`{"temperature":${one}}`))).size).toBe(1);
  });

  test('who asks, notes, and what is for the gateway alone are no part of the key', () => {
    const body = { model: 'chat', messages: [{ role: 'user', content: 'hi' }], temperature: 0 };
    for (const more of [{ user: 'u' }, { metadata: { a: 'b' } }, { cache: { ttl: 3 } }, { num_retries: 5 }, { timeout: 3 }, { litellm_trace_id: 't' }, { 'no-log': true }, { stream: false }, { tags: ['a'] }]) {
      expect(keyOf({ ...body, ...more }), JSON.stringify(more)).toBe(keyOf(body));
    }
    for (const more of [{ stream_options: { include_usage: true } }, { guardrails: ['g'] }, { seed: 1 }, { n: 2 }]) expect(keyOf({ ...body, ...more }), JSON.stringify(more)).not.toBe(keyOf(body));
    // Only at the top: a tool may call its parameter `user`.
    expect(keyOf({ ...body, tools: [{ user: 'a' }] })).not.toBe(keyOf({ ...body, tools: [{ user: 'b' }] }));
  });

  test('a body of megabytes has its key with what is for the gateway and without', () => {
    const long = { model: 'chat', messages: [{ role: 'user', content: `line\n"quoted" ${'é😀x'.repeat(100_000)}` }] };
    expect(keyOf({ ...long, cache: { 'no-cache': true } })).toBe(keyOf(long));
    expect(keyOf({ messages: [{ content: `${long.messages[0]?.content ?? ''}.`, role: 'user' }] })).not.toBe(keyOf(long));
  });
});

describe('different requests', () => {
  test.each<Partial<CacheKeyParts>>([
    { scope: 'key:b' }, { scope: 'team:a' }, { namespace: 'x' }, { format: 'completions' }, { stream: true }, { group: 'other' }, { model: 'alias' }, { tags: ['a'] }, { tags: ['a', 'b'] }, { beta: 'b1' },
  ])('%j is part of the key', (parts) => {
    expect(keyOf({ input: 'x' }, parts)).not.toBe(keyOf({ input: 'x' }));
  });

  test('where one part ends and the next begins cannot be shifted', () => {
    expect(keyOf({}, { group: 'ab', model: 'c' })).not.toBe(keyOf({}, { group: 'a', model: 'bc' }));
    expect(keyOf({}, { scope: 'shared', namespace: 'key:a' })).not.toBe(keyOf({}, { scope: 'key:a', namespace: 'shared' }));
    expect(keyOf({ a: ['b', 'c'] })).not.toBe(keyOf({ a: ['b'], c: [] }));
    expect(keyOf({ a: { b: 'c' } })).not.toBe(keyOf({ a: 'b', b: 'c' }));
    expect(keyOf({ a: '1' })).not.toBe(keyOf({ a: 1 }));
  });

  test('a string cannot pass for the stand-in of a long one', () => {
    const long = 'x'.repeat(5_000);
    const standIn = `\u0000${hash('sha256', long, 'hex')}`;
    expect(keyOf({ input: standIn })).not.toBe(keyOf({ input: long }));
    expect(keyOf({ input: [long, standIn] })).not.toBe(keyOf({ input: [long, long] }));
  });

  test('halves of surrogate pairs are told apart', () => {
    expect(keyOfText(String.raw`{"input":"\ud800"}`)).not.toBe(keyOfText(String.raw`{"input":"\ud801"}`));
    expect(keyOfText(String.raw`{"input":"\ud800"}`)).not.toBe(keyOfText(String.raw`{"input":"\ufffd"}`));
  });

  test('whole numbers that a double cannot tell apart have no key', () => {
    expect(keyOfText('{"seed":9007199254740993}')).toBeUndefined();
    expect(keyOfText('{"tools":[{"a":[-9007199254740993]}]}')).toBeUndefined();
    expect(keyOfText('{"seed":9007199254740991}')).toBeDefined();
  });
});
