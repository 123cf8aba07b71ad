import type { Clock } from '@pointsman/timing';

export type BreakerState = 'closed' | 'open' | 'half-open';

export interface BreakerSettings {
  /** Failures in a row that open the breaker. */
  readonly failures: number;
  /** How long an open breaker refuses before it lets one probe through. */
  readonly halfOpenAfterMs: number;
}

export interface BreakerChange {
  readonly name: string;
  readonly state: BreakerState;
  readonly previous: BreakerState;
}

/**
 * The right to call the target once. Settle it exactly once when the outcome is known (for a stream: at its end);
 * a second settlement does nothing.
 */
export interface BreakerPermit {
  succeeded(): void;
  failed(): void;
  /** The call ended without saying anything about the target (the client left, the request itself was bad). Gives a probe slot back. */
  abandoned(): void;
}

export interface CircuitBreakerOptions extends Partial<BreakerSettings> {
  /** What is protected: a deployment id, or a dependency such as `postgres`. Becomes a metric label. */
  readonly name: string;
  readonly clock: Clock;
  /** Called after the state has changed. Must not throw. */
  readonly onChange?: ((change: BreakerChange) => void) | undefined;
}

/** `degraded-mode.yaml`, section `breaker`: what holds where nothing is configured. */
export const DEFAULT_BREAKER_SETTINGS: BreakerSettings = { failures: 5, halfOpenAfterMs: 60_000 };

/** A probe that was never settled (a lost permit) must not lock its target out for good: after this long the next one may go. */
const PROBE_LIMIT_MS = 600_000;

type Outcome = 'succeeded' | 'failed' | 'abandoned';

class Permit implements BreakerPermit {
  readonly #epoch: number;
  #settle: ((epoch: number, outcome: Outcome) => void) | undefined;

  constructor(epoch: number, settle: (epoch: number, outcome: Outcome) => void) {
    this.#epoch = epoch;
    this.#settle = settle;
  }

  succeeded(): void {
    this.#end('succeeded');
  }

  failed(): void {
    this.#end('failed');
  }

  abandoned(): void {
    this.#end('abandoned');
  }

  #end(outcome: Outcome): void {
    const settle = this.#settle;
    if (settle === undefined) return;
    this.#settle = undefined;
    settle(this.#epoch, outcome);
  }
}

/**
 * closed → open after `failures` failures in a row → half-open after `halfOpenAfterMs`, one probe at a time →
 * closed when the probe succeeds, open again when it fails.
 *
 * Why an own state machine: the well-kept libraries (cockatiel, opossum) wrap one promise, `execute(() => promise)`.
 * Whether a stream succeeded is known only at its end, long after the promise of its response has resolved, and whether
 * a client that left counts is a third outcome they do not have. This one hands out a permit instead, and in the closed
 * state, which is every request of a healthy day, it reads no clock and allocates one small object.
 */
export class CircuitBreaker {
  readonly name: string;
  readonly #clock: Clock;
  readonly #onChange: ((change: BreakerChange) => void) | undefined;
  #failureLimit: number;
  #halfOpenAfterMs: number;
  #state: BreakerState = 'closed';
  /** Permits of an earlier epoch are stale: a request from before the breaker opened says nothing about now. */
  #epoch = 0;
  #failuresInRow = 0;
  #openedAt: number | undefined;
  #openedAtMonotonic = 0;
  #probing = false;
  #probeStartedAt = 0;

  constructor({ name, clock, onChange, failures, halfOpenAfterMs }: CircuitBreakerOptions) {
    this.name = name;
    this.#clock = clock;
    this.#onChange = onChange;
    this.#failureLimit = atLeastOne(failures ?? DEFAULT_BREAKER_SETTINGS.failures);
    this.#halfOpenAfterMs = halfOpenAfterMs ?? DEFAULT_BREAKER_SETTINGS.halfOpenAfterMs;
  }

  /** As of the last call: an open breaker whose time has passed says `open` until somebody takes the probe. */
  get state(): BreakerState {
    return this.#state;
  }

  /** Wall time in milliseconds of the last opening; undefined while closed. */
  get openedAt(): number | undefined {
    return this.#openedAt;
  }

  /** Wall time in milliseconds from which a probe may go; undefined while closed. */
  get retryAt(): number | undefined {
    return this.#openedAt === undefined ? undefined : this.#openedAt + this.#halfOpenAfterMs;
  }

  /** Whether `tryAcquire` would grant a permit now; takes nothing. For candidate filters. */
  get canAcquire(): boolean {
    if (this.#state === 'closed') return true;
    const now = this.#clock.monotonic();
    if (this.#state === 'open') return now - this.#openedAtMonotonic >= this.#halfOpenAfterMs;
    return !this.#probing || now - this.#probeStartedAt >= PROBE_LIMIT_MS;
  }

  /** A permit to call the target, or undefined while it is kept from load. Settle the permit exactly once. */
  tryAcquire(): BreakerPermit | undefined {
    if (this.#state === 'closed') return new Permit(this.#epoch, this.#settle);
    if (!this.canAcquire) return undefined;
    this.#probing = true;
    this.#probeStartedAt = this.#clock.monotonic();
    if (this.#state === 'open') this.#become('half-open');
    else this.#epoch += 1; // a lost probe that reports after all is not the one we wait for
    return new Permit(this.#epoch, this.#settle);
  }

  /**
   * Closes the breaker at once: somebody saw the target answer without a permit, as a ping in the background does. Permits from before say nothing any more.
   * Does nothing while closed, so that failures in a row are not forgotten.
   */
  recovered(): void {
    if (this.#state === 'closed') return;
    this.#probing = false;
    this.#become('closed');
  }

  /** New settings from a reload. The state stays; an open breaker follows the new time at once. */
  configure({ failures, halfOpenAfterMs }: BreakerSettings): void {
    this.#failureLimit = atLeastOne(failures);
    this.#halfOpenAfterMs = halfOpenAfterMs;
  }

  readonly #settle = (epoch: number, outcome: Outcome): void => {
    if (epoch !== this.#epoch) return;
    if (this.#state === 'half-open') {
      this.#probing = false;
      if (outcome === 'succeeded') this.#become('closed');
      else if (outcome === 'failed') this.#become('open');
      return;
    }
    if (outcome === 'succeeded') this.#failuresInRow = 0;
    else if (outcome === 'failed') {
      this.#failuresInRow += 1;
      if (this.#failuresInRow >= this.#failureLimit) this.#become('open');
    }
  };

  #become(state: BreakerState): void {
    const previous = this.#state;
    this.#state = state;
    this.#epoch += 1;
    if (state === 'open') {
      this.#openedAt = this.#clock.now();
      this.#openedAtMonotonic = this.#clock.monotonic();
    } else if (state === 'closed') {
      this.#openedAt = undefined;
      this.#failuresInRow = 0;
    }
    this.#onChange?.({ name: this.name, state, previous });
  }
}

function atLeastOne(failures: number): number {
  return Math.max(1, Math.trunc(failures));
}
