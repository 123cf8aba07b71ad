import { describe, expect, test } from 'vitest';
import { candidates, FIXTURE_NOW_MS, routingInput, statsAfter } from './candidate.fixture.ts';
import { seededRandom } from './seeded-random.ts';
import type { Candidate, RoutingDecision, Strategy, StrategyParts } from './strategy.ts';

export type CreateStrategy = (parts: StrategyParts) => Strategy | Promise<Strategy>;

export interface ConformanceOptions {
  /** Decisions drawn per situation for the propensity test; fewer for a strategy that takes milliseconds. */
  readonly draws?: number;
}

/** Candidate lists of every kind that a strategy meets. */
const situations: Readonly<Record<string, () => readonly Candidate[]>> = {
  'one candidate': () => candidates(1),
  'two alike, nothing known of either': () => candidates(2),
  'five alike, nothing known of any': () => candidates(5),
  'weights': () => candidates(4, (index) => ({ weight: [5, 1, 3, 1][index] })),
  'weights of zero': () => candidates(4, (index) => ({ weight: [0, 2, 0, 6][index] })),
  'all weights zero': () => candidates(3, () => ({ weight: 0 })),
  'limits': () => candidates(3, (index) => ({ rpm: [100, 300, 600][index], tpm: 10_000 })),
  'some prices': () => candidates(5, (index) => ({ inputCostPerToken: [1e-6, 1e-6, undefined, 3e-6, 0][index], outputCostPerToken: [2e-6, 2e-6, undefined, 9e-6, 0][index] })),
  'traffic': () => candidates(5, (index) => ({ rpm: 2, tpm: 5_000, stats: statsAfter({ inFlight: index % 3, tokens: [0, 900, 400, 400, 9_000][index] ?? 0, msPerToken: 10 + (index % 2) }) })),
  'traffic, some untried': () => candidates(4, (index) => ({ stats: index % 2 === 0 ? statsAfter({ msPerToken: 20, ttftMs: 300 }) : statsAfter({}) })),
  'a hundred': () => candidates(100, (index) => ({ weight: index + 1, inputCostPerToken: (index % 7) * 1e-6, stats: statsAfter({ inFlight: index % 5, tokens: index % 11 }) })),
};

/**
 * What every strategy promises, whatever it decides by. Call it in the strategy's test file; `create` is its own
 * `createStrategy`, with whatever else it needs already bound. The propensity test draws from a seeded source: it passes
 * always or never.
 */
export function strategyConformance(name: string, create: CreateStrategy, { draws = 8_000 }: ConformanceOptions = {}): void {
  const build = async (seed: number): Promise<Strategy> => create({ random: seededRandom(seed), now: () => FIXTURE_NOW_MS, args: {} });

  describe(`${name} keeps the promises of a strategy`, () => {
    test('it goes by its name', async () => {
      const strategy = await build(1);
      expect(strategy.name).toBe(name);
      expect((await strategy.decide(routingInput(candidates(2)))).strategy).toBe(name);
    });

    for (const [situation, list] of Object.entries(situations)) {
      test(`${situation}: an order of all candidates, a finite score for each, a propensity in (0, 1]`, async () => {
        const strategy = await build(7);
        const about = list();
        for (let draw = 0; draw < 50; draw += 1) {
          for (const stream of [true, false]) expectDecision(await strategy.decide(routingInput(about, { stream })), about);
        }
      });

      test(`${situation}: the same seed gives the same decisions`, async () => {
        const [one, other] = [await build(42), await build(42)];
        const about = list();
        for (let draw = 0; draw < 20; draw += 1) {
          expect(summary(await other.decide(routingInput(about)))).toEqual(summary(await one.decide(routingInput(about))));
        }
      });

      test(`${situation}: the candidates are picked as often as the propensity says`, async () => {
        const strategy = await build(20_260_101);
        await expectHonestPropensity(strategy, list(), draws);
      });
    }

    test('it leaves the list it was given as it was', async () => {
      const strategy = await build(3);
      const about = Object.freeze([...candidates(6, (index) => ({ weight: index }))]);
      const before = about.map(({ id }) => id);
      await strategy.decide(routingInput(about));
      expect(about.map(({ id }) => id)).toEqual(before);
    });

    test('decisions of different sizes one after another do not disturb each other', async () => {
      const strategy = await build(11);
      for (const count of [100, 2, 40, 1, 17, 3]) {
        const about = candidates(count, (index) => ({ weight: index + 1 }));
        expectDecision(await strategy.decide(routingInput(about)), about);
      }
    });
  });
}

function expectDecision(decision: RoutingDecision, about: readonly Candidate[]): void {
  expect(new Set(decision.order)).toEqual(new Set(about));
  expect(decision.order).toHaveLength(about.length);
  expect(decision.scores).toHaveLength(about.length);
  expect(decision.scores.every(Number.isFinite)).toBe(true);
  expect(decision.propensity).toBeGreaterThan(0);
  expect(decision.propensity).toBeLessThanOrEqual(1);
}

/** A decision as data: what a compound one does is functions, made anew each time. */
function summary({ order, compound, ...rest }: RoutingDecision): unknown {
  return { ...rest, order: order.map(({ id }) => id), compound: JSON.stringify(compound) };
}

/** Pearson's chi-square of how often each candidate came first against what its propensity promised. */
async function expectHonestPropensity(strategy: Strategy, about: readonly Candidate[], draws: number): Promise<void> {
  const seen = new Map<string, { count: number; propensity: number }>();
  const input = routingInput(about);
  let widestDifference = 0;
  for (let draw = 0; draw < draws; draw += 1) {
    const { order, propensity } = await strategy.decide(input);
    const id = order[0]?.id ?? '';
    const first = seen.get(id) ?? { count: 0, propensity };
    widestDifference = Math.max(widestDifference, Math.abs(propensity - first.propensity));
    first.count += 1;
    seen.set(id, first);
  }
  expect(widestDifference).toBeLessThan(1e-9); // the same choice under the same circumstances
  const promised = [...seen.values()].reduce((sum, { propensity }) => sum + propensity, 0);
  expect(promised).toBeGreaterThan(0.99);
  expect(promised).toBeLessThan(1 + 1e-9);
  let chiSquare = 0;
  for (const { count, propensity } of seen.values()) chiSquare += (count - draws * propensity) ** 2 / (draws * propensity);
  expect(chiSquare).toBeLessThanOrEqual(chiSquareBound(seen.size - 1));
}

/** The value that chi-square exceeds once in a thousand times, by the approximation of Wilson and Hilferty (1931). */
function chiSquareBound(degreesOfFreedom: number): number {
  if (degreesOfFreedom === 0) return 1e-6;
  const spread = 2 / (9 * degreesOfFreedom);
  return degreesOfFreedom * (1 - spread + 3.0902 * Math.sqrt(spread)) ** 3;
}
