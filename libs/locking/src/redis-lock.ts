import type { RedisConnection } from '@pointsman/redis';
import Redlock, { ExecutionError, ResourceLockedError, type Lock as RedlockLock, type RedlockClient } from 'redlock';
import { holdLock } from './held-lock.ts';
import { LockUnavailableError, type AcquireOptions, type HeldLock, type Lock } from './lock.ts';
import { waitForLock } from './wait-for-lock.ts';

export interface RedisLockOptions {
  /** Give it a command timeout of a second or more: an answer that comes late costs a lock, not a request. */
  readonly connection: RedisConnection;
  readonly random?: () => number;
  /** Pause between two tries while another holds the lock, in milliseconds, ±50 %; 250 by default. */
  readonly pauseMs?: number;
}

/**
 * The next fencing number, but only for whoever holds the lock: one that froze before asking would get a larger number than its successor.
 * Never below the server's clock in milliseconds, so that numbers go on rising when a Redis comes back empty.
 */
const FENCE_SCRIPT = `
if redis.call('get', KEYS[1]) ~= ARGV[1] then return 0 end
local fence = redis.call('incr', KEYS[2])
local time = redis.call('time')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if fence < now then
  redis.call('set', KEYS[2], string.format('%.0f', now))
  return now
end
return fence
`;

/**
 * Locks in Redis, by redlock over the one connection: the lock's key is its name, the fencing number lives under `{name}:fence` (the same slot of a cluster).
 * One Redis means one vote: a failover that loses the last writes can give the lock to a second holder, which the fencing number tells apart.
 * Waiting, renewing and losing are done here: redlock's own waiting cannot be ended, and its automatic renewal spins while Redis is away.
 */
export function createRedisLock({ connection, random = Math.random, pauseMs = 250 }: RedisLockOptions): Lock {
  const client: RedlockClient = {
    evalsha: (hash, keyCount, rest) => connection.call('evalsha', hash, String(keyCount), ...rest.map(String)),
    eval: (script, keyCount, rest) => connection.call('eval', script, String(keyCount), ...rest.map(String)),
  };
  const redlock = new Redlock([client], { retryCount: 0, driftFactor: 0.01 });

  async function tryOnce(name: string, { ttlMs }: AcquireOptions): Promise<HeldLock | undefined> {
    const askedAt = performance.now();
    let current: RedlockLock;
    try {
      current = await redlock.acquire([name], ttlMs);
    } catch (error) {
      const reason = await reasonOf(error);
      if (reason instanceof ResourceLockedError) return undefined;
      throw new LockUnavailableError(name, reason.message, reason);
    }
    const giveBack = async (): Promise<void> => {
      await current.release();
    };
    let fence: unknown;
    try {
      fence = await connection.call('eval', FENCE_SCRIPT, '2', name, `{${name}}:fence`, current.value);
    } catch (error) {
      await giveBack().catch(() => undefined);
      throw new LockUnavailableError(name, error instanceof Error ? error.message : 'Redis gave no number.', error);
    }
    // It ended before it was whole: this process or Redis stood still meanwhile.
    if (typeof fence !== 'number' || fence <= 0) return undefined;
    return holdLock({
      name, fence, ttlMs, validUntil: askedAt + ttlMs, giveBack,
      extend: async () => {
        try {
          current = await current.extend(ttlMs);
          return true;
        } catch (error) {
          const reason = await reasonOf(error);
          if (reason instanceof ResourceLockedError) return false;
          throw reason;
        }
      },
    });
  }

  return { acquire: (name, options) => waitForLock(() => tryOnce(name, options), options, { pauseMs, random }) };
}

/** redlock says only that there was no quorum; why stands in the votes. */
async function reasonOf(error: unknown): Promise<Error> {
  if (error instanceof ExecutionError) {
    for (const attempt of error.attempts) {
      for (const reason of (await attempt).votesAgainst.values()) return reason;
    }
  }
  return error instanceof Error ? error : new Error('Redis refused without a reason.');
}
