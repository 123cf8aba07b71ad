import type { Clock } from '@pointsman/timing';

/** What one arm did since the sample before. */
export interface ArmSample {
  /** Replicas that serve this arm now. */
  readonly replicas: number;
  readonly requests: number;
  readonly errors: number;
}

/** One look at everything that serves. */
export interface RolloutSample {
  readonly canary: ArmSample;
  readonly stable: ArmSample;
  /** Replicas that answered and serve neither. */
  readonly others: number;
  /** Replicas that did not answer. */
  readonly unknown: number;
  /** Replicas that were last seen on the canary and now do not answer, are not ready or are gone. */
  readonly troubled?: readonly string[];
  /** Why a replica refuses the canary, when one does. */
  readonly rejected?: string | undefined;
}

export interface RolloutLimits {
  /** 0 to 1; above it the canary is bad. */
  readonly maxErrorRate: number;
  /** Below so many requests an arm is not judged, and the canary not promoted. 0: one request is enough, and none needed to promote. */
  readonly minRequests: number;
  /** How long replicas may take to serve what they were told to, in milliseconds. */
  readonly pickUpMs: number;
  /** How long nothing may be seen, and how long one replica that served the canary may be silent or not ready, in milliseconds. */
  readonly blindMs: number;
  /** A burst of errors counts when it stands out in this newest part of the window, in milliseconds. Default 30,000; never more than a third of the window. */
  readonly recentMs?: number;
  /** Longest watch for `minRequests`, in milliseconds. Default six windows. */
  readonly silenceMs?: number;
}

export interface RolloutOptions {
  /** Percents, rising, the last one 100. */
  readonly stages: readonly number[];
  /** How long each stage must look good, in milliseconds. */
  readonly windowMs: number;
  readonly limits: RolloutLimits;
  readonly clock: Clock;
  /** Where a rollout that is already on its way stands. By default the first stage. */
  readonly startPercent?: number;
  /** By how much the percent rises while nobody takes the canary. 0: never, which fits arms that are chosen per request. Default 10. */
  readonly raiseBy?: number;
}

export type RolloutReason = 'error-rate' | 'both-arms-bad' | 'rejected' | 'not-taken' | 'lost' | 'blind' | 'silence' | 'stalled';

export interface RolloutProgress {
  readonly percent: number;
  readonly phase: 'waiting' | 'watching';
  /** Why time does not count, or counts without end; undefined when all is well. */
  readonly held: 'waiting-for-replicas' | 'replicas-missing' | 'blind' | 'both-arms-bad' | 'few-requests' | 'stalled' | undefined;
  /** Good time of this stage, in milliseconds, and what it needs. */
  readonly watchedMs: number;
  readonly windowMs: number;
  /** Sums of this stage. */
  readonly canary: ArmSample;
  readonly stable: ArmSample;
  readonly others: number;
  readonly unknown: number;
}

export type RolloutDecision =
  | { readonly action: 'hold' }
  /** Give the canary this percent. `raised`: nobody took it at the one before. */
  | { readonly action: 'advance'; readonly percent: number; readonly raised: boolean }
  | { readonly action: 'promote' }
  | { readonly action: 'rollback'; readonly reason: RolloutReason; readonly detail: string };

export interface Rollout {
  readonly percent: number;
  readonly progress: RolloutProgress;
  /** Takes a look into account. The caller acts on the decision before the next look. @throws Error after `promote` or `rollback`. */
  observe(sample: RolloutSample): RolloutDecision;
}

const HOLD: RolloutDecision = { action: 'hold' };
/** Requests are counted when they end: a canary on which they hang counts few. Less than this part of what a stable replica finishes is too little. */
const STALLED_PART = 0.25;
/** Below so many expected requests too few of them may be chance. */
const FEWEST_EXPECTED = 5;
/** The last step before everybody: nobody has tried it yet. */
const MOST_UNTRIED_PERCENT = 99;

