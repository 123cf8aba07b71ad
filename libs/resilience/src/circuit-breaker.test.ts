import { ManualClock } from '@pointsman/timing';
import { expect, test } from 'vitest';
import { CircuitBreaker, type BreakerChange, type BreakerPermit } from './circuit-breaker.ts';

function setUp(options: { failures?: number; halfOpenAfterMs?: number } = {}) {
  const clock = new ManualClock();
  const changes: string[] = [];
  const onChange = ({ previous, state }: BreakerChange): void => void changes.push(`${previous} → ${state}`);
  const breaker = new CircuitBreaker({ name: 'deployment-1', clock, onChange, ...options });
  return { clock, changes, breaker };
}

function acquire(breaker: CircuitBreaker): BreakerPermit {
  const permit = breaker.tryAcquire();
  if (permit === undefined) throw new Error('expected a permit');
  return permit;
}

function fail(breaker: CircuitBreaker, times: number): void {
  for (let call = 0; call < times; call += 1) acquire(breaker).failed();
}

test('five failures in a row open the breaker, and it says when and until when', () => {
  const { breaker, changes, clock } = setUp();
  fail(breaker, 4);
  expect(breaker.state).toBe('closed');
  expect(breaker.openedAt).toBeUndefined();
  fail(breaker, 1);
  expect(breaker.state).toBe('open');
  expect(breaker.openedAt).toBe(clock.now());
  expect(breaker.retryAt).toBe(clock.now() + 60_000);
  expect(breaker.tryAcquire()).toBeUndefined();
  expect(changes).toEqual(['closed → open']);
});

test('a success between failures starts the count again', () => {
  const { breaker } = setUp();
  fail(breaker, 4);
  acquire(breaker).succeeded();
  fail(breaker, 4);
  expect(breaker.state).toBe('closed');
});

test('clients that leave say nothing about the target', () => {
  const { breaker } = setUp();
  fail(breaker, 4);
  acquire(breaker).abandoned();
  expect(breaker.state).toBe('closed');
  fail(breaker, 1);
  expect(breaker.state).toBe('open');
});

test('after its time one probe goes through, and only one at a time', () => {
  const { breaker, clock, changes } = setUp();
  fail(breaker, 5);
  clock.advance(59_999);
  expect(breaker.canAcquire).toBe(false);
  expect(breaker.tryAcquire()).toBeUndefined();
  clock.advance(1);
  expect(breaker.canAcquire).toBe(true);
  const probe = acquire(breaker);
  expect(breaker.state).toBe('half-open');
  expect(breaker.canAcquire).toBe(false);
  expect(breaker.tryAcquire()).toBeUndefined();
  probe.succeeded();
  expect(breaker.state).toBe('closed');
  expect(breaker.retryAt).toBeUndefined();
  expect(changes).toEqual(['closed → open', 'open → half-open', 'half-open → closed']);
});

test('a closed breaker has forgotten the failures from before it opened', () => {
  const { breaker, clock } = setUp();
  fail(breaker, 5);
  clock.advance(60_000);
  acquire(breaker).succeeded();
  fail(breaker, 4);
  expect(breaker.state).toBe('closed');
});

test('a probe that fails opens the breaker for the whole time again', () => {
  const { breaker, clock } = setUp();
  fail(breaker, 5);
  clock.advance(60_000);
  const probe = acquire(breaker);
  clock.advance(5_000);
  probe.failed();
  expect(breaker.state).toBe('open');
  expect(breaker.openedAt).toBe(clock.now());
  clock.advance(59_999);
  expect(breaker.tryAcquire()).toBeUndefined();
  clock.advance(1);
  expect(breaker.tryAcquire()).toBeDefined();
});

test('a probe whose client left gives its slot back', () => {
  const { breaker, clock } = setUp();
  fail(breaker, 5);
  clock.advance(60_000);
  acquire(breaker).abandoned();
  expect(breaker.state).toBe('half-open');
  acquire(breaker).succeeded();
  expect(breaker.state).toBe('closed');
});

test('a late failure of a request from before the breaker opened does not extend the open time', () => {
  const { breaker, clock } = setUp();
  const slow = acquire(breaker);
  fail(breaker, 5);
  const retryAt = breaker.retryAt;
  clock.advance(30_000);
  slow.failed();
  expect(breaker.retryAt).toBe(retryAt);
  clock.advance(30_000);
  expect(breaker.tryAcquire()).toBeDefined();
});

