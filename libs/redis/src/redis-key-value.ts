import type { RedisConnection } from './connect-redis.ts';
import { boundedName } from './counter-key.ts';
import type { KeyValue } from './key-value.ts';

export interface RedisKeyValueOptions {
  /** Stands before every key, after `pm:`; such as `cache:`. */
  readonly prefix: string;
  /** A larger value is not stored, and what was there under its key is removed. */
  readonly maxValueBytes: number;
}

/** Values that all replicas share. Rejects with RedisUnavailableError when Redis does not answer in time. Keys longer than 128 characters are hashed. */
export function createRedisKeyValue(connection: RedisConnection, { prefix, maxValueBytes }: RedisKeyValueOptions): KeyValue {
  const keyOf = (key: string): string => `pm:${prefix}${boundedName(key)}`;
  const write = (name: string, args: readonly (string | Buffer)[]): Promise<void> => new Promise((resolve, reject) => {
    connection.send(name, args, TEXT, (error) => {
      if (error === null) resolve();
      else reject(error);
    });
  });
  const remove = (key: string): Promise<void> => write('del', [keyOf(key)]);
  return {
    get: (key) => new Promise((resolve, reject) => {
      connection.send('get', [keyOf(key)], BYTES, (error, reply) => {
        if (error !== null) reject(error);
        else resolve(Buffer.isBuffer(reply) ? reply : undefined);
      });
    }),
    set: (key, value, ttlMs) => {
      const wholeMs = Math.floor(ttlMs);
      return value.length > maxValueBytes || wholeMs < 1 ? remove(key) : write('set', [keyOf(key), value, 'PX', String(wholeMs)]);
    },
    delete: remove,
  };
}

const TEXT = { binary: false } as const;
const BYTES = { binary: true } as const;
