import { expect, test } from 'vitest';
import { chooseArm } from './choose-arm.ts';

const arm = (weight: number, key: string, version = 'v43'): string | undefined => chooseArm({ stable: 'v42', canary: { version, weight } }, key);
const users = Array.from({ length: 10_000 }, (_, index) => `user-${String(index)}`);

test('a weight of 10 takes 10 % of 10,000 users, give or take 1 %, and users always get the same arm', () => {
  const chosen = users.filter((user) => arm(10, user) === 'v43');
  expect(chosen.length).toBeGreaterThanOrEqual(900);
  expect(chosen.length).toBeLessThanOrEqual(1_100);
  for (const user of chosen.slice(0, 100)) for (let time = 0; time < 5; time += 1) expect(arm(10, user)).toBe('v43');
});

test('trace ids are split alike', () => {
  const traces = Array.from({ length: 10_000 }, (_, index) => (index * 2_654_435_761).toString(16).padStart(32, '0'));
  const count = traces.filter((trace) => arm(10, trace) === 'v43').length;
  expect(Math.abs(count - 1_000)).toBeLessThanOrEqual(100);
});

test('raising the weight never takes a user out of the canary; 0 takes nobody, 100 everybody', () => {
  const weights = [0, 1, 5, 10, 50, 99, 100];
  for (const user of users.slice(0, 2_000)) {
    const arms = weights.map((weight) => arm(weight, user));
    expect(arms.slice(arms.indexOf('v43')).every((each) => each === 'v43')).toBe(true);
    expect([arms[0], arms.at(-1)]).toEqual(['v42', 'v43']);
  }
});

test('another version is tried by other people', () => {
  const [one, two] = ['v43', 'v44'].map((version) => new Set(users.filter((user) => arm(10, user, version) === version)));
  const inBoth = [...one ?? []].filter((user) => two?.has(user) === true).length;
  expect(inBoth).toBeLessThan(200);
});
