import { eventually } from '@pointsman/testing';
import { expect, test } from 'vitest';
import { holdLock } from './held-lock.ts';

function hold({ validMs = 60_000, ttlMs = 60_000, extend = () => Promise.resolve(true) }: { readonly validMs?: number; readonly ttlMs?: number; readonly extend?: () => Promise<boolean> }) {
  const calls = { extended: 0, givenBack: 0 };
  const held = holdLock({
    name: 'a', fence: 1, ttlMs, validUntil: performance.now() + validMs,
    extend: () => {
      calls.extended += 1;
      return extend();
    },
    giveBack: async () => {
      calls.givenBack += 1;
      await Promise.resolve();
    },
  });
  return { held, calls };
}

function standStill(ms: number): void {
  const until = performance.now() + ms;
  while (performance.now() < until);
}

test('a process that stood still for longer than its lock lived does not renew it, although its timers think so', async () => {
  const { held, calls } = hold({ validMs: 120, ttlMs: 300 });
  standStill(150);
  // Both timers are due now, the one for renewing first.
  await new Promise((resolve) => setTimeout(resolve, 1));
  expect(calls.extended).toBe(0);
  expect(held.signal.reason).toMatchObject({ code: 'lock_lost' });
});

test('whoever asks for the signal is told by the clock, not by a timer that is late', () => {
  const { held } = hold({ validMs: 20 });
  expect(held.signal.aborted).toBe(false);
  standStill(25);
  expect(held.signal.aborted).toBe(true);
});

test('a lock that was lost is not given back: it is another\'s', async () => {
  const { held, calls } = hold({ ttlMs: 60, extend: () => Promise.resolve(false) });
  await eventually(() => expect(held.signal.aborted).toBe(true));
  await held.release();
  expect(calls.givenBack).toBe(0);
});

test('a renewal that fails for a moment is tried again before the lock ends', async () => {
  let failures = 0;
  const { held, calls } = hold({
    validMs: 30_000, ttlMs: 60,
    extend: async () => {
      await Promise.resolve();
      failures += 1;
      if (failures === 1) throw new Error('away');
      return true;
    },
  });
  await eventually(() => expect(calls.extended).toBeGreaterThanOrEqual(2));
  await held.release();
  await held.release();
  expect(calls.givenBack).toBe(1);
});
