import { expect, test } from 'vitest';
import { forEachOf } from './for-each-of.ts';

const never = new AbortController().signal;

test('all items are worked on, never more than allowed at once', async () => {
  let running = 0;
  let most = 0;
  const done: number[] = [];
  await forEachOf([1, 2, 3, 4, 5, 6, 7], { concurrency: 3, signal: never }, async (item) => {
    running += 1;
    most = Math.max(most, running);
    await new Promise((resolve) => setImmediate(resolve));
    running -= 1;
    done.push(item);
  });
  expect(most).toBe(3);
  expect(done.toSorted()).toEqual([1, 2, 3, 4, 5, 6, 7]);
});

test('the first failure stops the others and is what it rejects with', async () => {
  const started: number[] = [];
  let aborted = 0;
  await expect(forEachOf([1, 2, 3, 4], { concurrency: 2, signal: never }, async (item, signal) => {
    started.push(item);
    if (item === 2) throw new Error('second');
    await new Promise<void>((_resolve, reject) => signal.addEventListener('abort', () => {
      aborted += 1;
      reject(new Error('stopped'));
    }));
  })).rejects.toThrow('second');
  expect(started).toEqual([1, 2]);
  expect(aborted).toBe(1);
});

test('the caller\'s signal ends it with its reason', async () => {
  const stop = new AbortController();
  const work = forEachOf([1], { concurrency: 1, signal: stop.signal }, (_item, signal) => new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(new Error('late')))));
  stop.abort(new Error('enough'));
  await expect(work).rejects.toThrow('enough');
});
