import { setTimeout as delay } from 'node:timers/promises';

/** Waits `ms` milliseconds; resolves early, without throwing, when the signal aborts. */
export async function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  if (signal?.aborted === true) return;
  await delay(ms, undefined, signal === undefined ? {} : { signal }).catch(() => undefined);
}
