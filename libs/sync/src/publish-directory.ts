import { randomUUID } from 'node:crypto';
import { mkdir, open, readdir, readlink, rename, rm, stat, symlink } from 'node:fs/promises';
import { basename, join } from 'node:path';

const STAGING = '.staging-';
const LINK = '.link-';
/** Content identities: hex digests, versions, both. Never a path. */
const REVISION = /^[A-Za-z0-9][A-Za-z0-9._-]{0,199}$/;

/** The revision that `current` points to; undefined before the first publish and when somebody has put something else there. */
export async function publishedRevision(root: string): Promise<string | undefined> {
  try {
    const target = await readlink(join(root, 'current'));
    const revision = basename(target);
    return REVISION.test(revision) && target === join('generations', revision) ? revision : undefined;
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

/** Removes what a killed process left behind: staging directories and links that nobody has touched for `olderThanMs`. Another sidecar's running work stays. */
export async function removeLeftovers(root: string, { olderThanMs, now }: { readonly olderThanMs: number; readonly now: number }): Promise<number> {
  let removed = 0;
  for (const name of await namesIn(root)) {
    if (!name.startsWith(STAGING) && !name.startsWith(LINK)) continue;
    const path = join(root, name);
    const newest = await newestChange(path);
    if (newest === undefined || now - newest < olderThanMs) continue;
    await rm(path, { recursive: true, force: true });
    removed += 1;
  }
  return removed;
}

/** Removes old generations: the newest `keep` stay besides the published one and those in `alsoKeep`, for readers that are still on them and for rollbacks. */
export async function pruneGenerations(root: string, { keep, alsoKeep = new Set() }: { readonly keep: number; readonly alsoKeep?: ReadonlySet<string> }): Promise<string[]> {
  const published = await publishedRevision(root);
  const candidates: { readonly name: string; readonly changedAt: number }[] = [];
  for (const name of await namesIn(join(root, 'generations'))) {
    if (name === published || alsoKeep.has(name)) continue;
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
    const { mtimeMs } = await stat(path).catch((error: unknown) => {
      if (hasCode(error, 'ENOENT')) return { mtimeMs: 0 }; // a link that leads nowhere
      throw error;
    });
    let newest = mtimeMs;
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
