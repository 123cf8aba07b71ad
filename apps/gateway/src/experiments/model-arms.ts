import type { Channel } from '@pointsman/redis';
import { metric, type CounterSeries, type Metrics } from '@pointsman/telemetry';
import type { Exchange } from '../http/exchange.ts';
import type { ExchangeRecord } from '../record/exchange-record.ts';
import { failureReason } from '../record/failure-reason.ts';
import { argsOfGroup, routerModelOf } from './groups-with-canary.ts';

export interface Sums {
  count: number;
  sum: number;
  squares: number;
}

/** What one version did for one group, on this replica since it started. */
export interface ArmTally {
  readonly group: string;
  readonly version: string;
  requests: number;
  failed: number;
  refused: number;
  readonly measures: Readonly<Record<metric.ArmMeasureLabel, Sums>>;
}

export interface Score {
  readonly requestId: string;
  /** 0 to 1. */
  readonly score: number;
  readonly source: 'feedback' | 'judge';
}

interface MeasureSeries {
  readonly count: CounterSeries;
  readonly sum: CounterSeries;
  readonly squares: CounterSeries;
}

interface Arm {
  readonly tally: ArmTally;
  readonly outcomes: Readonly<Record<'ok' | 'failed' | 'refused', CounterSeries>>;
  readonly measures: Readonly<Record<metric.ArmMeasureLabel, MeasureSeries>>;
}

/** Which arm decided a request, until its feedback comes. */
interface Remembered {
  readonly arm: Arm;
  hasFeedback: boolean;
  hasJudge: boolean;
}

/** About 5 MB when full: at 100 requests a second feedback finds its request for five minutes. */
const MAX_REMEMBERED = 32_768;
/** Groups and versions come from the configuration and change with it; beyond so many nothing new is counted apart. */
const MAX_ARMS = 512;
const TOPIC = 'arm-scores';
/** Messages of other replicas are short. */
const MAX_MESSAGE = 512;

/**
 * What versions of router models are compared by: errors, latency, cost, scores. Counted where requests end, on every path, per group (for `/router/experiments`)
 * and per model (for metrics and rollouts). Feedback that reaches a replica which did not serve its request is passed on to the others over Redis.
 */
export class ModelArms {
  readonly #requests;
  readonly #observations;
  readonly #sum;
  readonly #squares;
  readonly #arms = new Map<string, Arm>();
  /** By request id, oldest first. */
  readonly #remembered = new Map<string, Remembered>();
  readonly #maxRemembered: number;
  #channel: Channel | undefined;

  constructor(metrics: Metrics, { maxRemembered = MAX_REMEMBERED }: { readonly maxRemembered?: number } = {}) {
    this.#requests = metrics.counter(metric.ROUTER_ARM_REQUESTS);
    this.#observations = metrics.counter(metric.ROUTER_ARM_OBSERVATIONS);
    this.#sum = metrics.counter(metric.ROUTER_ARM_SUM);
    this.#squares = metrics.counter(metric.ROUTER_ARM_SQUARES);
    this.#maxRemembered = maxRemembered;
  }

  /** From now on scores of requests that others served are passed on to them, and theirs are heard. */
  shareWith(channel: Channel): void {
    this.#channel = channel;
    channel.subscribe(TOPIC, (message) => {
      const score = readMessage(message);
      if (score !== undefined) this.#count(score);
    });
  }

