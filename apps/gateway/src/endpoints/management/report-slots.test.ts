import { expect, test } from 'vitest';
import { ReportSlots } from './report-slots.ts';

const ofKey = { isOfKey: true };
const ofAdmin = { isOfKey: false };

test('one report of a key runs at a time, a few wait in turn, more are told to come back; an administrator finds a slot all the same', async () => {
  const slots = new ReportSlots({ waitMs: 60_000 });
  const first = await slots.take(ofKey);
  const order: number[] = [];
  const waiting = Array.from({ length: 8 }, async (_, index) => {
    const release = await slots.take(ofKey);
    order.push(index);
    return release;
  });
  await expect(slots.take(ofKey)).rejects.toMatchObject({ status: 503, code: 'busy', retryAfterMs: 2_000 });
  (await slots.take(ofAdmin))();
  expect(order).toEqual([]);
  first();
  for (const next of waiting) (await next)();
  expect(order).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
});

test('never more than two run', async () => {
  const slots = new ReportSlots({ waitMs: 60_000 });
  let running = 0;
  let most = 0;
  await Promise.all(Array.from({ length: 12 }, async (_, index) => {
    const release = await slots.take({ isOfKey: index % 3 === 0 });
    running += 1;
    most = Math.max(most, running);
    await Promise.resolve();
    running -= 1;
    release();
  }));
  expect(most).toBe(2);
});

test('who has waited long enough is told to come back, and takes no slot later', async () => {
  const slots = new ReportSlots({ waitMs: 5 });
  const first = await slots.take(ofKey);
  await expect(slots.take(ofKey)).rejects.toMatchObject({ code: 'busy' });
  first();
  (await slots.take(ofKey))();
});
