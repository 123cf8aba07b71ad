import { murmurHash } from './murmur-hash.ts';
import { MAX_WORDS, type WordScan } from './word-scan.ts';

/** Buckets of the hashed words and pairs of words: 2^18. */
export const NGRAM_BUCKETS = 262_144;
/** Most n-grams of one prompt: every word and every pair. */
export const MAX_NGRAMS = 2 * MAX_WORDS;

export interface HashedNgrams {
  /** Ascending, each once. */
  readonly index: Int32Array;
  /** 1 + ln(count) of each. */
  readonly value: Float32Array;
}

/**
 * Hashed words and pairs of neighbouring words (joined by one space): bucket = MurmurHash3 x86_32 (seed 0) of their UTF-8 bytes, lowest 18 bits.
 * Feature hashing after Weinberger et al. 2009, without signs: the model learns a weight per bucket. Counts are kept in one array of a counter per
 * bucket, cleared after use by the list of touched buckets, so that a call leaves nothing behind but its two results.
 */
export class NgramHasher {
  readonly #count = new Uint16Array(NGRAM_BUCKETS);
  readonly #touched = new Int32Array(MAX_NGRAMS);

  hash(words: WordScan): HashedNgrams {
    const counts = this.#count;
    const touched = this.#touched;
    const { bytes, start, end, hash, count, secondPart } = words;
    const mask = NGRAM_BUCKETS - 1;
    let size = 0;
    for (let word = 0; word < count; word += 1) {
      const single = hash[word]! & mask;
      if (counts[single]!++ === 0) touched[size++] = single;
      if (word + 1 === count || word + 1 === secondPart) continue;
      const pair = murmurHash(bytes, start[word]!, end[word + 1]!) & mask;
      if (counts[pair]!++ === 0) touched[size++] = pair;
    }
    if (size === 0) return { index: new Int32Array(1), value: new Float32Array(1) };
    const index = touched.slice(0, size).sort();
    const value = new Float32Array(size);
    for (let at = 0; at < size; at += 1) {
      const bucket = index[at]!;
      const count = counts[bucket]!;
      value[at] = count === 1 ? 1 : 1 + Math.log(count);
      counts[bucket] = 0;
    }
    return { index, value };
  }
}
