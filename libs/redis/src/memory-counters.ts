import type { Clock } from '@pointsman/timing';
import { counterKey } from './counter-key.ts';
import type { BudgetCheck, LimitCheck, LimitCounters, ParallelCheck, Refusal, Reservation, Standing, Used, WindowCheck } from './limit-counters.ts';
import { RESERVATION_PERIOD_MS } from './limit-script.ts';
import { USD_UNITS } from './redis-counters.ts';

export interface MemoryCountersOptions {
  readonly clock: Clock;
  /** How many counters are kept at most; the one not used for longest leaves first, and starts anew when it is asked for again. */
  readonly maxEntries: number;
}

interface WindowCounter {
  readonly kind: 'window';
  readonly endsAt: number;
  count: number;
}

interface ParallelCounter {
  readonly kind: 'parallel';
  /** Lease to its end. */
  readonly leases: Map<string, number>;
  nextEnd: number;
}

/** USD as integers of 10^-9, as on Redis. */
interface BudgetCounter {
  readonly kind: 'budget';
  spent: number;
  /** Reserved in the running period and in the one before; what is older was never settled and is dropped. */
  reserved: number;
  reservedBefore: number;
  period: number;
  forgetAt: number;
}

type Counter = WindowCounter | ParallelCounter | BudgetCounter;

/** What a check took: the very counter it took it from, so that settling cannot touch a later one. */
interface Taken {
  readonly key: string;
  readonly counter: Counter;
  readonly period: number;
}

/** Counters of one process: the embedded default, and the per-replica share while Redis is away. Answers at once. */
export function createMemoryCounters({ clock, maxEntries }: MemoryCountersOptions): LimitCounters {
  const counters = new Map<string, Counter>();

  const find = (key: string, check: LimitCheck, now: number): Counter => {
    const known = counters.get(key);
    return known === undefined || isOver(known, now) ? freshCounter(check, now) : refreshed(known, check, now);
  };
  const keep = (key: string, counter: Counter): void => {
    // Last in the map is last used.
    counters.delete(key);
    counters.set(key, counter);
    if (counters.size <= maxEntries) return;
    for (const oldest of counters.keys()) {
      counters.delete(oldest);
      return;
    }
  };

  return {
    reserve: (scopes): Reservation | Refusal => {
      const now = clock.monotonic();
      const token: Taken[] = [];
      for (const { scope, checks } of scopes) {
        for (const check of checks) {
          const key = counterKey(scope, check.kind, check.name);
          const counter = find(key, check, now);
          if (!hasRoom(counter, check)) return { allowed: false, refused: standingOf(scope, check, counter, now) };
          token.push({ key, counter, period: periodAt(now) });
        }
      }
      let index = 0;
      const standings: Standing[] = [];
      for (const { scope, checks } of scopes) {
        for (const check of checks) {
          const taken = token[index++];
          if (taken === undefined) continue;
          take(taken.counter, check, now);
          keep(taken.key, taken.counter);
          standings.push(standingOf(scope, check, taken.counter, now));
        }
      }
      return { allowed: true, standings, token };
    },
    settle: (scopes, reservation, used): void => {
      const now = clock.monotonic();
      let index = 0;
      for (const { scope, checks } of scopes) {
        for (const check of checks) {
          const taken = (reservation.token as readonly Taken[])[index++];
          if (taken === undefined) continue;
          const amount = check.kind === 'parallel' ? 0 : used.find((item: Used) => item.scope === scope && item.name === check.name)?.amount ?? check.amount;
          // A budget's counter may have been dropped and made anew meanwhile: what was spent is spent all the same.
          const counter = check.kind === 'budget' ? find(taken.key, check, now) : taken.counter;
          correct(counter, check, { ...taken, amount });
          if (check.kind === 'budget') keep(taken.key, counter);
        }
      }
    },
  };
}

