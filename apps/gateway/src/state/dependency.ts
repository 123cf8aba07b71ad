import { describeUnknown } from '@pointsman/errors';
import { CircuitBreaker, withFallback, type BreakerSettings } from '@pointsman/resilience';
import type { Logger } from '@pointsman/telemetry';
import { sleep, type Clock } from '@pointsman/timing';
import type { GatewayMetrics } from '../record/gateway-metrics.ts';

/** Longest time that a request waits for a dependency; past it, the fallback serves. */
export const REQUEST_DEADLINE_MS = 250;

const PING_EVERY_MS = 1_000;
/** A first preparation that fails is tried again after this long, twice as long each time. */
const FIRST_RETRY_MS = 250;
const LONGEST_RETRY_MS = 5_000;
/** A dependency that fails again this soon after it came back is given longer rests before a ping closes the breaker. */
const FLAPPING_WITHIN_MS = 30_000;
const FIRST_REST_MS = 1_000;

/** What `attempt` comes down to when the dependency did not serve. */
export const AWAY = Symbol('away');

/** Thrown by `run` when the dependency was not asked, or was asked and is away. */
export class DependencyAwayError extends Error {
  constructor(service: string, cause: unknown) {
    super(`${service} is away.`, cause === undefined ? undefined : { cause });
    this.name = 'DependencyAwayError';
  }
}

export interface DependencyOptions {
  readonly name: 'redis' | 'postgres';
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: Pick<GatewayMetrics, 'degraded' | 'breakerChanged'>;
  readonly breaker: BreakerSettings;
  /** What has to succeed once before anything is asked: connecting, migrating. Tried again until it does. */
  readonly prepare: (signal: AbortSignal) => Promise<void>;
  /** A cheap question, asked every second. */
  readonly ping: (signal: AbortSignal) => Promise<void>;
  /** Longest time for a call of `run` that names none, in milliseconds; a ping may take four times as long. */
  readonly deadlineMs?: number;
  readonly pingEveryMs?: number;
  /** Whether a failure means that the dependency is away. Default: every failure does. */
  readonly isOutage?: (failure: unknown) => boolean;
}

/**
 * Something the gateway uses and can do without for a while. One breaker keeps requests from waiting for it; a ping every second notices an outage
 * without traffic and its end without a request having to try; one log line tells each change, and `gateway_degraded_mode` shows it.
 */
export class Dependency {
  readonly #options: DependencyOptions;
  readonly #breaker: CircuitBreaker;
  readonly #deadlineMs: number;
  readonly #stop = new AbortController();
  #isPrepared = false;
  #hasFailed = false;
  #lastFailure: unknown;
  #wasAway = false;
  #openedAt = 0;
  #recoveredAt = -Infinity;
  #restMs = 0;
  #loop: Promise<void> = Promise.resolve();
  #finishFirstAttempt: () => void = () => undefined;
  /** Resolves when the first preparation has succeeded or failed. */
  readonly firstAttempt: Promise<void>;

