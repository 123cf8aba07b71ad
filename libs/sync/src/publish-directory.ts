import { randomUUID } from 'node:crypto';
import { lstat, mkdir, open, readdir, readlink, rename, rm, stat, symlink, utimes } from 'node:fs/promises';
import { basename, join } from 'node:path';

const STAGING = '.staging-';
const LINK = '.link-';
const TOUCH = '.now-';
const CONFIRMED = 'confirmed';
/** Content identities: hex digests, versions, both. Never a path. */
const REVISION = /^[A-Za-z0-9][A-Za-z0-9._-]{0,199}$/;

/** The revision that `current` points to; undefined before the first publish, when its generation is gone and when somebody has put something else there. */
export function publishedRevision(root: string): Promise<string | undefined> {
  return linkedRevision(root, 'current');
}

/** The revision that the consumer last said it serves: where to go back to when it refuses a newer one. Kept on disk, so that it outlives the sidecar. */
export function confirmedRevision(root: string): Promise<string | undefined> {
  return linkedRevision(root, CONFIRMED);
}

/** Remembers that the consumer serves a generation. */
export async function confirmRevision(root: string, revision: string): Promise<void> {
  if (await confirmedRevision(root) === revision) return;
  await replaceLink(join(root, CONFIRMED), join('generations', revision));
}

async function linkedRevision(root: string, name: string): Promise<string | undefined> {
  try {
    const target = await readlink(join(root, name));
    const revision = basename(target);
    if (!REVISION.test(revision) || target !== join('generations', revision)) return undefined;
    return (await stat(join(root, target))).isDirectory() ? revision : undefined;
  } catch (error) {
    if (hasCode(error, 'ENOENT') || hasCode(error, 'EINVAL')) return undefined;
    throw error;
  }
}

/** An empty directory of our own on the same file system as the generations, so that publishing is one rename. */
export async function createStagingDirectory(root: string): Promise<string> {
  const directory = join(root, `${STAGING}${randomUUID()}`);
  await mkdir(directory, { recursive: true });
  return directory;
}

/**
 * Makes a complete, verified directory the published one: moved to `generations/<revision>`, then `current` is replaced by one rename of a relative link
 * (another container mounts the root elsewhere). A generation that is there already is complete, since directories arrive by rename: it stays as it is, and what
 * was staged is removed. Killed between any two steps, `current` is either the old or the new one.
 * @throws Error for a revision that is no plain name, and what the file system says (`ENOSPC`, `EROFS`).
 */
export async function publishDirectory(root: string, staged: string, revision: string): Promise<void> {
  if (!REVISION.test(revision)) throw new Error(`A revision must be a plain name of letters, digits, dots, dashes and underscores, not ${JSON.stringify(revision.slice(0, 80))}.`);
  const generation = join(root, 'generations', revision);
  await mkdir(join(root, 'generations'), { recursive: true });
  await syncTree(staged);
  try {
    await rename(staged, generation);
  } catch (error) {
    // Another sidecar on the same volume was first, or this revision was published before: what is there is whole.
    if (!hasCode(error, 'ENOTEMPTY') && !hasCode(error, 'EEXIST')) throw error;
    await rm(staged, { recursive: true, force: true });
    // Its age is that of its last publishing: a neighbour that prunes must not take it for the oldest.
    const now = await fileSystemTime(root);
    await utimes(generation, now, now);
  }
  await syncPath(join(root, 'generations'));
  await pointTo(root, revision);
}

/** Points `current` to a generation that is there. */
export async function pointTo(root: string, revision: string): Promise<void> {
  await replaceLink(join(root, 'current'), join('generations', revision));
  await syncPath(root);
}

/** Puts a relative link at a path in one step, whatever was there. */
export async function replaceLink(path: string, target: string): Promise<void> {
  const link = join(path, '..', `${LINK}${randomUUID()}`);
  await symlink(target, link);
  try {
    await rename(link, path);
  } catch (error) {
    await rm(link, { force: true });
    throw error;
  }
}