function freshCounter(check: LimitCheck, now: number): Counter {
  switch (check.kind) {
    case 'window': return { kind: 'window', endsAt: now + check.windowMs, count: 0 };
    case 'parallel': return { kind: 'parallel', leases: new Map(), nextEnd: Number.POSITIVE_INFINITY };
    case 'budget': return { kind: 'budget', spent: units(check.seed), reserved: 0, reservedBefore: 0, period: periodAt(now), forgetAt: now + check.keepMs };
  }
}

function isOver(counter: Counter, now: number): boolean {
  return (counter.kind === 'window' && now >= counter.endsAt) || (counter.kind === 'budget' && now >= counter.forgetAt);
}

/** Brings a counter up to now: ended leases and old reservations go, and a database that knows of more spent is believed. */
function refreshed(counter: Counter, check: LimitCheck, now: number): Counter {
  if (counter.kind === 'parallel' && now >= counter.nextEnd) {
    counter.nextEnd = Number.POSITIVE_INFINITY;
    for (const [lease, end] of counter.leases) {
      if (end <= now) counter.leases.delete(lease);
      else counter.nextEnd = Math.min(counter.nextEnd, end);
    }
  } else if (counter.kind === 'budget' && check.kind === 'budget') {
    const period = periodAt(now);
    if (counter.period !== period) {
      counter.reservedBefore = counter.period === period - 1 ? counter.reserved : 0;
      counter.reserved = 0;
      counter.period = period;
    }
    counter.spent = Math.max(counter.spent, units(check.seed));
    counter.forgetAt = now + check.keepMs;
  }
  return counter;
}

function hasRoom(counter: Counter, check: LimitCheck): boolean {
  const used = usedOf(counter);
  switch (check.kind) {
    case 'window': return check.amount === 0 ? used < check.limit : used + check.amount <= check.limit;
    case 'parallel': return used < check.limit;
    case 'budget': return used < units(check.limit);
  }
}

function take(counter: Counter, check: LimitCheck, now: number): void {
  if (counter.kind === 'window') counter.count += (check as WindowCheck).amount;
  else if (counter.kind === 'budget') counter.reserved += units((check as BudgetCheck).amount);
  else {
    const { lease, leaseMs } = check as ParallelCheck;
    counter.leases.set(lease, now + leaseMs);
    counter.nextEnd = Math.min(counter.nextEnd, now + leaseMs);
  }
}

function correct(counter: Counter, check: LimitCheck, { counter: takenFrom, period, amount }: Taken & { readonly amount: number }): void {
  if (counter.kind === 'parallel') counter.leases.delete((check as ParallelCheck).lease);
  else if (counter.kind === 'window') counter.count = Math.max(0, counter.count + amount - (check as WindowCheck).amount);
  else {
    const reserved = units((check as BudgetCheck).amount);
    if (takenFrom === counter && counter.period === period) counter.reserved = Math.max(0, counter.reserved - reserved);
    else if (takenFrom === counter && counter.period === period + 1) counter.reservedBefore = Math.max(0, counter.reservedBefore - reserved);
    counter.spent += units(amount);
  }
}

function standingOf(scope: string, check: LimitCheck, counter: Counter, now: number): Standing {
  const used = usedOf(counter);
  const remaining = check.kind === 'budget' ? Math.max(0, units(check.limit) - used) / USD_UNITS : Math.max(0, check.limit - used);
  return { scope, check, remaining, resetMs: counter.kind === 'window' ? counter.endsAt - now : 0 };
}

function usedOf(counter: Counter): number {
  switch (counter.kind) {
    case 'window': return counter.count;
    case 'parallel': return counter.leases.size;
    case 'budget': return counter.spent + counter.reserved + counter.reservedBefore;
  }
}

function periodAt(now: number): number {
  return Math.floor(now / RESERVATION_PERIOD_MS);
}

function units(usd: number): number {
  return Math.round(usd * USD_UNITS);
}
