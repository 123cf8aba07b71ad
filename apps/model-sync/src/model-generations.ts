import { randomUUID } from 'node:crypto';
import { mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { ArtifactRejectedError, isRevisionOf, verifyArtifactDirectory, type ManifestDemands } from '@pointsman/model-artifacts';
import { publishedRevision } from '@pointsman/sync';
import type { Logger } from '@pointsman/telemetry';

/** The generations of one model on this disk: `MODELS_DIR/{name}/generations/{version}-{digest}`. */
export interface ModelGenerations {
  readonly root: string;
  pathOf(revision: string): string;
  /**
   * Whether that generation is there and good. Its files are read once per process, not in every pass. A bad one is removed, since the gateway may serve whatever lies
   * in `generations`; only the published one stays until a good one takes its place.
   */
  has(revision: string, question: { readonly demands: ManifestDemands; readonly signal: AbortSignal; readonly logger: Logger }): Promise<boolean>;
  /** The newest good generation of a version, for when the store cannot be asked. */
  newestOf(version: string, question: { readonly demands: ManifestDemands; readonly signal: AbortSignal; readonly logger: Logger }): Promise<string | undefined>;
  /** Moves a complete, verified directory there by one rename; one that is there and good stays, one that is bad gives way. */
  place(staged: string, revision: string): Promise<void>;
}

export function createModelGenerations(root: string): ModelGenerations {
  const good = new Set<string>();
  const bad = new Set<string>();
  const pathOf = (revision: string): string => join(root, 'generations', revision);

  /** Out of sight by one rename: a reader sees the whole directory or none of it. */
  const removeBad = async (revision: string): Promise<void> => {
    const aside = join(root, `.staging-${randomUUID()}`);
    await rename(pathOf(revision), aside).catch(ignoring('ENOENT'));
    bad.delete(revision);
    await rm(aside, { recursive: true, force: true });
  };

  const has: ModelGenerations['has'] = async (revision, { demands, signal, logger }) => {
    // A question about another version says nothing about this directory.
    if (!isRevisionOf(demands.expect.version, revision)) return false;
    const found = await stat(pathOf(revision)).catch(() => undefined);
    if (found?.isDirectory() !== true) {
      good.delete(revision);
      return false;
    }
    if (good.has(revision)) return true;
    if (bad.has(revision)) {
      if (await publishedRevision(root) !== revision) await removeBad(revision);
      return false;
    }
    try {
      const verified = await verifyArtifactDirectory(pathOf(revision), { ...demands, signal });
      if (verified.revision !== revision) throw new ArtifactRejectedError('wrong_model', `The directory ${revision} holds ${verified.revision}.`);
      good.add(revision);
      return true;
    } catch (error) {
      if (!(error instanceof ArtifactRejectedError)) throw error;
      bad.add(revision);
      logger.warn('generation on disk is not usable', { model: demands.expect.name, revision, reason: error.message });
      if (await publishedRevision(root) !== revision) await removeBad(revision);
      return false;
    }
  };

  return {
    root,
    pathOf,
    has,
    async newestOf(version, question) {
      const names = (await readdir(join(root, 'generations')).catch(() => [])).filter((name) => isRevisionOf(version, name));
      const dated = await Promise.all(names.map(async (name) => ({ name, changedAt: (await stat(pathOf(name)).catch(() => undefined))?.mtimeMs ?? 0 })));
      for (const { name } of dated.toSorted((a, b) => b.changedAt - a.changedAt)) if (await has(name, question)) return name;
      return undefined;
    },
    async place(staged, revision) {
      const target = pathOf(revision);
      await mkdir(join(root, 'generations'), { recursive: true });
      await syncTree(staged);
      const aside = bad.has(revision) ? join(root, `.staging-${randomUUID()}`) : undefined;
      if (aside !== undefined) await rename(target, aside).catch(ignoring('ENOENT'));
      // Another sidecar on the same volume may have been first: what arrives by a rename is whole.
      await rename(staged, target).catch(ignoring('ENOTEMPTY', 'EEXIST'));
      await syncPath(join(root, 'generations'));
      if (aside !== undefined) await rm(aside, { recursive: true, force: true });
      bad.delete(revision);
      good.add(revision);
    },
  };
}

/** Content before names: a machine that loses power must not come back with a generation of empty files. */
async function syncTree(directory: string): Promise<void> {
  for (const entry of await readdir(directory, { withFileTypes: true })) {
    const path = join(directory, entry.name);
    if (entry.isDirectory()) await syncTree(path);
    else await syncPath(path);
  }
  await syncPath(directory);
}

async function syncPath(path: string): Promise<void> {
  await using handle = await open(path, 'r');
  // Some file systems (FUSE mounts) refuse to sync directories: publishing there is as safe as they are.
  await handle.sync().catch(ignoring('EINVAL', 'ENOTSUP', 'EBADF'));
}

function ignoring(...codes: readonly string[]): (error: unknown) => void {
  return (error) => {
    if (!(error instanceof Error && 'code' in error && codes.includes(String(error.code)))) throw error;
  };
}