  /** A request is over. Only those count that a version of a model decided and that were not answered out of the cache. */
  requestEnded(exchange: Pick<Exchange, 'requestId' | 'snapshot' | 'elapsedMs'>, record: ExchangeRecord): void {
    const { decision, group } = record;
    if (decision === undefined || decision.modelVersion === '' || record.cacheHit) return;
    const { router } = exchange.snapshot.config;
    const arm = this.#arm(group, decision.modelVersion, () => routerModelOf(argsOfGroup(router, group)));
    if (arm === undefined) return;
    const { tally } = arm;
    tally.requests += 1;
    if (record.error !== undefined && failureReason(record.error) === undefined) {
      tally.refused += 1;
      arm.outcomes.refused.inc(1);
      return;
    }
    if (record.error !== undefined) {
      tally.failed += 1;
      arm.outcomes.failed.inc(1);
    } else {
      arm.outcomes.ok.inc(1);
      // How long a client waited that left says when it left.
      if (!record.clientGone) observe(arm, 'request_seconds', exchange.elapsedMs() / 1000);
    }
    observe(arm, 'decision_seconds', decision.tookMs / 1000);
    if (record.costUsd !== undefined) observe(arm, 'cost_usd', record.costUsd);
    this.#remember(exchange.requestId, arm);
  }

  /** What a reply was worth. Of each source the first score of a request counts. */
  scored(score: Score): void {
    if (this.#count(score)) return;
    // A channel that is away loses a score of the comparison; the training row gets it by its span all the same.
    this.#channel?.publish(TOPIC, JSON.stringify({ id: score.requestId, score: score.score, source: score.source })).catch(() => undefined);
  }

  tally(group: string, version: string): ArmTally | undefined {
    return this.#arms.get(`${group}\0${version}`)?.tally;
  }

  #count({ requestId, score, source }: Score): boolean {
    const found = this.#remembered.get(requestId);
    if (found === undefined) return false;
    const flag = source === 'feedback' ? 'hasFeedback' : 'hasJudge';
    if (!found[flag]) {
      found[flag] = true;
      observe(found.arm, source, score);
    }
    return true;
  }

  #remember(requestId: string, arm: Arm): void {
    this.#remembered.set(requestId, { arm, hasFeedback: false, hasJudge: false });
    if (this.#remembered.size <= this.#maxRemembered) return;
    for (const oldest of this.#remembered.keys()) {
      this.#remembered.delete(oldest);
      return;
    }
  }

  #arm(group: string, version: string, modelName: () => string): Arm | undefined {
    const key = `${group}\0${version}`;
    let arm = this.#arms.get(key);
    if (arm === undefined && this.#arms.size < MAX_ARMS) {
      const name = modelName();
      const series = (measure: metric.ArmMeasureLabel): MeasureSeries => ({ count: this.#observations.labels(name, version, measure), sum: this.#sum.labels(name, version, measure), squares: this.#squares.labels(name, version, measure) });
      arm = {
        tally: { group, version, requests: 0, failed: 0, refused: 0, measures: { request_seconds: noSums(), decision_seconds: noSums(), cost_usd: noSums(), feedback: noSums(), judge: noSums() } },
        outcomes: { ok: this.#requests.labels(name, version, 'ok'), failed: this.#requests.labels(name, version, 'failed'), refused: this.#requests.labels(name, version, 'refused') },
        measures: { request_seconds: series('request_seconds'), decision_seconds: series('decision_seconds'), cost_usd: series('cost_usd'), feedback: series('feedback'), judge: series('judge') },
      };
      this.#arms.set(key, arm);
    }
    return arm;
  }
}

function observe({ tally, measures }: Arm, measure: metric.ArmMeasureLabel, value: number): void {
  const sums = tally.measures[measure];
  sums.count += 1;
  sums.sum += value;
  sums.squares += value * value;
  const series = measures[measure];
  series.count.inc(1);
  series.sum.inc(value);
  series.squares.inc(value * value);
}

function noSums(): Sums {
  return { count: 0, sum: 0, squares: 0 };
}

/** Another program may speak on the channel too. */
function readMessage(message: string): Score | undefined {
  if (message.length > MAX_MESSAGE) return undefined;
  try {
    const { id, score, source } = JSON.parse(message) as Readonly<Record<string, unknown>>;
    if (typeof id !== 'string' || typeof score !== 'number' || !(score >= 0 && score <= 1) || (source !== 'feedback' && source !== 'judge')) return undefined;
    return { requestId: id, score, source };
  } catch {
    return undefined;
  }
}
