import { AppError } from '@pointsman/errors';
import { DEFAULT_DEGRADED_MODE, type DegradedMode } from '@pointsman/gateway-config';
import { createMemoryCounters, type LimitCounters } from '@pointsman/redis';
import { ManualClock } from '@pointsman/timing';
import { expect, test } from 'vitest';
import { chatConfig, entry, fakeSnapshot } from '../fake-gateway.fixture.ts';
import type { GroupPlan } from '../snapshot/snapshot.ts';
import { AWAY } from '../state/dependency.ts';
import { compilePrincipal } from './compile-principal.ts';
import { CountedLimits } from './counted-limits.ts';
import { budgetRow, keyAccess, keyRow, teamRow, tokenOf, userRow } from './key-access.fixture.ts';
import { NOTHING_TO_SETTLE, type Admission } from './limits.ts';
import type { Principal } from './principal.ts';

const clock = new ManualClock();
const TOKEN = tokenOf('sk-limited');

function priced(plan: GroupPlan | Promise<GroupPlan> | undefined): GroupPlan {
  if (plan === undefined || plan instanceof Promise) throw new Error('a plan was expected');
  // A dollar a thousand tokens, both ways.
  return { ...plan, candidates: plan.candidates.map((candidate) => ({ ...candidate, inputCostPerToken: 0.001, outputCostPerToken: 0.001 })) };
}

const snapshot = fakeSnapshot(chatConfig(['a'], entry('cheap', 'b')));
const chat = priced(snapshot.plan('chat'));
const cheap = priced(snapshot.plan('cheap'));

interface SetUp {
  readonly shared?: LimitCounters;
  readonly mode?: Partial<DegradedMode>;
  readonly replicas?: number;
  readonly server?: { isAway: boolean };
}

function setUp({ shared, mode = {}, replicas = 1, server = { isAway: false } }: SetUp = {}) {
  const refusals: string[] = [];
  const limits = new CountedLimits({
    shared: shared === undefined ? undefined : { counters: shared, dependency: { attempt: (work) => (server.isAway ? AWAY : work()) } },
    memory: createMemoryCounters({ clock, maxEntries: 1_000 }), replicas: () => replicas, degradedMode: () => ({ ...DEFAULT_DEGRADED_MODE, ...mode }), clock, replicaId: 'r1',
    metrics: { limited: (scope, kind) => void refusals.push(`${scope} ${kind}`) },
  });
  let counted = 0;
  const ask = (principal: Principal, { plan = chat, outline = {}, prompt = 10 }: { readonly plan?: GroupPlan; readonly outline?: Record<string, number>; readonly prompt?: number } = {}): Admission | AppError => {
    const answer = limits.admit(principal, { plan, outline, endUser: undefined, promptTokens: () => {
      counted += 1;
      return prompt;
    } });
    if (answer instanceof Promise) throw new Error('an answer at once was expected');
    return answer;
  };
  const admitted = (...parts: Parameters<typeof ask>): Admission => {
    const answer = ask(...parts);
    if (answer instanceof AppError) throw answer;
    return answer;
  };
  const refused = (...parts: Parameters<typeof ask>): AppError => {
    const answer = ask(...parts);
    if (answer instanceof AppError) return answer;
    throw new Error('a refusal was expected');
  };
  return { limits, ask, admitted, refused, refusals, counted: () => counted };
}

function key(change: Parameters<typeof keyRow>[1], more: Parameters<typeof keyAccess>[1] = {}): Principal {
  return compilePrincipal(keyAccess(keyRow('sk-limited', change), more), clock.now());
}

function headersOf({ headers }: Pick<Admission, 'headers'>): Record<string, string> {
  return Object.fromEntries(Array.from({ length: (headers?.length ?? 0) / 2 }, (_, index) => [headers?.[index * 2] ?? '', headers?.[index * 2 + 1] ?? '']));
}

test('who has no limit gets the one answer there is: no promise, no object, no counting of tokens', () => {
  const { ask, counted } = setUp({ shared: { reserve: () => { throw new Error('asked'); }, settle: () => undefined } });
  expect(ask(key({}))).toBe(NOTHING_TO_SETTLE);
  expect(counted()).toBe(0);
});

