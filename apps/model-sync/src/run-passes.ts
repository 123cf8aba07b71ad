import { AppError } from '@pointsman/errors';
import { sleep } from '@pointsman/timing';

export interface PassLoopOptions {
  readonly intervalMs: number;
  /** Longest time a pass may take, in milliseconds. */
  readonly passTimeoutMs: number;
  /** Failures in a row after which the loop gives up and rejects; for ever without it. */
  readonly maxFailures?: number;
  /** Ends with the first pass that does not fail. */
  readonly once?: boolean;
  /** 0 ≤ x < 1: spreads replicas over ±20 % of each pause. */
  readonly random: () => number;
}

export interface PassLoop {
  /** The next pass begins now, or as soon as the running one is over; with `restart`, the running one is ended for it. */
  wake(options?: { readonly restart: boolean }): void;
  /** Resolves when the signal aborts (or after the pass, with `once`). */
  run(signal: AbortSignal): Promise<void>;
}

const FIRST_RETRY_MS = 1_000;
/** A gateway that starts, a model that is just being uploaded: worth a look twice a minute. */
const MAX_RETRY_MS = 30_000;

/**
 * Passes again and again: after each interval, at once when woken, and after a failure sooner: after min(interval, 30 s, 1 s · 2^(failures − 1)).
 * A pass reports itself; here its failure is only counted.
 */
export function createPassLoop(pass: (signal: AbortSignal) => Promise<unknown>, { intervalMs, passTimeoutMs, maxFailures = Infinity, once = false, random }: PassLoopOptions): PassLoop {
  let isWoken = false;
  let pause = new AbortController();
  let running = new AbortController();
  return {
    wake({ restart } = { restart: false }) {
      isWoken = true;
      pause.abort();
      if (restart) running.abort(new AppError('conflict', 'pass_superseded', 'The configuration asks for other models now.'));
    },
    async run(signal) {
      let failures = 0;
      while (!signal.aborted) {
        isWoken = false;
        running = new AbortController();
        try {
          await pass(AbortSignal.any([signal, running.signal, AbortSignal.timeout(passTimeoutMs)]));
          if (once) return;
          failures = 0;
        } catch (error) {
          if (signal.aborted) return;
          if (running.signal.aborted) continue;
          failures += 1;
          if (failures >= maxFailures) throw error;
        }
        if (isWoken) continue;
        pause = new AbortController();
        const pauseMs = failures === 0 ? intervalMs : Math.min(intervalMs, MAX_RETRY_MS, FIRST_RETRY_MS * 2 ** Math.min(failures - 1, 30));
        await sleep(pauseMs * (0.8 + 0.4 * random()), AbortSignal.any([signal, pause.signal]));
      }
    },
  };
}
