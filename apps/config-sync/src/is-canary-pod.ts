import { createHash } from 'node:crypto';

export interface CanaryQuestion {
  readonly pod: string;
  /** Names of the pods that are alive, this one included; undefined when nobody can tell (no Redis). */
  readonly live: readonly string[] | undefined;
  /** Of those, who serves this canary already. They go on before anybody else begins: a pod that joins or leaves must not move the canary. */
  readonly serving?: ReadonlySet<string>;
  /** 0 to 100. */
  readonly percent: number;
  /** What makes this rollout differ from the next one, so that not always the same pod goes first. It must stay the same while the percentage grows. */
  readonly seed: string;
}

/**
 * Whether a pod serves the canary. With the live pods known, the first max(1, round(percent/100 · live)) of them do, those that serve it
 * already before the others, each in the order of a seeded hash; without, those whose
 * hash lies below the percentage. Either way a higher percentage never takes a pod back to stable while the live pods stay the same.
 */
export function isCanaryPod({ pod, live, serving = new Set(), percent, seed }: CanaryQuestion): boolean {
  if (!(percent > 0)) return false;
  if (percent >= 100) return true;
  const own = place(pod, seed);
  if (live === undefined) return (own / 2 ** 32) * 100 < percent;
  const others = new Set(live);
  others.delete(pod);
  const wanted = Math.max(1, Math.round((percent / 100) * (others.size + 1)));
  let rank = 0;
  for (const other of others) {
    if (serving.has(other) !== serving.has(pod)) {
      if (serving.has(other)) rank += 1;
      continue;
    }
    const theirs = place(other, seed);
    if (theirs < own || (theirs === own && other < pod)) rank += 1;
  }
  return rank < wanted;
}

/** 0 ≤ x < 2^32, evenly spread. */
function place(pod: string, seed: string): number {
  return createHash('sha256').update(JSON.stringify([seed, pod])).digest().readUInt32BE(0);
}
