import { boundedMeanSequence, meanSequence, type Interval, type MeasureSums } from './confidence-sequences.ts';

/** `router_arm_*{measure}` of the gateway. */
export const ARM_MEASURES = ['request_seconds', 'decision_seconds', 'cost_usd', 'feedback', 'judge'] as const;
export type ArmMeasure = (typeof ARM_MEASURES)[number];

/** What one version of a router model did. */
export interface ModelArm {
  readonly requests: number;
  /** Through no fault of their caller. */
  readonly failed: number;
  readonly measures: Readonly<Record<ArmMeasure, MeasureSums>>;
}

export interface ArmTolerance {
  /** Chance, over the whole rollout and all measures, that a canary that is no worse is rolled back by this comparison. */
  readonly alpha: number;
  /** Points of the error rate, 0 to 1, by which the canary may be worse. */
  readonly errorIncrease: number;
  /** Points of the score, 0 to 1. */
  readonly scoreDrop: number;
  /** Part of stable's mean, 0.25 = a quarter more. */
  readonly latencyIncrease: number;
  readonly costIncrease: number;
}

export interface ArmBreach {
  readonly reason: 'error-rate' | 'latency' | 'feedback' | 'judge' | 'cost';
  readonly detail: string;
}

/** Errors, latency, feedback, judge, cost; two arms each. */
const SEQUENCES = 10;

/**
 * Whether the canary is worse than tolerated, by confidence sequences on every measure of both arms: the damage that both sequences leave possible must be above the
 * tolerance. The alpha is shared out evenly (Bonferroni), so that the whole comparison may be made at every look, for ever. Measures that nothing was counted of say nothing.
 */
export function compareArms(canary: ModelArm, stable: ModelArm, { alpha, errorIncrease, scoreDrop, latencyIncrease, costIncrease }: ArmTolerance): ArmBreach | undefined {
  const share = alpha / SEQUENCES;
  const errors = [canary, stable].map(({ requests, failed }) => boundedMeanSequence({ count: requests, sum: failed }, share)) as [Interval, Interval];
  if (errors[0].low - errors[1].high > errorIncrease) {
    return { reason: 'error-rate', detail: `${percents(canary.failed / canary.requests)} of ${String(canary.requests)} requests failed (${percents(stable.failed / stable.requests)} of ${String(stable.requests)} on stable): the canary fails at least ${percents(errors[0].low - errors[1].high)} more` };
  }
  for (const measure of ['feedback', 'judge'] as const) {
    const [ours, theirs] = [canary.measures[measure], stable.measures[measure]];
    const drop = boundedMeanSequence(theirs, share).low - boundedMeanSequence(ours, share).high;
    if (drop > scoreDrop) return { reason: measure, detail: `mean ${measure} ${shown(ours)} of ${String(ours.count)} (${shown(theirs)} of ${String(theirs.count)} on stable): worse by at least ${drop.toFixed(3)}` };
  }
  for (const [measure, reason, increase, unit] of [['request_seconds', 'latency', latencyIncrease, 's'], ['cost_usd', 'cost', costIncrease, 'USD']] as const) {
    const [ours, theirs] = [canary.measures[measure], stable.measures[measure]];
    const [most, least] = [meanSequence(theirs, share).high * (1 + increase), meanSequence(ours, share).low];
    if (least > most) return { reason, detail: `mean ${shown(ours)} ${unit} of ${String(ours.count)} requests (${shown(theirs)} ${unit} of ${String(theirs.count)} on stable): more than ${percents(increase)} above it` };
  }
  return undefined;
}

function shown({ sum, count }: MeasureSums): string {
  return count === 0 ? '-' : String(Number((sum / count).toPrecision(3)));
}

function percents(part: number): string {
  return `${String(Number((part * 100).toFixed(2)))} %`;
}
