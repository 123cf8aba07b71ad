import type { ArmSample, RolloutSample } from './create-rollout.ts';
import type { AnsweredReading, ReplicaCounters, ReplicaReading } from './replica-reading.ts';

/** The revisions that are compared. */
export interface Arms {
  readonly canary: string;
  readonly stable: string;
}

/**
 * Turns looks at replicas into what each arm did between two of them. Only what one replica counted under one revision is counted: the look at which it comes, changes
 * its revision or comes back with another is where counting begins. A counter that was set back (a restart) counts from zero.
 */
export class ArmTally {
  readonly #arms: Arms;
  readonly #last = new Map<string, AnsweredReading>();

  constructor(arms: Arms) {
    this.#arms = arms;
  }

  add(readings: readonly ReplicaReading[]): RolloutSample {
    const canary = { replicas: 0, requests: 0, errors: 0 };
    const stable = { replicas: 0, requests: 0, errors: 0 };
    let others = 0;
    let unknown = 0;
    let rejected: string | undefined;
    for (const reading of readings) {
      if ('problem' in reading) {
        unknown += 1;
        continue;
      }
      const { replica, revision, lastRejected } = reading;
      if (lastRejected?.revision === this.#arms.canary && revision !== this.#arms.canary) rejected = `${replica} refuses it: ${lastRejected.reason}`;
      const arm = revision === this.#arms.canary ? canary : revision === this.#arms.stable ? stable : undefined;
      if (arm === undefined) others += 1;
      else addTo(arm, since(this.#last.get(replica), reading));
      this.#last.set(replica, reading);
    }
    const present = new Set(readings.map(({ replica }) => replica));
    for (const replica of this.#last.keys()) if (!present.has(replica)) this.#last.delete(replica);
    return { canary, stable, others, unknown, rejected };
  }
}

function addTo(arm: { replicas: number; requests: number; errors: number }, { requests, errors }: Omit<ArmSample, 'replicas'>): void {
  arm.replicas += 1;
  arm.requests += requests;
  arm.errors += errors;
}

const ZERO: ReplicaCounters = { startedAt: undefined, requests: 0, failed: 0 };

function since(last: AnsweredReading | undefined, { revision, counters }: AnsweredReading): Omit<ArmSample, 'replicas'> {
  if (last?.revision !== revision) return { requests: 0, errors: 0 };
  const before = wasSetBack(last.counters, counters) ? ZERO : last.counters;
  const requests = counters.requests - before.requests;
  return { requests, errors: Math.min(requests, counters.failed - before.failed) };
}

function wasSetBack(last: ReplicaCounters, now: ReplicaCounters): boolean {
  if (last.startedAt !== undefined && now.startedAt !== undefined && last.startedAt !== now.startedAt) return true;
  return now.requests < last.requests || now.failed < last.failed;
}
