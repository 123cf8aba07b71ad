import { readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { describeUnknown } from '@pointsman/errors';
import { ArtifactRejectedError, MANIFEST_FILE, readManifest } from '@pointsman/model-artifacts';
import type { ModelManifest } from '@pointsman/schemas';
import { ModelRefusedError } from './model-refused-error.ts';
import { HEAD_FILE } from './router-model.ts';

export interface FoundArtifact {
  readonly manifest: ModelManifest;
  readonly revision: string;
  readonly headPath: string;
}

/**
 * Reads the manifest of an artifact's directory. Digests and signature were checked when the directory was published.
 * @throws ModelRefusedError `unreadable`, `manifest`
 */
export async function readArtifact(directory: string): Promise<FoundArtifact> {
  const bytes = await readFile(join(directory, MANIFEST_FILE)).catch((error: unknown) => {
    throw new ModelRefusedError('unreadable', `manifest.json cannot be read: ${describeUnknown(error)}`, error);
  });
  let manifest: ModelManifest;
  try {
    manifest = readManifest(bytes);
  } catch (error) {
    throw error instanceof ArtifactRejectedError ? new ModelRefusedError('manifest', error.message, error) : error;
  }
  if (new Set(manifest.candidates).size < manifest.candidates.length) throw new ModelRefusedError('manifest', 'manifest.json names a candidate twice.');
  if (!manifest.files.some(({ path }) => path === HEAD_FILE)) throw new ModelRefusedError('manifest', `manifest.json names no ${HEAD_FILE}.`);
  return { manifest, revision: basename(directory), headPath: join(directory, HEAD_FILE) };
}
