import type { ArmSample, RolloutSample } from './create-rollout.ts';
import type { AnsweredReading, ReplicaCounters, ReplicaReading } from './replica-reading.ts';

/** The revisions that are compared. */
export interface Arms {
  readonly canary: string;
  readonly stable: string;
}

/**
 * Turns looks at replicas into what each arm did between two of them. Only what one replica counted under one revision is counted: the look at which it comes, changes
 * its revision or comes back with another is where counting begins. A counter that was set back (a restart) counts from zero; one that fell without a restart
 * counts nothing in that look.
 *
 * Replicas that were last seen on the canary are remembered: those that do not answer, are not ready or are gone are `troubled`. A pod that crashes leaves a headless
 * service and Prometheus, and so does one that is scaled away or replaced: gone ones count only as far as fewer replicas are left than at the beginning, and when
 * they are at least as many as still serve the canary.
 */
export class ArmTally {
  readonly #arms: Arms;
  readonly #last = new Map<string, AnsweredReading>();
  /** Longest unseen first. */
  readonly #onCanary = new Set<string>();
  #firstReplicas: number | undefined;

  constructor(arms: Arms) {
    this.#arms = arms;
  }

  add(readings: readonly ReplicaReading[]): RolloutSample {
    const canary = { replicas: 0, requests: 0, errors: 0 };
    const stable = { replicas: 0, requests: 0, errors: 0 };
    let others = 0;
    let unknown = 0;
    let rejected: string | undefined;
    const troubled: string[] = [];
    for (const reading of readings) {
      if ('problem' in reading) {
        unknown += 1;
        if (this.#onCanary.has(reading.replica)) troubled.push(reading.replica);
        continue;
      }
      const { replica, revision, isReady, lastRejected } = reading;
      // A gateway that has just begun anew serves nothing yet.
      const wasOnCanary = this.#onCanary.delete(replica);
      if (revision === this.#arms.canary || (revision === '' && wasOnCanary)) this.#onCanary.add(replica);
      if (!isReady && this.#onCanary.has(replica)) troubled.push(replica);
      if (lastRejected?.revision === this.#arms.canary && revision !== this.#arms.canary) rejected = `${replica} refuses it: ${lastRejected.reason}`;
      const arm = revision === this.#arms.canary ? canary : revision === this.#arms.stable ? stable : undefined;
      if (arm === undefined) others += 1;
      else addTo(arm, since(this.#last.get(replica), reading));
      this.#last.set(replica, reading);
    }
    const present = new Set(readings.map(({ replica }) => replica));
    for (const replica of this.#last.keys()) if (!present.has(replica)) this.#last.delete(replica);
    if (unknown < readings.length) this.#firstReplicas ??= readings.length;
    const gone = this.#gone(present);
    if (gone.length > 0 && gone.length >= canary.replicas) troubled.push(...gone);
    return { canary, stable, others, unknown, troubled, rejected };
  }

  #gone(present: ReadonlySet<string>): readonly string[] {
    const gone = [...this.#onCanary].filter((replica) => !present.has(replica));
    const fewer = Math.max(0, (this.#firstReplicas ?? 0) - present.size);
    return fewer === 0 ? [] : gone.slice(-fewer);
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
  const wasRestarted = wasSetBack(last.counters, counters);
  // The same process cannot have begun anew: a page that was cut short, or series that went. What it counted is not known.
  if (wasRestarted && counters.startedAt !== undefined && counters.startedAt === last.counters.startedAt) return { requests: 0, errors: 0 };
  const before = wasRestarted ? ZERO : last.counters;
  const requests = counters.requests - before.requests;
  return { requests, errors: Math.min(requests, counters.failed - before.failed) };
}

function wasSetBack(last: ReplicaCounters, now: ReplicaCounters): boolean {
  if (last.startedAt !== undefined && now.startedAt !== undefined && last.startedAt !== now.startedAt) return true;
  return now.requests < last.requests || now.failed < last.failed;
}