test('a late outcome from before the breaker opened decides nothing for the probe', () => {
  const { breaker, clock } = setUp();
  const [late, later, latest] = [acquire(breaker), acquire(breaker), acquire(breaker)];
  fail(breaker, 5);
  late.succeeded();
  expect(breaker.state).toBe('open');
  clock.advance(60_000);
  const probe = acquire(breaker);
  later.failed();
  latest.abandoned();
  expect(breaker.state).toBe('half-open');
  expect(breaker.tryAcquire()).toBeUndefined();
  probe.succeeded();
  expect(breaker.state).toBe('closed');
});

test('a failure from before the breaker opened does not count once it is closed again', () => {
  const { breaker, clock } = setUp({ failures: 1 });
  const slow = acquire(breaker);
  fail(breaker, 1);
  clock.advance(60_000);
  acquire(breaker).succeeded();
  slow.failed();
  expect(breaker.state).toBe('closed');
});

test('a permit is settled at most once', () => {
  const { breaker } = setUp({ failures: 2 });
  const permit = acquire(breaker);
  permit.failed();
  permit.failed();
  permit.succeeded();
  expect(breaker.state).toBe('closed');
  fail(breaker, 1);
  expect(breaker.state).toBe('open');
});

test('a probe that is never settled does not lock the target out for good', () => {
  const { breaker, clock } = setUp();
  fail(breaker, 5);
  clock.advance(60_000);
  const lost = acquire(breaker);
  clock.advance(599_999);
  expect(breaker.tryAcquire()).toBeUndefined();
  clock.advance(1);
  const next = acquire(breaker);
  lost.failed();
  expect(breaker.state).toBe('half-open');
  next.succeeded();
  expect(breaker.state).toBe('closed');
});

test('new settings hold for an open breaker at once', () => {
  const { breaker, clock } = setUp();
  fail(breaker, 5);
  clock.advance(10_000);
  breaker.configure({ failures: 2, halfOpenAfterMs: 10_000 });
  acquire(breaker).succeeded();
  fail(breaker, 2);
  expect(breaker.state).toBe('open');
});

test('a target that was seen to answer is called again at once, and a probe under way decides nothing any more', () => {
  const { breaker, clock, changes } = setUp();
  fail(breaker, 5);
  breaker.recovered();
  expect(breaker.state).toBe('closed');
  fail(breaker, 5);
  clock.advance(60_000);
  const probe = acquire(breaker);
  breaker.recovered();
  probe.failed();
  expect(breaker.state).toBe('closed');
  expect(changes).toEqual(['closed → open', 'open → closed', 'closed → open', 'open → half-open', 'half-open → closed']);
});

test('being seen to answer does not excuse the failures of a closed breaker', () => {
  const { breaker } = setUp();
  fail(breaker, 4);
  breaker.recovered();
  fail(breaker, 1);
  expect(breaker.state).toBe('open');
});

test('whatever happens in whatever order: never two probes at once, and an open breaker refuses until its time', () => {
  const { breaker, clock } = setUp({ failures: 3, halfOpenAfterMs: 1_000 });
  let seed = 1;
  const pick = (below: number): number => {
    seed = (Math.imul(seed, 48_271) >>> 0) % 2_147_483_647; // Lehmer's generator: the same story every run
    return seed % below;
  };
  const underWay: { permit: BreakerPermit; isProbe: boolean }[] = [];
  let probes = 0;
  let openings = 0;
  for (let step = 0; step < 20_000; step += 1) {
    const before = breaker.state;
    const action = pick(4);
    if (action <= 1) {
      const expected = breaker.canAcquire;
      const isTooEarly = before === 'open' && clock.now() < (breaker.retryAt ?? 0);
      const permit = breaker.tryAcquire();
      expect(permit !== undefined).toBe(expected);
      if (isTooEarly) expect(permit).toBeUndefined();
      if (permit === undefined) continue;
      const isProbe = breaker.state === 'half-open';
      if (isProbe) probes += 1;
      expect(probes).toBeLessThanOrEqual(1);
      underWay.push({ permit, isProbe });
    } else if (action === 2 && underWay.length > 0) {
      const [call] = underWay.splice(pick(underWay.length), 1);
      if (call === undefined) continue;
      const outcome = pick(5);
      if (outcome <= 2) call.permit.failed();
      else if (outcome === 3) call.permit.succeeded();
      else call.permit.abandoned();
      if (call.isProbe) probes -= 1;
      else if (before !== 'closed') expect(breaker.state).toBe(before);
      if (before !== 'open' && breaker.state === 'open') openings += 1;
    } else clock.advance(pick(300));
  }
  expect(openings).toBeGreaterThan(50);
});
