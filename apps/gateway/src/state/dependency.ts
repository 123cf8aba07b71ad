import { describeUnknown } from '@pointsman/errors';
import { CircuitBreaker, withFallback, type BreakerSettings, type BreakerState } from '@pointsman/resilience';
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
  /** Asked with every ping: whether the part of it behind `part` works. A server may answer pings and refuse what this part needs. */
  readonly pingPart?: (signal: AbortSignal) => Promise<void>;
  /** Longest time for a call of `run` that names none, in milliseconds; a ping may take four times as long. */
  readonly deadlineMs?: number;
  readonly pingEveryMs?: number;
  /** Whether a failure means that the dependency is away. Default: every failure does. */
  readonly isOutage?: (failure: unknown) => boolean;
}

/** When something failed and came back, and how long it rests before a ping that succeeds may end its outage. */
class Rests {
  readonly #clock: Clock;
  #openedAt = 0;
  #recoveredAt = -Infinity;
  #restMs = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** A server that answers pings and fails calls must not be called back every second. */
  opened(): void {
    const now = this.#clock.monotonic();
    this.#openedAt = now;
    this.#restMs = now - this.#recoveredAt > FLAPPING_WITHIN_MS ? 0 : Math.min(Math.max(FIRST_REST_MS, this.#restMs * 2), FLAPPING_WITHIN_MS);
  }

  closed(): void {
    this.#recoveredAt = this.#clock.monotonic();
  }

  get isOver(): boolean {
    return this.#clock.monotonic() - this.#openedAt >= this.#restMs;
  }
}

/** Which calls count together: `attempt` runs work without waiting longer than the work does, and is `AWAY` where it was not asked or failed. */
export interface Attempts {
  attempt<T>(work: () => T | Promise<T>): T | typeof AWAY | Promise<T | typeof AWAY>;
}

/**
 * A use of a dependency that can fail while the others work. What succeeds elsewhere does not count for it, so that its failures in a row are seen;
 * what fails here counts against the whole too.
 */
class DependencyPart implements Attempts {
  readonly #whole: Attempts;
  readonly #onChange: (failure: unknown) => void;
  readonly #rests: Rests;
  #failureLimit: number;
  #failuresInRow = 0;
  #pingsFailedInRow = 0;
  isAway = false;

  constructor(whole: Attempts, { clock, failures, onChange }: { readonly clock: Clock; readonly failures: number; readonly onChange: (failure: unknown) => void }) {
    this.#whole = whole;
    this.#onChange = onChange;
    this.#failureLimit = failures;
    this.#rests = new Rests(clock);
  }

  attempt<T>(work: () => T | Promise<T>): T | typeof AWAY | Promise<T | typeof AWAY> {
    if (this.isAway) return AWAY;
    return this.#whole.attempt(() => {
      const answer = work();
      if (!(answer instanceof Promise)) {
        this.#failuresInRow = 0;
        return answer;
      }
      return answer.then((value) => {
        this.#failuresInRow = 0;
        return value;
      }, (failure: unknown) => {
        this.failed(failure);
        throw failure;
      });
    });
  }

  failed(failure: unknown): void {
    this.#failuresInRow += 1;
    this.#openAfter(this.#failuresInRow, failure);
  }

  pingFailed(failure: unknown): void {
    this.#pingsFailedInRow += 1;
    this.#openAfter(this.#pingsFailedInRow, failure);
  }

  #openAfter(failures: number, failure: unknown): void {
    if (this.isAway || failures < this.#failureLimit) return;
    this.isAway = true;
    this.#rests.opened();
    this.#onChange(failure);
  }

  /** A ping of this part: it ends an outage, and forgives no failures of real calls. */
  pingAnswered(): void {
    this.#pingsFailedInRow = 0;
    if (!this.isAway || !this.#rests.isOver) return;
    this.isAway = false;
    this.#failuresInRow = 0;
    this.#rests.closed();
    this.#onChange(undefined);
  }

  configure({ failures }: BreakerSettings): void {
    this.#failureLimit = Math.max(1, failures);
  }
}

/**
 * Something the gateway uses and can do without for a while. One breaker keeps requests from waiting for it; a ping every second notices an outage
 * without traffic and its end without a request having to try; one log line tells each change, and `gateway_degraded_mode` shows it.
 */
export class Dependency implements Attempts {
  readonly #options: DependencyOptions;
  readonly #breaker: CircuitBreaker;
  readonly #deadlineMs: number;
  readonly #stop = new AbortController();
  #isPrepared = false;
  #hasFailed = false;
  #lastFailure: unknown;
  #wasAway = false;
  #shownState: BreakerState = 'closed';
  readonly #rests: Rests;
  readonly #part: DependencyPart;
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
        if (state === 'open') this.#rests.opened();
        else if (state === 'closed') this.#rests.closed();
        this.#report(this.#lastFailure);
      },
    });
    this.#rests = new Rests(options.clock);
    this.#part = new DependencyPart(this, { clock: options.clock, failures: options.breaker.failures, onChange: (failure) => this.#report(failure) });
    options.metrics.degraded(options.name, false);
    options.metrics.breakerChanged(options.name, 'closed');
  }

  /** True while calls are refused, of all or of its part, or nothing was reached yet and a first attempt has failed. */
  get isAway(): boolean {
    return this.isServerAway || this.#part.isAway;
  }

  /** The same without its part: true while nothing of it works. */
  get isServerAway(): boolean {
    return this.#breaker.state !== 'closed' || (!this.#isPrepared && this.#hasFailed);
  }

  /** Calls that may fail while others succeed; see `pingPart`. */
  get part(): Attempts {
    return this.#part;
  }

  /** False until the first preparation has succeeded. */
  get isPrepared(): boolean {
    return this.#isPrepared;
  }

  configure(settings: BreakerSettings): void {
    this.#breaker.configure(settings);
    this.#part.configure(settings);
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
      this.#report(this.#lastFailure);
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
    const { ping, pingPart } = this.#options;
    try {
      await Promise.race([ping(limit), aborted(limit)]);
    } catch (failure) {
      if (signal.aborted) return;
      this.#lastFailure = failure;
      permit?.failed();
      this.#part.pingFailed(failure);
      return;
    }
    if (permit !== undefined) permit.succeeded();
    else if (this.#rests.isOver) this.#breaker.recovered();
    try {
      if (pingPart !== undefined) await Promise.race([pingPart(limit), aborted(limit)]);
      this.#part.pingAnswered();
    } catch (failure) {
      if (!signal.aborted) this.#part.pingFailed(failure);
    }
  }

  #report(failure: unknown): void {
    const { isAway } = this;
    const { name, logger, metrics } = this.#options;
    const { state } = this.#breaker;
    const shown = this.#part.isAway && state === 'closed' ? 'open' : state;
    if (shown !== this.#shownState) metrics.breakerChanged(name, shown);
    this.#shownState = shown;
    if (isAway === this.#wasAway) return;
    this.#wasAway = isAway;
    metrics.degraded(name, isAway);
    if (isAway) logger.warn('dependency away', { dependency: name, reason: describeUnknown(failure) });
    else logger.info('dependency back', { dependency: name });
  }
}

function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_resolve, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
  });
}