/**
 * Decides how a canary goes on, from looks at what serves it: no I/O, no timers. Time counts between looks, and only while the canary is seen to serve.
 *
 * - Bad: more than `maxErrorRate` of at least `minRequests`, in the stage or in its newest part, is rolled back.
 * - Unless the stable arm is above the limit too and the difference is within chance (`judge`): then something both depend on is broken. The stage holds and begins anew
 *   once the canary is good again; when that takes longer than the window, it is rolled back, because nothing was proven.
 * - A stage counts from when as many replicas serve the canary as its percent says; replicas that decide by hash may be fewer, so that after `pickUpMs` one is enough
 *   below 100 %. Who does not answer has not taken it. With none the percent rises in steps until one takes it, up to 99.
 * - A replica that served the canary and then neither answers nor is ready for `blindMs` is rolled back: the canary may have broken it. Until it is back nothing is promoted.
 * - A canary that finishes less than a quarter of what stable does per replica holds the stage, and is rolled back after another window.
 */
export function createRollout({ stages, windowMs, limits, clock, startPercent, raiseBy = 10 }: RolloutOptions): Rollout {
  checkStages(stages);
  const { maxErrorRate, minRequests, pickUpMs, blindMs: maxBlindMs, silenceMs = windowMs * 6 } = limits;
  const recentMs = Math.min(limits.recentMs ?? 30_000, windowMs / 3);
  const first = startPercent ?? stages[0] ?? 100;

  let percent = first;
  let isOver = false;
  let wasTaken = false;
  let lastAt = clock.monotonic();
  let stage = new Stage();
  let blindMs = 0;
  let canaryBlindMs = 0;
  let troubledSince: ReadonlyMap<string, number> = new Map();
  let progress = shown('waiting-for-replicas', { canary: NOTHING, stable: NOTHING, others: 0, unknown: 0 });

  function shown(held: RolloutProgress['held'], { canary, stable, others, unknown }: Omit<RolloutSample, 'rejected'>): RolloutProgress {
    const { whole } = stage;
    return {
      percent, phase: stage.isWatching ? 'watching' : 'waiting', held, watchedMs: Math.min(stage.watchedMs, windowMs), windowMs,
      canary: { ...whole.canary, replicas: canary.replicas }, stable: { ...whole.stable, replicas: stable.replicas }, others, unknown,
    };
  }

  function rollback(reason: RolloutReason, detail: string): RolloutDecision {
    isOver = true;
    return { action: 'rollback', reason, detail };
  }

  function advance(to: number, raised: boolean): RolloutDecision {
    percent = to;
    stage = new Stage();
    return { action: 'advance', percent, raised };
  }

  /** Whether as many serve the canary as the percent says; `some`: not as many, and still enough to go on with once the others had their time. */
  function taken({ canary, stable, others, unknown }: RolloutSample): 'all' | 'some' | 'none' {
    if (canary.replicas === 0) return 'none';
    if (percent >= 100) return stable.replicas + others + unknown === 0 ? 'all' : 'none';
    return canary.replicas >= Math.floor(((canary.replicas + stable.replicas + others + unknown) * percent) / 100) ? 'all' : 'some';
  }

  function missing(sample: RolloutSample): RolloutDecision {
    if (stage.missingMs < pickUpMs) return HOLD;
    const waited = seconds(stage.missingMs);
    if (percent >= 100 && sample.canary.replicas > 0) return rollback('not-taken', `${count(sample.stable.replicas + sample.others + sample.unknown, 'replica')} did not take it within ${waited}`);
    if (wasTaken) return rollback('lost', `no replica has served it for ${waited}`);
    const next = Math.min(MOST_UNTRIED_PERCENT, percent + raiseBy);
    return raiseBy > 0 && next > percent ? advance(next, true) : rollback('not-taken', `no replica took it within ${waited} at ${String(percent)} %`);
  }

  /** Who served the canary and has been in trouble for too long. */
  function lostReplicas(now: number, { troubled = [] }: RolloutSample): readonly string[] {
    troubledSince = new Map(troubled.map((replica) => [replica, troubledSince.get(replica) ?? now]));
    return troubled.filter((replica) => now - (troubledSince.get(replica) ?? now) >= maxBlindMs);
  }

  function ended(elapsedMs: number): RolloutDecision {
    const { requests } = stage.whole.canary;
    // Where each request chooses its arm, the arms do not get alike parts per replica.
    const stalled = raiseBy > 0 ? stage.stalled(minRequests) : undefined;
    stage.stalledMs = stalled === undefined ? 0 : stage.stalledMs + elapsedMs;
    if (stalled !== undefined) {
      progress = { ...progress, held: 'stalled' };
      return stage.stalledMs <= windowMs ? HOLD : rollback('stalled', stalled);
    }
    if (troubledSince.size > 0) {
      progress = { ...progress, held: 'replicas-missing' };
      return HOLD;
    }
    if (requests < minRequests) {
      progress = { ...progress, held: 'few-requests' };
      return stage.watchedMs < silenceMs ? HOLD : rollback('silence', `only ${String(requests)} of the ${String(minRequests)} requests that it needs came in ${seconds(stage.watchedMs)}`);
    }
    const next = stages.find((each) => each > percent);
    if (next !== undefined) return advance(next, false);
    isOver = true;
    return { action: 'promote' };
  }

  function observe(sample: RolloutSample): RolloutDecision {
    if (isOver) throw new Error('This rollout is over.');
    const now = clock.monotonic();
    const elapsedMs = now - lastAt;
    lastAt = now;
    const { canary, stable, others, unknown, rejected } = sample;

    // 1. Nothing seen: no time counts.
    if (canary.replicas + stable.replicas + others === 0) {
      blindMs += elapsedMs;
      progress = shown('blind', sample);
      return blindMs < maxBlindMs ? HOLD : rollback('blind', `cannot see: no replica has answered for ${seconds(blindMs)}`);
    }
    blindMs = 0;
    if (rejected !== undefined) return rollback('rejected', rejected);

    // 2. What was counted, also while replicas are still on their way.
    stage.add(now, sample, recentMs);
    const verdict = stage.verdict({ maxErrorRate, minRequests });
    if (verdict.kind === 'bad') {
      progress = shown(undefined, sample);
      return rollback('error-rate', verdict.detail);
    }

    // 3. Who serves it.
    canaryBlindMs = wasTaken && canary.replicas === 0 && unknown > 0 ? canaryBlindMs + elapsedMs : 0;
    if (canaryBlindMs > 0 && canaryBlindMs >= maxBlindMs) return rollback('blind', `the replicas that served it have not answered for ${seconds(canaryBlindMs)}`);
    const gone = lostReplicas(now, sample);
    if (gone.length > 0) return rollback('lost', `${listed(gone)} served it, and ${gone.length === 1 ? 'has' : 'have'} not answered or not been ready for ${seconds(maxBlindMs)}`);
    const served = taken(sample);
    wasTaken ||= canary.replicas > 0;
    if (served === 'none' || (served === 'some' && !stage.isWatching && stage.missingMs < pickUpMs)) {
      stage.missingMs += elapsedMs;
      progress = shown(stage.isWatching ? 'replicas-missing' : 'waiting-for-replicas', sample);
      return served === 'some' ? HOLD : missing(sample);
    }
    stage.missingMs = 0;
    if (!stage.isWatching) {
      stage.isWatching = true;
      progress = shown(undefined, sample);
      return HOLD;
    }

    // 4. Time counts, unless both arms are bad.
    if (verdict.kind === 'both') {
      stage.bothBadMs += elapsedMs;
      progress = shown('both-arms-bad', sample);
      return stage.bothBadMs < windowMs ? HOLD : rollback('both-arms-bad', `${verdict.detail}, for ${seconds(stage.bothBadMs)}: nothing was proven`);
    }
    if (stage.bothBadMs > 0) {
      stage = new Stage();
      stage.isWatching = true;
      progress = shown(undefined, sample);
      return HOLD;
    }
    stage.watchedMs += elapsedMs;
    progress = shown(undefined, sample);
    return stage.watchedMs < windowMs ? HOLD : ended(elapsedMs);
  }

  return {
    get percent() {
      return percent;
    },
    get progress() {
      return progress;
    },
    observe,
  };
}

