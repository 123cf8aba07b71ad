import { expect, test } from 'vitest';
import { SlabPool } from './slab-pool.ts';

test('memory that was given back is used again, and belongs to one holder at a time', () => {
  const pool = new SlabPool();
  const first = pool.take(30_000);
  const second = pool.take(30_000);
  expect(second.bytes).not.toBe(first.bytes);
  first.release();
  first.release();
  expect(pool.idle).toBe(1);
  expect(pool.take(40_000).bytes).toBe(first.bytes);
  expect(pool.idle).toBe(0);
});

test('a slab is at least as long as was asked for; small and large bodies get memory of their own', () => {
  const pool = new SlabPool();
  for (const bytes of [0, 1, 4_096, 65_536, 65_537, 1_000_000]) expect(pool.take(bytes).bytes.length).toBeGreaterThanOrEqual(bytes);
  for (const bytes of [100, 1_000_000]) pool.take(bytes).release();
  expect(pool.idle).toBe(0);
});

test('no more than 4 MB lie ready, however many were out at once', () => {
  const pool = new SlabPool();
  const slabs = Array.from({ length: 200 }, () => pool.take(10_000));
  for (const slab of slabs) slab.release();
  expect(pool.idle * 65_536).toBeLessThanOrEqual(4 * 1024 * 1024);
});
