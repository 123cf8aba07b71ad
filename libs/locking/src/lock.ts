/** A lock held by one process of many. */
export interface HeldLock {
  /** Grows with every holder of this name: a store that remembers the highest it saw can refuse a holder that was asleep. */
  readonly fencing: number;
  /** Aborted when the lock is lost (expired and not extended in time): stop what it protects. */
  readonly lost: AbortSignal;
  release(): Promise<void>;
}

export interface LockService {
  /**
   * The lock, or undefined when somebody else has it and `waitMs` has passed. Held locks are extended until released.
   * Rejects when the lock service is away: the caller decides whether to go on without.
   */
  acquire(name: string, options: { readonly ttlMs: number; readonly waitMs: number; readonly signal: AbortSignal }): Promise<HeldLock | undefined>;
}
