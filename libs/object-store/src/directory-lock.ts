import { createHash, randomUUID } from 'node:crypto';
import { link, readFile, rename, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { sleep } from '@pointsman/timing';
import type { Deadline } from './deadline.ts';
import { ObjectStoreError } from './object-store.ts';

/** A holder needs milliseconds: compare, rename. One that took so long was killed. */
const STALE_MS = 10_000;
const RETRY_MS = 5;

export interface KeyLock extends AsyncDisposable {
  /** @throws ObjectStoreError `unavailable` when somebody took the lock for abandoned. Right before the step that it protects. */
  check(): Promise<void>;
}

/**
 * One holder per key among all processes that see the folder: a file that only one of them can make. That of a holder which was killed is taken away after ten seconds;
 * a holder that was merely stopped for so long notices by `check`.
 */
export async function lockKey(folder: string, key: string, deadline: Deadline): Promise<KeyLock> {
  const path = join(folder, createHash('sha256').update(key).digest('hex').slice(0, 32));
  const token = randomUUID();
  const own = `${path}.${token}`;
  // Made aside and linked: a lock never exists without its token in it.
  await writeFile(own, token, { flag: 'wx' });
  let dated = performance.now();
  try {
    while (!(await tryLink(own, path))) {
      if (deadline.signal.aborted) throw deadline.signal.reason;
      await removeStale(path, token);
      await sleep(RETRY_MS * (0.5 + Math.random()), deadline.signal);
      // The file's time is the lock's: without this, one that was waited for would be born stale.
      if (performance.now() - dated > STALE_MS / 10) {
        await utimes(own, new Date(), new Date());
        dated = performance.now();
      }
    }
  } finally {
    await rm(own, { force: true });
  }
  const isOurs = async (): Promise<boolean> => (await tokenOf(path)) === token;
  return {
    check: async () => {
      if (!(await isOurs())) throw new ObjectStoreError('unavailable', 'A lock was held for too long and lost: the write was not made.');
    },
    [Symbol.asyncDispose]: async () => {
      if (await isOurs()) await rm(path, { force: true });
    },
  };
}

async function tryLink(from: string, to: string): Promise<boolean> {
  try {
    await link(from, to);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}

async function tokenOf(path: string): Promise<string | undefined> {
  return await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  });
}

/** Takes a lock away whose file is old; puts it back when, between the look and the grip, it became somebody else's. */
async function removeStale(path: string, token: string): Promise<void> {
  const found = await stat(path).catch(() => undefined);
  if (found === undefined || Date.now() - found.mtimeMs < STALE_MS) return;
  const before = await tokenOf(path);
  const taken = `${path}.stale-${token}`;
  try {
    await rename(path, taken);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return;
    throw error;
  }
  if ((await tokenOf(taken)) !== before) await tryLink(taken, path);
  await rm(taken, { force: true });
}
