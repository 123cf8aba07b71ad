import { readdir, readlink, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { isRevisionOf } from '@pointsman/model-artifacts';
import { modelNameSchema } from '@pointsman/schemas';

/** A generation of a model on disk: complete, since directories arrive by rename. */
export interface FoundGeneration {
  readonly revision: string;
  readonly directory: string;
  /** Changes when the files do, although a generation is never rewritten by us. */
  readonly fingerprint: string;
}

const REVISION = /^(v[0-9][0-9A-Za-z._-]{0,62})-[0-9a-f]{12}$/;

/** The version that a revision says it is. */
export function versionOf(revision: string): string | undefined {
  return REVISION.exec(revision)?.[1];
}

/**
 * Finds the generation to serve: what `{modelsDir}/{name}/current` points to when that is the wanted version (or any, when none is), else the newest generation of the
 * wanted version: with a canary two versions are there and `current` can name only one. Undefined while it is not there.
 */
export async function findGeneration(modelsDir: string, name: string, version: string | undefined): Promise<FoundGeneration | undefined> {
  if (!modelNameSchema.safeParse(name).success) return undefined;
  const root = join(modelsDir, name);
  const matches = (revision: string): boolean => (version === undefined ? versionOf(revision) !== undefined : isRevisionOf(version, revision));
  const published = await linked(root, 'current');
  if (published !== undefined && matches(published)) {
    const found = await generationAt(root, published);
    if (found !== undefined) return found;
  }
  if (version === undefined) return undefined;
  let newest: (FoundGeneration & { readonly changedAt: number }) | undefined;
  for (const revision of await readdir(join(root, 'generations')).catch(() => [])) {
    if (!matches(revision)) continue;
    const found = await generationAt(root, revision);
    if (found !== undefined && (newest === undefined || found.changedAt > newest.changedAt)) newest = found;
  }
  return newest;
}

/** What served last, so that a process which begins can serve as the one before it did: what model-sync noted as `confirmed`, then what is `current`. */
export async function findLastServed(modelsDir: string, name: string): Promise<FoundGeneration[]> {
  if (!modelNameSchema.safeParse(name).success) return [];
  const root = join(modelsDir, name);
  const revisions = new Set(await Promise.all([linked(root, 'confirmed'), linked(root, 'current')]));
  const found = await Promise.all([...revisions].map((revision) => (revision === undefined || versionOf(revision) === undefined ? undefined : generationAt(root, revision))));
  return found.filter((generation) => generation !== undefined);
}

/** The revision that a link names; undefined for a link to anywhere else. */
async function linked(root: string, link: string): Promise<string | undefined> {
  const target = await readlink(join(root, link)).catch(() => undefined);
  return /^generations\/([^/]+)$/.exec(target ?? '')?.[1];
}

async function generationAt(root: string, revision: string): Promise<(FoundGeneration & { readonly changedAt: number }) | undefined> {
  const directory = join(root, 'generations', revision);
  const found = await stat(directory).catch(() => undefined);
  if (found?.isDirectory() !== true) return undefined;
  const files = await Promise.all(['manifest.json', 'model.onnx'].map((file) => stat(join(directory, file)).catch(() => undefined)));
  const fingerprint = files.map((file) => (file === undefined ? 'missing' : `${file.ino}:${file.size}:${file.mtimeMs}`)).join(' ');
  return { revision, directory, fingerprint, changedAt: found.mtimeMs };
}
