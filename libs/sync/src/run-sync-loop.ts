import { sleep } from '@pointsman/timing';
import type { SyncResult } from './sync-steps.ts';

export interface SyncLoopOptions {
  readonly intervalMs: number;
  /** Longest time a pass may take. */
  readonly passTimeoutMs: number;
  /** Failures in a row after which the loop gives up and rejects; without it, it goes on for ever. */
  readonly maxFailures?: number;
  /** 0 ≤ x < 1: spreads replicas over ±20 % of the interval. */
  readonly random: () => number;
  readonly now: () => number;
}

/** How a loop stands: what `/health/<app>` shows. */
export interface SyncStatus {
  readonly status: 'starting' | 'ok' | 'rejected' | 'failing';
  /** What is published and applied. */
  readonly revision: string | null;
  readonly last_attempt_at: string | null;
  readonly last_success_at: string | null;
  readonly consecutive_failures: number;
  readonly rejected?: { readonly revision: string; readonly reason: string };
}

export interface SyncObserver {
  onPass(pass: { readonly result: SyncResult } | { readonly failure: unknown; readonly consecutiveFailures: number }, tookMs: number): void;
}

/** Passes again and again until the signal. Rejected content is an outcome, not a failure: it never spends the failure budget. */
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
    await sleep(intervalMs * (0.8 + 0.4 * random()), signal);
  }
}
