import { readdir, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { eventually, temporaryDirectory } from '@pointsman/testing';
import { expect, test } from 'vitest';
import { createLocalLock } from './local-lock.ts';
import { lockConformance } from './lock.conformance.ts';

lockConformance('the lock of one machine', async () => {
  const directory = await temporaryDirectory();
  return {
    fixture: ['local', directory.path],
    contender: async () => await Promise.resolve(createLocalLock({ directory: directory.path, pauseMs: 20 })),
    [Symbol.asyncDispose]: () => directory[Symbol.asyncDispose](),
  };
});

test('a holder that died long ago is not waited for', async () => {
  await using directory = await temporaryDirectory();
  const path = join(directory.path, 'a.lock.7');
  await writeFile(path, JSON.stringify({ id: 'x', ttlMs: 1_000 }));
  const longAgo = new Date(Date.now() - 3_600_000);
  await utimes(path, longAgo, longAgo);
  await using held = await createLocalLock({ directory: directory.path }).acquire('a', { ttlMs: 1_000, waitMs: 0 });
  expect(held?.fence).toBe(8);
  expect(await readdir(directory.path)).toEqual(['a.lock.8']);
});

test('a dead holder is noticed by its silence, also when its last beat bears a time to come', async () => {
  await using directory = await temporaryDirectory();
  const path = join(directory.path, 'a.lock.7');
  await writeFile(path, JSON.stringify({ id: 'x', ttlMs: 200 }));
  const tomorrow = new Date(Date.now() + 86_400_000);
  await utimes(path, tomorrow, tomorrow);
  const lock = createLocalLock({ directory: directory.path, pauseMs: 20 });
  expect(await lock.acquire('a', { ttlMs: 200, waitMs: 0 })).toBeUndefined();
  await using held = await lock.acquire('a', { ttlMs: 60_000, waitMs: 20_000 });
  expect(held?.fence).toBe(8);
});

test('a lock whose file somebody replaced is lost', async () => {
  await using directory = await temporaryDirectory();
  await using held = await createLocalLock({ directory: directory.path }).acquire('a', { ttlMs: 900, waitMs: 0 });
  await writeFile(join(directory.path, `a.lock.${(held?.fence ?? 0) + 1}`), '');
  await eventually(() => expect(held?.signal.aborted).toBe(true));
  expect(held?.signal.reason).toMatchObject({ code: 'lock_lost', message: expect.stringContaining('another holder') as string });
});

test('names are no paths', async () => {
  await using directory = await temporaryDirectory();
  const lock = createLocalLock({ directory: directory.path });
  await using _held = await lock.acquire('../../etc/a.lock.9', { ttlMs: 1_000, waitMs: 0 });
  expect(await readdir(directory.path)).toEqual(['%2E%2E%2F%2E%2E%2Fetc%2Fa%2Elock%2E9.lock.1']);
  expect(await lock.acquire('../../etc/a.lock.9', { ttlMs: 1_000, waitMs: 0 })).toBeUndefined();
});

test('a folder that cannot be used is said as such', async () => {
  await using directory = await temporaryDirectory();
  await writeFile(join(directory.path, 'file'), '');
  await expect(createLocalLock({ directory: join(directory.path, 'file') }).acquire('a', { ttlMs: 1_000, waitMs: 0 })).rejects.toMatchObject({ code: 'lock_unavailable', retryable: true });
});
