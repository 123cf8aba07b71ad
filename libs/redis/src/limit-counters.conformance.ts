import { describe, expect, test } from 'vitest';
import type { BudgetCheck, LimitCounters, ParallelCheck, Refusal, Reservation, ScopeChecks, WindowCheck } from './limit-counters.ts';

export interface CountersUnderTest extends AsyncDisposable {
  readonly counters: LimitCounters;
  /** Lets at least so many milliseconds pass. */
  elapse(ms: number): Promise<void>;
  /** Forgets every counter, as a Redis that was lost does. */
  forget(): Promise<void>;
}

const LONG = 3_600_000;
let names = 0;
/** Scopes of one suite may share a server. */
const scopeName = (): string => `key:${process.pid}-${names++}`;
const requests = (limit: number, more: Partial<WindowCheck> = {}): WindowCheck => ({ kind: 'window', name: 'requests', limit, amount: 1, windowMs: LONG, ...more });
const tokens = (limit: number, amount: number, more: Partial<WindowCheck> = {}): WindowCheck => ({ kind: 'window', name: 'tokens', limit, amount, windowMs: LONG, ...more });
const parallel = (limit: number, lease: string, more: Partial<ParallelCheck> = {}): ParallelCheck => ({ kind: 'parallel', name: 'parallel', limit, lease, leaseMs: LONG, ...more });
const budget = (limit: number, amount: number, more: Partial<BudgetCheck> = {}): BudgetCheck => ({ kind: 'budget', name: 'spend', limit, amount, seed: 0, keepMs: LONG, ...more });

function allowed(answer: Reservation | Refusal): Reservation {
  if (!answer.allowed) throw new Error(`Refused by ${answer.refused.check.name} with ${answer.refused.remaining} left.`);
  return answer;
}

function refused(answer: Reservation | Refusal): Refusal {
  if (answer.allowed) throw new Error('Was allowed.');
  return answer;
}

const remaining = (answer: Reservation | Refusal): readonly number[] => (answer.allowed ? answer.standings.map((standing) => standing.remaining) : [answer.refused.remaining]);

