import { mkdir, readdir, readFile, rm, symlink, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { temporaryDirectory } from '@pointsman/testing';
import { expect, test } from 'vitest';
import { createSync, type SyncOptions, type SyncStep } from './create-sync.ts';
import { confirmedRevision, createStagingDirectory, publishDirectory, publishedRevision, pruneGenerations, removeLeftovers } from './publish-directory.ts';
import { pauseMs, runSyncLoop } from './run-sync-loop.ts';
import { RejectedRevisionError, type SyncResult, type SyncSteps } from './sync-steps.ts';

const never = new AbortController().signal;

/** A source that holds one text per revision, and counts what is asked of it. */
function source(first: string): SyncSteps & { newest: string; fetched: string[]; applied: string[]; failApply: boolean; bad: Set<string>; refused: Set<string> } {
  return {
    newest: first, fetched: [], applied: [], failApply: false, bad: new Set(), refused: new Set(),
    head() { return Promise.resolve(this.newest); },
    async fetch(revision, directory) {
      this.fetched.push(revision);
      await mkdir(join(directory, 'sub'));
      await writeFile(join(directory, 'a.txt'), `a of ${revision}`);
      await writeFile(join(directory, 'sub', 'b.txt'), `b of ${revision}`);
      return revision;
    },
    verify(_directory, revision) { return this.bad.has(revision) ? Promise.reject(new RejectedRevisionError(revision, 'model_list[0]: broken')) : Promise.resolve(); },
    ensureApplied(revision) {
      if (this.failApply) return Promise.reject(new Error('nobody answers'));
      if (this.refused.has(revision)) return Promise.reject(new RejectedRevisionError(revision, 'the gateway refuses it'));
      this.applied.push(revision);
      return Promise.resolve();
    },
  };
}

/** Both files of what is published, read through the link. */
async function published(root: string): Promise<string[]> {
  return Promise.all(['a.txt', join('sub', 'b.txt')].map((name) => readFile(join(root, 'current', name), 'utf8')));
}

async function leftovers(root: string): Promise<string[]> {
  return (await readdir(root)).filter((name) => name.startsWith('.'));
}

test('what is new is published as a whole and applied, what is known is only applied, and going back is a publish like any other', async () => {
  await using directory = await temporaryDirectory();
  const root = directory.path;
  const steps = source('r1');
  const sync = createSync({ root, steps });
  expect(await sync.pass(never)).toMatchObject({ outcome: 'published', revision: 'r1' });
  expect(await sync.pass(never)).toMatchObject({ outcome: 'unchanged', revision: 'r1' });
  steps.newest = 'r2';
  expect(await sync.pass(never)).toMatchObject({ outcome: 'published', revision: 'r2' });
  expect(await published(root)).toEqual(['a of r2', 'b of r2']);
  steps.newest = 'r1';
  expect(await sync.pass(never)).toMatchObject({ outcome: 'published', revision: 'r1' });
  expect(await published(root)).toEqual(['a of r1', 'b of r1']);
  expect(steps.applied).toEqual(['r1', 'r1', 'r2', 'r1']);
  expect(await leftovers(root)).toEqual([]);
});

test('rejected content is fetched once, the old generation stays and is kept applied, and the next good one clears the reason', async () => {
  await using directory = await temporaryDirectory();
  const root = directory.path;
  const steps = source('good');
  const sync = createSync({ root, steps });
  await sync.pass(never);
  steps.bad.add('bad');
  steps.newest = 'bad';
  expect(await sync.pass(never)).toMatchObject({ outcome: 'rejected', revision: 'bad' });
  expect(await sync.pass(never)).toMatchObject({ outcome: 'rejected', revision: 'bad' });
  expect(sync.rejected).toEqual({ revision: 'bad', reason: 'model_list[0]: broken' });
  expect(steps.fetched).toEqual(['good', 'bad']);
  expect(await published(root)).toEqual(['a of good', 'b of good']);
  expect(steps.applied).toEqual(['good', 'good', 'good']);
  steps.newest = 'better';
  expect(await sync.pass(never)).toMatchObject({ outcome: 'published', revision: 'better' });
  expect(sync.rejected).toBeUndefined();
  expect(await leftovers(root)).toEqual([]);
});

test('a consumer that does not answer is nudged again without fetching again', async () => {
  await using directory = await temporaryDirectory();
  const steps = source('r1');
  const sync = createSync({ root: directory.path, steps });
  steps.failApply = true;
  await expect(sync.pass(never)).rejects.toThrow('nobody answers');
  steps.failApply = false;
  expect(await sync.pass(never)).toMatchObject({ outcome: 'unchanged', revision: 'r1' });
  expect(steps.fetched).toEqual(['r1']);
  expect(steps.applied).toEqual(['r1']);
});

const STEPS = ['head', 'fetched', 'verified', 'published', 'applied', 'pruned'] as const satisfies readonly SyncStep[];

test.each(STEPS)('killed after the step %s, what is published is whole, and the next run finishes the work', async (killedAfter) => {
  await using directory = await temporaryDirectory();
  const root = directory.path;
  const steps = source('r1');
  await createSync({ root, steps }).pass(never);
  steps.newest = 'r2';
  const onStep: NonNullable<SyncOptions['onStep']> = (step) => {
    if (step === killedAfter) throw new Error('killed');
  };
  await expect(createSync({ root, steps, onStep }).pass(never)).rejects.toThrow('killed');
  const [a, b] = await published(root);
  expect([['a of r1', 'b of r1'], ['a of r2', 'b of r2']]).toContainEqual([a, b]);
  await createSync({ root, steps }).pass(never);
  expect(await published(root)).toEqual(['a of r2', 'b of r2']);
});

test('what the gateway refuses gives way to what it last confirmed, is not tried again, and the next good one is served', async () => {
  await using directory = await temporaryDirectory();
  const root = directory.path;
  const steps = source('r1');
  const sync = createSync({ root, steps });
  await sync.pass(never);
  steps.refused.add('r2');
  steps.newest = 'r2';
  expect(await sync.pass(never)).toEqual({ outcome: 'rejected', revision: 'r2', serving: 'r1' });
  expect(sync.rejected).toEqual({ revision: 'r2', reason: 'the gateway refuses it' });
  expect(await published(root)).toEqual(['a of r1', 'b of r1']);
  expect(steps.applied).toEqual(['r1', 'r1']);
  expect(await sync.pass(never)).toMatchObject({ outcome: 'rejected', revision: 'r2', serving: 'r1' });
  expect(steps.fetched).toEqual(['r1', 'r2']);
  steps.newest = 'r3';
  expect(await sync.pass(never)).toEqual({ outcome: 'published', revision: 'r3', serving: 'r3' });
  expect(sync.rejected).toBeUndefined();
});

test('what one gateway refused is offered to its successor, and only to that one; what was found bad here is not', async () => {
  await using directory = await temporaryDirectory();
  const root = directory.path;
  const steps = source('r1');
  let gateway: string | undefined = '7/100';
  const sync = createSync({ root, steps: Object.assign(steps, { consumer: () => Promise.resolve(gateway) }) });
  await sync.pass(never);
  steps.refused.add('r2');
  steps.newest = 'r2';
  await sync.pass(never);
  expect(await sync.pass(never)).toMatchObject({ outcome: 'rejected', serving: 'r1' });
  gateway = undefined;
  expect(await sync.pass(never), 'it cannot be told who runs').toMatchObject({ outcome: 'rejected', serving: 'r1' });
  gateway = '7/200';
  expect(await sync.pass(never), 'the new one refuses it too').toMatchObject({ outcome: 'rejected', serving: 'r1' });
  expect(await sync.pass(never)).toMatchObject({ outcome: 'rejected' });
  expect(steps.fetched).toEqual(['r1', 'r2', 'r2']);
  gateway = '7/300';
  steps.refused.delete('r2');
  expect(await sync.pass(never)).toEqual({ outcome: 'published', revision: 'r2', serving: 'r2' });
  expect(sync.rejected).toBeUndefined();
  steps.bad.add('r3');
  steps.newest = 'r3';
  await sync.pass(never);
  gateway = '7/400';
  await sync.pass(never);
  expect(steps.fetched.filter((revision) => revision === 'r3')).toHaveLength(1);
});

test('what was published while no gateway answered is not what a refusal falls back to', async () => {
  await using directory = await temporaryDirectory();
  const root = directory.path;
  const steps = source('good');
  const sync = createSync({ root, steps });
  await sync.pass(never);
  steps.failApply = true;
  steps.newest = 'unconfirmed';
  await expect(sync.pass(never)).rejects.toThrow('nobody answers');
  steps.failApply = false;
  steps.refused.add('unconfirmed').add('newest');
  steps.newest = 'newest';
  expect(await sync.pass(never)).toEqual({ outcome: 'rejected', revision: 'newest', serving: 'good' });
});

test('a first revision that the gateway refuses stays where it is, rejected, and serves once the gateway takes it', async () => {
  await using directory = await temporaryDirectory();
  const root = directory.path;
  const steps = source('r1');
  const sync = createSync({ root, steps });
  steps.refused.add('r1');
  for (let n = 0; n < 2; n += 1) expect(await sync.pass(never)).toEqual({ outcome: 'rejected', revision: 'r1', serving: 'r1' });
  expect(await published(root)).toEqual(['a of r1', 'b of r1']);
  steps.refused.clear();
  expect(await sync.pass(never)).toMatchObject({ outcome: 'unchanged', revision: 'r1' });
  expect(sync.rejected).toBeUndefined();
});

test('a confirmed revision that the gateway refuses after it was started anew stays where it is, rejected', async () => {
  await using directory = await temporaryDirectory();
  const steps = source('r1');
  const sync = createSync({ root: directory.path, steps });
  await sync.pass(never);
  steps.refused.add('r1');
  for (let n = 0; n < 2; n += 1) expect(await sync.pass(never)).toEqual({ outcome: 'rejected', revision: 'r1', serving: 'r1' });
});

test('a gateway that refuses what it confirmed before, while something newer is rejected, is a failure and no news about the newer one', async () => {
  await using directory = await temporaryDirectory();
  const steps = source('r1');
  const sync = createSync({ root: directory.path, steps });
  await sync.pass(never);
  steps.bad.add('r2');
  steps.newest = 'r2';
  await sync.pass(never);
  steps.refused.add('r1');
  await expect(sync.pass(never)).rejects.toThrow('The published revision r1 is refused too: the gateway refuses it');
  expect(sync.rejected).toEqual({ revision: 'r2', reason: 'model_list[0]: broken' });
  expect(steps.fetched).toEqual(['r1', 'r2']);
});

test.each(['published', 'returned'] as const)('killed after the step %s of a revision that the gateway refuses, the next run is back on the confirmed one', async (killedAfter) => {
  await using directory = await temporaryDirectory();
  const root = directory.path;
  const steps = source('r1');
  await createSync({ root, steps }).pass(never);
  steps.refused.add('r2');
  steps.newest = 'r2';
  await expect(createSync({ root, steps, onStep: (step) => {
    if (step === killedAfter) throw new Error('killed');
  } }).pass(never)).rejects.toThrow('killed');
  expect(await createSync({ root, steps }).pass(never)).toEqual({ outcome: 'rejected', revision: 'r2', serving: 'r1' });
  expect(await published(root)).toEqual(['a of r1', 'b of r1']);
});

test('without a consumer nothing counts as confirmed', async () => {
  await using directory = await temporaryDirectory();
  const { head, fetch, verify, ...rest } = source('r1');
  const steps = { ...rest, head, fetch, verify, ensureApplied: undefined };
  expect(await createSync({ root: directory.path, steps }).pass(never)).toMatchObject({ outcome: 'published', revision: 'r1' });
  expect(await confirmedRevision(directory.path)).toBeUndefined();
});

test('what says what should be here may itself be bad: rejected, and what is published is kept applied', async () => {
  await using directory = await temporaryDirectory();
  const steps = source('r1');
  const sync = createSync({ root: directory.path, steps });
  await sync.pass(never);
  const head = steps.head.bind(steps);
  steps.head = () => Promise.reject(new RejectedRevisionError('release-1', 'release.json: stable: is required'));
  expect(await sync.pass(never)).toEqual({ outcome: 'rejected', revision: 'release-1', serving: 'r1' });
  expect(steps.applied).toEqual(['r1', 'r1']);
  steps.head = head;
  expect(await sync.pass(never)).toMatchObject({ outcome: 'unchanged' });
  expect(sync.rejected).toBeUndefined();
});

test('a published generation that somebody removed is fetched again', async () => {
  await using directory = await temporaryDirectory();
  const steps = source('r1');
  await createSync({ root: directory.path, steps }).pass(never);
  await rm(join(directory.path, 'generations', 'r1'), { recursive: true });
  expect(await createSync({ root: directory.path, steps }).pass(never)).toMatchObject({ outcome: 'published', revision: 'r1' });
  expect(await published(directory.path)).toEqual(['a of r1', 'b of r1']);
});

test('two sidecars on one volume publish the same revision at once: one whole generation is there', async () => {
  await using directory = await temporaryDirectory();
  const root = directory.path;
  const sidecars = Array.from({ length: 8 }, () => createSync({ root, steps: source('same') }));
  const results = await Promise.all(sidecars.map((sync) => sync.pass(never)));
  expect(results.every(({ revision }) => revision === 'same')).toBe(true);
  expect(await published(root)).toEqual(['a of same', 'b of same']);
  expect(await readdir(join(root, 'generations'))).toEqual(['same']);
  expect(await leftovers(root)).toEqual([]);
});

test('a reader that resolved the link keeps a whole generation while others are published and pruned', async () => {
  await using directory = await temporaryDirectory();
  const root = directory.path;
  const steps = source('r0');
  const sync = createSync({ root, steps, keepGenerations: 2 });
  await sync.pass(never);
  for (let n = 1; n <= 5; n += 1) {
    steps.newest = `r${String(n)}`;
    await sync.pass(never);
  }
  expect((await readdir(join(root, 'generations'))).sort()).toEqual(['r3', 'r4', 'r5']);
  expect(await pruneGenerations(root, { keep: 0, alsoKeep: new Set(['r3']) })).toEqual(['r4']);
  expect(await publishedRevision(root)).toBe('r5');
});

test.each(['../escape', 'a/b', '', '.hidden', 'nul\0byte', 'x'.repeat(201)])('a revision that is no plain name is refused: %j', async (revision) => {
  await using directory = await temporaryDirectory();
  const staged = await createStagingDirectory(directory.path);
  await expect(publishDirectory(directory.path, staged, revision)).rejects.toThrow(/plain name/);
});

test('a link that leads out of the generations is not taken for a revision', async () => {
  await using directory = await temporaryDirectory();
  await symlink('/etc', join(directory.path, 'current'));
  expect(await publishedRevision(directory.path)).toBeUndefined();
});

test('leftovers of a killed run are removed once nobody has touched them for a while, running work of a neighbour is not', async () => {
  await using directory = await temporaryDirectory();
  const root = directory.path;
  const [old, running] = [await createStagingDirectory(root), await createStagingDirectory(root)];
  await writeFile(join(running, 'growing'), 'x');
  const longAgo = new Date(Date.now() - 3_600_000);
  await utimes(old, longAgo, longAgo);
  await utimes(running, longAgo, longAgo);
  expect(await removeLeftovers(root, { olderThanMs: 60_000 })).toBe(1);
  expect(await leftovers(root)).toEqual([running.slice(root.length + 1)]);
});

test('a link that a neighbour is about to rename is as old as itself, not as what it leads to', async () => {
  await using directory = await temporaryDirectory();
  const root = directory.path;
  await createSync({ root, steps: source('r1') }).pass(never);
  const longAgo = new Date(Date.now() - 3_600_000);
  await mkdir(join(root, 'generations', 'old'));
  await utimes(join(root, 'generations', 'old'), longAgo, longAgo);
  await symlink(join('generations', 'old'), join(root, '.link-neighbour'));
  expect(await removeLeftovers(root, { olderThanMs: 60_000 })).toBe(0);
  expect(await removeLeftovers(root, { olderThanMs: 60_000, now: Date.now() + 3_600_000 })).toBe(1);
});

test('the loop counts failures in a row, forgives after a success, does not count rejections, and gives up at its limit', async () => {
  const outcomes: (SyncResult | Error)[] = [new Error('a'), new Error('b'), { outcome: 'rejected', revision: 'x' }, new Error('c'), new Error('d'), new Error('e')];
  const seen: string[] = [];
  const loop = runSyncLoop(() => {
    const next = outcomes.shift();
    return next instanceof Error ? Promise.reject(next) : Promise.resolve(next ?? { outcome: 'unchanged', revision: 'x' });
  }, { intervalMs: 1, passTimeoutMs: 1_000, maxFailures: 3, random: () => 0.5, now: () => 0 }, {
    onPass: (pass) => void seen.push('result' in pass ? pass.result.outcome : `failure ${String(pass.consecutiveFailures)}`),
  }, never);
  await expect(loop).rejects.toThrow('e');
  expect(seen).toEqual(['failure 1', 'failure 2', 'rejected', 'failure 1', 'failure 2', 'failure 3']);
});

test.each([
  [60_000, 0, 60_000], [60_000, 1, 1_000], [60_000, 2, 2_000], [60_000, 6, 32_000], [60_000, 7, 60_000], [60_000, 1_000, 60_000], [500, 3, 500],
])('with an interval of %i ms, the pause after %i failures is %i ms', (interval, failures, expected) => {
  expect(pauseMs(interval, failures)).toBe(expected);
});

test('the interval is asked before each pause', async () => {
  const stop = new AbortController();
  let asked = 0;
  await runSyncLoop(() => Promise.resolve({ outcome: 'unchanged', revision: 'x' }), { intervalMs: () => {
    asked += 1;
    if (asked === 3) stop.abort();
    return 1;
  }, passTimeoutMs: 1_000, random: () => 0, now: () => 0 }, { onPass: () => undefined }, stop.signal);
  expect(asked).toBe(3);
});

test('a pass that hangs is given up at its limit, and the signal ends the loop at once', async () => {
  const stop = new AbortController();
  const failures: unknown[] = [];
  const loop = runSyncLoop((signal) => new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason as Error))), { intervalMs: 60_000, passTimeoutMs: 20, random: () => 0, now: () => 0 }, {
    onPass: (pass) => {
      failures.push(pass);
      stop.abort();
    },
  }, stop.signal);
  await loop;
  expect(failures).toMatchObject([{ consecutiveFailures: 1, failure: { name: 'TimeoutError' } }]);
});
