import { Readable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { readBody } from './read-body.ts';

const never = new AbortController().signal;
const pieces = (...texts: readonly string[]): Readable => Readable.from(texts.map((text) => Buffer.from(text)));
const silentAfter = (text: string): Readable => {
  const body = new Readable({ read: () => undefined });
  body.push(text);
  return body;
};

test('a body that falls silent is broken, and the connection behind it let go', async () => {
  const body = silentAfter('some');
  const got: string[] = [];
  await expect(readBody(body, { expectedBytes: 10, idleMs: 20, signal: never, onChunk: (chunk) => void got.push(chunk.toString()) })).rejects.toMatchObject({ name: 'BrokenBody', message: 'no byte arrived for 20 ms' });
  expect(got).toEqual(['some']);
  expect(body.destroyed).toBe(true);
});

test('a slow disk is not a silent connection', async () => {
  let bytes = 0;
  await readBody(pieces('one', 'two'), { expectedBytes: 6, idleMs: 20, signal: never, onChunk: async (chunk) => {
    await delay(60);
    bytes += chunk.length;
  } });
  expect(bytes).toBe(6);
});

test('a body that ends early or late is broken even when the connection says nothing', async () => {
  for (const text of ['short', 'much too long']) await expect(readBody(pieces(text), { expectedBytes: 8, idleMs: 1000, signal: never, onChunk: () => undefined })).rejects.toMatchObject({ name: 'BrokenBody', message: `${text.length} of 8 bytes arrived` });
  await readBody(pieces('unannounced'), { expectedBytes: undefined, idleMs: 1000, signal: never, onChunk: () => undefined });
});

test('the reader\'s own failure and the caller\'s abort come through as they are', async () => {
  await expect(readBody(pieces('x'), { expectedBytes: 1, idleMs: 1000, signal: never, onChunk: () => { throw new Error('no space'); } })).rejects.toThrow('no space');
  const leave = new AbortController();
  await expect(readBody(silentAfter('x'), { expectedBytes: 5, idleMs: 10_000, signal: leave.signal, onChunk: () => leave.abort(new Error('leaving')) })).rejects.toThrow('leaving');
});
