import { costWeight, seededRandom } from '@pointsman/routing';
import { describe, expect, test } from 'vitest';
import type { FeatureMatrix } from '../features/feature-matrix.ts';
import { comparePolicies } from './compare-policies.ts';
import { fitCosts } from './costs.ts';
import { decisionLog, wasDrawn, type DecisionLog } from './decision-log.ts';
import { estimateValue, importanceWeights } from './estimate.ts';
import type { LoggedDecision } from './logged-decision.ts';
import { greedyPolicy, LOGGED_POLICY } from './policy.ts';
import { crossFittedReward } from './reward-model.ts';
import { studentQuantile } from './student-quantile.ts';

const MODELS = ['a', 'b', 'c'];
const COST = [1, 2, 4];
/** Chance of a good answer per kind of prompt and model. */
const QUALITY = [[0.9, 0.5, 0.6], [0.2, 0.7, 0.8], [0.4, 0.3, 0.9]];
/** What the logging policy chooses, per kind. */
const LOGGING = [[0.7, 0.2, 0.1], [0.5, 0.4, 0.1], [0.34, 0.33, 0.33]];

interface Simulated {
  readonly log: DecisionLog;
  readonly kinds: readonly number[];
}

function simulate(rows: number, seed: number): Simulated {
  const random = seededRandom(seed);
  const kinds: number[] = [];
  const text = new Float32Array(rows * 4);
  const decisions = Array.from({ length: rows }, (_, row): LoggedDecision => {
    const kind = Math.floor(random() * 3);
    kinds.push(kind);
    text[row * 4 + kind] = 1;
    text[row * 4 + 3] = random();
    let draw = random();
    let model = 0;
    while (model < 2 && draw >= LOGGING[kind]![model]!) draw -= LOGGING[kind]![model++]!;
    return {
      id: String(row), at: row, strategy: 's', modelVersion: 'v1', candidates: MODELS, selected: MODELS[model]!, copies: 1, propensity: LOGGING[kind]![model]!, reward: random() < QUALITY[kind]![model]! ? 1 : 0,
      costUsd: COST[model]! * (0.5 + random()), sampleWeight: 1,
    };
  });
  const features: FeatureMatrix = { rows, textWidth: 4, text, embeddingWidth: 0, embedding: new Float32Array(0), ngramStart: new Int32Array(rows + 1), ngramIndex: new Int32Array(0), ngramValue: new Float32Array(0) };
  return { log: decisionLog(decisions, features), kinds };
}

const matrix = (kinds: readonly number[], of: (kind: number) => readonly number[]): Float64Array => Float64Array.from(kinds.flatMap((kind) => [...of(kind)]));
const meanOver = (of: (kind: number) => number): number => (of(0) + of(1) + of(2)) / 3;
/** A policy that takes a at kind 0, c else. */
const CHOICE = [0, 2, 2];
const truth = meanOver((kind) => QUALITY[kind]![CHOICE[kind]!]!);

