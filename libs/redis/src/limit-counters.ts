/**
 * Counters behind rate limits, parallel limits and budgets: shared by all replicas on Redis, or kept in the memory of one.
 *
 * A scope is whose limit it is (`key:ab12…`, `team:t1`); its name is the hash tag of its Redis keys, so that everything of one scope lies in one slot of
 * a Redis Cluster. On a single server or behind Sentinel all scopes go in one script; on a cluster one script per slot, all sent in the same tick.
 */
export interface WindowCheck {
  readonly kind: 'window';
  /** `requests` or `tokens`, also `requests:gpt-4o` where a limit is per model. */
  readonly name: string;
  readonly limit: number;
  /** What this request takes now; corrected by `settle`. May be 0: then it only asks whether there is anything left. */
  readonly amount: number;
  /** Length of the fixed window in milliseconds. It starts with the first request, as LiteLLM's does. */
  readonly windowMs: number;
}

export interface ParallelCheck {
  readonly kind: 'parallel';
  readonly name: string;
  readonly limit: number;
  /** Unique per request. On Redis it is renewed until it is settled, and a replica that dies gives its places back when the leases end; in memory it ends as it says. */
  readonly lease: string;
  readonly leaseMs: number;
}

export interface BudgetCheck {
  readonly kind: 'budget';
  /** `spend`, or `spend:gpt-4o` where a budget is per model; the period belongs into the name, so that a new one starts from zero: `spend:1764547200`. */
  readonly name: string;
  /** USD. Refused when what is spent and reserved has reached it. */
  readonly limit: number;
  /** USD reserved for this request until it is settled. */
  readonly amount: number;
  /** USD that the database knows of: where the count starts when there is none. */
  readonly seed: number;
  /** How long the counter is kept after its last use, in milliseconds. */
  readonly keepMs: number;
}

export type LimitCheck = WindowCheck | ParallelCheck | BudgetCheck;

export interface ScopeChecks {
  readonly scope: string;
  readonly checks: readonly LimitCheck[];
}

/** How one check stands after the request took its part. */
export interface Standing {
  readonly scope: string;
  readonly check: LimitCheck;
  /** What is left, never below 0. USD for a budget. */
  readonly remaining: number;
  /** Milliseconds until the window ends; 0 where nothing ends by itself. */
  readonly resetMs: number;
}

export interface Reservation {
  readonly allowed: true;
  /** In the order of the checks asked. */
  readonly standings: readonly Standing[];
  /** Which window each amount went to: `settle` corrects that one and no later one. Opaque. */
  readonly token: unknown;
}

export interface Refusal {
  readonly allowed: false;
  /** The first check that said no. Nothing stays reserved. */
  readonly refused: Standing;
}

/** What a request really used of one check: the amount it should have taken. Parallel leases are always given back. */
export interface Used {
  readonly scope: string;
  readonly name: string;
  readonly amount: number;
}

export interface LimitCounters {
  /** Takes from every check or from none. One round trip. Memory answers at once. */
  reserve(scopes: readonly ScopeChecks[]): Reservation | Refusal | Promise<Reservation | Refusal>;
  /**
   * Corrects what was reserved to what was used (also below what is left: a counter may pass its limit) and ends the leases. What `used` does not name keeps
   * what it reserved. Written to the socket before this returns, so that a client's next request, on whatever replica, finds it counted.
   */
  settle(scopes: readonly ScopeChecks[], reservation: Reservation, used: readonly Used[]): void | Promise<void>;
}
