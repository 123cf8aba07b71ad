import { sleep } from '@pointsman/timing';
import type { SyncResult } from './sync-steps.ts';

export interface SyncLoopOptions {
  /** Pause between two passes; a function is asked before each pause. */
  readonly intervalMs: number | (() => number);
  /** Longest time a pass may take. */
  readonly passTimeoutMs: number;
  /** Failures in a row after which the loop gives up and rejects; without it, it goes on for ever. */
  readonly maxFailures?: number;
  /** 0 ≤ x < 1: spreads replicas over ±20 % of the pause. */
  readonly random: () => number;
  /** Milliseconds; only differences count, so that a clock that is set does not matter. */
  readonly now: () => number;
}

export interface SyncObserver {
  onPass(pass: { readonly result: SyncResult } | { readonly failure: unknown; readonly consecutiveFailures: number }, tookMs: number): void;
}

/** The first pause after a failure; it doubles with each further one, up to the interval. */
const FIRST_RETRY_MS = 1_000;

/**
 * Passes again and again until the signal. Rejected content is an outcome, not a failure: it never spends the failure budget. After a failure the next pass comes
 * sooner: after min(interval, 1 s · 2^(failures − 1)), ±20 %.
 */
export async function runSyncLoop(
  pass: (signal: AbortSignal) => Promise<SyncResult>,
  { intervalMs, passTimeoutMs, maxFailures = Infinity, random, now }: SyncLoopOptions,
  observer: SyncObserver,
  signal: AbortSignal,
): Promise<void> {
  let failures = 0;
  while (!signal.aborted) {
    const startedAt = now();
    try {
      const result = await pass(AbortSignal.any([signal, AbortSignal.timeout(passTimeoutMs)]));
      failures = 0;
      observer.onPass({ result }, now() - startedAt);
    } catch (failure) {
      if (signal.aborted) return;
      failures += 1;
      observer.onPass({ failure, consecutiveFailures: failures }, now() - startedAt);
      if (failures >= maxFailures) throw failure;
    }
    await sleep(pauseMs(typeof intervalMs === 'number' ? intervalMs : intervalMs(), failures) * (0.8 + 0.4 * random()), signal);
  }
}

/** Without its jitter, in milliseconds. */
export function pauseMs(intervalMs: number, failures: number): number {
  return failures === 0 ? intervalMs : Math.min(intervalMs, FIRST_RETRY_MS * 2 ** Math.min(failures - 1, 30));
}
