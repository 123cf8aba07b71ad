import { spawn, type ChildProcess } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { eventually } from '@pointsman/testing';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { HeldLock, Lock } from './lock.ts';

export interface LockUnderTest extends AsyncDisposable {
  /** A contender of its own, as another process would be. */
  contender(): Promise<Lock>;
  /** What the fixture needs to contend as another process. */
  readonly fixture: readonly [kind: 'redis' | 'local', place: string];
}

/** What every lock promises. */
export function lockConformance(title: string, open: () => Promise<LockUnderTest>): void {
  describe(title, () => {
    let part: LockUnderTest;
    let lock: Lock;
    let other: Lock;
    let count = 0;
    beforeAll(async () => {
      part = await open();
      [lock, other] = [await part.contender(), await part.contender()];
    });
    afterAll(async () => {
      await part[Symbol.asyncDispose]();
    });
    const freshName = (): string => `model-sync:test-${String(count += 1)}`;
    const take = async (from: Lock, name: string, { ttlMs = 60_000, waitMs = 20_000 } = {}): Promise<HeldLock> => {
      const held = await from.acquire(name, { ttlMs, waitMs });
      if (held === undefined) throw new Error('not acquired');
      return held;
    };
    const holdElsewhere = async (name: string, ttlMs: number): Promise<Holder> => startHolder([...part.fixture, name, String(ttlMs)]);

    test('sixteen contenders hold it one after the other, never two at once, with rising fences', async () => {
      const name = freshName();
      let inside = 0;
      const fences: number[] = [];
      await Promise.all(Array.from({ length: 16 }, async () => {
        const contender = await part.contender();
        const held = await take(contender, name, { waitMs: 60_000 });
        inside += 1;
        expect(inside).toBe(1);
        fences.push(held.fence);
        await new Promise((resolve) => setImmediate(resolve));
        expect(held.signal.aborted).toBe(false);
        inside -= 1;
        await held.release();
      }));
      expect(fences).toHaveLength(16);
      for (const [index, fence] of fences.entries()) if (index > 0) expect(fence).toBeGreaterThan(fences[index - 1] ?? Infinity);
    });

    test('different names do not wait for each other', async () => {
      await using _first = await take(lock, freshName());
      await using second = await take(other, freshName(), { waitMs: 0 });
      expect(second.signal.aborted).toBe(false);
    });

    test('it is renewed for as long as its holder lives', async () => {
      const name = freshName();
      await using held = await take(lock, name, { ttlMs: 1_000 });
      expect(await other.acquire(name, { ttlMs: 1_000, waitMs: 2_500 })).toBeUndefined();
      expect(held.signal.aborted).toBe(false);
    });

    test('waiting ends without it when the time is up', async () => {
      const name = freshName();
      await using _held = await take(lock, name);
      expect(await other.acquire(name, { ttlMs: 1_000, waitMs: 0 })).toBeUndefined();
      expect(await other.acquire(name, { ttlMs: 1_000, waitMs: 100 })).toBeUndefined();
    });

    test('who is told to stop waiting rejects with the reason and leaves nothing behind', async () => {
      const name = freshName();
      const held = await take(lock, name);
      const stop = new AbortController();
      const waiting = other.acquire(name, { ttlMs: 60_000, waitMs: 60_000, signal: stop.signal });
      stop.abort(new Error('enough'));
      await expect(waiting).rejects.toThrow('enough');
      await held.release();
      await using next = await take(lock, name, { waitMs: 0 });
      expect(next.fence).toBeGreaterThan(held.fence);
    });

    test('it passes on when it is given back, and giving it back twice takes it from nobody', async () => {
      const name = freshName();
      const first = await take(lock, name);
      await first.release();
      expect(first.signal.aborted).toBe(true);
      await using second = await take(other, name, { waitMs: 0 });
      await first.release();
      await first[Symbol.asyncDispose]();
      expect(await lock.acquire(name, { ttlMs: 1_000, waitMs: 0 })).toBeUndefined();
      expect(second.signal.aborted).toBe(false);
    });

    test('a killed holder loses it when its time is over', async () => {
      const name = freshName();
      await using holder = await holdElsewhere(name, 600);
      expect(await lock.acquire(name, { ttlMs: 600, waitMs: 0 })).toBeUndefined();
      holder.process.kill('SIGKILL');
      await using held = await take(lock, name);
      expect(held.fence).toBeGreaterThan(holder.fence);
    });

    test('a frozen holder loses it, learns that when it goes on, and cannot take it back', async () => {
      const name = freshName();
      await using holder = await holdElsewhere(name, 600);
      holder.process.kill('SIGSTOP');
      await using held = await take(lock, name);
      expect(held.fence).toBeGreaterThan(holder.fence);
      holder.process.kill('SIGCONT');
      await eventually(() => expect(holder.lines).toContain('lost'));
      holder.process.stdin?.write('release\n');
      await eventually(() => expect(holder.process.exitCode).toBe(0));
      expect(held.signal.aborted).toBe(false);
      expect(await other.acquire(name, { ttlMs: 600, waitMs: 0 })).toBeUndefined();
    });

    test('times that make no sense are refused', async () => {
      await expect(lock.acquire(freshName(), { ttlMs: 0, waitMs: 0 })).rejects.toThrow('ttlMs');
      await expect(lock.acquire(freshName(), { ttlMs: 100.5, waitMs: 0 })).rejects.toThrow('ttlMs');
      await expect(lock.acquire(freshName(), { ttlMs: 100, waitMs: Number.NaN })).rejects.toThrow('waitMs');
    });
  });
}

interface Holder extends AsyncDisposable {
  readonly process: ChildProcess;
  readonly fence: number;
  readonly lines: readonly string[];
}

async function startHolder(words: readonly string[]): Promise<Holder> {
  const child = spawn(process.execPath, [join(import.meta.dirname, 'hold-lock.fixture.ts'), ...words], { stdio: ['pipe', 'pipe', 'inherit'] });
  const lines: string[] = [];
  createInterface(child.stdout).on('line', (line) => lines.push(line));
  const dispose = async (): Promise<void> => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill('SIGCONT');
    child.kill('SIGKILL');
    await eventually(() => child.exitCode !== null || child.signalCode !== null);
  };
  try {
    await eventually(() => expect(lines[0]).toMatch(/^held /));
  } catch (error) {
    await dispose();
    throw error;
  }
  return { process: child, lines, fence: Number(lines[0]?.slice('held '.length)), [Symbol.asyncDispose]: dispose };
}
