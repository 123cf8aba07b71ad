import { sleep } from '@pointsman/timing';
import { checkAcquireOptions, type AcquireOptions, type HeldLock } from './lock.ts';

/** Tries again and again until the time is up; at least once. Pauses are random, so that many who wait do not ask in step. */
export async function waitForLock(tryOnce: () => Promise<HeldLock | undefined>, options: AcquireOptions, { pauseMs, random }: { readonly pauseMs: number; readonly random: () => number }): Promise<HeldLock | undefined> {
  checkAcquireOptions(options);
  const { waitMs, signal } = options;
  const deadline = performance.now() + waitMs;
  for (;;) {
    signal?.throwIfAborted();
    const held = await tryOnce();
    if (held !== undefined) {
      if (signal?.aborted !== true) return held;
      await held.release();
      signal.throwIfAborted();
    }
    const leftMs = deadline - performance.now();
    if (leftMs <= 0) return undefined;
    await sleep(Math.min(leftMs, pauseMs * (0.5 + random())), signal);
  }
}
