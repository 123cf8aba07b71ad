import { createHash } from 'node:crypto';
import type { RedisConnection } from '@pointsman/redis';
import { LRUCache } from 'lru-cache';
import { z } from 'zod';

/** A decision that feedback may still come for: what it was made from. */
export interface WaitingDecision {
  readonly group: string;
  readonly arm: string;
  /** One byte per feature. */
  readonly features: Uint8Array;
}

export interface WaitingDecisions {
  remember(requestId: string, decision: WaitingDecision, ttlMs: number): void;
  /** The decision, once: a second word about the same request finds nothing. Never rejects. */
  take(requestId: string): Promise<WaitingDecision | undefined>;
}

const MAX_IN_MEMORY = 50_000;
const storedSchema = z.object({ g: z.string(), a: z.string(), f: z.string() });

/** Request ids may be a client's: short ones as they are, others by their digest. */
function keyOf(requestId: string): string {
  return `pm:bandit:asked:${requestId.length <= 128 ? requestId : createHash('sha256').update(requestId).digest('hex')}`;
}

interface LocalDecision extends WaitingDecision {
  /** Whether Redis has it: then it alone says whether somebody took it. */
  isShared: boolean;
}

const MAX_SENT_AGAIN = 1_000;
const SEND_AGAIN_WITHIN_MS = 5_000;

/**
 * Decisions by request id, bounded and each with a time to live. With Redis they lie there, since feedback may reach another replica than the request did;
 * here as well, for while it is away. Without Redis: here only.
 */
export function createWaitingDecisions(connection: RedisConnection | undefined): WaitingDecisions {
  const local = new LRUCache<string, LocalDecision>({ max: MAX_IN_MEMORY, ttl: 3_600_000 });
  let sentAgain = 0;
  const takeLocal = (key: string): LocalDecision | undefined => {
    const found = local.get(key);
    local.delete(key);
    return found;
  };
  const share = (key: string, decision: LocalDecision, ttlMs: number, isLast: boolean): void => {
    const { group, arm, features } = decision;
    const value = JSON.stringify({ g: group, a: arm, f: Buffer.from(features).toString('base64') });
    connection?.send('set', [key, value, 'PX', String(Math.max(1, Math.round(ttlMs)))], { binary: false }, (error) => {
      if (error === null) {
        decision.isShared = true;
        return;
      }
      if (isLast || sentAgain >= MAX_SENT_AGAIN) return;
      // The first requests of a process come before its connection.
      sentAgain += 1;
      connection.whenReady(AbortSignal.timeout(SEND_AGAIN_WITHIN_MS)).then(() => {
        if (local.get(key) === decision) share(key, decision, ttlMs, true);
      }, () => undefined).finally(() => {
        sentAgain -= 1;
      }).catch(() => undefined);
    });
  };
  return {
    remember(requestId, decision, ttlMs) {
      const key = keyOf(requestId);
      const kept: LocalDecision = { ...decision, isShared: false };
      local.set(key, kept, { ttl: ttlMs });
      share(key, kept, ttlMs, false);
    },
    async take(requestId) {
      const key = keyOf(requestId);
      if (connection === undefined) return takeLocal(key);
      try {
        const stored = await connection.call('GETDEL', key);
        const own = takeLocal(key);
        return typeof stored === 'string' ? decoded(stored) : own?.isShared === false ? own : undefined;
      } catch {
        // Away: what another replica may have learned from already stays there, rather than count twice.
        const own = local.get(key);
        return own?.isShared === false ? takeLocal(key) : undefined;
      }
    },
  };
}

function decoded(text: string): WaitingDecision | undefined {
  try {
    const { g: group, a: arm, f } = storedSchema.parse(JSON.parse(text));
    return { group, arm, features: Uint8Array.from(Buffer.from(f, 'base64')) };
  } catch {
    return undefined;
  }
}