describe('estimates', () => {
  test('in 100 simulations the 95 % interval of IPS, SNIPS and DR holds the true value at least 90 times, and DR is tighter than IPS', () => {
    const hits = { ips: 0, snips: 0, dr: 0 };
    const width = { ips: 0, snips: 0, dr: 0 };
    for (let seed = 1; seed <= 100; seed += 1) {
      const { log, kinds } = simulate(400, seed);
      const policy = greedyPolicy(log, matrix(kinds, (kind) => MODELS.map((_, model) => Number(CHOICE[kind] === model))), new Float64Array(3), 0);
      const estimates = estimateValue(log, policy, importanceWeights(log, policy), Float64Array.from(log.decisions, ({ reward }) => reward), crossFittedReward(log, { folds: 3, seed }));
      for (const name of ['ips', 'snips', 'dr'] as const) {
        const { low, high } = estimates[name];
        if (low <= truth && truth <= high) hits[name] += 1;
        width[name] += high - low;
      }
    }
    expect(Math.min(hits.ips, hits.snips, hits.dr), JSON.stringify(hits)).toBeGreaterThanOrEqual(90);
    expect(width.dr).toBeLessThan(width.ips);
  }, 60_000);

  test('in 100 simulations the interval of a difference at equal cost holds the true one at least 90 times', () => {
    let hits = 0;
    for (let seed = 201; seed <= 300; seed += 1) {
      const { log, kinds } = simulate(400, seed);
      // Serving takes the dearest model, so that the candidate may take what is best: the first model where that is as good, the dearest elsewhere.
      const { difference } = comparePolicies({ log, candidate: matrix(kinds, (kind) => QUALITY[kind]!), serving: matrix(kinds, () => [0, 0, 1]), tradeoff: 1, folds: 3, seed });
      const { low, high } = difference.qualityAtEqualCost;
      const gain = truth - meanOver((kind) => QUALITY[kind]![2]!);
      if (low <= gain && gain <= high) hits += 1;
    }
    expect(hits).toBeGreaterThanOrEqual(90);
  }, 60_000);

  test('of what was done itself is the mean of what was seen, by all three', () => {
    const { log } = simulate(200, 7);
    const reward = Float64Array.from(log.decisions, (decision) => decision.reward);
    const mean = reward.reduce((sum, value) => sum + value, 0) / 200;
    const { ips, snips, dr } = estimateValue(log, LOGGED_POLICY, importanceWeights(log, LOGGED_POLICY), reward, new Float64Array(600));
    for (const { value } of [ips, snips, dr]) expect(value).toBeCloseTo(mean, 10);
  });

  test('DR stays right with propensities that are wrong, IPS does not', () => {
    const { log, kinds } = simulate(3_000, 8);
    const wrong = { ...log, decisions: log.decisions.map((decision) => ({ ...decision, propensity: Math.min(1, decision.propensity * 1.6) })) };
    const policy = greedyPolicy(wrong, matrix(kinds, (kind) => MODELS.map((_, model) => Number(CHOICE[kind] === model))), new Float64Array(3), 0);
    const { ips, dr } = estimateValue(wrong, policy, importanceWeights(wrong, policy), Float64Array.from(wrong.decisions, ({ reward }) => reward), matrix(kinds, (kind) => QUALITY[kind]!));
    expect(Math.abs(dr.value - truth)).toBeLessThan(0.03);
    expect(Math.abs(ips.value - truth)).toBeGreaterThan(0.15);
  });

  test('two deployments of one model count as the one that was drawn', () => {
    const { log } = simulate(100, 9);
    const twice = { ...log, decisions: log.decisions.map((decision) => ({ ...decision, copies: 2, propensity: decision.propensity / 2 })) };
    const policy = greedyPolicy(log, new Float64Array(300), new Float64Array(3), 0);
    expect([...importanceWeights(twice, policy).weight]).toEqual([...importanceWeights(log, policy).weight]);
  });

  test('rows that stand for several requests count for several', () => {
    const { log } = simulate(100, 10);
    const decisions = log.decisions.map((decision, row) => ({ ...decision, reward: row < 50 ? 1 : 0, sampleWeight: row < 50 ? 3 : 1 }));
    const weighted = decisionLog(decisions, log.features);
    expect(estimateValue(weighted, LOGGED_POLICY, importanceWeights(weighted, LOGGED_POLICY), Float64Array.from(decisions, ({ reward }) => reward), new Float64Array(300)).dr.value).toBeCloseTo(0.75, 10);
  });
});

