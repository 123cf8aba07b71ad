import type { CommandArgument, RedisConnection } from './connect-redis.ts';
import { counterKey } from './counter-key.ts';
import { LIMIT_SCRIPT, LIMIT_SCRIPT_SHA, RESERVATION_PERIOD_MS } from './limit-script.ts';
import type { BudgetCheck, LimitCheck, LimitCounters, Refusal, Reservation, ScopeChecks, Standing, Used } from './limit-counters.ts';

/** USD are counted as integers, so that sums are exact: 10^-9 is less than the price of one token. */
export const USD_UNITS = 1e9;

/** What goes into one script at most: Redis does nothing else while it runs one. */
const MAX_OPERATIONS = 64;

/** What Redis said to one `r` of a script, copied out of the whole answer. */
interface Answer {
  readonly now: number;
  readonly refusedIndex: number;
  /** Numbers of each check in order, or of the refusing one. See `LIMIT_SCRIPT`. */
  readonly numbers: readonly number[];
}

type AnswerDone = (error: Error | null, answer: Answer | undefined) => void;

/** One thing that a request that ended gives back or corrects. */
interface Settlement {
  readonly scope: string;
  readonly key: string;
  /** The lease that ends; undefined for a correction, which is in `words`. */
  readonly lease: string | undefined;
  words: string;
  /** After so many milliseconds there is nothing left to settle: the lease or the window is over by itself. */
  readonly lastsMs: number;
  /** Monotonic; 0 while it has not failed. */
  failedAt: number;
}

/** A place that a request of this process holds. */
interface Running {
  readonly scope: string;
  readonly key: string;
  readonly lease: string;
  readonly leaseMs: number;
  readonly since: number;
  /** Where it stands in the list; below 0 when the request has ended. */
  index: number;
}

/** What a reservation of these counters carries to its settlement. */
interface Token {
  /** See `TOKEN_NUMBERS`. */
  readonly numbers: readonly number[];
  readonly running: readonly Running[];
}

interface Batch {
  readonly settled: Settlement[];
  /** Of the `r`s, as `words`. */
  readonly keys: string[];
  readonly leases: string[];
  words: string;
  operations: number;
  /** One per `r`, in order, with the number of numbers that its checks give. */
  readonly waiting: { readonly scopes: readonly ScopeChecks[]; readonly checks: readonly LimitCheck[]; readonly done: AnswerDone }[];
}

export interface RedisCountersOptions {
  /** How often the leases of running requests are renewed, in milliseconds. Well below the shortest lease. */
  readonly renewEveryMs?: number;
}

export interface RedisLimitCounters extends LimitCounters {
  /**
   * Asks Redis to run the script that counts, with nothing to count: a server that answers PING may still refuse it. When it does run, settlements that
   * failed before are sent again, once. Rejects with RedisUnavailableError, or with Redis' own ReplyError.
   */
  probe(): Promise<void>;
  /** Renews no lease any more. */
  close(): void;
}

/** With leases of 30 s, two renewals may fail before a running request loses its place. */
const RENEW_EVERY_MS = 10_000;
/** Longer than any request: a place that is never settled is not renewed for ever. */
const LONGEST_RUN_MS = 3_600_000;
const MAX_RENEWED_AT_ONCE = 500;
/** Settlements that wait for Redis to come back; past this many the oldest is given up. */
const MAX_FAILED = 10_000;
const MAX_RESENT_AT_ONCE = 2_000;

/**
 * Counters that all replicas share. Everything that one turn of the event loop asks for goes in one script and one write (on a cluster: one per scope), so that
 * the cost per request falls as the load grows. A reservation rejects with RedisUnavailableError when Redis does not answer in time.
 *
 * A parallel lease is renewed by one timer of this process while its request runs, so that it can be short: the places of a replica that died are free when it ends.
 *
 * `settle` returns a promise that never rejects, the same one for all settles of a turn: it resolves once the corrections have been handed to the socket.
 * What Redis refused, or was not sent, is kept and sent again by `probe`. Of what was sent and never answered only the leases are: ending one twice does
 * nothing, but to correct an amount twice would count it twice. Such windows end by themselves, and reserved USD after 15 to 30 minutes. USD spent are never
 * sent again: the spent amount is raised to the database's when a later reservation brings a `seed` above it.
 */
export function createRedisCounters(connection: RedisConnection, options: RedisCountersOptions = {}): RedisLimitCounters {
  return new RedisCounters(connection, options.renewEveryMs ?? RENEW_EVERY_MS);
}

