import { expect, test } from 'vitest';
import { isCanaryPod } from './is-canary-pod.ts';

const pods = (count: number): string[] => Array.from({ length: count }, (_, n) => `gateway-7d9f-${String(n)}`);
const chosen = (live: readonly string[], percent: number, seed = 'seed'): string[] => live.filter((pod) => isCanaryPod({ pod, live, percent, seed }));

test.each([
  [10, 0, 0], [10, 1, 1], [10, 10, 1], [10, 50, 5], [10, 99, 10], [10, 100, 10],
  [1, 0, 0], [1, 1, 1], [1, 100, 1], [3, 10, 1], [3, 50, 2], [50, 10, 5], [50, 5, 3], [50, 0.1, 1], [2, 10, 1],
])('of %i live pods, %d percent are %i', (count, percent, expected) => {
  expect(chosen(pods(count), percent)).toHaveLength(expected);
});

test.each([1, 2, 3, 7, 10, 50])('raising the percentage never takes one of %i pods back to stable', (count) => {
  const live = pods(count);
  let before: string[] = [];
  for (const percent of [0, 0.1, 1, 5, 10, 11, 25, 50, 51, 75, 99, 100]) {
    const now = chosen(live, percent);
    expect(now).toEqual(expect.arrayContaining(before));
    before = now;
  }
});

test('without a list of live pods the same holds by the name alone, and about that many pods are taken', () => {
  const names = pods(2_000);
  let before: string[] = [];
  for (const percent of [0, 5, 10, 50, 100]) {
    const now = names.filter((pod) => isCanaryPod({ pod, live: undefined, percent, seed: 'seed' }));
    expect(now).toEqual(expect.arrayContaining(before));
    expect(Math.abs(now.length / 20 - percent)).toBeLessThan(3);
    before = now;
  }
});

test('another rollout begins with other pods, the same one with the same pods whatever the order of the list', () => {
  const live = pods(10);
  const firsts = new Set(Array.from({ length: 40 }, (_, n) => chosen(live, 10, `rollout ${String(n)}`)[0]));
  expect(firsts.size).toBeGreaterThan(5);
  expect(live.filter((pod) => isCanaryPod({ pod, live: live.toReversed(), percent: 50, seed: 'seed' }))).toEqual(chosen(live, 50));
});

test('a pod that the list does not hold counts itself', () => {
  const live = pods(4);
  expect(isCanaryPod({ pod: 'new', live: [], percent: 1, seed: 'seed' })).toBe(true);
  expect([...live, 'new'].filter((pod) => isCanaryPod({ pod, live: pod === 'new' ? live : [...live, 'new'], percent: 40, seed: 'seed' }))).toHaveLength(2);
});

test('pods that join or leave do not move the canary: those that serve it go on, as many as the percentage says', () => {
  const [seed, percent] = ['seed', 20];
  let live = pods(10);
  let serving = new Set(live.filter((pod) => isCanaryPod({ pod, live, percent, seed })));
  expect(serving.size).toBe(2);
  for (const count of [11, 40, 12, 60, 10]) {
    live = [...live.filter((pod) => serving.has(pod)), ...pods(200).slice(count, 2 * count - serving.size)];
    const now = new Set(live.filter((pod) => isCanaryPod({ pod, live, serving, percent, seed })));
    expect(now.size).toBe(Math.round(count / 5));
    expect([...(now.size < serving.size ? now : serving)].every((pod) => serving.has(pod) && now.has(pod))).toBe(true);
    serving = now;
  }
});

test('a percentage that is no number takes nobody', () => {
  expect(chosen(pods(3), Number.NaN)).toEqual([]);
});
