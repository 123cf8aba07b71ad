import { ManualClock } from '@pointsman/timing';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { candidate, candidates, routingInput } from './candidate.fixture.ts';
import { Decider, DEFAULT_ORDER, type Decision } from './decide.ts';
import { createStrategy } from './strategies/simple-shuffle/simple-shuffle.ts';
import { seededRandom } from './seeded-random.ts';
import type { Candidate, RoutingDecision, RoutingInput, Strategy } from './strategy.ts';

const unhandled: unknown[] = [];
const onUnhandled = (reason: unknown): void => void unhandled.push(reason);
beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  unhandled.length = 0;
  process.on('unhandledRejection', onUnhandled);
});
afterEach(() => {
  vi.useRealTimers();
  process.off('unhandledRejection', onUnhandled);
});

function setUp(decide: Strategy['decide'], timeoutMs?: number) {
  const clock = new ManualClock();
  const problems: unknown[] = [];
  const strategy: Strategy = { name: 'under-test', decide };
  const decider = new Decider({ strategy, clock, onProblem: (problem, name, cause) => problems.push({ problem, name, cause }), ...(timeoutMs === undefined ? {} : { timeoutMs }) });
  return { clock, decider, problems };
}

/** Last first, with scores by position. */
function reversed({ candidates: about }: RoutingInput): RoutingDecision {
  return { order: [...about].reverse(), scores: about.map((_, index) => 0.5 ** index), strategy: 'under-test', modelVersion: 'v7', propensity: 0.25 };
}
const ids = ({ order }: Pick<RoutingDecision, 'order'>): string[] => order.map(({ id }) => id);

test('a decision is passed on with the time it took', () => {
  const { decider, clock, problems } = setUp((input) => {
    clock.advance(3);
    return reversed(input);
  });
  const decision = decider.decide(routingInput(candidates(3))) as Decision;
  expect(ids(decision)).toEqual(['deployment-2', 'deployment-1', 'deployment-0']);
  expect(decision).toMatchObject({ strategy: 'under-test', modelVersion: 'v7', propensity: 0.25, tookMs: 3, problem: undefined });
  expect(problems).toEqual([]);
});

test('a single candidate needs no strategy and is recorded as certain', () => {
  const decide = vi.fn(reversed);
  const decision = setUp(decide).decider.decide(routingInput(candidates(1))) as Decision;
  expect(decide).not.toHaveBeenCalled();
  expect(decision).toMatchObject({ strategy: 'under-test', propensity: 1, scores: [1], problem: undefined });
});

test('no candidate at all is an error that says so', () => {
  expect(() => setUp(reversed).decider.decide(routingInput([]))).toThrow(expect.objectContaining({ code: 'no_candidates' }));
});

const pair = candidates(2);
const [first, second] = pair as readonly [Candidate, Candidate];
const sound = { order: [second, first], scores: [1, 0], strategy: 'under-test', modelVersion: '', propensity: 1 };
const stranger = candidate('stranger');
test.each([
  ['an order that leaves one out', { ...sound, order: [first] }, 'not-a-permutation'],
  ['an order that names one twice', { ...sound, order: [first, first] }, 'not-a-permutation'],
  ['an order with a stranger', { ...sound, order: [first, stranger] }, 'not-a-permutation'],
  ['no order', { ...sound, order: undefined as unknown as Candidate[] }, 'not-a-permutation'],
  ['too few scores', { ...sound, scores: [1] }, 'bad-scores'],
  ['a score of NaN', { ...sound, scores: [1, Number.NaN] }, 'bad-scores'],
  ['an infinite score', { ...sound, scores: [Number.POSITIVE_INFINITY, 0] }, 'bad-scores'],
  ['a propensity of 0', { ...sound, propensity: 0 }, 'bad-propensity'],
  ['a propensity of NaN', { ...sound, propensity: Number.NaN }, 'bad-propensity'],
  ['a propensity above 1', { ...sound, propensity: 1.01 }, 'bad-propensity'],
  ['nothing', undefined as unknown as RoutingDecision, 'threw'],
])('a strategy that returns %s costs the choice, not the request', async (_, returned, problem) => {
  for (const decide of [() => returned, () => Promise.resolve(returned)]) {
    const { decider, problems } = setUp(decide);
    const decision = await decider.decide(routingInput(pair));
    expect(ids(decision)).toEqual(['deployment-0', 'deployment-1']);
    expect(decision).toMatchObject({ strategy: DEFAULT_ORDER, propensity: 1, scores: [0, 0], problem });
    expect(problems).toEqual([expect.objectContaining({ problem, name: 'under-test' })]);
  }
});

