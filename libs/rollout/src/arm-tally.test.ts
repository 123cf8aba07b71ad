import { expect, test } from 'vitest';
import { ArmTally } from './arm-tally.ts';
import type { AnsweredReading, ReplicaCounters } from './replica-reading.ts';

const NEW = 'aaaaaaaaaaaa';
const OLD = 'bbbbbbbbbbbb';

function reading(replica: string, revision: string, requests: number, failed = 0, rest: Partial<ReplicaCounters> = {}): AnsweredReading {
  return { replica, revision, isReady: true, counters: { startedAt: 1, requests, failed, ...rest } };
}

function tally(): ArmTally {
  return new ArmTally({ canary: NEW, stable: OLD });
}

test('requests are counted per arm, between looks', () => {
  const arms = tally();
  expect(arms.add([reading('a', NEW, 1_000, 50), reading('b', OLD, 5_000), reading('c', OLD, 10)])).toMatchObject({ canary: { replicas: 1, requests: 0, errors: 0 }, stable: { replicas: 2, requests: 0 } });
  expect(arms.add([reading('a', NEW, 1_010, 53), reading('b', OLD, 5_100), reading('c', OLD, 11, 1)])).toEqual({
    canary: { replicas: 1, requests: 10, errors: 3 }, stable: { replicas: 2, requests: 101, errors: 1 }, others: 0, unknown: 0, troubled: [], rejected: undefined,
  });
});

test('what was counted while the revision changed belongs to nobody', () => {
  const arms = tally();
  arms.add([reading('a', OLD, 100)]);
  expect(arms.add([reading('a', NEW, 200, 90)])).toMatchObject({ canary: { replicas: 1, requests: 0, errors: 0 }, stable: { replicas: 0, requests: 0 } });
  expect(arms.add([reading('a', NEW, 205, 90)])).toMatchObject({ canary: { requests: 5, errors: 0 } });
});

test.each([
  ['by counters that fell', reading('a', NEW, 7, 7, { startedAt: undefined })],
  ['by another start, though the counters are higher', reading('a', NEW, 107, 7, { startedAt: 2 })],
])('a restart is noticed %s, and counts from zero', (_how, after) => {
  const arms = tally();
  arms.add([reading('a', NEW, 100)]);
  expect(arms.add([after])).toMatchObject({ canary: { replicas: 1, requests: after.counters.requests, errors: 7 } });
});

test('a replica that did not answer is unknown, and what it did meanwhile counts later; one that went and came begins anew', () => {
  const arms = tally();
  arms.add([reading('a', NEW, 100), reading('b', NEW, 100)]);
  expect(arms.add([{ replica: 'a', problem: 'no answer' }])).toMatchObject({ unknown: 1, canary: { replicas: 0 } });
  expect(arms.add([reading('a', NEW, 130), reading('b', NEW, 500)])).toMatchObject({ unknown: 0, canary: { replicas: 2, requests: 30 } });
});

test('a replica that serves something else is told apart, and one that refused the canary names the reason', () => {
  const arms = tally();
  expect(arms.add([reading('a', 'cccccccccccc', 1), reading('b', '', 0)])).toMatchObject({ others: 2 });
  expect(arms.add([{ ...reading('http://a', OLD, 1), lastRejected: { revision: NEW, reason: 'model_list[0]' } }])).toMatchObject({ rejected: 'http://a refuses it: model_list[0]' });
  expect(arms.add([{ ...reading('a', OLD, 1), lastRejected: { revision: 'dddddddddddd', reason: 'long ago' } }])).toMatchObject({ rejected: undefined });
});

test('a counter that fell in the same process counts nothing in that look', () => {
  const arms = tally();
  arms.add([reading('a', NEW, 1_000_000, 5)]);
  expect(arms.add([reading('a', NEW, 900_000, 5)])).toMatchObject({ canary: { replicas: 1, requests: 0, errors: 0 } });
  expect(arms.add([reading('a', NEW, 900_010, 6)])).toMatchObject({ canary: { requests: 10, errors: 1 } });
});

test('a replica that served the canary and does not answer, or is not ready, is in trouble until it is back', () => {
  const arms = tally();
  arms.add([reading('a', NEW, 1), reading('b', NEW, 1), reading('c', OLD, 1), reading('d', NEW, 1)]);
  expect(arms.add([{ replica: 'a', problem: 'refused' }, { ...reading('b', NEW, 1), isReady: false }, { replica: 'c', problem: 'refused' }, { ...reading('d', '', 0), isReady: false }]).troubled).toEqual(['a', 'b', 'd']);
  expect(arms.add([reading('a', NEW, 1), reading('b', NEW, 1), { ...reading('c', OLD, 1), isReady: false }, reading('d', OLD, 0)]).troubled).toEqual([]);
});

test('replicas of the canary that are gone are in trouble, unless others have come for them or most are there', () => {
  const arms = tally();
  const [a, b, c, d] = ['a', 'b', 'c', 'd'].map((name) => reading(name, NEW, 1)) as [AnsweredReading, AnsweredReading, AnsweredReading, AnsweredReading];
  arms.add([a, b, c]);
  expect(arms.add([a]).troubled).toEqual(['b', 'c']);
  expect(arms.add([a, b]).troubled).toEqual([]);
  expect(arms.add([a, b, d]).troubled).toEqual([]);
});
