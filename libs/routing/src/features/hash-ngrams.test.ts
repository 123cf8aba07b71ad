import { expect, test } from 'vitest';
import { NGRAM_BUCKETS, NgramHasher } from './hash-ngrams.ts';
import { murmurHash } from './murmur-hash.ts';
import { WordScan } from './word-scan.ts';

const hasher = new NgramHasher();
const scan = new WordScan();
function hashOf(...parts: string[]): Map<number, number> {
  scan.scan(parts);
  const { index, value } = hasher.hash(scan);
  expect(index).toHaveLength(value.length);
  return new Map([...index].map((bucket, at) => [bucket, value[at]!]));
}
function bucketOf(text: string): number {
  const bytes = new TextEncoder().encode(text);
  return murmurHash(bytes, 0, bytes.length) & (NGRAM_BUCKETS - 1);
}

test('words and pairs of neighbouring words, sublinear counts, ascending', () => {
  const hashed = hashOf('The cat and THE cat');
  const twice = Math.fround(1 + Math.log(2));
  expect(hashed).toEqual(new Map([[bucketOf('the'), twice], [bucketOf('cat'), twice], [bucketOf('and'), 1], [bucketOf('the cat'), twice], [bucketOf('cat and'), 1], [bucketOf('and the'), 1]].sort((one, other) => one[0]! - other[0]!) as [number, number][]));
  const buckets = [...hashed.keys()];
  expect(buckets).toEqual([...buckets].sort((one, other) => one - other));
});

test('a text without words has bucket 0 with value 0', () => {
  expect(hashOf('')).toEqual(new Map([[0, 0]]));
  expect(hashOf('?! 😀')).toEqual(new Map([[0, 0]]));
});

test('no pair crosses from one part of a long text to the other', () => {
  expect([...hashOf('one', 'two').keys()].sort()).toEqual([bucketOf('one'), bucketOf('two')].sort());
  expect(hashOf('one two').size).toBe(3);
});

test('one prompt leaves nothing behind for the next, and results are not reused', () => {
  const first = hashOf('alpha beta alpha');
  scan.scan(['alpha beta alpha']);
  const kept = hasher.hash(scan);
  hashOf('completely different words here');
  expect([...kept.index]).toEqual([...first.keys()]);
  expect(hashOf('alpha beta alpha')).toEqual(first);
});