test('with many candidates an order that names one twice is seen too', () => {
  const about = candidates(60);
  const { decider } = setUp((input) => ({ ...reversed(input), order: [...about.slice(0, 59), about[0] as Candidate] }));
  expect(decider.decide(routingInput(about))).toMatchObject({ problem: 'not-a-permutation' });
  const { decider: fine } = setUp(reversed);
  expect(fine.decide(routingInput(about))).toMatchObject({ problem: undefined });
});

test('a strategy that throws or rejects is reported with its error', async () => {
  const broken = new Error('no such tensor');
  for (const decide of [(): never => { throw broken; }, () => Promise.reject(broken)]) {
    const { decider, problems } = setUp(decide);
    expect(await decider.decide(routingInput(pair))).toMatchObject({ problem: 'threw', strategy: DEFAULT_ORDER });
    expect(problems).toEqual([{ problem: 'threw', name: 'under-test', cause: broken }]);
  }
  expect(vi.getTimerCount()).toBe(0);
});

test('a strategy that is late is not waited for, and what it says later is ignored', async () => {
  let reject: ((reason: Error) => void) | undefined;
  const { decider, problems, clock } = setUp(() => new Promise<RoutingDecision>((_resolve, fail) => { reject = fail; }));
  const pending = decider.decide(routingInput(pair));
  clock.advance(50);
  await vi.advanceTimersByTimeAsync(50);
  expect(await pending).toMatchObject({ problem: 'timeout', strategy: DEFAULT_ORDER, tookMs: 50 });
  reject?.(new Error('too late'));
  await new Promise((resolve) => setImmediate(resolve));
  expect(unhandled).toEqual([]);
  expect(problems).toHaveLength(1);
});

test('a strategy in time leaves no timer behind', async () => {
  const { decider } = setUp((input) => Promise.resolve(reversed(input)), 20);
  expect(await decider.decide(routingInput(pair))).toMatchObject({ problem: undefined, strategy: 'under-test' });
  expect(vi.getTimerCount()).toBe(0);
});

const ordered = [candidate('none'), candidate('two', { order: 2 }), candidate('one-a', { order: 1 }), candidate('one-b', { order: 1 })];

test('whatever the strategy, lower `order` comes first and none comes last', async () => {
  for (const decide of [reversed, (input: RoutingInput) => Promise.resolve(reversed(input))]) {
    const decision = await setUp(decide).decider.decide(routingInput(ordered));
    expect(ids(decision)).toEqual(['one-b', 'one-a', 'two', 'none']);
    expect(decision.scores).toEqual([1, 0.5, 1, 1]);
    expect(decision.problem).toBeUndefined();
  }
});

test('the propensity is about the choice within the first order', () => {
  const shuffle = createStrategy({ random: seededRandom(1), now: () => 0, args: {} });
  const decider = new Decider({ strategy: shuffle, clock: new ManualClock() });
  expect((decider.decide(routingInput(ordered)) as Decision).propensity).toBe(0.5);
});

test('the default order follows `order` too', () => {
  const { decider } = setUp((): never => { throw new Error('broken'); });
  expect(ids(decider.decide(routingInput(ordered)) as Decision)).toEqual(['one-a', 'one-b', 'two', 'none']);
});

test('when one order fails, promises of the others are not left unhandled', async () => {
  let asked = 0;
  const { decider } = setUp(() => {
    asked += 1;
    if (asked > 1) throw new Error('second group');
    return Promise.reject(new Error('first group'));
  });
  expect(await decider.decide(routingInput(ordered))).toMatchObject({ problem: 'threw' });
  await new Promise((resolve) => setImmediate(resolve));
  expect(unhandled).toEqual([]);
});

test('an input that is a class keeps its own fields when it is narrowed to one order', () => {
  class Input implements RoutingInput {
    readonly candidates = ordered;
    readonly user = 'alice';
    readonly traceId = 't';
    readonly #text = 'hello there';
    prompt(): string {
      return this.#text;
    }
    promptTokens(): number {
      return this.prompt().length;
    }
  }
  const seen: unknown[] = [];
  const { decider } = setUp((input) => {
    seen.push([input.user, input.prompt(), input.promptTokens()]);
    return reversed(input);
  });
  expect(decider.decide(new Input())).toMatchObject({ problem: undefined });
  expect(seen[0]).toEqual(['alice', 'hello there', 11]);
});