test('requests per minute: exactly so many, then 429 in LiteLLM\'s words, until the window is over', () => {
  const { admitted, refused, refusals, counted } = setUp();
  const principal = key({ rpm_limit: 2 });
  expect(headersOf(admitted(principal))).toEqual({
    'x-ratelimit-api_key-limit-requests': '2', 'x-ratelimit-api_key-remaining-requests': '1', 'x-ratelimit-limit-requests': '2', 'x-ratelimit-remaining-requests': '1',
  });
  clock.advance(20_000);
  admitted(principal).settle({ totalTokens: 5, costUsd: 1 });
  const error = refused(principal);
  const resetAt = `${new Date(clock.now() + 40_000).toISOString().slice(0, 19).replace('T', ' ')} UTC`;
  expect(error).toMatchObject({ status: 429, code: '429', kind: 'rate_limited', retryAfterMs: 40_000 });
  expect(error.message).toBe(`Rate limit exceeded for api_key: ${TOKEN}. Limit type: requests. Current limit: 2, Remaining: 0. Limit resets at: ${resetAt}`);
  expect(headersOf({ headers: error.headers })).toMatchObject({ rate_limit_type: 'requests', reset_at: resetAt, 'x-ratelimit-remaining-requests': '0' });
  expect(refusals).toEqual(['key requests']);
  expect(counted()).toBe(0);
  clock.advance(40_000);
  admitted(principal);
});

test('tokens are taken from prompt and max_tokens, and corrected to what was used', () => {
  const { admitted, refused } = setUp();
  const principal = key({ tpm_limit: 100 });
  const first = admitted(principal, { prompt: 10, outline: { max_tokens: 80 } });
  expect(refused(principal, { prompt: 11 })).toMatchObject({ status: 429, message: expect.stringContaining('Limit type: tokens') as string });
  first.settle({ totalTokens: 20, costUsd: 0 });
  first.settle({ totalTokens: 0, costUsd: 0 });
  expect(headersOf(admitted(principal, { prompt: 11 }))).toMatchObject({ 'x-ratelimit-remaining-tokens': '69', 'x-ratelimit-limit-tokens': '100' });
});

test('a request that asks for more than a window holds runs in an empty one instead of never', () => {
  const { admitted, refused } = setUp();
  const principal = key({ tpm_limit: 100 });
  const big = admitted(principal, { outline: { max_tokens: 4_096 } });
  expect(refused(principal, { prompt: 1 }).status).toBe(429);
  big.settle({ totalTokens: 150, costUsd: 0 });
  expect(refused(principal, { prompt: 1 }).status).toBe(429);
});

test('places for parallel requests are given back when a request ends', () => {
  const { admitted, refused, refusals } = setUp();
  const principal = key({ max_parallel_requests: 1 });
  const running = admitted(principal);
  expect(refused(principal)).toMatchObject({ status: 429, retryAfterMs: 1_000, message: expect.stringContaining('Limit type: max_parallel_requests') as string });
  running.settle({ totalTokens: 0, costUsd: 0 });
  admitted(principal);
  expect(refusals).toEqual(['key parallel']);
});

test('a key, its team and its user each have their limits, and the first that is reached says so', () => {
  const { admitted, refused, refusals } = setUp();
  const principal = key({ rpm_limit: 10, team_id: 't1', user_id: 'u1' }, { team: teamRow({ rpm_limit: 1 }), user: userRow({ rpm_limit: 5 }) });
  expect(headersOf(admitted(principal))).toMatchObject({
    'x-ratelimit-api_key-remaining-requests': '9', 'x-ratelimit-team-remaining-requests': '0', 'x-ratelimit-user-remaining-requests': '4', 'x-ratelimit-remaining-requests': '0', 'x-ratelimit-limit-requests': '1',
  });
  expect(refused(principal).message).toContain('Rate limit exceeded for team: t1');
  expect(refusals).toEqual(['team requests']);
  const other = compilePrincipal(keyAccess(keyRow('sk-other', { team_id: 't1' }), { team: teamRow({ rpm_limit: 1 }) }), clock.now());
  expect(refused(other).message).toContain('team: t1');
});

test('limits per model hold for that model only, beside the others', () => {
  const { admitted, refused } = setUp();
  const principal = key({ model_rpm_limit: { chat: 1 }, rpm_limit: 100 });
  expect(headersOf(admitted(principal))).toMatchObject({ 'x-ratelimit-model_per_key-remaining-requests': '0', 'x-ratelimit-api_key-remaining-requests': '99' });
  expect(refused(principal).message).toContain(`Rate limit exceeded for model_per_key: ${TOKEN}:chat.`);
  admitted(principal, { plan: cheap });
  const byDeployment = key({ model_rpm_limit: { 'openai/gpt-4o': 0 } });
  expect(refused(byDeployment).status).toBe(429);
});

