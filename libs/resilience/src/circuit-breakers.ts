import type { Clock } from '@pointsman/timing';
import { CircuitBreaker, DEFAULT_BREAKER_SETTINGS, type BreakerChange, type BreakerSettings } from './circuit-breaker.ts';

export interface CircuitBreakersOptions extends Partial<BreakerSettings> {
  readonly clock: Clock;
  /** Called after a breaker has changed its state. Must not throw. */
  readonly onChange?: (change: BreakerChange) => void;
}

/**
 * One breaker per name, kept across reloads: a new configuration does not forget which deployment is down.
 * Names are deployment ids and dependencies, never anything a client chooses.
 */
export class CircuitBreakers {
  readonly #clock: Clock;
  readonly #onChange: ((change: BreakerChange) => void) | undefined;
  readonly #breakers = new Map<string, CircuitBreaker>();
  #settings: BreakerSettings;

  constructor({ clock, onChange, failures, halfOpenAfterMs }: CircuitBreakersOptions) {
    this.#clock = clock;
    this.#onChange = onChange;
    this.#settings = {
      failures: failures ?? DEFAULT_BREAKER_SETTINGS.failures,
      halfOpenAfterMs: halfOpenAfterMs ?? DEFAULT_BREAKER_SETTINGS.halfOpenAfterMs,
    };
  }

  get(name: string): CircuitBreaker {
    const known = this.#breakers.get(name);
    if (known !== undefined) return known;
    const breaker = new CircuitBreaker({ name, clock: this.#clock, onChange: this.#onChange, ...this.#settings });
    this.#breakers.set(name, breaker);
    return breaker;
  }

  /** Settings for every breaker, present and future. */
  configure(settings: BreakerSettings): void {
    this.#settings = settings;
    for (const breaker of this.#breakers.values()) breaker.configure(settings);
  }

  /** Forgets every breaker that is not named: call after a reload with the ids in use. */
  retain(names: ReadonlySet<string>): void {
    for (const name of this.#breakers.keys()) if (!names.has(name)) this.#breakers.delete(name);
  }

  list(): readonly CircuitBreaker[] {
    return [...this.#breakers.values()];
  }
}
