import { ManualClock } from '@pointsman/timing';
import { describe, expect, test } from 'vitest';
import { createRollout, judge, type Rollout, type RolloutDecision, type RolloutOptions, type RolloutSample } from './create-rollout.ts';

const STEP_MS = 1_000;
const LIMITS = { maxErrorRate: 0.01, minRequests: 20, pickUpMs: 10_000, blindMs: 5_000, recentMs: 3_000 };

function start(options: Partial<RolloutOptions> = {}): { readonly rollout: Rollout; see(sample: RolloutSample, times?: number): RolloutDecision } {
  const clock = new ManualClock();
  const rollout = createRollout({ stages: [10, 50, 100], windowMs: 10_000, limits: LIMITS, clock, ...options });
  return {
    rollout,
    /** The same look again and again, a second apart, until something is decided. */
    see: (sample, times = 1) => {
      let decision: RolloutDecision = { action: 'hold' };
      for (let look = 0; look < times && decision.action === 'hold'; look += 1) {
        clock.advance(STEP_MS);
        decision = rollout.observe(sample);
      }
      return decision;
    },
  };
}

/** Replicas, requests and errors of both arms since the look before. */
function look(canary: readonly [number, number?, number?], stable: readonly [number, number?, number?], rest: Partial<RolloutSample> = {}): RolloutSample {
  const arm = ([replicas, requests = 0, errors = 0]: readonly [number, number?, number?]): RolloutSample['canary'] => ({ replicas, requests, errors });
  return { canary: arm(canary), stable: arm(stable), others: 0, unknown: 0, ...rest };
}

const BLIND = look([0], [0], { unknown: 10 });

test('a good canary goes through every stage, each for its window, and is promoted', () => {
  const { rollout, see } = start();
  expect(see(look([0], [10, 90]), 3)).toEqual({ action: 'hold' });
  expect(rollout.progress).toMatchObject({ percent: 10, phase: 'waiting', held: 'waiting-for-replicas' });
  expect(see(look([1, 10], [9, 90]), 10)).toEqual({ action: 'hold' });
  expect(rollout.progress).toMatchObject({ phase: 'watching', held: undefined, watchedMs: 9_000, canary: { replicas: 1, requests: 100, errors: 0 } });
  expect(see(look([1, 10], [9, 90]))).toEqual({ action: 'advance', percent: 50, raised: false });
  expect(see(look([1, 10], [9, 90]), 4)).toEqual({ action: 'hold' });
  expect(rollout.progress).toMatchObject({ phase: 'waiting' });
  expect(see(look([5, 50], [5, 50]), 11)).toEqual({ action: 'advance', percent: 100, raised: false });
  expect(see(look([9, 90], [1, 10]), 5)).toEqual({ action: 'hold' });
  expect(see(look([10, 100], [0]), 11)).toEqual({ action: 'promote' });
  expect(() => rollout.observe(look([10], [0]))).toThrow('over');
});

test('a canary above the limit is rolled back with the first look that shows it, also while replicas are on their way', () => {
  const { see } = start();
  see(look([1, 10], [9, 90]), 3);
  expect(see(look([1, 10, 5], [9, 90]))).toEqual({ action: 'rollback', reason: 'error-rate', detail: '16.67 % of 30 requests failed (0 % on stable), and at most 1 % may' });
  const early = start({ startPercent: 50 });
  expect(early.see(look([1, 30, 30], [9, 90]))).toMatchObject({ reason: 'error-rate' });
});

test('errors below the fewest requests prove nothing', () => {
  const { see } = start();
  expect(see(look([1, 2, 2], [9, 90]), 9)).toEqual({ action: 'hold' });
  expect(see(look([1, 2, 2], [9, 90]))).toMatchObject({ reason: 'error-rate' });
});

test('a burst late in a long good window is seen in its newest part', () => {
  const { see } = start({ windowMs: 1_000_000 });
  expect(see(look([1, 100], [9, 900]), 500)).toEqual({ action: 'hold' });
  expect(see(look([1, 100, 30], [9, 900]))).toMatchObject({ action: 'rollback', reason: 'error-rate', detail: expect.stringMatching(/^10 % of 300/) as string });
});

