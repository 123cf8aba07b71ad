import type { Clock } from '@pointsman/timing';
import { compareArms, type ArmBreach, type ArmTolerance, type ModelArm } from './compare-arms.ts';
import { judge } from './create-rollout.ts';
import { NO_ARM, plus } from './model-arm-tally.ts';

/** One look at all replicas. */
export interface ModelSample {
  /** Replicas that serve the wanted configuration and have both versions loaded. */
  readonly proven: number;
  /** Replicas that answered and do not. */
  readonly missing: readonly string[];
  readonly unknown: readonly string[];
  /** Why a replica refuses the configuration or the version. */
  readonly rejected: string | undefined;
  /** Since the look before. */
  readonly canary: ModelArm;
  readonly stable: ModelArm;
}

export interface ModelLimits extends ArmTolerance {
  /** 0 to 1; above it the canary is bad, unless stable is too. */
  readonly maxErrorRate: number;
  /** On the canary, before a stage can be passed. 0: none needed. */
  readonly minRequests: number;
  readonly pickUpMs: number;
  readonly blindMs: number;
}

export interface ModelRolloutOptions {
  readonly stages: readonly number[];
  readonly windowMs: number;
  readonly limits: ModelLimits;
  readonly clock: Clock;
  readonly startPercent?: number;
}

export type ModelRolloutReason = ArmBreach['reason'] | 'rejected' | 'not-taken' | 'blind' | 'silence' | 'both-arms-bad';

export interface ModelProgress {
  readonly percent: number;
  readonly held: 'waiting-for-replicas' | 'few-requests' | 'blind' | 'both-arms-bad' | undefined;
  readonly watchedMs: number;
  readonly windowMs: number;
  readonly proven: number;
  readonly missing: number;
  readonly unknown: number;
  /** Since the rollout began. */
  readonly canary: ModelArm;
  readonly stable: ModelArm;
}

export type ModelDecision =
  | { readonly action: 'hold' | 'promote' }
  | { readonly action: 'advance'; readonly percent: number }
  | { readonly action: 'rollback'; readonly reason: ModelRolloutReason; readonly detail: string };

export interface ModelRollout {
  readonly progress: ModelProgress;
  observe(sample: ModelSample): ModelDecision;
}

const HOLD: ModelDecision = { action: 'hold' };
const SILENCE_WINDOWS = 6;

/**
 * Decides how a version of a router model goes on. Requests choose their arm in every replica, so that all replicas must have both versions before a stage counts.
 * Sums run from the beginning of the rollout, as the sequential comparison wants it; the limit of the error rate is also looked at within a stage, where a fault that
 * only shows under more traffic is not thinned out by the good beginning. Beside a stable arm that fails alike, errors hold the stage instead. At 100 % there is no
 * stable arm beside the canary: there only the limit of the error rate counts. No I/O, no timers.
 */
