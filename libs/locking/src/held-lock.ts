import { LockLostError, type HeldLock } from './lock.ts';

export interface HoldOptions {
  readonly name: string;
  readonly fence: number;
  readonly ttlMs: number;
  /** When the lock ends unless it is renewed: milliseconds of `performance.now()`, taken before it was asked for. */
  readonly validUntil: number;
  /** Renews for another `ttlMs`; false when somebody else has it now. Rejects when it could not be asked: tried again until the lock ends. */
  readonly extend: () => Promise<boolean>;
  readonly giveBack: () => Promise<void>;
}

/**
 * Keeps a lock that was just acquired: renews it every third of its time, and aborts the signal the moment it can no longer be relied on. Time is monotonic:
 * a process that was frozen learns on its first turn that its time is over.
 */
export function holdLock({ name, fence, ttlMs, validUntil, extend, giveBack }: HoldOptions): HeldLock {
  const lost = new AbortController();
  let until = validUntil;
  let renewal: NodeJS.Timeout | undefined;
  let expiry: NodeJS.Timeout | undefined;
  let running: Promise<void> = Promise.resolve();
  let released: Promise<void> | undefined;

  const stop = (reason: string): void => {
    clearTimeout(renewal);
    clearTimeout(expiry);
    if (!lost.signal.aborted) lost.abort(new LockLostError(name, reason));
  };
  const watchExpiry = (): void => {
    clearTimeout(expiry);
    expiry = setTimeout(() => {
      if (performance.now() >= until) stop('it could not be renewed in time.');
      else watchExpiry();
    }, Math.max(1, until - performance.now()));
    expiry.unref();
  };
  const renew = async (): Promise<void> => {
    const askedAt = performance.now();
    // Whoever wakes up after its time must not renew: the lock may have had another holder in between.
    if (askedAt >= until) return stop('it could not be renewed in time.');
    try {
      if (!(await extend())) return stop('another holder has taken over, or it was removed.');
      if (lost.signal.aborted) return;
      until = askedAt + ttlMs;
      watchExpiry();
      schedule(ttlMs / 3);
    } catch {
      // Away for a moment, perhaps: the lock itself says when it is too late.
      schedule(ttlMs / 10);
    }
  };
  const schedule = (inMs: number): void => {
    if (lost.signal.aborted) return;
    renewal = setTimeout(() => {
      running = renew();
    }, inMs);
    renewal.unref();
  };
  watchExpiry();
  schedule(ttlMs / 3);

  const release = (): Promise<void> => {
    released ??= (async () => {
      const wasLost = lost.signal.aborted;
      stop('it was given back.');
      await running; // a renewal that is under way would bring it back
      if (!wasLost) await giveBack().catch(() => undefined);
    })();
    return released;
  };
  return {
    name,
    fence,
    get signal() {
      // Timers may be late; whoever asks is told by the clock.
      if (performance.now() >= until) stop('it could not be renewed in time.');
      return lost.signal;
    },
    release,
    [Symbol.asyncDispose]: release,
  };
}
