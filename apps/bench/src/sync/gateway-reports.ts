import { setTimeout as delay } from 'node:timers/promises';

/** The configuration that a gateway serves, by its open readiness page. */
export async function configRevisionOf(url: string): Promise<string | undefined> {
  const reply = await fetch(`${url}/health/readiness`);
  return ((await reply.json()) as { readonly config_revision?: string }).config_revision;
}

export interface UntilOptions {
  readonly timeoutMs: number;
  readonly everyMs: number;
}

/** Asks until the answer is yes. @throws Error past the limit */
export async function untilMs(holds: () => Promise<boolean>, { timeoutMs, everyMs }: UntilOptions): Promise<void> {
  const endsAt = performance.now() + timeoutMs;
  while (!(await holds())) {
    if (performance.now() > endsAt) throw new Error(`not within ${String(timeoutMs)} ms`);
    await delay(everyMs);
  }
}
