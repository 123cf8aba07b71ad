import { createHash } from 'node:crypto';
import { modelManifestSchema, type ModelManifest } from '@pointsman/schemas';
import { ArtifactRejectedError } from './artifact-rejected-error.ts';

export const MANIFEST_FILE = 'manifest.json';
export const SIGNATURE_FILE = 'manifest.json.sig';
export const READY_FILE = 'ready.json';
/** Bytes. Golden prompts are the larger part of a manifest. */
export const MAX_MANIFEST_BYTES = 4 * 1024 * 1024;
const MAX_PROBLEMS = 5;

/**
 * Reads the bytes of a `manifest.json`.
 * @throws ArtifactRejectedError `manifest_too_large`, or `manifest_invalid` with the path of each wrong field and what was expected there
 */
export function readManifest(bytes: Uint8Array): ModelManifest {
  if (bytes.length > MAX_MANIFEST_BYTES) throw new ArtifactRejectedError('manifest_too_large', `manifest.json has ${bytes.length} bytes; ${MAX_MANIFEST_BYTES} are allowed.`, { path: MANIFEST_FILE });
  const result = modelManifestSchema.safeParse(parse(bytes));
  if (result.success) return result.data;
  const problems = result.error.issues.map((issue) => `${issue.path.map(String).join('.') || '(file)'}: ${issue.message}`);
  throw invalid(`${problems.slice(0, MAX_PROBLEMS).join('; ')}${problems.length > MAX_PROBLEMS ? `; and ${problems.length - MAX_PROBLEMS} more` : ''}`);
}

/** SHA-256 of the exact bytes, hex. */
export function manifestDigest(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/** The identity of an artifact and the name of its directory under `generations`: `v42-0123456789ab`. */
export function artifactRevision(manifest: Pick<ModelManifest, 'version'>, bytes: Uint8Array): string {
  return `${manifest.version}-${manifestDigest(bytes).slice(0, 12)}`;
}

/** Whether a directory's name is a revision of that version (`v4` is not the version of `v4-rc1-0123456789ab`). */
export function isRevisionOf(version: string, revision: string): boolean {
  return revision.startsWith(`${version}-`) && /^[0-9a-f]{12}$/.test(revision.slice(version.length + 1));
}

/** Where an artifact lives in an object store: `models/knn-router-v42`. A version begins with its `v`. */
export function modelFolder(name: string, version: string): string {
  return `models/${name}-${version}`;
}

function parse(bytes: Uint8Array): unknown {
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (error) {
    throw invalid('it is not UTF-8', error);
  }
  try {
    return JSON.parse(text, (key, value: unknown) => {
      // Copied carelessly further on, it would change what every object inherits.
      if (key === '__proto__') throw new SyntaxError('the key __proto__ is not allowed');
      return value;
    });
  } catch (error) {
    throw invalid(error instanceof SyntaxError && error.message.includes('__proto__') ? error.message : 'it is not JSON', error);
  }
}

function invalid(problem: string, cause?: unknown): ArtifactRejectedError {
  return new ArtifactRejectedError('manifest_invalid', `manifest.json is not valid: ${problem}.`, { path: MANIFEST_FILE, cause });
}