/**
 * Removes what a killed process left behind: staging directories and links that nobody has touched for `olderThanMs`. Another sidecar's running work stays.
 * Ages are told by the file system's own clock, which on a network volume is not this machine's; `now` (milliseconds since 1970) replaces it.
 */
export async function removeLeftovers(root: string, { olderThanMs, now }: { readonly olderThanMs: number; readonly now?: number }): Promise<number> {
  const left = (await namesIn(root)).filter((name) => [STAGING, LINK, TOUCH].some((prefix) => name.startsWith(prefix)));
  if (left.length === 0) return 0;
  const nowMs = now ?? (await fileSystemTime(root)).getTime();
  let removed = 0;
  for (const name of left) {
    const path = join(root, name);
    const newest = await newestChange(path);
    if (newest === undefined || nowMs - newest < olderThanMs) continue;
    await rm(path, { recursive: true, force: true });
    removed += 1;
  }
  return removed;
}

/** What time the file system of a directory has: the modification time it gives to a new file. */
async function fileSystemTime(directory: string): Promise<Date> {
  const path = join(directory, `${TOUCH}${randomUUID()}`);
  const handle = await open(path, 'wx');
  try {
    return (await handle.stat()).mtime;
  } finally {
    await handle.close();
    await rm(path, { force: true });
  }
}

/** Removes old generations: the newest `keep` stay besides the published one, the confirmed one and those in `alsoKeep`, for readers that are still on them and for rollbacks. */
export async function pruneGenerations(root: string, { keep, alsoKeep = new Set() }: { readonly keep: number; readonly alsoKeep?: ReadonlySet<string> }): Promise<string[]> {
  const linked = new Set([await publishedRevision(root), await confirmedRevision(root)]);
  const candidates: { readonly name: string; readonly changedAt: number }[] = [];
  for (const name of await namesIn(join(root, 'generations'))) {
    if (linked.has(name) || alsoKeep.has(name)) continue;
    const found = await stat(join(root, 'generations', name)).catch(() => undefined);
    if (found !== undefined) candidates.push({ name, changedAt: found.mtimeMs });
  }
  candidates.sort((a, b) => b.changedAt - a.changedAt);
  const old = candidates.slice(keep).map(({ name }) => name);
  for (const name of old) await rm(join(root, 'generations', name), { recursive: true, force: true });
  return old;
}

async function namesIn(directory: string): Promise<string[]> {
  try {
    return await readdir(directory);
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return [];
    throw error;
  }
}

/** The latest change of a directory or anything in it: a download that goes on touches only its file. */
async function newestChange(path: string): Promise<number | undefined> {
  try {
    const found = await lstat(path);
    let newest = found.mtimeMs;
    if (!found.isDirectory()) return newest; // a link is as old as itself, wherever it leads
    for (const entry of await readdir(path, { withFileTypes: true, recursive: true }).catch(() => [])) {
      const found = await stat(join(entry.parentPath, entry.name)).catch(() => undefined);
      if (found !== undefined && found.mtimeMs > newest) newest = found.mtimeMs;
    }
    return newest;
  } catch {
    return undefined;
  }
}

/** Content before names: without this a machine that loses power may come back with a published generation of empty files. */
async function syncTree(directory: string): Promise<void> {
  for (const entry of await readdir(directory, { withFileTypes: true })) {
    const path = join(directory, entry.name);
    if (entry.isDirectory()) await syncTree(path);
    else if (entry.isFile()) await syncPath(path);
  }
  await syncPath(directory);
}

async function syncPath(path: string): Promise<void> {
  const handle = await open(path, 'r');
  try {
    await handle.sync();
  } catch (error) {
    // Some file systems (FUSE mounts of object stores) refuse to sync directories: publishing there is as safe as they are.
    if (!hasCode(error, 'EINVAL') && !hasCode(error, 'ENOTSUP') && !hasCode(error, 'EBADF')) throw error;
  } finally {
    await handle.close();
  }
}

function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code;
}
