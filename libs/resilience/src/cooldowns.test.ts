import { ManualClock } from '@pointsman/timing';
import { expect, test } from 'vitest';
import { Cooldowns, type CooldownSettings } from './cooldowns.ts';

function setUp(settings: CooldownSettings = {}) {
  // A full minute lies ahead: the counters are fixed minutes of the wall clock.
  const clock = new ManualClock(1_700_000_040_000);
  return { clock, cooldowns: new Cooldowns({ clock, ...settings }) };
}

test.each([
  { status: 401, groupSize: 2, cools: true },
  { status: 402, groupSize: 2, cools: true },
  { status: 404, groupSize: 2, cools: true },
  { status: 408, groupSize: 2, cools: true },
  { status: 429, groupSize: 2, cools: true },
  { status: 401, groupSize: 1, cools: true },
  { status: 404, groupSize: 1, cools: true },
  { status: 408, groupSize: 1, cools: false },
  { status: 429, groupSize: 1, cools: false },
  { status: 400, groupSize: 2, cools: false },
  { status: 403, groupSize: 2, cools: false },
  { status: 422, groupSize: 2, cools: false },
  { status: 500, groupSize: 2, cools: false },
  { status: undefined, groupSize: 2, cools: false },
])('one failure with status $status in a group of $groupSize cools down: $cools', ({ status, groupSize, cools }) => {
  const { cooldowns } = setUp();
  expect(cooldowns.failed({ id: 'a', status, groupSize }) !== undefined).toBe(cools);
  expect(cooldowns.isCoolingDown('a')).toBe(cools);
  expect(cooldowns.isCoolingDown('b')).toBe(false);
});

test('a cooldown ends by itself after cooldown_time, five seconds by default', () => {
  const { cooldowns, clock } = setUp();
  cooldowns.failed({ id: 'a', status: 429, groupSize: 2 });
  expect(cooldowns.coolingUntil('a')).toBe(clock.now() + 5_000);
  clock.advance(4_999);
  expect(cooldowns.isCoolingDown('a')).toBe(true);
  clock.advance(1);
  expect(cooldowns.isCoolingDown('a')).toBe(false);
  expect(cooldowns.list()).toEqual([]);
});

test('the length is the time of the deployment, else retry-after, else the time of the router', () => {
  const { cooldowns, clock } = setUp({ cooldownMs: 7_000 });
  const until = (id: string, lengths: { retryAfterMs?: number; cooldownMs?: number }): number =>
    (cooldowns.failed({ id, status: 429, groupSize: 2, ...lengths })?.until ?? 0) - clock.now();
  expect(until('a', {})).toBe(7_000);
  expect(until('b', { retryAfterMs: 20_000 })).toBe(20_000);
  expect(until('c', { retryAfterMs: 20_000, cooldownMs: 30_000 })).toBe(30_000);
  expect(until('d', { retryAfterMs: Number.NaN })).toBe(7_000);
  expect(until('e', { retryAfterMs: 86_400_000 })).toBe(3_600_000);
});

test('a cooldown_time of zero never cools down', () => {
  const { cooldowns } = setUp();
  expect(cooldowns.failed({ id: 'a', status: 401, groupSize: 2, cooldownMs: 0 })).toBeUndefined();
  expect(setUp({ cooldownMs: 0 }).cooldowns.failed({ id: 'a', status: 401, groupSize: 2 })).toBeUndefined();
});

test('a failure that was under way when the cooldown began makes it longer, never shorter', () => {
  const { cooldowns, clock } = setUp();
  cooldowns.failed({ id: 'a', status: 429, groupSize: 2, retryAfterMs: 30_000 });
  const since = clock.now();
  clock.advance(1_000);
  cooldowns.failed({ id: 'a', status: 429, groupSize: 2 });
  expect(cooldowns.list()).toEqual([{ id: 'a', since, until: since + 30_000, reason: 'rate_limited', status: 429 }]);
});

test('more than half of at least five requests of the minute failing cools down', () => {
  const { cooldowns } = setUp();
  cooldowns.succeeded('a');
  cooldowns.succeeded('a');
  for (let call = 0; call < 2; call += 1) expect(cooldowns.failed({ id: 'a', status: 500, groupSize: 2 })).toBeUndefined();
  expect(cooldowns.failed({ id: 'a', status: undefined, groupSize: 2 })?.reason).toBe('failure_share');
});

