import { ARM_MEASURES, type ArmMeasure, type ModelArm } from './compare-arms.ts';
import type { ExposedSample } from './parse-exposition.ts';
import type { AnsweredReading, ReplicaReading } from './replica-reading.ts';

/** Counters of the arms of one gateway since it started, by model and version. */
export type ArmCounters = ReadonlyMap<string, ModelArm>;

export const ARM_METRICS = ['router_arm_requests_total', 'router_arm_observations_total', 'router_arm_sum_total', 'router_arm_squares_total'] as const;
const FIELDS: Readonly<Record<string, 'count' | 'sum' | 'squares'>> = { router_arm_observations_total: 'count', router_arm_sum_total: 'sum', router_arm_squares_total: 'squares' };
const measures: ReadonlySet<string> = new Set(ARM_MEASURES);

export function armKey(model: string, version: string): string {
  return `${model} ${version}`;
}

export const NO_ARM: ModelArm = {
  requests: 0, failed: 0,
  measures: { request_seconds: noSums(), decision_seconds: noSums(), cost_usd: noSums(), feedback: noSums(), judge: noSums() },
};

function noSums(): { count: number; sum: number; squares: number } {
  return { count: 0, sum: 0, squares: 0 };
}

/** The arms out of a gateway's `/metrics`. */
export function armsOf(samples: Iterable<ExposedSample>): ArmCounters {
  const arms = new Map<string, { requests: number; failed: number; measures: Record<ArmMeasure, { count: number; sum: number; squares: number }> }>();
  for (const { name, labels, value } of samples) {
    const [model, version, measure, outcome] = ['router_model', 'model_version', 'measure', 'outcome'].map((label) => labels.get(label));
    if (!name.startsWith('router_arm_') || model === undefined || version === undefined) continue;
    const key = armKey(model, version);
    let arm = arms.get(key);
    if (arm === undefined) arms.set(key, arm = structuredClone(NO_ARM) as typeof arm & object);
    const field = FIELDS[name];
    if (field !== undefined && measure !== undefined && measures.has(measure)) arm.measures[measure as ArmMeasure][field] += value;
    else if (name === 'router_arm_requests_total' && outcome !== 'refused') {
      arm.requests += value;
      if (outcome === 'failed') arm.failed += value;
    }
  }
  return arms;
}

/** Sums what each version did on all replicas since the first look, restarts and new replicas included. */
export class ModelArmTally {
  readonly #keys: { readonly canary: string; readonly stable: string };
  readonly #last = new Map<string, AnsweredReading>();
  #sums = { canary: NO_ARM, stable: NO_ARM };

  constructor(model: string, versions: { readonly canary: string; readonly stable: string }) {
    this.#keys = { canary: armKey(model, versions.canary), stable: armKey(model, versions.stable) };
  }

  /** What was counted since the look before. */
  add(readings: readonly ReplicaReading[]): { readonly canary: ModelArm; readonly stable: ModelArm } {
    const now = { canary: NO_ARM, stable: NO_ARM };
    for (const reading of readings) {
      if ('problem' in reading) continue;
      const last = this.#last.get(reading.replica);
      for (const arm of ['canary', 'stable'] as const) now[arm] = plus(now[arm], since(last, reading, this.#keys[arm]), 1);
      this.#last.set(reading.replica, reading);
    }
    this.#sums = { canary: plus(this.#sums.canary, now.canary, 1), stable: plus(this.#sums.stable, now.stable, 1) };
    return now;
  }

  get sums(): { readonly canary: ModelArm; readonly stable: ModelArm } {
    return this.#sums;
  }
}

/** The first look at a replica is where counting begins; a process that began anew counts from zero. */
function since(last: AnsweredReading | undefined, { arms, counters }: AnsweredReading, key: string): ModelArm {
  if (last === undefined) return NO_ARM;
  const now = arms?.get(key) ?? NO_ARM;
  const before = last.arms?.get(key) ?? NO_ARM;
  if (last.counters.startedAt !== counters.startedAt) return now;
  // The same process cannot have counted back: a page that was cut short. What it counted is not known.
  return now.requests < before.requests || ARM_MEASURES.some((measure) => now.measures[measure].count < before.measures[measure].count) ? NO_ARM : plus(now, before, -1);
}

export function plus(arm: ModelArm, other: ModelArm, sign: 1 | -1): ModelArm {
  const sums = (measure: ArmMeasure): { count: number; sum: number; squares: number } => {
    const [a, b] = [arm.measures[measure], other.measures[measure]];
    return { count: a.count + sign * b.count, sum: a.sum + sign * b.sum, squares: a.squares + sign * b.squares };
  };
  return {
    requests: arm.requests + sign * other.requests, failed: arm.failed + sign * other.failed,
    measures: { request_seconds: sums('request_seconds'), decision_seconds: sums('decision_seconds'), cost_usd: sums('cost_usd'), feedback: sums('feedback'), judge: sums('judge') },
  };
}
