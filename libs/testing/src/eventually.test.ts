import { expect, test } from 'vitest';
import { eventually } from './eventually.ts';

test('a condition is tried until it holds, and its value is handed on', async () => {
  let tries = 0;
  const value = await eventually(() => {
    tries += 1;
    if (tries < 4) throw new Error('not yet');
    return tries;
  }, { intervalMs: 1 });
  expect(value).toBe(4);
});

test('a condition that never holds fails with its own last words', async () => {
  await expect(eventually(() => expect(1).toBe(2), { timeoutMs: 20, intervalMs: 1 })).rejects.toThrow(/expected 1 to be 2/);
  await expect(eventually(() => false, { timeoutMs: 20, intervalMs: 1 })).rejects.toThrow(/still false/);
});