describe('when both arms fail', () => {
  const both = look([1, 50, 25], [9, 450, 225]);

  test('the stage is held, and rolled back when that lasts for a window', () => {
    const { rollout, see } = start();
    see(look([1, 50], [9, 450]), 5);
    expect(see(both, 9)).toEqual({ action: 'hold' });
    expect(rollout.progress).toMatchObject({ held: 'both-arms-bad', watchedMs: 4_000 });
    expect(see(both, 2)).toMatchObject({ action: 'rollback', reason: 'both-arms-bad' });
  });

  test('the window begins anew once the canary is good again', () => {
    const { rollout, see } = start();
    see(look([1, 50], [9, 450]), 8);
    see(both, 5);
    expect(see(look([1, 50], [9, 450]), 4)).toEqual({ action: 'hold' });
    expect(rollout.progress).toMatchObject({ held: undefined, watchedMs: expect.toSatisfy((ms: number) => ms < 4_000) as number, canary: { errors: 0 } });
    expect(see(look([1, 50], [9, 450]), 10)).toEqual({ action: 'advance', percent: 50, raised: false });
  });

  test('silence after it does not count as good', () => {
    const { see } = start();
    see(look([1, 50], [9, 450]), 5);
    see(both, 2);
    expect(see(look([1], [9]), 30)).toMatchObject({ reason: 'both-arms-bad' });
  });

  test('a canary that is clearly worse than a bad stable arm is to blame', () => {
    const { see } = start();
    expect(see(look([1, 50, 50], [9, 450, 45]))).toMatchObject({ reason: 'error-rate' });
  });
});

test.each([
  ['no requests', [0, 0], [0, 0], 'good'],
  ['at the limit', [100, 1], [100, 0], 'good'],
  ['above it', [100, 2], [100, 0], 'bad'],
  ['above it, stable a little below it', [100, 2], [1000, 10], 'bad'],
  ['stable above it as well', [100, 2], [1000, 15], 'both'],
  ['stable above it, the canary far worse', [100, 20], [1000, 15], 'bad'],
  ['stable silent', [100, 2], [3, 3], 'bad'],
  ['everything fails on both', [100, 100], [1000, 1000], 'both'],
] as const)('judged: %s', (_name, [canaryRequests, canaryErrors], [stableRequests, stableErrors], kind) => {
  const arms = { canary: { replicas: 1, requests: canaryRequests, errors: canaryErrors }, stable: { replicas: 1, requests: stableRequests, errors: stableErrors } };
  expect(judge(arms, { maxErrorRate: 0.01, minRequests: 20 }).kind).toBe(kind);
});

test('a replica that refuses the canary ends it at once', () => {
  expect(start().see(look([0], [10], { rejected: 'a refuses it: model_list' }))).toEqual({ action: 'rollback', reason: 'rejected', detail: 'a refuses it: model_list' });
});

describe('when nothing is seen', () => {
  test('time does not count, and too much of it is a breach', () => {
    const { rollout, see } = start();
    see(look([1, 10], [9, 90]), 5);
    expect(see(BLIND, 4)).toEqual({ action: 'hold' });
    expect(rollout.progress).toMatchObject({ held: 'blind', watchedMs: 4_000, unknown: 10 });
    expect(see(look([1, 10], [9, 90]), 3)).toEqual({ action: 'hold' });
    expect(see(BLIND, 5)).toEqual({ action: 'rollback', reason: 'blind', detail: 'cannot see: no replica has answered for 5.0 s' });
  });

  test('the same when only the replicas of the canary no longer answer', () => {
    const { see } = start();
    see(look([1, 10], [9, 90]), 5);
    expect(see(look([0], [9, 90], { unknown: 1 }), 4)).toEqual({ action: 'hold' });
    expect(see(look([0], [9, 90], { unknown: 1 }))).toMatchObject({ reason: 'blind' });
  });

  test('a look now and then is enough', () => {
    const { see } = start();
    for (let round = 0; round < 10; round += 1) {
      expect(see(BLIND, 4)).toEqual({ action: 'hold' });
      see(look([1, 10], [9, 90]));
    }
  });
});

