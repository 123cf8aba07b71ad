import type { Clock } from '@pointsman/timing';

export interface RetryBudgetOptions {
  readonly clock: Clock;
  /** Retries allowed per first try, over the window. */
  readonly ratio?: number;
  /** Retries allowed per window whatever the traffic. */
  readonly minimum?: number;
}

const BUCKETS = 10;
const BUCKET_MS = 1_000;

/**
 * Bounds what retries add to the load, so that an outage is not amplified: over the last ten seconds at most
 * `minimum + ratio × first tries` retries. Finagle's and linkerd's retry budget with a smaller floor: theirs is ten a
 * second, ours ten a window, because a call to a model costs money and seconds. The floor is what lets a quiet gateway
 * retry at all.
 *
 * A first try is the first call of a request to a model group. The first try of a *fallback* group is one too: it goes
 * elsewhere and does not burden what is failing.
 *
 * Ten buckets of one second: the window is between nine and ten seconds long. All calls are O(1) and allocate nothing.
 */
export class RetryBudget {
  readonly #clock: Clock;
  #ratio: number;
  #minimum: number;
  readonly #firstTries = new Uint32Array(BUCKETS);
  readonly #retries = new Uint32Array(BUCKETS);
  #firstTrySum = 0;
  #retrySum = 0;
  #second = Number.NEGATIVE_INFINITY;

  constructor({ clock, ratio = 0.2, minimum = 10 }: RetryBudgetOptions) {
    this.#clock = clock;
    this.#ratio = ratio;
    this.#minimum = minimum;
  }

  /** Counts a first try. */
  firstTry(): void {
    const bucket = this.#currentBucket();
    this.#firstTries[bucket] = (this.#firstTries[bucket] ?? 0) + 1;
    this.#firstTrySum += 1;
  }

  /** Takes one retry from the budget; false when it is spent, and then the failure goes to the client or to a fallback. */
  tryRetry(): boolean {
    const bucket = this.#currentBucket();
    // Compared with a hair of tolerance: 0.2 · 15 is 3.0000000000000004 in one direction and 2.9999… in another.
    if (this.#retrySum + 1 > this.#minimum + this.#ratio * this.#firstTrySum + 1e-9) return false;
    this.#retries[bucket] = (this.#retries[bucket] ?? 0) + 1;
    this.#retrySum += 1;
    return true;
  }

  /** Retries left right now. */
  get remaining(): number {
    this.#currentBucket();
    return Math.max(0, Math.floor(this.#minimum + this.#ratio * this.#firstTrySum + 1e-9) - this.#retrySum);
  }

  /** New settings from a reload; what was counted stays. */
  configure({ ratio, minimum }: { readonly ratio: number; readonly minimum?: number }): void {
    this.#ratio = ratio;
    if (minimum !== undefined) this.#minimum = minimum;
  }

  #currentBucket(): number {
    const second = Math.floor(this.#clock.monotonic() / BUCKET_MS);
    if (second > this.#second) {
      const passed = Math.min(BUCKETS, second - this.#second);
      for (let back = 0; back < passed; back += 1) {
        const bucket = modulo(second - back);
        this.#firstTrySum -= this.#firstTries[bucket] ?? 0;
        this.#retrySum -= this.#retries[bucket] ?? 0;
        this.#firstTries[bucket] = 0;
        this.#retries[bucket] = 0;
      }
      this.#second = second;
    }
    return modulo(this.#second);
  }
}

function modulo(second: number): number {
  return ((second % BUCKETS) + BUCKETS) % BUCKETS;
}
