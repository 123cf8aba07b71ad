/**
 * MurmurHash3 x86_32 (Austin Appleby, public domain, https://github.com/aappleby/smhasher) of `bytes[start, end)`, as a signed 32-bit integer.
 * The words of a text lie behind each other in one buffer, so that hashing a word or a pair of them copies nothing.
 */
export function murmurHash(bytes: Uint8Array, start: number, end: number, seed = 0): number {
  const blocksEnd = start + ((end - start) & ~3);
  let hash = seed | 0;
  let at = start;
  for (; at < blocksEnd; at += 4) {
    const block = bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24);
    hash ^= scramble(block);
    hash = (hash << 13) | (hash >>> 19);
    hash = (Math.imul(hash, 5) + 0xe6546b64) | 0;
  }
  const rest = end - at;
  if (rest > 0) {
    let tail = bytes[at]!;
    if (rest > 1) tail |= bytes[at + 1]! << 8;
    if (rest > 2) tail |= bytes[at + 2]! << 16;
    hash ^= scramble(tail);
  }
  hash ^= end - start;
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return hash ^ (hash >>> 16);
}

function scramble(block: number): number {
  const mixed = Math.imul(block, 0xcc9e2d51);
  return Math.imul((mixed << 15) | (mixed >>> 17), 0x1b873593);
}