describe('when nobody takes the canary', () => {
  const nobody = look([0], [3, 30]);

  test('the percent rises in steps until one does; stages that were passed on the way are not gone back to', () => {
    const { see } = start();
    for (const percent of [20, 30, 40, 50, 60, 70]) expect(see(nobody, 10)).toEqual({ action: 'advance', percent, raised: true });
    // Two of three were told to, and one is there: enough once the other had its time.
    expect(see(look([1, 10], [2, 20]), 15)).toEqual({ action: 'hold' });
    expect(see(look([1, 10], [2, 20]), 6)).toEqual({ action: 'advance', percent: 100, raised: false });
  });

  test('it never reaches everybody untried', () => {
    const { rollout, see } = start();
    const decisions = Array.from({ length: 10 }, () => see(nobody, 10));
    expect(decisions.at(-2)).toEqual({ action: 'advance', percent: 99, raised: true });
    expect(decisions.at(-1)).toEqual({ action: 'rollback', reason: 'not-taken', detail: 'no replica took it within 10 s at 99 %' });
    expect(rollout.percent).toBe(99);
  });

  test('without steps that is a breach', () => {
    expect(start({ raiseBy: 0 }).see(nobody, 20)).toMatchObject({ reason: 'not-taken' });
  });

  test('one replica that does not follow at 100 % is one, too', () => {
    const { see } = start({ startPercent: 100 });
    expect(see(look([9, 90], [1, 10]), 9)).toEqual({ action: 'hold' });
    expect(see(look([9, 90], [1, 10]))).toMatchObject({ reason: 'not-taken', detail: '1 replica did not take it within 10 s' });
  });
});

describe('when replicas restart', () => {
  test('the window pauses while none serves the canary, and goes on after it', () => {
    const { rollout, see } = start();
    see(look([1, 10], [9, 90]), 6);
    expect(see(look([0], [9, 90]), 9)).toEqual({ action: 'hold' });
    expect(rollout.progress).toMatchObject({ held: 'replicas-missing', watchedMs: 5_000 });
    expect(see(look([1, 10], [9, 90]), 4)).toEqual({ action: 'hold' });
    expect(see(look([1, 10], [9, 90]))).toEqual({ action: 'advance', percent: 50, raised: false });
  });

  test('a canary that does not come back is a breach, and the percent is not raised for it', () => {
    const { see } = start();
    see(look([1, 10], [9, 90]), 3);
    expect(see(look([0], [9, 90]), 20)).toEqual({ action: 'rollback', reason: 'lost', detail: 'no replica has served it for 10 s' });
  });

  test('a new replica that is not there yet pauses the last stage', () => {
    const { rollout, see } = start({ startPercent: 100 });
    see(look([10, 100], [0]), 5);
    expect(see(look([10, 100], [0], { others: 1 }), 3)).toEqual({ action: 'hold' });
    expect(rollout.progress).toMatchObject({ held: 'replicas-missing', others: 1 });
    expect(see(look([11, 110], [0]), 10)).toEqual({ action: 'promote' });
  });
});

describe('with few requests', () => {
  test('the stage is held until enough have come', () => {
    const { rollout, see } = start();
    expect(see(look([1, 1], [9, 9]), 12)).toEqual({ action: 'hold' });
    expect(rollout.progress).toMatchObject({ held: 'few-requests', watchedMs: 10_000 });
    expect(see(look([1, 1], [9, 9]), 8)).toEqual({ action: 'advance', percent: 50, raised: false });
  });

  test('silence for six windows proves nothing', () => {
    expect(start().see(look([1], [9]), 100)).toEqual({ action: 'rollback', reason: 'silence', detail: 'only 0 of the 20 requests that it needs came in 60 s' });
  });

  test('who asks for none gets on without any, and a failure still counts', () => {
    const limits = { ...LIMITS, minRequests: 0 };
    expect(start({ limits }).see(look([1], [9]), 20)).toEqual({ action: 'advance', percent: 50, raised: false });
    expect(start({ limits }).see(look([1, 1, 1], [9]))).toMatchObject({ reason: 'error-rate' });
  });
});