describe('a comparison', () => {
  test('tells cost and quality of both, finds the candidate at the cost of serving, and is the same for a seed', () => {
    const { log, kinds } = simulate(1_500, 11);
    const compare = () => comparePolicies({ log, candidate: matrix(kinds, (kind) => QUALITY[kind]!), serving: matrix(kinds, () => [0, 0, 1]), tradeoff: 1, seed: 3 });
    const first = compare();
    expect(first).toEqual(compare());
    expect([first.serving.shares['a'], first.serving.shares['b']]).toEqual([0, 0]);
    expect(first.serving.shares['c']).toBeCloseTo(1, 9);
    expect(first.serving.expectedCost).toBeCloseTo(4, 0);
    expect(first.candidate.expectedCost).toBeLessThan(first.serving.expectedCost);
    expect(first.candidateAtEqualCost.expectedCost).toBeLessThanOrEqual(first.serving.expectedCost * (1 + 1e-9));
    // a instead of c at kind 0: 0.3 of quality in a third of the requests, three quarters of their price.
    expect(first.difference.quality.value).toBeCloseTo(0.1, 1);
    expect(first.difference.cost.high).toBeLessThan(0);
    expect(first.curve.map(({ cost }) => cost)).toEqual(first.curve.map(({ cost }) => cost).toSorted((a, b) => a - b));
    expect(first.warnings).toEqual([]);
  });

  test('at equal cost shares decisions between two tradeoffs, so that costs are equal and not only near', () => {
    const { log, kinds } = simulate(1_000, 12);
    const { candidateAtEqualCost, serving } = comparePolicies({ log, candidate: matrix(kinds, (kind) => QUALITY[kind]!), serving: matrix(kinds, () => [0, 1, 0]), tradeoff: 1 });
    expect(candidateAtEqualCost.expectedCost).toBeCloseTo(serving.expectedCost, 9);
  });

  test('says so where a model that would be chosen was never tried, and where weights were cut', () => {
    const { log, kinds } = simulate(300, 13);
    const without = log.decisions.flatMap((decision, row) => (decision.selected === 'c' ? [] : [{ decision, row }]));
    const text = Float32Array.from(without.flatMap(({ row }) => [...log.features.text.subarray(row * 4, row * 4 + 4)]));
    const part = decisionLog(without.map(({ decision }) => decision), { ...log.features, rows: without.length, text, ngramStart: new Int32Array(without.length + 1) });
    const { candidate, warnings } = comparePolicies({ log: part, candidate: matrix(without.map(({ row }) => kinds[row]!), () => [0, 0, 1]), tradeoff: 1 });
    expect(candidate.unsupported).toEqual(['c']);
    expect(candidate.effectiveRows).toBe(0);
    expect(warnings.join('\n')).toMatch(/100\.0 % of requests to c, which was tried fewer than 10 times[^]*only about 0\.0 % was ever tried[^]*what a request to c costs/);

    const rare = { ...log, decisions: log.decisions.map((decision) => ({ ...decision, propensity: 0.001 })) };
    expect(comparePolicies({ log: rare, candidate: matrix(kinds, () => [1, 0, 0]), tradeoff: 1 }).warnings.join('\n')).toMatch(/weights of the candidate were cut at 17/);
  });

  test('of decisions that nobody drew is refused with what to do', () => {
    const { log } = simulate(5, 14);
    expect(() => comparePolicies({ log, candidate: new Float64Array(15) })).toThrow(/Only 5 decisions.*exploration/);
    expect(wasDrawn({ ...log.decisions[0]!, propensity: 1 })).toBe(false);
    expect(wasDrawn({ ...log.decisions[0]!, candidates: ['a'] })).toBe(false);
    expect(wasDrawn(log.decisions[0]!)).toBe(true);
  });

  test('takes a model for dear where nobody knows its price, and weighs costs by how seldom they were seen', () => {
    const { log } = simulate(2_000, 15);
    const { perModel } = fitCosts(log);
    perModel.forEach((cost, model) => expect(cost).toBeCloseTo(COST[model]!, 0));
    const blind = { ...log, decisions: log.decisions.map((decision) => (decision.selected === 'a' ? { ...decision, costUsd: undefined } : decision)) };
    expect(fitCosts(blind)).toMatchObject({ unknown: ['a'] });
    expect(fitCosts(blind).perModel[0]).toBe(fitCosts(blind).perModel[2]);
    expect(costWeight(0.5)).toBeCloseTo(0.15);
  });
});

test('the quantiles of Student are those of the tables', () => {
  expect(studentQuantile(10)).toBeCloseTo(2.228, 2);
  expect(studentQuantile(30)).toBeCloseTo(2.042, 2);
  expect(studentQuantile(1e9)).toBeCloseTo(1.96, 3);
});
