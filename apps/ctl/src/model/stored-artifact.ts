import { AppError } from '@pointsman/errors';
import { MANIFEST_FILE, manifestDigest, MAX_MANIFEST_BYTES, modelFolder, readManifest } from '@pointsman/model-artifacts';
import type { ObjectStore } from '@pointsman/object-store';
import { modelNameSchema, modelVersionSchema, type ModelManifest } from '@pointsman/schemas';
import { atStore } from '../release/open-store.ts';

const TRY_MS = 30_000;

/** The manifest of a version in the store, with the SHA-256 of its bytes; undefined when there is none. */
export async function storedArtifact(store: ObjectStore, name: string, version: string): Promise<{ readonly manifest: ModelManifest; readonly digest: string } | undefined> {
  checkModel(name, version);
  const found = await atStore(() => store.read(`${modelFolder(name, version)}/${MANIFEST_FILE}`, { maxBytes: MAX_MANIFEST_BYTES, timeoutMs: TRY_MS }));
  if (found === undefined || found === 'unchanged') return undefined;
  return { manifest: readManifest(found.body), digest: manifestDigest(found.body) };
}

/** @throws AppError `invalid_request` for what is no name or version. */
export function checkModel(name: string, version: string | undefined): void {
  const problem = modelNameSchema.safeParse(name).error ?? (version === undefined ? undefined : modelVersionSchema.safeParse(version).error);
  if (problem !== undefined) throw new AppError('invalid_request', 'invalid_model', problem.issues[0]?.message ?? 'not a model');
}