  constructor(options: DependencyOptions) {
    this.#options = options;
    this.#deadlineMs = options.deadlineMs ?? REQUEST_DEADLINE_MS;
    this.firstAttempt = new Promise((resolve) => {
      this.#finishFirstAttempt = resolve;
    });
    this.#breaker = new CircuitBreaker({
      name: options.name, clock: options.clock, ...options.breaker,
      onChange: ({ state }) => {
        options.metrics.breakerChanged(options.name, state);
        if (state === 'open') this.#opened();
        else if (state === 'closed') this.#recoveredAt = options.clock.monotonic();
        this.#report();
      },
    });
    options.metrics.degraded(options.name, false);
    options.metrics.breakerChanged(options.name, 'closed');
  }

  /** True while calls are refused, or nothing was reached yet and a first attempt has failed. */
  get isAway(): boolean {
    return this.#breaker.state !== 'closed' || (!this.#isPrepared && this.#hasFailed);
  }

  /** False until the first preparation has succeeded. */
  get isPrepared(): boolean {
    return this.#isPrepared;
  }

  configure(settings: BreakerSettings): void {
    this.#breaker.configure(settings);
  }

  /** Prepares and watches in the background until `close`. */
  start(): void {
    this.#loop = this.#watch();
  }

  /**
   * Runs work within a deadline. Before the first preparation has ended it waits for that, within the same deadline.
   * @throws DependencyAwayError when it is away or too slow; what the work throws where that is no outage.
   */
  async run<T>(work: (signal: AbortSignal) => Promise<T>, deadlineMs: number = this.#deadlineMs): Promise<T> {
    const { name } = this.#options;
    if (!this.#isPrepared) {
      if (!this.#hasFailed) await this.#waitForFirstAttempt(deadlineMs);
      if (!this.#isPrepared) throw new DependencyAwayError(name, this.#lastFailure);
    }
    return withFallback<T>(name, {
      primary: work, breaker: this.#breaker, deadlineMs, isOutage: this.#isOutage,
      fallback: (failure) => {
        throw new DependencyAwayError(name, failure);
      },
    });
  }

  /**
   * Runs work of the common request: no abort signal, no timer. `AWAY` where it was not asked or failed. Without a promise where the work has none.
   * The work must end in time by itself, as commands to Redis do: they are given up after 250 ms, and not because this process was too busy to read the answer.
   */
  attempt<T>(work: () => T | Promise<T>): T | typeof AWAY | Promise<T | typeof AWAY> {
    if (!this.#isPrepared) return AWAY;
    const permit = this.#breaker.tryAcquire();
    if (permit === undefined) return AWAY;
    let answer: T | Promise<T>;
    try {
      answer = work();
    } catch (failure) {
      this.#lastFailure = failure;
      permit.failed();
      return AWAY;
    }
    if (!(answer instanceof Promise)) {
      permit.succeeded();
      return answer;
    }
    return answer.then((value) => {
      permit.succeeded();
      return value;
    }, (failure: unknown) => {
      this.#lastFailure = failure;
      permit.failed();
      return AWAY;
    });
  }

  async close(): Promise<void> {
    this.#stop.abort();
    this.#finishFirstAttempt();
    await this.#loop;
  }

  async #waitForFirstAttempt(deadlineMs: number): Promise<void> {
    const over = new AbortController();
    await Promise.race([this.firstAttempt, sleep(deadlineMs, over.signal)]);
    over.abort();
  }

  readonly #isOutage = (failure: unknown): boolean => {
    if (this.#options.isOutage?.(failure) === false) return false;
    this.#lastFailure = failure;
    return true;
  };

  async #watch(): Promise<void> {
    const { signal } = this.#stop;
    for (let retryMs = FIRST_RETRY_MS; !signal.aborted && !this.#isPrepared; retryMs = Math.min(retryMs * 2, LONGEST_RETRY_MS)) {
      try {
        await this.#options.prepare(signal);
        this.#isPrepared = true;
      } catch (failure) {
        if (signal.aborted) break;
        this.#hasFailed = true;
        this.#lastFailure = failure;
      }
      this.#finishFirstAttempt();
      this.#report();
      if (!this.#isPrepared) await sleep(retryMs, signal);
    }
    while (!signal.aborted) {
      await sleep(this.#options.pingEveryMs ?? PING_EVERY_MS, signal);
      if (!signal.aborted) await this.#ping(signal);
    }
  }

  async #ping(signal: AbortSignal): Promise<void> {
    // An open breaker is for requests: a ping that succeeds ends it, a ping that fails changes nothing.
    const permit = this.#breaker.state === 'closed' ? this.#breaker.tryAcquire() : undefined;
    const limit = AbortSignal.any([signal, AbortSignal.timeout(this.#deadlineMs * 4)]);
    try {
      await Promise.race([this.#options.ping(limit), aborted(limit)]);
    } catch (failure) {
      if (signal.aborted) return;
      this.#lastFailure = failure;
      permit?.failed();
      return;
    }
    if (permit !== undefined) permit.succeeded();
    else if (this.#options.clock.monotonic() - this.#openedAt >= this.#restMs) this.#breaker.recovered();
  }

  /** A server that answers pings and fails calls must not be called back every second. */
  #opened(): void {
    const now = this.#options.clock.monotonic();
    this.#openedAt = now;
    this.#restMs = now - this.#recoveredAt > FLAPPING_WITHIN_MS ? 0 : Math.min(Math.max(FIRST_REST_MS, this.#restMs * 2), FLAPPING_WITHIN_MS);
  }

  #report(): void {
    const { isAway } = this;
    if (isAway === this.#wasAway) return;
    this.#wasAway = isAway;
    const { name, logger, metrics } = this.#options;
    metrics.degraded(name, isAway);
    if (isAway) logger.warn('dependency away', { dependency: name, reason: describeUnknown(this.#lastFailure) });
    else logger.info('dependency back', { dependency: name });
  }
}

function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_resolve, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
  });
}
