import { AppError } from '@pointsman/errors';

export interface AcquireOptions {
  /** How long the lock outlives a holder that dies or freezes, in milliseconds; a whole number of at least 50. Renewed by itself every third of it. */
  readonly ttlMs: number;
  /** Longest time to wait for another holder, in milliseconds; 0 tries once. */
  readonly waitMs: number;
  /** Ends the waiting: `acquire` rejects with its reason. */
  readonly signal?: AbortSignal;
}

/** One holder at a time of a name. */
export interface Lock {
  /**
   * Resolves to the held lock, or to undefined when somebody else held it all the time.
   * @throws LockUnavailableError when it cannot be known who holds it: nothing is held then.
   */
  acquire(name: string, options: AcquireOptions): Promise<HeldLock | undefined>;
}

export interface HeldLock extends AsyncDisposable {
  readonly name: string;
  /**
   * Larger than that of every earlier holder. A holder that froze and does not know yet that it lost the lock is told apart by it: what it writes
   * carries the number, and a smaller one never replaces a larger one.
   */
  readonly fence: number;
  /** Aborts when the lock is no longer this holder's (LockLostError): expired, taken over, or not renewable in time. Also on release, so that nothing outlives it. */
  readonly signal: AbortSignal;
  /** Gives it back; does nothing when it was lost or given back before. Never rejects: a lock that cannot be given back expires. */
  release(): Promise<void>;
}

/** It cannot be known who holds a lock: its service is away. Try again, or go on without. */
export class LockUnavailableError extends AppError {
  constructor(name: string, reason: string, cause?: unknown) {
    super('unavailable', 'lock_unavailable', `The lock ${name} is not available: ${reason}`, cause === undefined ? {} : { cause });
    this.name = 'LockUnavailableError';
  }
}

/** Why the signal of a held lock aborted. */
export class LockLostError extends AppError {
  constructor(name: string, reason: string) {
    super('conflict', 'lock_lost', `The lock ${name} is no longer held: ${reason}`);
    this.name = 'LockLostError';
  }
}

/** @throws RangeError for times that no lock can keep. */
export function checkAcquireOptions({ ttlMs, waitMs }: AcquireOptions): void {
  if (!Number.isInteger(ttlMs) || ttlMs < 50) throw new RangeError('ttlMs must be a whole number of at least 50 milliseconds.');
  if (!(waitMs >= 0)) throw new RangeError('waitMs must be 0 or more milliseconds.');
}