class RedisCounters implements RedisLimitCounters {
  readonly #connection: RedisConnection;
  readonly #perScope: boolean;
  /** Of this turn: by scope on a cluster, else one under ''. */
  #batches: Map<string, Batch> | undefined;
  #written: { readonly promise: Promise<void>; readonly resolve: () => void } | undefined;
  readonly #renewEveryMs: number;
  /** In no order: the last one takes the place of one that leaves. */
  readonly #running: Running[] = [];
  #renewals: NodeJS.Timeout | undefined;
  /** Oldest first. */
  readonly #failed = new Set<Settlement>();

  constructor(connection: RedisConnection, renewEveryMs: number) {
    this.#connection = connection;
    this.#renewEveryMs = renewEveryMs;
    this.#perScope = connection.topology === 'cluster';
  }

  reserve(scopes: readonly ScopeChecks[]): Promise<Reservation | Refusal> {
    if (this.#perScope && scopes.length > 1) return this.#reserveApart(scopes);
    return new Promise((resolve, reject) => {
      this.#ask(scopes, (error, answer) => {
        if (answer === undefined) reject(error ?? new Error('Redis gave no answer.'));
        else resolve(answer.refusedIndex >= 0 ? refusalOf(scopes, answer) : reservationOf(scopes, answer, this.#begin(scopes)));
      });
    });
  }

  settle(scopes: readonly ScopeChecks[], reservation: Reservation, used: readonly Used[]): Promise<void> | undefined {
    const { numbers, running } = reservation.token as Token;
    for (const place of running) this.#end(place);
    let position = 0;
    for (const { scope, checks } of scopes) {
      let batch: Batch | undefined;
      for (const check of checks) {
        const [first = 0, second = 0] = [numbers[position], numbers[position + 1]];
        position += TOKEN_NUMBERS[check.kind];
        const amount = check.kind === 'parallel' ? undefined : amountUsed(used, scope, check);
        // What is not named keeps what it reserved; a window needs nothing for that.
        if (check.kind === 'window' && (amount === undefined || amount === check.amount)) continue;
        batch ??= this.#batchFor(scope);
        batch.settled.push(settlementOf(scope, check, { first, second, amount }));
        // A client that has its reply may send the next request to another replica at once: its place must be free by then.
        if (check.kind === 'parallel') this.#connection.hurry();
      }
      if (batch !== undefined) batch.operations += 1;
    }
    if (this.#batches === undefined) return undefined;
    if (this.#written === undefined) this.#written = Promise.withResolvers<void>();
    return this.#written.promise;
  }

  /** On a cluster scopes lie on different servers: all are asked in the same turn, and what some gave is given back when another refused. */
  async #reserveApart(scopes: readonly ScopeChecks[]): Promise<Reservation | Refusal> {
    const outcomes = await Promise.allSettled(scopes.map((scope) => new Promise<Answer>((resolve, reject) => {
      this.#ask([scope], (error, answer) => {
        if (answer === undefined) reject(error ?? new Error('Redis gave no answer.'));
        else resolve(answer);
      });
    })));
    const answers = outcomes.map((outcome) => (outcome.status === 'fulfilled' ? outcome.value : undefined));
    const refusedAt = answers.findIndex((answer) => answer !== undefined && answer.refusedIndex >= 0);
    const failed = outcomes.find((outcome) => outcome.status === 'rejected');
    if (refusedAt < 0 && failed === undefined) {
      const parts = scopes.map((scope, index) => reservationOf([scope], answers[index] as Answer, []));
      const token: Token = { numbers: parts.flatMap((part) => (part.token as Token).numbers), running: this.#begin(scopes) };
      return { allowed: true, standings: parts.flatMap(({ standings }) => standings), token };
    }
    for (const [index, scope] of scopes.entries()) {
      const answer = answers[index];
      if (answer === undefined || answer.refusedIndex >= 0) continue;
      void this.settle([scope], reservationOf([scope], answer, []), scope.checks.map(({ name }) => ({ scope: scope.scope, name, amount: 0 })));
    }
    const [scope, answer] = [scopes[refusedAt], answers[refusedAt]];
    if (scope !== undefined && answer !== undefined) return refusalOf([scope], answer);
    throw failed?.reason;
  }

  #ask(scopes: readonly ScopeChecks[], done: AnswerDone): void {
    const batch = this.#batchFor(scopes[0]?.scope ?? '');
    const [only] = scopes;
    const checks = scopes.length === 1 && only !== undefined ? only.checks : scopes.flatMap((scope) => scope.checks);
    let words = ` r ${checks.length}`;
    for (const { scope, checks: own } of scopes) {
      for (const check of own) {
        batch.keys.push(counterKey(scope, check.kind, check.name));
        switch (check.kind) {
          case 'window':
            words += ` w ${bounded(check.limit)} ${bounded(check.amount)} ${whole(check.windowMs)}`;
            break;
          case 'parallel':
            words += ` p ${bounded(check.limit)} ${whole(check.leaseMs)}`;
            batch.leases.push(check.lease);
            break;
          case 'budget':
            words += ` b ${units(check.limit)} ${units(check.amount)} ${units(check.seed)} ${whole(check.keepMs)}`;
        }
      }
    }
    batch.words += words;
    batch.operations += 1;
    batch.waiting.push({ scopes, checks, done });
  }

