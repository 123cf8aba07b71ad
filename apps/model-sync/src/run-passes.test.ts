import { eventually } from '@pointsman/testing';
import { expect, test } from 'vitest';
import { createPassLoop } from './run-passes.ts';

const options = { intervalMs: 3_600_000, passTimeoutMs: 10_000, random: () => 0.5 };

test('a wake begins the next pass at once, and one during a pass the one after it', async () => {
  const stop = new AbortController();
  let passes = 0;
  const gates = [Promise.withResolvers<void>(), Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const loop = createPassLoop(async () => {
    passes += 1;
    await gates[passes - 1]?.promise;
  }, options);
  const ended = loop.run(stop.signal);
  gates[0]?.resolve();
  await eventually(() => expect(passes).toBe(1));
  await new Promise((resolve) => setImmediate(resolve));
  loop.wake();
  await eventually(() => expect(passes).toBe(2));
  loop.wake();
  loop.wake();
  gates[1]?.resolve();
  await eventually(() => expect(passes).toBe(3));
  gates[2]?.resolve();
  stop.abort();
  await ended;
  expect(passes).toBe(3);
});

test('after a failure the next pass comes sooner than the interval; too many in a row are what it rejects with', async () => {
  let passes = 0;
  const loop = createPassLoop(async () => {
    passes += 1;
    await Promise.resolve();
    throw new Error(`failure ${String(passes)}`);
  }, { ...options, intervalMs: 1, maxFailures: 3 });
  await expect(loop.run(new AbortController().signal)).rejects.toThrow('failure 3');
});

test('with `once` it ends after the first good pass', async () => {
  let passes = 0;
  await createPassLoop(async () => {
    passes += 1;
    await Promise.resolve();
    if (passes < 3) throw new Error('not yet');
  }, { ...options, intervalMs: 1, once: true }).run(new AbortController().signal);
  expect(passes).toBe(3);
});

test('a pass that takes too long is ended', async () => {
  const ended = createPassLoop((signal) => new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason as Error))), { ...options, passTimeoutMs: 20, maxFailures: 1 }).run(new AbortController().signal);
  await expect(ended).rejects.toMatchObject({ name: 'TimeoutError' });
});

test('a restart ends the running pass, which is no failure, and begins another', async () => {
  const stop = new AbortController();
  const reasons: unknown[] = [];
  let passes = 0;
  const loop = createPassLoop(async (signal) => {
    passes += 1;
    if (passes > 1) return;
    await new Promise((_resolve, reject) => signal.addEventListener('abort', () => {
      reasons.push(signal.reason);
      reject(signal.reason as Error);
    }));
  }, { ...options, maxFailures: 1 });
  const ended = loop.run(stop.signal);
  loop.wake({ restart: true });
  await eventually(() => expect(passes).toBe(2));
  expect(reasons).toMatchObject([{ code: 'pass_superseded' }]);
  stop.abort();
  await ended;
});
