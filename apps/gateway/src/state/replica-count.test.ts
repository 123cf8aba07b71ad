import { ManualClock } from '@pointsman/timing';
import { afterEach, expect, test, vi } from 'vitest';
import { countReplicas } from './replica-count.ts';

afterEach(() => {
  vi.useRealTimers();
});

/** A channel in memory that everybody hears, the speaker included. */
function bus() {
  const listeners = new Set<(message: string) => void>();
  return {
    isCut: false,
    publish(_topic: string, message: string): Promise<void> {
      if (this.isCut) return Promise.reject(new Error('away'));
      for (const listener of [...listeners]) listener(message);
      return Promise.resolve();
    },
    subscribe(_topic: string, listener: (message: string) => void) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
  };
}

test('replicas hear of each other at once, count out who is silent, and keep their count while nobody can speak', () => {
  vi.useFakeTimers();
  const clock = new ManualClock();
  const channel = bus();
  const start = (id: string) => countReplicas({ channel, id, clock, isAway: () => channel.isCut });
  const pass = (ms: number): void => {
    for (let passed = 0; passed < ms; passed += 5_000) {
      clock.advance(5_000);
      vi.advanceTimersByTime(5_000);
    }
  };
  const [a, b, c] = [start('a'), start('b'), start('c')];
  expect([a.count(), b.count(), c.count()]).toEqual([3, 3, 3]);
  channel.isCut = true;
  pass(60_000);
  expect(a.count()).toBe(3);
  channel.isCut = false;
  pass(5_000);
  expect(a.count()).toBe(3);
  c.close();
  pass(20_000);
  expect([a.count(), b.count()]).toEqual([2, 2]);
  a.close();
  b.close();
});

test('alone, there is one', () => {
  const replicas = countReplicas({ channel: { publish: () => Promise.resolve(), subscribe: () => () => undefined }, id: 'a', clock: new ManualClock(), isAway: () => false });
  expect(replicas.count()).toBe(1);
  replicas.close();
});