  #batchFor(scope: string): Batch {
    const name = this.#perScope ? scope : '';
    if (this.#batches === undefined) {
      // A new one each turn: V8's Map.clear() leaves the old table, with all it held, pointing at the new one, and one such table in the old
      // generation keeps everything after it alive until a full collection.
      this.#batches = new Map();
      this.#connection.atTurnEnd(this.#flush);
    }
    const open = this.#batches.get(name);
    if (open !== undefined && open.operations < MAX_OPERATIONS) return open;
    if (open !== undefined) this.#send(open);
    const batch = newBatch();
    this.#batches.set(name, batch);
    return batch;
  }

  readonly #flush = (): void => {
    const batches = this.#batches;
    this.#batches = undefined;
    if (batches !== undefined) for (const batch of batches.values()) this.#send(batch);
    const written = this.#written;
    this.#written = undefined;
    // The connection lets the bytes go right after this, before any promise goes on.
    written?.resolve();
  };

  #send(batch: Batch): void {
    this.#run(() => argumentsOf(batch), (error, reply, isUntouched) => {
      finish(batch, error, reply);
      if (error !== null) this.#keepFailed(batch, isUntouched);
    });
  }

  /** `isUntouched`: the script did certainly not run. */
  #run(words: () => readonly CommandArgument[], done: (error: Error | null, reply: unknown, isUntouched: boolean) => void): void {
    const send = (name: string, script: string, then: (error: Error | null, reply: unknown, isUntouched: boolean) => void): void => {
      let isSent = false;
      this.#connection.send(name, [script, ...words()], TEXT, (error, reply) => then(error, reply, error !== null && (!isSent || isRefusal(error))));
      isSent = true;
    };
    send('evalsha', LIMIT_SCRIPT_SHA, (error, reply, isUntouched) => {
      // A server that was restarted, flushed or promoted does not know the script: EVAL brings it along.
      if (error?.message.startsWith('NOSCRIPT') === true) send('eval', LIMIT_SCRIPT, done);
      else done(error, reply, isUntouched);
    });
  }

  #keepFailed({ settled, waiting }: Batch, isUntouched: boolean): void {
    for (const settlement of settled) if (isUntouched || settlement.lease !== undefined) this.#keep(settlement);
    if (isUntouched) return;
    // Whoever asked was told that there is no answer and will settle nothing; Redis may have lent the places all the same.
    for (const { scopes } of waiting) {
      for (const { scope, checks } of scopes) for (const check of checks) if (check.kind === 'parallel') this.#keep(settlementOf(scope, check, NOTHING_USED));
    }
  }

  #keep(settlement: Settlement): void {
    if (settlement.failedAt === 0) {
      settlement.failedAt = performance.now();
      settlement.words = withoutSpend(settlement.words);
    }
    this.#failed.add(settlement);
    if (this.#failed.size <= MAX_FAILED) return;
    for (const oldest of this.#failed) {
      this.#failed.delete(oldest);
      return;
    }
  }

  probe(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#run(() => ['0', ''], (error) => {
        if (error !== null) return reject(error);
        this.#sendFailed();
        resolve();
      });
    });
  }

  /** In scripts of their own: what fails again must not take the requests of this turn with it. */
  #sendFailed(): void {
    const now = performance.now();
    const batches = new Map<string, Batch>();
    let left = MAX_RESENT_AT_ONCE;
    for (const settlement of this.#failed) {
      if (left === 0) break;
      this.#failed.delete(settlement);
      if (now - settlement.failedAt > settlement.lastsMs) continue;
      left -= 1;
      const name = this.#perScope ? settlement.scope : '';
      let batch = batches.get(name);
      if (batch === undefined) batches.set(name, batch = newBatch());
      batch.settled.push(settlement);
      if (batch.settled.length < MAX_OPERATIONS) continue;
      batches.delete(name);
      this.#send(batch);
    }
    for (const batch of batches.values()) this.#send(batch);
  }

  /** The places that a reservation took are renewed from now on. */
  #begin(scopes: readonly ScopeChecks[]): readonly Running[] {
    let begun: Running[] | undefined;
    for (const { scope, checks } of scopes) {
      for (const check of checks) {
        if (check.kind !== 'parallel') continue;
        const running: Running = { scope, key: counterKey(scope, 'parallel', check.name), lease: check.lease, leaseMs: check.leaseMs, since: performance.now(), index: this.#running.length };
        this.#running.push(running);
        (begun ??= []).push(running);
      }
    }
    if (begun === undefined) return NONE;
    if (this.#renewals === undefined) {
      this.#renewals = setInterval(this.#renew, this.#renewEveryMs);
      this.#renewals.unref();
    }
    return begun;
  }

  #end(running: Running): void {
    const { index } = running;
    if (this.#running[index] !== running) return;
    running.index = -1;
    const last = this.#running.pop();
    if (last === undefined || last === running) return;
    last.index = index;
    this.#running[index] = last;
  }

  readonly #renew = (): void => {
    const now = performance.now();
    for (const running of this.#running.filter(({ since }) => now - since > LONGEST_RUN_MS)) this.#end(running);
    if (this.#running.length === 0) return this.close();
    const groups = this.#perScope ? Map.groupBy(this.#running, ({ scope }) => scope).values() : [[...this.#running]];
    for (const group of groups) {
      for (let from = 0; from < group.length; from += MAX_RENEWED_AT_ONCE) {
        const part = group.slice(from, from + MAX_RENEWED_AT_ONCE);
        // Not in the batch of this turn: there a lease that ends in the same turn would be ended first and lent again after it. One that cannot be renewed has two more turns.
        this.#run(() => renewalOf(part.filter(({ index }) => index >= 0)), () => undefined);
      }
    }
  };

  close(): void {
    clearInterval(this.#renewals);
    this.#renewals = undefined;
  }
}

const NONE: readonly Running[] = [];
const NOTHING_USED = { first: 0, second: 0, amount: undefined } as const;
/** A reservation that was never settled is given up after this by the script. */
const BUDGET_LASTS_MS = 2 * RESERVATION_PERIOD_MS;

function newBatch(): Batch {
  return { settled: [], keys: [], leases: [], words: '', operations: 0, waiting: [] };
}

/** What ends comes first, see `LIMIT_SCRIPT`; what is settled in a turn makes room for what is asked for in it. */
function argumentsOf({ settled, keys, leases, words }: Batch): readonly CommandArgument[] {
  if (settled.length === 0) return [String(keys.length), ...keys, words, ...leases];
  const [endedKeys, ended, correctedKeys]: [string[], string[], string[]] = [[], [], []];
  let corrections = '';
  for (const { key, lease, words: correction } of settled) {
    if (lease === undefined) {
      correctedKeys.push(key);
      corrections += correction;
    } else {
      endedKeys.push(key);
      ended.push(lease);
    }
  }
  const settling = `${ended.length === 0 ? '' : ` f ${ended.length}`}${correctedKeys.length === 0 ? '' : ` s ${correctedKeys.length}${corrections}`}`;
  return [String(settled.length + keys.length), ...endedKeys, ...correctedKeys, ...keys, settling + words, ...ended, ...leases];
}

function renewalOf(running: readonly Running[]): readonly CommandArgument[] {
  const times = running.map(({ leaseMs }) => whole(leaseMs)).join(' ');
  return [String(running.length), ...running.map(({ key }) => key), running.length === 0 ? '' : ` l ${running.length} ${times}`, ...running.map(({ lease }) => lease)];
}

function settlementOf(scope: string, check: LimitCheck, { first, second, amount }: { readonly first: number; readonly second: number; readonly amount: number | undefined }): Settlement {
  const key = counterKey(scope, check.kind, check.name);
  switch (check.kind) {
    case 'window': return { scope, key, lease: undefined, words: ` w ${first} ${bounded(amount ?? check.amount) - bounded(check.amount)}`, lastsMs: check.windowMs, failedAt: 0 };
    case 'parallel': return { scope, key, lease: check.lease, words: '', lastsMs: check.leaseMs, failedAt: 0 };
    case 'budget': {
      const words = ` b ${first} ${second} ${units(check.amount)} ${units(amount ?? check.amount)} ${units(check.seed)} ${whole(check.keepMs)}`;
      return { scope, key, lease: undefined, words, lastsMs: BUDGET_LASTS_MS, failedAt: 0 };
    }
  }
}

/** What was spent comes back with the seed of later reservations, perhaps before this is sent again: then it must not be added once more. */
function withoutSpend(words: string): string {
  if (!words.startsWith(' b ')) return words;
  return words.split(' ').with(5, '0').join(' ');
}

/** Redis said no before the script's first write: not now (`connectRedis` keeps the reply as the cause), or not for this user. */
function isRefusal(error: Error): boolean {
  return (error.cause instanceof Error && error.cause.name === 'ReplyError') || error.message.startsWith('NOPERM');
}

const TEXT = { binary: false } as const;

/** How many numbers of the answer each kind has, and how many of them the token keeps. */
const ANSWER_NUMBERS = { window: 2, parallel: 1, budget: 3 } as const satisfies Record<LimitCheck['kind'], number>;
const TOKEN_NUMBERS = { window: 1, parallel: 0, budget: 2 } as const satisfies Record<LimitCheck['kind'], number>;

function finish(batch: Batch, error: Error | null, reply: unknown): void {
  if (batch.waiting.length === 0) return;
  if (error !== null || typeof reply !== 'string') {
    for (const { done } of batch.waiting) done(error ?? new Error('Redis answered the limit script with something else than text.'), undefined);
    return;
  }
  const numbers = reply.split(' ').map(Number);
  const now = numbers[0] ?? 0;
  let position = 1;
  for (const { checks, done } of batch.waiting) {
    const allowed = numbers[position] === 1;
    const refusedIndex = allowed ? -1 : numbers[position + 1] ?? 0;
    position += allowed ? 1 : 2;
    let count = 0;
    if (allowed) for (const { kind } of checks) count += ANSWER_NUMBERS[kind];
    else count = ANSWER_NUMBERS[checks[refusedIndex]?.kind ?? 'parallel'];
    done(null, { now, refusedIndex, numbers: numbers.slice(position, position + count) });
    position += count;
  }
}

function reservationOf(scopes: readonly ScopeChecks[], { now, numbers }: Answer, running: readonly Running[]): Reservation {
  const standings: Standing[] = [];
  const kept: number[] = [];
  let position = 0;
  for (const { scope, checks } of scopes) {
    for (const check of checks) {
      const [first = 0, second = 0, third = 0] = [numbers[position], numbers[position + 1], numbers[position + 2]];
      position += ANSWER_NUMBERS[check.kind];
      if (check.kind === 'window') kept.push(second);
      else if (check.kind === 'budget') kept.push(second, third);
      standings.push(standingOf(scope, check, { now, count: first, ends: second }));
    }
  }
  const token: Token = { numbers: kept, running };
  return { allowed: true, standings, token };
}

function refusalOf(scopes: readonly ScopeChecks[], { now, refusedIndex, numbers }: Answer): Refusal {
  let index = refusedIndex;
  for (const { scope, checks } of scopes) {
    const check = checks[index];
    if (check !== undefined) return { allowed: false, refused: standingOf(scope, check, { now, count: numbers[0] ?? 0, ends: numbers[1] ?? 0 }) };
    index -= checks.length;
  }
  throw new Error('Redis refused a check that was not asked.');
}

function standingOf(scope: string, check: LimitCheck, { now, count, ends }: { readonly now: number; readonly count: number; readonly ends: number }): Standing {
  if (check.kind === 'budget') return { scope, check, remaining: Math.max(0, Math.round(check.limit * USD_UNITS) - count) / USD_UNITS, resetMs: 0 };
  return { scope, check, remaining: Math.max(0, check.limit - count), resetMs: check.kind === 'window' ? Math.max(0, ends - now) : 0 };
}

function amountUsed(used: readonly Used[], scope: string, { name }: LimitCheck): number | undefined {
  for (const item of used) if (item.name === name && item.scope === scope) return item.amount;
  return undefined;
}

function units(usd: BudgetCheck['amount']): number {
  return Math.round(bounded(usd) * USD_UNITS);
}

/** No limit at all may be written as Infinity; a script's numbers are finite. Beyond 10^15 nobody counts. */
function bounded(value: number): number {
  return value > 1e15 ? 1e15 : value >= 0 ? value : 0;
}

function whole(ms: number): number {
  return Math.max(1, Math.round(ms));
}
