import type { CircuitBreaker } from './circuit-breaker.ts';

export interface WithFallbackOptions<T> {
  /** The real thing. Its signal aborts at the deadline and with the caller's signal. */
  readonly primary: (signal: AbortSignal) => T | Promise<T>;
  /** What serves while the primary is away; gets the failure, or undefined when the breaker was open and nothing was tried. */
  readonly fallback: (failure: unknown) => T | Promise<T>;
  readonly breaker: CircuitBreaker;
  /** Told for every call which one it came down to: `degraded` is true when that is the fallback. Must not throw. */
  readonly onDegraded?: (service: string, degraded: boolean) => void;
  /** How long the primary may take. */
  readonly deadlineMs?: number;
  /** The caller's own limit: when it aborts, nobody wants an answer and the fallback is not asked. */
  readonly signal?: AbortSignal;
  /**
   * Whether a failure means that the service is away. A failure that proves the opposite (a constraint violation) is
   * thrown to the caller and leaves the breaker closed. Default: every failure is an outage.
   */
  readonly isOutage?: (failure: unknown) => boolean;
}

const DEFAULT_DEADLINE_MS = 2_000;

/** Thrown into `fallback` (and seen by `isOutage`) when the primary took too long. */
export class PrimaryDeadlineError extends Error {
  constructor(service: string, deadlineMs: number) {
    super(`${service} did not answer within ${deadlineMs} ms.`);
    this.name = 'PrimaryDeadlineError';
  }
}

/**
 * Asks the primary within a deadline and behind a breaker; when it is away, the fallback. Says which one served.
 * Throws the caller's abort reason, a failure that is no outage, or what the fallback throws.
 * A primary that answers after the deadline is ignored: its breaker permit is already settled.
 */
export async function withFallback<T>(
  service: string,
  { primary, fallback, breaker, onDegraded, deadlineMs = DEFAULT_DEADLINE_MS, signal, isOutage }: WithFallbackOptions<T>,
): Promise<T> {
  signal?.throwIfAborted();
  const permit = breaker.tryAcquire();
  let failure: unknown;
  if (permit !== undefined) {
    try {
      const value = await withinDeadline(service, primary, deadlineMs, signal);
      permit.succeeded();
      onDegraded?.(service, false);
      return value;
    } catch (thrown) {
      if (signal?.aborted === true) {
        permit.abandoned();
        throw thrown;
      }
      if (isOutage?.(thrown) === false) {
        permit.succeeded();
        onDegraded?.(service, false);
        throw thrown;
      }
      permit.failed();
      failure = thrown;
    }
  }
  // Before the fallback is asked: the service is away also when the fallback cannot help.
  onDegraded?.(service, true);
  return fallback(failure);
}

/** Rejects at the deadline or with the caller's signal, whatever the work does: a driver that ignores its signal must not hold the request. */
function withinDeadline<T>(
  service: string,
  work: (signal: AbortSignal) => T | Promise<T>,
  deadlineMs: number,
  signal: AbortSignal | undefined,
): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const controller = new AbortController();
    const stop = (reason: unknown): void => {
      settle();
      reject(reason as Error);
      controller.abort(reason);
    };
    const onAbort = (): void => stop(signal?.reason);
    let grace: NodeJS.Immediate | undefined;
    // This process may have been busy itself: an answer that waits in the socket is read before anything is given up.
    const timer = setTimeout(() => {
      grace = setImmediate(() => stop(new PrimaryDeadlineError(service, deadlineMs)));
    }, deadlineMs);
    const settle = (): void => {
      clearTimeout(timer);
      clearImmediate(grace);
      signal?.removeEventListener('abort', onAbort);
    };
    signal?.addEventListener('abort', onAbort, { once: true });
    // Both branches stay attached, so that a rejection after the deadline is no unhandled one.
    Promise.resolve()
      .then(() => work(controller.signal))
      .then(
        (value) => {
          settle();
          resolve(value);
        },
        (thrown: unknown) => {
          settle();
          reject(thrown as Error);
        },
      );
  });
}