test('a rollout goes on from where it stands', () => {
  const { rollout, see } = start({ startPercent: 30 });
  expect(rollout.percent).toBe(30);
  expect(see(look([3, 30], [7, 70]), 20)).toEqual({ action: 'advance', percent: 50, raised: false });
});

test.each([[[]], [[10, 50]], [[50, 10, 100]], [[0, 100]], [[10, 10, 100]], [[100, 200]]])('stages %j are refused', (stages) => {
  expect(() => start({ stages })).toThrow(RangeError);
});

describe('when the canary takes its replicas down', () => {
  test('those that do not answer have not taken it: one that answers does not speak for nine', () => {
    const { see } = start({ startPercent: 100 });
    expect(see(look([1, 10], [0], { unknown: 9 }), 30)).toEqual({ action: 'rollback', reason: 'not-taken', detail: '9 replicas did not take it within 10 s' });
    const half = start({ startPercent: 50 });
    expect(half.see(look([1, 10], [5, 50], { unknown: 4 }), 9)).toEqual({ action: 'hold' });
    expect(half.rollout.progress).toMatchObject({ held: 'waiting-for-replicas' });
  });

  test.each([10, 50, 100])('one that served it and stays silent or not ready is a breach at %i %', (startPercent) => {
    const { see } = start({ startPercent, windowMs: 60_000 });
    const stable: readonly [number, number] = startPercent === 100 ? [0, 0] : [5, 50];
    see(look([5, 50], stable), 3);
    expect(see(look([4, 40], stable, { unknown: 1, troubled: ['a'] }), 5)).toEqual({ action: 'hold' });
    expect(see(look([4, 40], stable, { unknown: 1, troubled: ['a'] }))).toEqual({ action: 'rollback', reason: 'lost', detail: 'a served it, and has not answered or not been ready for 5.0 s' });
  });

  test('one that is back in time is none, and nothing goes on until it is', () => {
    const { rollout, see } = start();
    for (let round = 0; round < 2; round += 1) {
      expect(see(look([1, 10], [9, 90], { troubled: ['a'] }), 4)).toEqual({ action: 'hold' });
      expect(see(look([1, 10], [9, 90]))).toEqual({ action: 'hold' });
    }
    expect(see(look([1, 10], [9, 90], { troubled: ['a'] }), 3)).toEqual({ action: 'hold' });
    expect(rollout.progress).toMatchObject({ held: 'replicas-missing' });
    expect(see(look([1, 10], [9, 90]))).toEqual({ action: 'advance', percent: 50, raised: false });
  });
});

describe('when requests hang on the canary', () => {
  test('the stage is held, and rolled back after another window', () => {
    const { rollout, see } = start();
    expect(see(look([1, 2], [9, 90]), 20)).toEqual({ action: 'hold' });
    expect(rollout.progress).toMatchObject({ held: 'stalled' });
    expect(see(look([1, 2], [9, 90]), 5)).toMatchObject({ action: 'rollback', reason: 'stalled', detail: expect.stringMatching(/^it finished \d+ requests where as many stable replicas finish \d+/) as string });
  });

  test('also where no requests are asked for; a quiet canary beside a quiet stable arm is none', () => {
    const limits = { ...LIMITS, minRequests: 0 };
    expect(start({ limits }).see(look([1], [9, 90]), 30)).toMatchObject({ reason: 'stalled' });
    expect(start({ limits }).see(look([1], [9, 1]), 30)).toMatchObject({ action: 'advance' });
  });

  test('a third of what stable does goes on, and so does any part where arms are chosen per request', () => {
    expect(start().see(look([1, 4], [9, 90]), 30)).toMatchObject({ action: 'advance' });
    expect(start({ raiseBy: 0 }).see(look([9, 10], [9, 900]), 30)).toMatchObject({ action: 'advance' });
  });
});
