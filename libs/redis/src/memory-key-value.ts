import type { Clock } from '@pointsman/timing';
import { LRUCache } from 'lru-cache';
import type { KeyValue } from './key-value.ts';

export interface MemoryKeyValueOptions {
  /** For keys, values and what each entry costs besides. The least recently used leave first. */
  readonly maxBytes: number;
  readonly clock: Clock;
}

/** The entry in the cache's tables, the Buffer object and its backing store, roughly, in bytes. */
const ENTRY_OVERHEAD_BYTES = 400;

/**
 * Values of one process, bounded by bytes; answers at once. A value larger than the bound is not stored. Callers must not change a value that they have
 * stored or got: it is kept as it is, except that a slice of a larger buffer is copied so as not to pin the rest.
 */
export function createMemoryKeyValue({ maxBytes, clock }: MemoryKeyValueOptions): KeyValue {
  const entries = new LRUCache<string, Buffer>({
    maxSize: maxBytes,
    // Two bytes a character: a key may be any text.
    sizeCalculation: (value, key) => value.length + key.length * 2 + ENTRY_OVERHEAD_BYTES,
    perf: { now: () => clock.monotonic() },
    // Asks the clock each time instead of starting a timer that remembers it.
    ttlResolution: 0,
  });
  return {
    get: (key) => entries.get(key),
    set: (key, value, ttlMs) => {
      if (!(ttlMs > 0)) entries.delete(key);
      // The cache removes the old value of the key when the new one is too large.
      else entries.set(key, ownBytes(value), { ttl: Math.ceil(ttlMs) });
    },
    delete: (key) => {
      entries.delete(key);
    },
  };
}

/** Small buffers are slices of a pool, and parts of a reply are slices of the whole. */
function ownBytes(value: Buffer): Buffer {
  if (value.length === value.buffer.byteLength) return value;
  const copy = Buffer.allocUnsafeSlow(value.length);
  value.copy(copy);
  return copy;
}
