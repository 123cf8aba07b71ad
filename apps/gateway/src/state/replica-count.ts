import type { Channel } from '@pointsman/redis';
import type { Clock } from '@pointsman/timing';

const TOPIC = 'replicas';
const BEAT_EVERY_MS = 5_000;
/** Three beats missed. */
const GONE_AFTER_MS = 15_000;
/** Ids come from whoever can write to Redis; past this many the oldest goes. */
const MAX_REPLICAS = 10_000;

export interface ReplicaCount {
  /** How many replicas there are, this one included: as of the last time that they could hear each other. */
  count(): number;
  close(): void;
}

export interface CountReplicasOptions {
  readonly channel: Channel;
  /** Unique per process. */
  readonly id: string;
  readonly clock: Clock;
  /** While nobody can be heard, nobody is counted out: the share of each replica stays what it was. */
  readonly isAway: () => boolean;
}

/** Every replica says every five seconds that it is there, and counts whom it hears. What per-pod shares of limits are computed from while Redis is away. */
export function countReplicas({ channel, id, clock, isAway }: CountReplicasOptions): ReplicaCount {
  const heard = new Map<string, number>();
  let known = 1;
  let wasAway = false;
  const beat = (): void => {
    if (isAway()) {
      wasAway = true;
      return;
    }
    const now = clock.monotonic();
    for (const [replica, at] of heard) {
      // Silence while nobody could speak says nothing.
      if (wasAway) heard.set(replica, now);
      else if (now - at > GONE_AFTER_MS) heard.delete(replica);
    }
    wasAway = false;
    known = Math.max(1, heard.size + (heard.has(id) ? 0 : 1));
    void channel.publish(TOPIC, id).catch(() => undefined);
  };
  const unsubscribe = channel.subscribe(TOPIC, (replica) => {
    if (replica.length === 0 || replica.length > 200) return;
    if (heard.size >= MAX_REPLICAS && !heard.has(replica)) return;
    const isNew = !heard.has(replica);
    heard.set(replica, clock.monotonic());
    known = Math.max(known, heard.size + (heard.has(id) ? 0 : 1));
    // Who comes new hears of the others at once, not after five seconds.
    if (isNew && replica !== id) beat();
  });
  beat();
  const beats = setInterval(beat, BEAT_EVERY_MS);
  beats.unref();
  return {
    count: () => known,
    close() {
      clearInterval(beats);
      unsubscribe();
    },
  };
}
