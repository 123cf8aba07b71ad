import { ObjectStoreError } from './object-store.ts';

export const DEFAULT_TIMEOUT_MS = 30_000;

/** The end of one call: the caller's signal or the clock, whichever comes first. */
export interface Deadline extends Disposable {
  /** Aborts at the end; its reason is what the call rejects with. */
  readonly signal: AbortSignal;
  /** Settles like `work`, but rejects at the end even when `work` never settles. */
  race<T>(work: Promise<T>): Promise<T>;
}

/**
 * Starts the clock of one call. A caller's own abort is passed on as it is (its reason is nobody's failure);
 * the clock gives `ObjectStoreError` `timeout`. `using` takes timer and listener away.
 */
export function startDeadline({ signal: parent, timeoutMs = DEFAULT_TIMEOUT_MS }: { readonly signal?: AbortSignal | undefined; readonly timeoutMs?: number | undefined }, what: string): Deadline {
  const controller = new AbortController();
  const { signal } = controller;
  const onParent = (): void => controller.abort(parent?.reason);
  // Node turns a delay above 2^31 - 1 into 1 ms.
  const timer = setTimeout(() => controller.abort(new ObjectStoreError('timeout', `${what} took longer than ${timeoutMs} ms.`)), Math.min(timeoutMs, 2 ** 31 - 1));
  if (parent?.aborted === true) onParent();
  else parent?.addEventListener('abort', onParent, { once: true });
  return {
    signal,
    race: async (work) => {
      const ended = Promise.withResolvers<never>();
      const onAbort = (): void => ended.reject(signal.reason as Error);
      if (signal.aborted) onAbort();
      else signal.addEventListener('abort', onAbort, { once: true });
      try {
        return await Promise.race([work, ended.promise]);
      } finally {
        signal.removeEventListener('abort', onAbort);
        // Whichever lost may still reject.
        work.catch(() => undefined);
        ended.promise.catch(() => undefined);
      }
    },
    [Symbol.dispose]: () => {
      clearTimeout(timer);
      parent?.removeEventListener('abort', onParent);
    },
  };
}
