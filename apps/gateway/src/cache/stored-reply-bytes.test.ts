import { expect, test } from 'vitest';
import type { StoredReply } from './response-cache.ts';
import { decodeStoredReply, encodeStoredReply } from './stored-reply-bytes.ts';

const KEY = 'a'.repeat(64);
const REPLY: StoredReply = {
  storedAtMs: 1_700_000_000_123, modelId: 'gpt-a', finishReason: 'stop', responseId: 'chatcmpl-1', usageEstimated: false,
  usage: { promptTokens: 1, completionTokens: 2, totalTokens: 3, cachedTokens: 0, cacheCreationTokens: 0, cacheCreation1hTokens: 0, reasoningTokens: 0, audioInputTokens: 0, audioOutputTokens: 0 },
  pieces: ['data: {"a":"é😀\\u0000"}\n\n', '\u0000\u0001', 'data: [DONE]\n\n'],
};

test('a reply comes back as it was, its pieces apart', () => {
  expect(decodeStoredReply(KEY, encodeStoredReply(KEY, REPLY))).toEqual(REPLY);
});

test('a reply without usage, finish reason and id comes back without them', () => {
  const bare: StoredReply = { ...REPLY, usage: undefined, finishReason: undefined, responseId: undefined, usageEstimated: true, pieces: ['{}'] };
  expect(decodeStoredReply(KEY, encodeStoredReply(KEY, bare))).toEqual(bare);
});

test('a change of any byte, a cut anywhere and bytes at the end make it nothing', () => {
  const bytes = encodeStoredReply(KEY, REPLY);
  for (let at = 0; at < bytes.length; at += 1) {
    const flipped = Buffer.from(bytes);
    flipped[at] = (flipped[at] ?? 0) ^ 0x10;
    expect(decodeStoredReply(KEY, flipped), `byte ${String(at)}`).toBeUndefined();
    expect(decodeStoredReply(KEY, bytes.subarray(0, at)), `cut at ${String(at)}`).toBeUndefined();
  }
  expect(decodeStoredReply(KEY, Buffer.concat([bytes, Buffer.from([0])]))).toBeUndefined();
});

test('a reply that was stored under another key is nothing', () => {
  expect(decodeStoredReply('b'.repeat(64), encodeStoredReply(KEY, REPLY))).toBeUndefined();
});

test.each([
  ['a model id that would break a header', { ...REPLY, modelId: 'a\r\nset-cookie: x' }], ['no piece', { ...REPLY, pieces: [] }],
])('%s is nothing', (_, reply) => {
  expect(decodeStoredReply(KEY, encodeStoredReply(KEY, reply))).toBeUndefined();
});
