import { setTimeout as delay } from 'node:timers/promises';

export interface EventuallyOptions {
  /** When to give up, in milliseconds. Generous: it is met only by a test that fails. */
  readonly timeoutMs?: number;
  readonly intervalMs?: number;
}

/**
 * Tries a condition until it holds: until `check` returns without throwing, and not `false`. Resolves to what it returned.
 * Rejects with the last failure once the time is up, so that the test says what was still wrong.
 */
export async function eventually<T>(check: () => T | Promise<T>, { timeoutMs = 20_000, intervalMs = 20 }: EventuallyOptions = {}): Promise<Exclude<T, false>> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    let failure: unknown;
    try {
      const value = await check();
      if (value !== false) return value as Exclude<T, false>;
      failure = new Error(`The condition was still false after ${timeoutMs} ms: ${String(check).slice(0, 200)}`);
    } catch (error) {
      failure = error;
    }
    if (performance.now() > deadline) throw failure;
    await delay(intervalMs);
  }
}
