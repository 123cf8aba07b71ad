import { expect, test } from 'vitest';
import { createModelRollout, type ModelDecision, type ModelLimits, type ModelSample } from './create-model-rollout.ts';
import { armsOf, ModelArmTally, NO_ARM } from './model-arm-tally.ts';
import type { ArmMeasure, ModelArm } from './compare-arms.ts';
import { parseExposition } from './parse-exposition.ts';
import type { ReplicaReading } from './replica-reading.ts';

const LIMITS: ModelLimits = { maxErrorRate: 0.05, minRequests: 20, pickUpMs: 10_000, blindMs: 5_000, alpha: 0.05, errorIncrease: 0.01, scoreDrop: 0.05, latencyIncrease: 0.25, costIncrease: 0.25 };

interface Traffic { readonly requests?: number; readonly failed?: number; readonly means?: Partial<Record<ArmMeasure, number>> }
function arm({ requests = 100, failed = 0, means = {} }: Traffic = {}): ModelArm {
  const measures = Object.fromEntries(Object.entries(NO_ARM.measures).map(([name]) => {
    const mean = means[name as ArmMeasure];
    // As many a tenth above the mean as below it.
    return [name, mean === undefined ? { count: 0, sum: 0, squares: 0 } : { count: requests, sum: requests * mean, squares: requests * mean * mean * 1.01 }];
  })) as unknown as ModelArm['measures'];
  return { requests, failed, measures };
}

function play(steps: number, sampleOf: (step: number) => Partial<ModelSample>, limits: Partial<ModelLimits> = {}): readonly ModelDecision[] {
  let now = 0;
  const rollout = createModelRollout({ stages: [5, 50, 100], windowMs: 10_000, limits: { ...LIMITS, ...limits }, clock: { now: () => now, monotonic: () => now } });
  const decisions: ModelDecision[] = [];
  for (let step = 0; step < steps; step += 1) {
    now += 1_000;
    const decision = rollout.observe({ proven: 3, missing: [], unknown: [], rejected: undefined, canary: arm(), stable: arm(), ...sampleOf(step) });
    if (decision.action !== 'hold') decisions.push(decision);
    if (decision.action === 'rollback' || decision.action === 'promote') break;
  }
  return decisions;
}

test('a version that is as good goes through its stages and is promoted', () => {
  const both = { means: { request_seconds: 0.5, cost_usd: 0.002, feedback: 0.8, judge: 0.7 } };
  expect(play(100, () => ({ canary: arm(both), stable: arm(both) }))).toEqual([{ action: 'advance', percent: 50 }, { action: 'advance', percent: 100 }, { action: 'promote' }]);
});

test.each<[string, string, Traffic, Traffic]>([
  ['more errors than tolerated', 'error-rate', { failed: 10 }, {}],
  ['errors below the limit, and clearly more than stable has', 'error-rate', { failed: 4 }, {}],
  ['low feedback', 'feedback', { means: { feedback: 0.3 } }, { means: { feedback: 0.8 } }],
  ['what a judge thinks less of', 'judge', { means: { judge: 0.3 } }, { means: { judge: 0.8 } }],
  ['answers that take twice as long', 'latency', { means: { request_seconds: 2 } }, { means: { request_seconds: 1 } }],
  ['answers that cost twice as much', 'cost', { means: { cost_usd: 0.02 } }, { means: { cost_usd: 0.01 } }],
])('%s rolls back within the first stage', (_, reason, canary, stable) => {
  expect(play(60, () => ({ canary: arm(canary), stable: arm(stable) }))).toEqual([{ action: 'rollback', reason, detail: expect.stringMatching(/\d/) as string }]);
});

test('a difference within what is tolerated does not', () => {
  expect(play(100, () => ({ canary: arm({ means: { feedback: 0.78, cost_usd: 1.2 } }), stable: arm({ means: { feedback: 0.8, cost_usd: 1 } }) })).at(-1)).toEqual({ action: 'promote' });
});

test('when both arms fail the stage holds, then rolls back because nothing was proven', () => {
  const failing = { canary: arm({ failed: 30 }), stable: arm({ failed: 30 }) };
  expect(play(60, () => failing)).toEqual([{ action: 'rollback', reason: 'both-arms-bad', detail: expect.any(String) as string }]);
  expect(play(60, (step) => (step < 6 ? failing : {})).at(-1)).toEqual({ action: 'promote' });
});

test('who does not take it, refuses it, or no longer answers rolls it back; nobody who asks rolls it back late', () => {
  expect(play(60, () => ({ missing: ['a'] }))).toMatchObject([{ action: 'rollback', reason: 'not-taken', detail: expect.stringContaining('a did not take it') as string }]);
  expect(play(60, (step) => ({ rejected: step === 3 ? 'a refuses it: golden prompts' : undefined }))).toMatchObject([{ reason: 'rejected' }]);
  expect(play(60, (step) => (step < 3 ? {} : { unknown: ['b'] }))).toMatchObject([{ reason: 'blind', detail: expect.stringContaining('b has not answered') as string }]);
  expect(play(90, () => ({ canary: arm({ requests: 0 }) }))).toMatchObject([{ reason: 'silence' }]);
  expect(play(90, () => ({ canary: arm({ requests: 0 }) }), { minRequests: 0 }).at(-1)).toEqual({ action: 'promote' });
});

const page = (version: string, requests: number, failed: number, feedback: number): string => `
router_arm_requests_total{router_model="m",model_version="${version}",outcome="ok"} ${String(requests - failed)}
router_arm_requests_total{router_model="m",model_version="${version}",outcome="failed"} ${String(failed)}
router_arm_requests_total{router_model="m",model_version="${version}",outcome="refused"} 99
router_arm_observations_total{router_model="m",model_version="${version}",measure="feedback"} ${String(requests)}
router_arm_sum_total{router_model="m",model_version="${version}",measure="feedback"} ${String(feedback)}
router_arm_squares_total{router_model="m",model_version="${version}",measure="feedback"} ${String(feedback)}
router_arm_requests_total{router_model="other",model_version="${version}",outcome="ok"} 1000
`;

test('the tally counts from the first look on, over restarts and new replicas, only this model', () => {
  const tally = new ModelArmTally('m', { canary: 'v2', stable: 'v1' });
  const names = new Set(['router_arm_requests_total', 'router_arm_observations_total', 'router_arm_sum_total', 'router_arm_squares_total']);
  const reading = (replica: string, text: string, startedAt = 1): ReplicaReading => ({ replica, revision: 'r', isReady: true, counters: { startedAt, requests: 0, failed: 0 }, arms: armsOf(parseExposition(text, names)) });
  tally.add([reading('a', page('v2', 10, 1, 5))]);
  expect(tally.sums.canary.requests).toBe(0);
  tally.add([reading('a', page('v2', 30, 4, 15)), reading('b', page('v2', 500, 0, 500))]);
  expect(tally.sums.canary).toMatchObject({ requests: 20, failed: 3, measures: { feedback: { count: 20, sum: 10 } } });
  // Began anew; a page that was cut short; back again.
  tally.add([reading('a', page('v2', 5, 0, 2), 2), { replica: 'b', problem: 'no answer' }]);
  tally.add([reading('a', '', 2)]);
  tally.add([reading('a', page('v2', 6, 0, 2), 2), reading('b', page('v2', 501, 0, 500))]);
  expect(tally.sums.canary).toMatchObject({ requests: 32, failed: 3 });
  expect(tally.sums.stable).toEqual(NO_ARM);
});
