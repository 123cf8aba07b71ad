import type { Clock } from '@pointsman/timing';

const MINUTE_MS = 60_000;
/** Reasons come from code and are few; whatever calls itself otherwise is summed as one. */
const MAX_REASONS = 32;

/** The refusals of one minute that got no row of their own. */
export interface DeniedSum {
  readonly count: number;
  readonly reasons: Readonly<Record<string, number>>;
  /** ISO 8601: the minute they fell into. */
  readonly minute: string;
}

export interface DeniedFloodOptions {
  readonly clock: Clock;
  /** How many different refusals a minute are let through one by one. */
  readonly maxDistinct: number;
  readonly onSum: (sum: DeniedSum) => void;
}

/** Lets the first of each kind of refusal through, once a minute, and sums up the rest: somebody who tries keys must not fill the audit log. */
export class DeniedFlood {
  readonly #options: DeniedFloodOptions;
  readonly #seen = new Set<string>();
  readonly #reasons = new Map<string, number>();
  #minute = NaN;
  #count = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: DeniedFloodOptions) {
    this.#options = options;
  }

  /** Whether this refusal is to be told by itself. `traits`: who, what, from where. */
  admits(reason: string, traits: readonly string[]): boolean {
    const { clock, maxDistinct } = this.#options;
    const now = clock.now();
    const minute = Math.floor(now / MINUTE_MS);
    if (minute !== this.#minute) {
      this.end();
      this.#seen.clear();
      this.#minute = minute;
    }
    if (this.#seen.size < maxDistinct) {
      const trait = JSON.stringify([reason, ...traits]).slice(0, 1_024);
      if (!this.#seen.has(trait)) {
        this.#seen.add(trait);
        return true;
      }
    }
    this.#count += 1;
    const name = this.#reasons.has(reason) || this.#reasons.size < MAX_REASONS ? reason : 'other';
    this.#reasons.set(name, (this.#reasons.get(name) ?? 0) + 1);
    this.#timer ??= setTimeout(() => this.end(), (minute + 1) * MINUTE_MS - now).unref();
    return false;
  }

  /** Tells the sum so far. */
  end(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#count === 0) return;
    const sum: DeniedSum = { count: this.#count, reasons: Object.fromEntries(this.#reasons), minute: new Date(this.#minute * MINUTE_MS).toISOString() };
    this.#count = 0;
    this.#reasons.clear();
    this.#options.onSum(sum);
  }
}
