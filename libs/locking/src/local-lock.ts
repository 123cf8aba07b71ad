import { randomUUID } from 'node:crypto';
import { mkdir, open, readdir, readFile, rm, stat, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { holdLock } from './held-lock.ts';
import { LockUnavailableError, type AcquireOptions, type HeldLock, type Lock } from './lock.ts';
import { waitForLock } from './wait-for-lock.ts';

export interface LocalLockOptions {
  /** Shared by all who contend: a folder of this machine, on a file system that knows O_EXCL (not NFS before version 3). */
  readonly directory: string;
  readonly random?: () => number;
  /** Pause between two tries while another holds the lock, in milliseconds, ±50 %; 100 by default. */
  readonly pauseMs?: number;
}

/** A modification time that says "given back". */
const RELEASED = new Date(0);
/** Somebody whose last beat is so many times its time to live ago is dead, whoever looks for the first time. */
const LONG_DEAD = 4;

interface Seen {
  readonly number: number;
  readonly modifiedMs: number;
  /** `performance.now()` of the first look at this beat. */
  readonly since: number;
}

/**
 * Locks between processes of one machine, also across containers (no process ids are compared). Each holder creates `<name>.lock.<n>` with the next number;
 * the highest number holds, and its modification time is its heartbeat. Numbers never go back: they are the fencing token, and nothing has to be removed
 * to take a lock over, so two who find a dead holder cannot remove each other's lock.
 */
export function createLocalLock({ directory, random = Math.random, pauseMs = 100 }: LocalLockOptions): Lock {
  const seen = new Map<string, Seen>();

  async function tryOnce(name: string, { ttlMs }: AcquireOptions): Promise<HeldLock | undefined> {
    const prefix = `${encodeURIComponent(name).replaceAll('.', '%2E')}.lock.`;
    const pathOf = (number: number): string => join(directory, `${prefix}${number}`);
    const numbers = async (): Promise<number[]> => (await readdir(directory)).flatMap((entry) => (entry.startsWith(prefix) && /^[1-9]\d{0,14}$/.test(entry.slice(prefix.length)) ? [Number(entry.slice(prefix.length))] : []));
    const highest = async (): Promise<number> => (await numbers()).reduce((most, number) => Math.max(most, number), 0);

    try {
      await mkdir(directory, { recursive: true });
      const last = await highest();
      if (last > 0 && !(await isFree(name, pathOf(last), last, ttlMs))) return undefined;
      const number = last + 1;
      const path = pathOf(number);
      const askedAt = performance.now();
      const id = randomUUID();
      try {
        const file = await open(path, 'wx');
        await file.writeFile(JSON.stringify({ id, ttlMs }));
        await file.close();
      } catch (error) {
        if (hasCode(error, 'EEXIST')) return undefined;
        throw error;
      }
      // Two steps lay between the look and the file: meanwhile others may have come, gone, and tidied up behind them.
      if ((await highest()) !== number) {
        await rm(path, { force: true });
        return undefined;
      }
      for (const old of await numbers()) if (old < number) await rm(pathOf(old), { force: true });
      return holdLock({
        name, fence: number, ttlMs, validUntil: askedAt + ttlMs,
        extend: async () => {
          if ((await highest()) !== number) return false;
          await utimes(path, new Date(), new Date());
          return true;
        },
        giveBack: () => utimes(path, RELEASED, RELEASED),
      });
    } catch (error) {
      throw new LockUnavailableError(name, `the folder ${directory} cannot be used.`, error);
    }
  }

  /** Whether the holder of that number has given the lock back or is dead: no beat for as long as its lock lives, by a clock that nobody sets. */
  async function isFree(name: string, path: string, number: number, ttlMs: number): Promise<boolean> {
    const found = await stat(path).catch((error: unknown) => {
      if (hasCode(error, 'ENOENT')) return undefined;
      throw error;
    });
    if (found === undefined) return false; // a successor has just removed it
    if (found.mtimeMs === RELEASED.getTime()) return true;
    const livesMs = await timeToLive(path) ?? ttlMs;
    const now = performance.now();
    const before = seen.get(name);
    if (before?.number !== number || before.modifiedMs !== found.mtimeMs) seen.set(name, { number, modifiedMs: found.mtimeMs, since: now });
    else if (now - before.since > livesMs) return true;
    return Date.now() - found.mtimeMs > LONG_DEAD * livesMs;
  }

  return { acquire: (name, options) => waitForLock(() => tryOnce(name, options), options, { pauseMs, random }) };
}

/** What the holder asked for; undefined while it is still writing. */
async function timeToLive(path: string): Promise<number | undefined> {
  try {
    const parsed: unknown = JSON.parse(await readFile(path, 'utf8'));
    const value = typeof parsed === 'object' && parsed !== null && 'ttlMs' in parsed ? parsed.ttlMs : undefined;
    return typeof value === 'number' && value >= 50 ? value : undefined;
  } catch {
    return undefined;
  }
}

function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code;
}