/** What every LimitCounters must do, whatever it stands on. */
export function describeLimitCounters(name: string, start: () => Promise<CountersUnderTest>): void {
  describe(name, () => {
    test('exactly as many of many concurrent requests pass as the limit says', async () => {
      await using under = await start();
      const scopes = [{ scope: scopeName(), checks: [requests(25)] }];
      const answers = await Promise.all(Array.from({ length: 100 }, () => under.counters.reserve(scopes)));
      expect(answers.filter((answer) => answer.allowed)).toHaveLength(25);
      expect(answers.flatMap(remaining).toSorted((a, b) => b - a)).toEqual([...Array.from({ length: 25 }, (_, index) => 24 - index), ...Array.from({ length: 75 }, () => 0)]);
    });

    test('a window starts with its first request, tells when it ends, and starts anew after it', async () => {
      await using under = await start();
      const scope = scopeName();
      const ask = async (windowMs: number): Promise<Reservation | Refusal> => under.counters.reserve([{ scope, checks: [requests(1, { windowMs })] }]);
      const [standing] = allowed(await ask(500)).standings;
      expect(standing).toMatchObject({ scope, remaining: 0 });
      expect(standing?.resetMs).toBeGreaterThan(400);
      expect(standing?.resetMs).toBeLessThanOrEqual(500);
      await under.elapse(500);
      allowed(await ask(LONG));
      const { refused: no } = refused(await ask(LONG));
      expect(no).toMatchObject({ scope, remaining: 0, check: { name: 'requests', limit: 1 } });
      expect(no.resetMs).toBeGreaterThan(LONG - 60_000);
      expect(no.resetMs).toBeLessThanOrEqual(LONG);
    });

    test('takes from every check of every scope or from none, and names the first that refuses', async () => {
      await using under = await start();
      const [key, team] = [scopeName(), scopeName()];
      const scopes = (lease: string): readonly ScopeChecks[] => [
        { scope: key, checks: [requests(10), parallel(5, lease), budget(10, 1)] },
        { scope: team, checks: [requests(2), tokens(100, 30)] },
      ];
      expect(remaining(allowed(await under.counters.reserve(scopes('a'))))).toEqual([9, 4, 9, 1, 70]);
      expect(remaining(allowed(await under.counters.reserve(scopes('b'))))).toEqual([8, 3, 8, 0, 40]);
      for (const lease of ['c', 'd']) expect(refused(await under.counters.reserve(scopes(lease))).refused).toMatchObject({ scope: team, check: { name: 'requests' }, remaining: 0 });
      // Nothing of the refused ones stayed: the key's counters stand where they stood.
      expect(remaining(allowed(await under.counters.reserve([{ scope: key, checks: [requests(10), parallel(5, 'e'), budget(10, 0)] }])))).toEqual([7, 2, 8]);
    });

    test('settling corrects what was reserved to what was used, up and down, past the limit too', async () => {
      await using under = await start();
      const scope = scopeName();
      const left = async (): Promise<readonly number[]> => remaining(await under.counters.reserve([{ scope, checks: [tokens(1_000, 0)] }]));
      const take = async (amount: number): Promise<readonly [readonly ScopeChecks[], Reservation]> => {
        const scopes = [{ scope, checks: [tokens(1_000, amount)] }];
        return [scopes, allowed(await under.counters.reserve(scopes))];
      };
      const [first, second, third] = [await take(300), await take(300), await take(300)];
      expect(await left()).toEqual([100]);
      await under.counters.settle(...first, [{ scope, name: 'tokens', amount: 120 }]);
      expect(await left()).toEqual([280]);
      await under.counters.settle(...second, []);
      expect(await left()).toEqual([280]);
      await under.counters.settle(...third, [{ scope, name: 'tokens', amount: 5_000 }]);
      expect(refused(await under.counters.reserve([{ scope, checks: [tokens(1_000, 0)] }])).refused.remaining).toBe(0);
    });

    test('settling goes to the window it was reserved in and to no later one', async () => {
      await using under = await start();
      const scope = scopeName();
      const old = [{ scope, checks: [tokens(1_000, 400, { windowMs: 300 })] }];
      const reservation = allowed(await under.counters.reserve(old));
      await under.elapse(300);
      expect(remaining(await under.counters.reserve([{ scope, checks: [tokens(1_000, 100)] }]))).toEqual([900]);
      await under.counters.settle(old, reservation, [{ scope, name: 'tokens', amount: 900 }]);
      expect(remaining(await under.counters.reserve([{ scope, checks: [tokens(1_000, 0)] }]))).toEqual([900]);
    });

    test('an amount of 0 only asks whether there is anything left', async () => {
      await using under = await start();
      const scope = scopeName();
      const ask = async (amount: number): Promise<Reservation | Refusal> => under.counters.reserve([{ scope, checks: [tokens(10, amount)] }]);
      expect(remaining(allowed(await ask(0)))).toEqual([10]);
      allowed(await ask(9));
      expect(remaining(allowed(await ask(0)))).toEqual([1]);
      expect(remaining(refused(await ask(2)))).toEqual([1]);
      allowed(await ask(1));
      refused(await ask(0));
      refused(await under.counters.reserve([{ scope: scopeName(), checks: [tokens(0, 0)] }]));
    });

    test('a parallel place comes back when it is settled, and when its lease ends', async () => {
      await using under = await start();
      const scope = scopeName();
      const scopesOf = (lease: string, leaseMs = LONG): readonly ScopeChecks[] => [{ scope, checks: [parallel(2, lease, { leaseMs })] }];
      const first = allowed(await under.counters.reserve(scopesOf('one')));
      expect(remaining(allowed(await under.counters.reserve(scopesOf('two', 300))))).toEqual([0]);
      await under.elapse(300);
      allowed(await under.counters.reserve(scopesOf('three')));
      expect(refused(await under.counters.reserve(scopesOf('four'))).refused).toMatchObject({ remaining: 0, resetMs: 0, check: { kind: 'parallel' } });
      await under.counters.settle(scopesOf('one'), first, []);
      expect(remaining(allowed(await under.counters.reserve(scopesOf('five'))))).toEqual([0]);
      refused(await under.counters.reserve(scopesOf('six')));
    });

    test('a budget counts reserved and spent, starts at what the database knows, and refuses once it is reached', async () => {
      await using under = await start();
      const scope = scopeName();
      const scopesOf = (amount: number, seed: number): readonly ScopeChecks[] => [{ scope, checks: [budget(1, amount, { seed })] }];
      const first = allowed(await under.counters.reserve(scopesOf(0.25, 0.5)));
      expect(remaining(first)).toEqual([0.25]);
      // An older seed of another replica does not set it back.
      const second = allowed(await under.counters.reserve(scopesOf(0.5, 0.1)));
      expect(remaining(second)).toEqual([0]);
      expect(refused(await under.counters.reserve(scopesOf(0, 0.5))).refused).toMatchObject({ remaining: 0, resetMs: 0 });
      await under.counters.settle(scopesOf(0.25, 0.5), first, [{ scope, name: 'spend', amount: 0.1 }]);
      await under.counters.settle(scopesOf(0.5, 0.1), second, [{ scope, name: 'spend', amount: 0.000_000_001 }]);
      expect(remaining(allowed(await under.counters.reserve(scopesOf(0, 0.5))))).toEqual([0.399_999_999]);
      // What the database learned from elsewhere counts too.
      expect(remaining(allowed(await under.counters.reserve(scopesOf(0, 0.9))))).toEqual([0.1]);
    });

    test('counters that were lost start again: budgets at what the database knows, and what was reserved before is not given back twice', async () => {
      await using under = await start();
      const scope = scopeName();
      const scopesOf = (seed: number): readonly ScopeChecks[] => [{ scope, checks: [budget(10, 2, { seed }), tokens(100, 60), parallel(3, `lease-${seed}`)] }];
      const before = allowed(await under.counters.reserve(scopesOf(1)));
      await under.forget();
      expect(remaining(allowed(await under.counters.reserve(scopesOf(3))))).toEqual([5, 40, 2]);
      await under.counters.settle(scopesOf(1), before, [{ scope, name: 'spend', amount: 0.5 }, { scope, name: 'tokens', amount: 10 }]);
      expect(remaining(allowed(await under.counters.reserve([{ scope, checks: [budget(10, 0), tokens(100, 0), parallel(3, 'another')] }])))).toEqual([4.5, 40, 1]);
    });

    test('limits without end, names with anything in them, and scopes with braces are counted like any other', async () => {
      await using under = await start();
      const odd = `${scopeName()}{a}\r\n{} ${'x'.repeat(500)}`;
      const checks = [requests(Number.POSITIVE_INFINITY), tokens(5, 1, { name: `tokens:a b\r\n{c}${'y'.repeat(500)}` }), parallel(2, 'a lease\r\nwith spaces'), budget(Number.MAX_SAFE_INTEGER, 0.1)];
      allowed(await under.counters.reserve([{ scope: odd, checks }]));
      const second = allowed(await under.counters.reserve([{ scope: odd, checks: [...checks.slice(0, 2), parallel(2, 'b'), budget(1, 0.1)] }]));
      expect(second.standings[0]?.remaining).toBeGreaterThan(1e14);
      expect(second.standings.slice(1).map((standing) => standing.remaining)).toEqual([3, 0, 0.8]);
    });
  });
}
