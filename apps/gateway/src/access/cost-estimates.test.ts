import { expect, test } from 'vitest';
import { chatConfig, fakeSnapshot } from '../fake-gateway.fixture.ts';
import type { GroupPlan } from '../snapshot/snapshot.ts';
import { CostEstimates } from './cost-estimates.ts';

function planWith(prices: { readonly inputCostPerToken: number | undefined; readonly outputCostPerToken: number | undefined; readonly maxInputTokens?: number }): GroupPlan {
  const plan = fakeSnapshot(chatConfig(['a'])).plan('chat') as GroupPlan;
  return { ...plan, candidates: plan.candidates.map((candidate) => ({ ...candidate, ...prices })) };
}

test('a request is expected to cost what those before it did, but no less than its prompt and no more than it may write', () => {
  const [estimates, plan] = [new CostEstimates(), planWith({ inputCostPerToken: 0.001, outputCostPerToken: 0.002 })];
  expect(estimates.estimate(plan, {}, 100)).toBe(0.1);
  estimates.learn(plan, 1);
  expect(estimates.estimate(plan, {}, 100)).toBe(1);
  expect(estimates.estimate(plan, { max_tokens: 50 }, 100)).toBe(0.2);
  expect(estimates.estimate(plan, {}, 5_000)).toBe(5);
});

test('a first cost beyond what the model can take and write is believed only as far as that', () => {
  const [estimates, plan] = [new CostEstimates(), planWith({ inputCostPerToken: 0.001, outputCostPerToken: 0, maxInputTokens: 1_000 })];
  estimates.learn(plan, 1e300);
  expect(estimates.estimate(plan, {}, 1)).toBe(1);
  estimates.learn(plan, Infinity);
  estimates.learn(plan, Number.NaN);
  expect(estimates.estimate(plan, {}, 1)).toBe(1);
});

test('once the average is known, no single request moves it far, with and without a price', () => {
  for (const price of [undefined, 0.001]) {
    const [estimates, plan] = [new CostEstimates(), planWith({ inputCostPerToken: price, outputCostPerToken: price })];
    for (let request = 0; request < 8; request += 1) estimates.learn(plan, 0.01);
    estimates.learn(plan, 1e300);
    expect(estimates.estimate(plan, {}, 1)).toBeLessThan(0.03);
  }
});