interface Counts {
  readonly canary: ArmSample;
  readonly stable: ArmSample;
}
type Verdict = { readonly kind: 'good' } | { readonly kind: 'bad' | 'both'; readonly detail: string };

const NOTHING: ArmSample = { replicas: 0, requests: 0, errors: 0 };

/** What is known of one percent. */
class Stage {
  isWatching = false;
  watchedMs = 0;
  missingMs = 0;
  bothBadMs = 0;
  stalledMs = 0;
  whole: Counts = { canary: NOTHING, stable: NOTHING };
  #recent: (Counts & { readonly at: number })[] = [];
  /** Replicas, summed over the looks that counted their requests. */
  #exposure = { canary: 0, stable: 0 };

  add(at: number, { canary, stable }: RolloutSample, recentMs: number): void {
    this.#exposure = { canary: this.#exposure.canary + canary.replicas, stable: this.#exposure.stable + stable.replicas };
    this.whole = { canary: plus(this.whole.canary, canary), stable: plus(this.whole.stable, stable) };
    this.#recent = [...this.#recent.filter((counts) => counts.at > at - recentMs), { at, canary, stable }];
  }

  /** Why the canary seems to hang: it finishes far fewer requests per replica than stable does. */
  stalled(minRequests: number): string | undefined {
    const { canary, stable } = this.whole;
    if (stable.requests < Math.max(1, minRequests)) return undefined;
    const expected = (stable.requests / this.#exposure.stable) * this.#exposure.canary;
    if (expected < FEWEST_EXPECTED || canary.requests >= expected * STALLED_PART) return undefined;
    return `it finished ${count(canary.requests, 'request')} where as many stable replicas finish ${String(Math.round(expected))}: requests seem to hang`;
  }

  verdict(limits: Pick<RolloutLimits, 'maxErrorRate' | 'minRequests'>): Verdict {
    const recent: Counts = { canary: this.#recent.map(({ canary }) => canary).reduce(plus, NOTHING), stable: this.#recent.map(({ stable }) => stable).reduce(plus, NOTHING) };
    const [newest, all] = [judge(recent, limits), judge(this.whole, limits)];
    if (newest.kind === 'bad') return newest;
    // Old errors that both arms had do not count against the end of what broke both: only enough good requests end it.
    if (this.bothBadMs > 0) return recent.canary.requests < Math.max(1, limits.minRequests) ? { kind: 'both', detail: describe(this.whole) } : newest;
    return all.kind === 'bad' || newest.kind === 'good' ? all : newest;
  }
}

/**
 * Whether the canary is bad. `both`: it is, but the stable arm is above the limit as well and the difference of the two rates is within two standard errors
 * (pooled two-proportion z-test, z ≤ 2), so that the cause is not known to be the canary.
 */
export function judge({ canary, stable }: Counts, { maxErrorRate, minRequests }: Pick<RolloutLimits, 'maxErrorRate' | 'minRequests'>): Verdict {
  const enough = Math.max(1, minRequests);
  const [bad, usual] = [rate(canary), rate(stable)];
  if (canary.requests < enough || bad <= maxErrorRate) return { kind: 'good' };
  const detail = `${describe({ canary, stable })}, and at most ${percents(maxErrorRate)} may`;
  if (stable.requests < enough || usual <= maxErrorRate) return { kind: 'bad', detail };
  const pooled = (canary.errors + stable.errors) / (canary.requests + stable.requests);
  const standardError = Math.sqrt(pooled * (1 - pooled) * (1 / canary.requests + 1 / stable.requests));
  return { kind: bad - usual > 2 * standardError ? 'bad' : 'both', detail };
}

function rate({ requests, errors }: ArmSample): number {
  return requests === 0 ? 0 : errors / requests;
}

function plus(sum: ArmSample, { requests, errors }: ArmSample): ArmSample {
  return { replicas: 0, requests: sum.requests + requests, errors: sum.errors + errors };
}

function describe({ canary, stable }: Counts): string {
  const usual = stable.requests === 0 ? 'nothing to compare with' : `${percents(rate(stable))} on stable`;
  return `${percents(rate(canary))} of ${String(canary.requests)} requests failed (${usual})`;
}

function percents(part: number): string {
  return `${String(Number((part * 100).toFixed(2)))} %`;
}

function seconds(ms: number): string {
  return `${ms < 10_000 ? (ms / 1000).toFixed(1) : String(Math.round(ms / 1000))} s`;
}

function count(number: number, noun: string): string {
  return `${String(number)} ${noun}${number === 1 ? '' : 's'}`;
}

/** The first few of many names. */
function listed(names: readonly string[]): string {
  return names.length <= 3 ? names.join(', ') : `${names.slice(0, 3).join(', ')} and ${String(names.length - 3)} more`;
}

function checkStages(stages: readonly number[]): void {
  const isRising = stages.every((stage, index) => stage > (stages[index - 1] ?? 0) && stage <= 100);
  if (!isRising || stages.at(-1) !== 100) throw new RangeError('Stages are rising percents up to 100.');
}