test('a budget is refused when it is spent, with 422 and the figures', () => {
  const { admitted, refused, refusals } = setUp();
  const principal = key({ max_budget: 1, spend: 0.4 });
  admitted(principal).settle({ totalTokens: 0, costUsd: 0.3 });
  admitted(principal).settle({ totalTokens: 0, costUsd: 0.5 });
  const error = refused(principal);
  expect(error).toMatchObject({ status: 422, type: 'budget_exceeded', code: '422' });
  expect(error.message).toMatch(/^Budget has been exceeded! Key=[0-9a-f]{12}… Current cost: 1, Max budget: 1$/);
  expect(error.message).not.toContain(TOKEN);
  expect(refusals).toEqual(['key budget']);
});

test('what runs is reserved by what such requests usually cost, not by max_tokens', () => {
  const { admitted, refused } = setUp();
  const principal = key({ max_budget: 1 });
  admitted(principal, { outline: { max_tokens: 4_096 } }).settle({ totalTokens: 0, costUsd: 0.3 });
  const running = [admitted(principal, { outline: { max_tokens: 4_096 } }), admitted(principal), admitted(principal)];
  expect(refused(principal).status).toBe(422);
  for (const each of running) each.settle({ totalTokens: 0, costUsd: 0 });
  admitted(principal);
});

test('a new period starts from zero, without anybody having set the spend back', () => {
  const { admitted, refused } = setUp();
  const principal = key({ max_budget: 1, spend: 2, budget_duration: '1h', budget_reset_at: new Date(clock.now() + 60_000) });
  expect(refused(principal).status).toBe(422);
  clock.advance(60_000);
  admitted(principal).settle({ totalTokens: 0, costUsd: 1 });
  expect(refused(principal).status).toBe(422);
});

test('where somebody sets the spend back, counting begins anew', () => {
  const { admitted, refused } = setUp();
  admitted(key({ max_budget: 1 })).settle({ totalTokens: 0, costUsd: 1 });
  expect(refused(key({ max_budget: 1 })).status).toBe(422);
  admitted(key({ max_budget: 1, spend: 0, updated_at: new Date(clock.now()) }));
  expect(refused(key({ max_budget: 1, spend: 1, updated_at: new Date(clock.now() + 1) })).status).toBe(422);
});

test('a budget per model, of a budget row, of a team; a user\'s only for keys without a team', () => {
  const { admitted, refused } = setUp();
  const perModel = key({ model_max_budget: { chat: { max_budget: 1, budget_duration: null } } }, { model_spend: [{ scope: 'key', model: 'chat', spend: 1, period_start: null }] });
  expect(refused(perModel)).toMatchObject({ status: 422, message: expect.stringContaining(' Model=chat ') as string });
  admitted(perModel, { plan: cheap });
  expect(refused(key({ spend: 5, budget_id: 'b1' }, { budget: budgetRow({ max_budget: 5 }) })).status).toBe(422);
  expect(refused(key({ team_id: 't1' }, { team: teamRow({ max_budget: 3, spend: 3 }) })).message).toContain('Team=t1');
  const user = userRow({ max_budget: 3, spend: 3 });
  expect(refused(key({ user_id: 'u1' }, { user })).message).toContain('User=u1');
  admitted(key({ user_id: 'u1', team_id: 't1' }, { user, team: teamRow() }));
});

test('two processes over the same counters let exactly so many through together', () => {
  const shared = createMemoryCounters({ clock, maxEntries: 100 });
  const [a, b] = [setUp({ shared }), setUp({ shared })];
  const outcomes = Array.from({ length: 30 }, (_, index) => (index % 2 === 0 ? a : b).ask(key({ rpm_limit: 10 })) instanceof AppError);
  expect(outcomes.filter((isRefused) => !isRefused)).toHaveLength(10);
});

