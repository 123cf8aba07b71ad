/** Bytes by key, each with a time to live: what the response cache stands on. Redis, or memory bounded by bytes. */
export interface KeyValue {
  /** The value, or undefined when there is none (any more). Memory answers at once. */
  get(key: string): Buffer | undefined | Promise<Buffer | undefined>;
  /** Stores a value for `ttlMs` milliseconds, replacing what was there. Memory may refuse what is larger than its bound: then nothing is stored. */
  set(key: string, value: Buffer, ttlMs: number): void | Promise<void>;
  delete(key: string): void | Promise<void>;
}
