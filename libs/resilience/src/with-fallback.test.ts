import { stat } from 'node:fs/promises';
import { ManualClock } from '@pointsman/timing';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { CircuitBreaker } from './circuit-breaker.ts';
import { PrimaryDeadlineError, withFallback, type WithFallbackOptions } from './with-fallback.ts';

const unhandled: unknown[] = [];
const onUnhandled = (reason: unknown): void => void unhandled.push(reason);

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  unhandled.length = 0;
  process.on('unhandledRejection', onUnhandled);
});
afterEach(() => {
  vi.useRealTimers();
  process.off('unhandledRejection', onUnhandled);
});

function setUp() {
  const breaker = new CircuitBreaker({ name: 'postgres', clock: new ManualClock(), failures: 2 });
  const served: string[] = [];
  const ask = (options: Partial<WithFallbackOptions<string>>): Promise<string> =>
    withFallback('postgres', {
      primary: () => 'from postgres',
      fallback: () => 'from memory',
      breaker,
      onDegraded: (service, degraded) => served.push(`${service} ${degraded ? 'degraded' : 'well'}`),
      ...options,
    });
  return { breaker, served, ask };
}

const refused = (): never => {
  throw new Error('connection refused');
};

test('the primary serves while it is well, and nothing is left ticking', async () => {
  const { ask, served } = setUp();
  expect(await ask({})).toBe('from postgres');
  expect(served).toEqual(['postgres well']);
  expect(vi.getTimerCount()).toBe(0);
});

test('when the primary fails the fallback serves, is told why, and the service is reported degraded', async () => {
  const { ask, served } = setUp();
  let told: unknown;
  const value = await ask({
    primary: refused,
    fallback: (failure) => {
      told = failure;
      return 'from memory';
    },
  });
  expect(value).toBe('from memory');
  expect(told).toMatchObject({ message: 'connection refused' });
  expect(served).toEqual(['postgres degraded']);
});

test('an open breaker spares the primary', async () => {
  const { ask } = setUp();
  await ask({ primary: refused });
  await ask({ primary: refused });
  const primary = vi.fn(() => 'from postgres');
  const fallback = vi.fn(() => 'from memory');
  expect(await ask({ primary, fallback })).toBe('from memory');
  expect(primary).not.toHaveBeenCalled();
  expect(fallback).toHaveBeenCalledWith(undefined);
});

test('a primary that hangs is given up at the deadline, told to stop, and counted as failed', async () => {
  const { ask, breaker } = setUp();
  let stopped: AbortSignal | undefined;
  const hang = (signal: AbortSignal): Promise<string> => {
    stopped = signal;
    return new Promise(() => undefined);
  };
  for (let call = 0; call < 2; call += 1) {
    const answer = ask({ primary: hang, deadlineMs: 250 });
    await vi.advanceTimersByTimeAsync(249);
    expect(stopped?.aborted).toBe(false);
    await vi.advanceTimersByTimeAsync(1);
    expect(await answer).toBe('from memory');
    expect(stopped?.reason).toBeInstanceOf(PrimaryDeadlineError);
  }
  expect(breaker.state).toBe('open');
});

test('a primary that fails after its deadline is no unhandled rejection and is counted once', async () => {
  const { ask, breaker } = setUp();
  let late: ((reason: Error) => void) | undefined;
  const answer = ask({ deadlineMs: 10, primary: () => new Promise<string>((_resolve, reject) => { late = reject; }) });
  await vi.advanceTimersByTimeAsync(10);
  expect(await answer).toBe('from memory');
  late?.(new Error('too late'));
  await new Promise((resolve) => setImmediate(resolve));
  expect(unhandled).toEqual([]);
  expect(breaker.state).toBe('closed');
});

test('a caller that left gets no fallback, and the breaker learns nothing from it', async () => {
  const { ask, breaker } = setUp();
  const caller = new AbortController();
  const fallback = vi.fn(() => 'from memory');
  for (let call = 0; call < 3; call += 1) {
    const controller = new AbortController();
    const answer = ask({ signal: controller.signal, fallback, primary: () => new Promise(() => undefined) });
    controller.abort(new Error('client left'));
    await expect(answer).rejects.toThrow('client left');
  }
  caller.abort(new Error('gone before it began'));
  await expect(ask({ signal: caller.signal })).rejects.toThrow('gone before it began');
  expect(fallback).not.toHaveBeenCalled();
  expect(breaker.state).toBe('closed');
  expect(vi.getTimerCount()).toBe(0);
});

test('a failure that proves the service is there reaches the caller and keeps the breaker closed', async () => {
  const { ask, breaker, served } = setUp();
  const duplicate = new Error('duplicate key');
  const options = { primary: () => Promise.reject(duplicate), isOutage: (failure: unknown) => failure !== duplicate };
  for (let call = 0; call < 3; call += 1) await expect(ask(options)).rejects.toBe(duplicate);
  expect(breaker.state).toBe('closed');
  expect(served).toEqual(['postgres well', 'postgres well', 'postgres well']);
});

test('when the fallback fails too, the caller gets its error and the service counts as degraded', async () => {
  const { ask, served } = setUp();
  await expect(ask({ primary: refused, fallback: () => Promise.reject(new Error('not cached')) })).rejects.toThrow('not cached');
  expect(served).toEqual(['postgres degraded']);
});

test('an answer that was there in time is taken, although this process was too busy to look', async () => {
  vi.useRealTimers();
  const { ask, breaker } = setUp();
  const answer = ask({ deadlineMs: 5, primary: () => stat('.').then(() => 'answer') });
  await Promise.resolve();
  await Promise.resolve();
  for (const until = performance.now() + 30; performance.now() < until;);
  expect(await answer).toBe('answer');
  expect(breaker.state).toBe('closed');
});