test('an answer that takes a round trip is a promise, and one that does not come leaves the caller to what is counted here', async () => {
  const shared: LimitCounters = { reserve: () => Promise.resolve({ allowed: true, standings: [], token: undefined }), settle: () => Promise.reject(new Error('gone')) };
  const { limits } = setUp({ shared });
  const answer = limits.admit(key({ max_parallel_requests: 1 }), { plan: chat, outline: {}, endUser: undefined, promptTokens: () => 1 });
  expect(answer).toBeInstanceOf(Promise);
  const admission = await answer;
  if (!(admission instanceof AppError)) admission.settle({ totalTokens: 1, costUsd: 1 });
});

test('while Redis is away: `off` lets everybody through, budgets apart, which go on from what the database knew', () => {
  const server = { isAway: false };
  const { admitted, refused } = setUp({ shared: createMemoryCounters({ clock, maxEntries: 100 }), server });
  const principal = key({ rpm_limit: 1, tpm_limit: 1, max_parallel_requests: 1, max_budget: 1, spend: 0.2 });
  admitted(principal, { prompt: 0 }).settle({ totalTokens: 0, costUsd: 0.3 });
  server.isAway = true;
  expect(admitted(key({ rpm_limit: 1 }))).toBe(NOTHING_TO_SETTLE);
  expect(admitted(key({ rpm_limit: 1 }))).toBe(NOTHING_TO_SETTLE);
  admitted(principal).settle({ totalTokens: 0, costUsd: 0.6 });
  expect(refused(principal)).toMatchObject({ status: 422 });
});

test('while Redis is away: `local` holds each replica to its share', () => {
  const server = { isAway: true };
  const { admitted, refused } = setUp({ shared: createMemoryCounters({ clock, maxEntries: 100 }), server, mode: { rateLimitsWithoutRedis: 'local' }, replicas: 3 });
  const principal = key({ rpm_limit: 10 });
  for (let request = 0; request < 3; request += 1) admitted(principal);
  expect(refused(principal)).toMatchObject({ status: 429, message: expect.stringContaining('Current limit: 3') as string });
  const small = compilePrincipal(keyAccess(keyRow('sk-small', { rpm_limit: 1 })), clock.now());
  admitted(small);
  expect(refused(small).status).toBe(429);
  const none = compilePrincipal(keyAccess(keyRow('sk-none', { rpm_limit: 0 })), clock.now());
  expect(refused(none).status).toBe(429);
});

test('when Redis is back, its counters count again', () => {
  const server = { isAway: true };
  const { admitted, refused } = setUp({ shared: createMemoryCounters({ clock, maxEntries: 100 }), server });
  const principal = key({ rpm_limit: 1 });
  admitted(principal);
  server.isAway = false;
  admitted(principal);
  expect(refused(principal).status).toBe(429);
});

test('what was spent while Redis was away counts when it is back', () => {
  const server = { isAway: false };
  const { admitted, refused } = setUp({ shared: createMemoryCounters({ clock, maxEntries: 100 }), server });
  const principal = key({ max_budget: 1 });
  admitted(principal, { prompt: 0 }).settle({ totalTokens: 0, costUsd: 0.1 });
  server.isAway = true;
  admitted(principal).settle({ totalTokens: 0, costUsd: 0.95 });
  server.isAway = false;
  expect(refused(principal).status).toBe(422);
});

test.each(['team}:{other', '__proto__', '\ud800', 'a b'])('an id of any characters is a scope of its own: %j', (teamId) => {
  const { admitted, refused } = setUp();
  const principal = key({ team_id: teamId }, { team: teamRow({ team_id: teamId, rpm_limit: 1 }) });
  admitted(principal);
  expect(refused(principal).status).toBe(429);
  expect(principal.limits?.scopes[0]?.scope).not.toMatch(/[{}]/);
});

test('places that all replicas share are lent for half a minute and renewed; those in memory as long as a request may last', () => {
  const lent: unknown[] = [];
  const shared: LimitCounters = {
    reserve: (scopes) => {
      lent.push(...scopes.flatMap(({ checks }) => checks));
      return { allowed: true, standings: [], token: undefined };
    },
    settle: () => undefined,
  };
  setUp({ shared }).admitted(key({ max_parallel_requests: 1 }));
  expect(lent).toMatchObject([{ kind: 'parallel', leaseMs: 30_000 }]);
  const { admitted, refused } = setUp();
  const principal = key({ max_parallel_requests: 1 });
  admitted(principal);
  clock.advance(1_800_000);
  expect(refused(principal).status).toBe(429);
});
