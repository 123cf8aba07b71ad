import type { RedisConnection } from '@pointsman/redis';
import type { Clock } from '@pointsman/timing';
import { z } from 'zod';

/** What a pod tells the others and `pointsman status`. */
export interface PodStatus {
  readonly pod: string;
  readonly revision: string | null;
  readonly canary: boolean;
  /** Which rollout that canary is of. */
  readonly rollout?: string | undefined;
}

export interface LivePods {
  readonly pods: readonly string[];
  /** What rollout those who serve a canary serve, by pod. */
  readonly canaries: ReadonlyMap<string, string>;
  /** Nobody had heard of this pod before: the list may lack pods that start at the same moment. */
  readonly isNew: boolean;
}

export interface PodHeartbeats {
  /** Says that this pod lives and what it serves; resolves to the pods that do. Undefined when Redis cannot be asked. Never rejects. */
  beat(status: PodStatus, signal: AbortSignal): Promise<LivePods | undefined>;
  /** Takes this pod off the list at its end. Never rejects. */
  leave(): Promise<void>;
}

export interface PodHeartbeatsOptions {
  readonly redis: Pick<RedisConnection, 'call' | 'whenReady'>;
  /** The environment's configuration key: pods of another environment are not counted. */
  readonly configKey: string;
  readonly podName: string;
  /** A pod that was silent for so long counts as gone, in milliseconds. */
  readonly silentAfterMs: number;
  /** The longest that the first beat waits for a connection, in milliseconds; default 1,000. */
  readonly connectWithinMs?: number;
}

/** More pods than any cluster has: whoever can write to this Redis cannot fill it through this list. */
const MOST_PODS = 10_000;

/**
 * KEYS: sorted set of pods by the time they were last heard of, hash of what each one said. ARGV: pod, silent after (ms), status (JSON object), most pods.
 * Time is Redis' own: pods' clocks may be apart. Returns whether the pod is new (1, 0), the names of those alive, and what they said.
 */
const BEAT_SCRIPT = `
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local stamp = string.format('%.0f', now)
local silent = now - tonumber(ARGV[2])
local known = redis.call('ZSCORE', KEYS[1], ARGV[1])
local isNew = (not known or tonumber(known) < silent) and 1 or 0
redis.call('ZADD', KEYS[1], stamp, ARGV[1])
local gone = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', string.format('(%.0f', silent))
local surplus = redis.call('ZCARD', KEYS[1]) - tonumber(ARGV[4])
if surplus > #gone then gone = redis.call('ZRANGE', KEYS[1], 0, surplus - 1) end
for _, pod in ipairs(gone) do
  redis.call('ZREM', KEYS[1], pod)
  redis.call('HDEL', KEYS[2], pod)
end
redis.call('HSET', KEYS[2], ARGV[1], string.sub(ARGV[3], 1, -2) .. ',"at":' .. stamp .. '}')
redis.call('PEXPIRE', KEYS[1], ARGV[2])
redis.call('PEXPIRE', KEYS[2], ARGV[2])
return {isNew, redis.call('ZRANGE', KEYS[1], 0, -1), redis.call('HVALS', KEYS[2])}
`;

/** Keys of one environment: pods by the time (ms since 1970, Redis' clock) they were last heard of, and their `PodStatus` with that time as `at`, JSON. Same hash slot. */
export function heartbeatKeys(configKey: string): { readonly pods: string; readonly statuses: string } {
  return { pods: `pointsman:{config-pods}:${configKey}`, statuses: `pointsman:{config-pods}:${configKey}:status` };
}

export function createPodHeartbeats({ redis, configKey, podName, silentAfterMs, connectWithinMs = 1_000 }: PodHeartbeatsOptions): PodHeartbeats {
  const { pods, statuses } = heartbeatKeys(configKey);
  let first = true;
  return {
    async beat(status, signal) {
      try {
        if (first) await redis.whenReady(AbortSignal.any([signal, AbortSignal.timeout(connectWithinMs)]));
        const reply = await redis.call('EVAL', BEAT_SCRIPT, '2', pods, statuses, podName, String(Math.round(silentAfterMs)), JSON.stringify(status), String(MOST_PODS));
        if (!Array.isArray(reply) || !Array.isArray(reply[1])) return undefined;
        return { isNew: reply[0] === 1, pods: reply[1].filter((name): name is string => typeof name === 'string'), canaries: canariesOf(reply[2]) };
      } catch {
        // Away, or refusing: the connection logs its own state; without a list the pod decides by its name alone.
        return undefined;
      } finally {
        first = false;
      }
    },
    async leave() {
      await Promise.allSettled([redis.call('ZREM', pods, podName), redis.call('HDEL', statuses, podName)]);
    },
  };
}

const saidSchema = z.object({ pod: z.string(), canary: z.literal(true), rollout: z.string() });

/** Pods of another version say less; what is no status at all says nothing. */
function canariesOf(said: unknown): ReadonlyMap<string, string> {
  const canaries = new Map<string, string>();
  for (const text of Array.isArray(said) ? said : []) {
    try {
      const { success, data } = saidSchema.safeParse(JSON.parse(String(text)));
      if (success) canaries.set(data.pod, data.rollout);
    } catch {
      // Somebody else's.
    }
  }
  return canaries;
}

/**
 * Beats with what `status` says and resolves to the live pods; while Redis cannot be asked, to those last known, for `rememberMs`: a Redis that is away for a moment must not
 * move pods between configurations, and neither must one that has forgotten everything and knows nobody yet. Without heartbeats, or after that time: undefined. Never rejects.
 */
export function rememberLivePods(
  heartbeats: Pick<PodHeartbeats, 'beat'> | undefined,
  { status, rememberMs, clock }: { readonly status: () => Promise<PodStatus>; readonly rememberMs: number; readonly clock: Pick<Clock, 'monotonic'> },
): (signal: AbortSignal) => Promise<LivePods | undefined> {
  let last: { readonly live: LivePods; readonly at: number } | undefined;
  return async (signal) => {
    if (heartbeats === undefined) return undefined;
    const live = await heartbeats.beat(await status(), signal);
    const now = clock.monotonic();
    const isRemembered = last !== undefined && now - last.at < rememberMs;
    if (live !== undefined && !(live.isNew && isRemembered)) last = { live, at: now };
    return last !== undefined && now - last.at < rememberMs ? last.live : undefined;
  };
}
