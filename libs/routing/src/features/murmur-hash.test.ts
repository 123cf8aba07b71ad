import { expect, test } from 'vitest';
import { murmurHash } from './murmur-hash.ts';

// Published vectors: SMHasher's verification inputs and those of Wikipedia's MurmurHash page.
test.each([
  ['', 0, 0x00000000],
  ['', 1, 0x514e28b7],
  ['', 0xffffffff, 0x81f16f39],
  ['test', 0, 0xba6bd213],
  ['test', 0x9747b28c, 0x704b81dc],
  ['Hello, world!', 0, 0xc0363e43],
  ['Hello, world!', 0x9747b28c, 0x24884cba],
  ['The quick brown fox jumps over the lazy dog', 0, 0x2e4ff723],
  ['The quick brown fox jumps over the lazy dog', 0x9747b28c, 0x2fa826cd],
  ['aaa', 0x9747b28c, 0x283e0130],
  ['aa', 0x9747b28c, 0x5d211726],
  ['a', 0x9747b28c, 0x7fa09ea6],
])('MurmurHash3 x86_32 of %j with seed %i', (text, seed, expected) => {
  const bytes = new TextEncoder().encode(`..${text}..`);
  expect(murmurHash(bytes, 2, bytes.length - 2, seed) >>> 0).toBe(expected);
});