test('exactly half is not more than half', () => {
  const { cooldowns } = setUp();
  for (let call = 0; call < 5; call += 1) cooldowns.succeeded('a');
  for (let call = 0; call < 5; call += 1) expect(cooldowns.failed({ id: 'a', status: 503, groupSize: 2 })).toBeUndefined();
});

test('four failures out of four are too few to judge by', () => {
  const { cooldowns } = setUp();
  for (let call = 0; call < 4; call += 1) expect(cooldowns.failed({ id: 'a', status: 503, groupSize: 2 })).toBeUndefined();
  expect(cooldowns.failed({ id: 'a', status: 503, groupSize: 2 })).toBeDefined();
});

test('failures of the last minute do not count in this one', () => {
  const { cooldowns, clock } = setUp();
  for (let call = 0; call < 4; call += 1) cooldowns.failed({ id: 'a', status: 503, groupSize: 2 });
  clock.advance(60_000);
  expect(cooldowns.failed({ id: 'a', status: 503, groupSize: 2 })).toBeUndefined();
});

test('the only deployment of a group cools down only when all of a thousand requests failed', () => {
  const { cooldowns } = setUp();
  for (let call = 0; call < 999; call += 1) expect(cooldowns.failed({ id: 'a', status: 500, groupSize: 1 })).toBeUndefined();
  expect(cooldowns.failed({ id: 'a', status: 500, groupSize: 1 })?.reason).toBe('always_failing');
});

test('bad requests are not held against the deployment', () => {
  const { cooldowns } = setUp();
  for (let call = 0; call < 100; call += 1) cooldowns.failed({ id: 'a', status: 400, groupSize: 2 });
  expect(cooldowns.failed({ id: 'a', status: 500, groupSize: 2 })).toBeUndefined();
});

test('allowed_fails replaces the other rules, and three means the default rules', () => {
  const { cooldowns, clock } = setUp({ allowedFails: 1 });
  expect(cooldowns.failed({ id: 'a', status: 429, groupSize: 2 })).toBeUndefined();
  expect(cooldowns.failed({ id: 'a', status: 500, groupSize: 1 })?.reason).toBe('allowed_fails');
  expect(cooldowns.failed({ id: 'b', status: 500, groupSize: 2 })).toBeUndefined();
  clock.advance(5_000);
  expect(cooldowns.failed({ id: 'b', status: 500, groupSize: 2 })).toBeUndefined();
  expect(setUp({ allowedFails: 3 }).cooldowns.failed({ id: 'a', status: 429, groupSize: 2 })).toBeDefined();
});

test('a policy for one kind of failure wins over allowed_fails', () => {
  const { cooldowns } = setUp({ allowedFails: 10 });
  expect(cooldowns.failed({ id: 'a', status: 429, groupSize: 2, allowedFails: 0 })?.reason).toBe('allowed_fails');
});

test('disabling ends every cooldown and starts none', () => {
  const { cooldowns } = setUp();
  cooldowns.failed({ id: 'a', status: 429, groupSize: 2 });
  cooldowns.configure({ disabled: true });
  expect(cooldowns.isCoolingDown('a')).toBe(false);
  expect(cooldowns.failed({ id: 'a', status: 429, groupSize: 2 })).toBeUndefined();
  cooldowns.configure({});
  expect(cooldowns.failed({ id: 'a', status: 429, groupSize: 2 })).toBeDefined();
  expect(cooldowns.isCoolingDown('a')).toBe(true);
});

test('deployments that left the configuration are forgotten', () => {
  const { cooldowns } = setUp();
  for (const id of ['a', 'b']) cooldowns.failed({ id, status: 429, groupSize: 2 });
  cooldowns.succeeded('well');
  cooldowns.retain(new Set(['b']));
  expect(cooldowns.list().map(({ id }) => id)).toEqual(['b']);
  expect(cooldowns.isCoolingDown('a')).toBe(false);
  expect(cooldowns.isCoolingDown('b')).toBe(true);
});
