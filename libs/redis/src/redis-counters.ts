import type { CommandArgument, RedisConnection } from './connect-redis.ts';
import { counterKey } from './counter-key.ts';
import { LIMIT_SCRIPT, LIMIT_SCRIPT_SHA } from './limit-script.ts';
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

interface Batch {
  readonly keys: string[];
  readonly leases: string[];
  words: string;
  operations: number;
  /** One per `r`, in order, with the number of numbers that its checks give. */
  readonly waiting: { readonly checks: readonly LimitCheck[]; readonly done: AnswerDone }[];
}

/**
 * Counters that all replicas share. Everything that one turn of the event loop asks for goes in one script and one write (on a cluster: one per scope), so that
 * the cost per request falls as the load grows. A reservation rejects with RedisUnavailableError when Redis does not answer in time.
 *
 * `settle` returns a promise that never rejects, the same one for all settles of a turn: it resolves once the corrections have been handed to the socket.
 * Corrections that cannot be sent are lost: leases and windows end by themselves, reserved USD after 15 to 30 minutes, and the spent amount is raised to the
 * database's when a later reservation brings a `seed` above it.
 */
export function createRedisCounters(connection: RedisConnection): LimitCounters {
  return new RedisCounters(connection);
}

class RedisCounters implements LimitCounters {
  readonly #connection: RedisConnection;
  readonly #perScope: boolean;
  /** Of this turn: by scope on a cluster, else one under ''. */
  #batches: Map<string, Batch> | undefined;
  #written: { readonly promise: Promise<void>; readonly resolve: () => void } | undefined;

  constructor(connection: RedisConnection) {
    this.#connection = connection;
    this.#perScope = connection.topology === 'cluster';
  }

  reserve(scopes: readonly ScopeChecks[]): Promise<Reservation | Refusal> {
    if (this.#perScope && scopes.length > 1) return this.#reserveApart(scopes);
    return new Promise((resolve, reject) => {
      this.#ask(scopes, (error, answer) => {
        if (answer === undefined) reject(error ?? new Error('Redis gave no answer.'));
        else resolve(answer.refusedIndex >= 0 ? refusalOf(scopes, answer) : reservationOf(scopes, answer));
      });
    });
  }

  settle(scopes: readonly ScopeChecks[], reservation: Reservation, used: readonly Used[]): Promise<void> | undefined {
    const token = reservation.token as readonly number[];
    let position = 0;
    for (const { scope, checks } of scopes) {
      let batch: Batch | undefined;
      let words = '';
      let count = 0;
      for (const check of checks) {
        const [first = 0, second = 0] = [token[position], token[position + 1]];
        position += TOKEN_NUMBERS[check.kind];
        const amount = check.kind === 'parallel' ? undefined : amountUsed(used, scope, check);
        // What is not named keeps what it reserved; a window needs nothing for that.
        if (check.kind === 'window' && (amount === undefined || amount === check.amount)) continue;
        batch ??= this.#batchFor(scope);
        batch.keys.push(counterKey(scope, check.kind, check.name));
        count += 1;
        switch (check.kind) {
          case 'window':
            words += ` w ${first} ${(amount ?? check.amount) - check.amount}`;
            break;
          case 'parallel':
            words += ' p';
            batch.leases.push(check.lease);
            break;
          case 'budget':
            words += ` b ${first} ${second} ${units(check.amount)} ${units(amount ?? check.amount)} ${units(check.seed)} ${whole(check.keepMs)}`;
        }
      }
      if (batch === undefined) continue;
      batch.words += ` s ${count}${words}`;
      batch.operations += 1;
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
      const parts = scopes.map((scope, index) => reservationOf([scope], answers[index] as Answer));
      return { allowed: true, standings: parts.flatMap(({ standings }) => standings), token: parts.flatMap(({ token }) => token as readonly number[]) };
    }
    for (const [index, scope] of scopes.entries()) {
      const answer = answers[index];
      if (answer === undefined || answer.refusedIndex >= 0) continue;
      void this.settle([scope], reservationOf([scope], answer), scope.checks.map(({ name }) => ({ scope: scope.scope, name, amount: 0 })));
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
    batch.waiting.push({ checks, done });
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
    const batch: Batch = { keys: [], leases: [], words: '', operations: 0, waiting: [] };
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
    const rest: CommandArgument[] = [String(batch.keys.length), ...batch.keys, batch.words, ...batch.leases];
    this.#connection.send('evalsha', [LIMIT_SCRIPT_SHA, ...rest], TEXT, (error, reply) => {
      // A server that was restarted, flushed or promoted does not know the script: EVAL brings it along.
      if (error?.message.startsWith('NOSCRIPT') === true) this.#connection.send('eval', [LIMIT_SCRIPT, ...rest], TEXT, (again, text) => finish(batch, again, text));
      else finish(batch, error, reply);
    });
  }
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

function reservationOf(scopes: readonly ScopeChecks[], { now, numbers }: Answer): Reservation {
  const standings: Standing[] = [];
  const token: number[] = [];
  let position = 0;
  for (const { scope, checks } of scopes) {
    for (const check of checks) {
      const [first = 0, second = 0, third = 0] = [numbers[position], numbers[position + 1], numbers[position + 2]];
      position += ANSWER_NUMBERS[check.kind];
      if (check.kind === 'window') token.push(second);
      else if (check.kind === 'budget') token.push(second, third);
      standings.push(standingOf(scope, check, { now, count: first, ends: second }));
    }
  }
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