export function createModelRollout({ stages, windowMs, limits, clock, startPercent }: ModelRolloutOptions): ModelRollout {
  let percent = startPercent ?? stages[0] ?? 100;
  let lastAt = clock.monotonic();
  let [watchedMs, missingMs, blindMs, bothBadMs] = [0, 0, 0, 0];
  let isWatching = false;
  /** Newest looks: what a burst of errors is judged by, and the end of what broke both arms. */
  let recent: readonly { readonly at: number; readonly canary: ModelArm; readonly stable: ModelArm }[] = [];
  const recentMs = Math.min(30_000, windowMs / 3);
  let [whole, stage] = [{ canary: NO_ARM, stable: NO_ARM }, { canary: NO_ARM, stable: NO_ARM }];
  let progress: ModelProgress = { percent, held: 'waiting-for-replicas', watchedMs, windowMs, proven: 0, missing: 0, unknown: 0, ...whole };

  function show(held: ModelProgress['held'], { proven, missing, unknown }: ModelSample): void {
    progress = { percent, held, watchedMs: Math.min(watchedMs, windowMs), windowMs, proven, missing: missing.length, unknown: unknown.length, ...whole };
  }

  function breachOf(): ArmBreach | 'both' | undefined {
    const newest = { canary: recent.map(({ canary }) => canary).reduce(sum, NO_ARM), stable: recent.map(({ stable }) => stable).reduce(sum, NO_ARM) };
    const verdicts = [newest, stage].map(({ canary, stable }) => judge({ canary: asSample(canary), stable: asSample(stable) }, limits));
    for (const verdict of bothBadMs > 0 ? verdicts.slice(0, 1) : verdicts) if (verdict.kind === 'bad') return { reason: 'error-rate', detail: verdict.detail };
    // Old errors that both arms had do not count against the end of what broke both: only enough good requests end it.
    if (bothBadMs > 0 ? verdicts[0]?.kind === 'both' || newest.canary.requests < Math.max(1, limits.minRequests) : verdicts.some(({ kind }) => kind === 'both')) return 'both';
    return percent >= 100 ? undefined : compareArms(whole.canary, whole.stable, limits);
  }

  function observe(sample: ModelSample): ModelDecision {
    const now = clock.monotonic();
    const elapsedMs = now - lastAt;
    lastAt = now;
    const { proven, missing, unknown, rejected, canary, stable } = sample;
    whole = { canary: plus(whole.canary, canary, 1), stable: plus(whole.stable, stable, 1) };
    stage = { canary: plus(stage.canary, canary, 1), stable: plus(stage.stable, stable, 1) };

    recent = [...recent.filter(({ at }) => at > now - recentMs), { at: now, canary, stable }];

    if (rejected !== undefined) return rollback('rejected', rejected);
    const breach = breachOf();
    if (breach !== undefined && breach !== 'both') {
      show(undefined, sample);
      return rollback(breach.reason, breach.detail);
    }
    // A replica that does not answer is not seen: the canary may have broken it.
    if (proven + missing.length === 0 || (isWatching && unknown.length > 0)) {
      blindMs += elapsedMs;
      show('blind', sample);
      return blindMs < limits.blindMs ? HOLD : rollback('blind', `${listed(unknown)} ${unknown.length === 1 ? 'has' : 'have'} not answered for ${seconds(blindMs)}`);
    }
    blindMs = 0;
    if (missing.length + unknown.length > 0) {
      missingMs += elapsedMs;
      show('waiting-for-replicas', sample);
      return missingMs < limits.pickUpMs ? HOLD : rollback('not-taken', `${listed([...missing, ...unknown])} did not take it within ${seconds(missingMs)}`);
    }
    missingMs = 0;
    if (!isWatching) {
      isWatching = true;
      show(undefined, sample);
      return HOLD;
    }
    if (breach === 'both') {
      bothBadMs += elapsedMs;
      show('both-arms-bad', sample);
      return bothBadMs < windowMs ? HOLD : rollback('both-arms-bad', `both arms fail, for ${seconds(bothBadMs)}: nothing was proven`);
    }
    if (bothBadMs > 0) {
      bothBadMs = 0;
      watchedMs = 0;
      stage = { canary: NO_ARM, stable: NO_ARM };
      // The errors of the outage are no difference between the arms either.
      whole = stage;
    }
    watchedMs += elapsedMs;
    show(undefined, sample);
    if (watchedMs < windowMs) return HOLD;
    if (stage.canary.requests < limits.minRequests) {
      show('few-requests', sample);
      return watchedMs < windowMs * SILENCE_WINDOWS ? HOLD : rollback('silence', `only ${String(stage.canary.requests)} of the ${String(limits.minRequests)} requests that it needs came in ${seconds(watchedMs)}`);
    }
    const next = stages.find((each) => each > percent);
    if (next === undefined) return { action: 'promote' };
    percent = next;
    watchedMs = 0;
    isWatching = false;
    stage = { canary: NO_ARM, stable: NO_ARM };
    return { action: 'advance', percent };
  }

  return {
    get progress() {
      return progress;
    },
    observe,
  };
}

function rollback(reason: ModelRolloutReason, detail: string): ModelDecision {
  return { action: 'rollback', reason, detail };
}

function sum(arm: ModelArm, other: ModelArm): ModelArm {
  return plus(arm, other, 1);
}

function asSample({ requests, failed }: ModelArm): { readonly replicas: number; readonly requests: number; readonly errors: number } {
  return { replicas: 0, requests, errors: failed };
}

function seconds(ms: number): string {
  return `${ms < 10_000 ? (ms / 1000).toFixed(1) : String(Math.round(ms / 1000))} s`;
}

function listed(names: readonly string[]): string {
  return names.length === 0 ? 'no replica' : names.length <= 3 ? names.join(', ') : `${names.slice(0, 3).join(', ')} and ${String(names.length - 3)} more`;
}
