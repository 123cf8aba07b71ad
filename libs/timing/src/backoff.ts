export interface BackoffOptions {
  readonly baseMs: number;
  readonly maxMs: number;
}

/**
 * Exponential backoff with full jitter, in milliseconds: uniform in [0, min(maxMs, baseMs · 2^attempt)].
 * Source: AWS Architecture Blog, "Exponential Backoff And Jitter". `attempt` counts from 0, `random` returns [0, 1).
 */
export function backoffMs(attempt: number, { baseMs, maxMs }: BackoffOptions, random: () => number): number {
  return random() * Math.min(maxMs, baseMs * 2 ** Math.min(attempt, 30));
}
