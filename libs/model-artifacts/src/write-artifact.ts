import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { copyFile, mkdir, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { AppError } from '@pointsman/errors';
import { modelManifestSchema, type ModelManifest } from '@pointsman/schemas';
import { checkFileNames } from './file-names.ts';
import { artifactRevision, MANIFEST_FILE, readManifest, SIGNATURE_FILE } from './manifest.ts';
import { signManifest } from './signature.ts';

/** Bytes, or the path of a file to copy. */
export type ArtifactFile = Uint8Array | { readonly file: string };

export interface WrittenArtifact {
  readonly manifest: ModelManifest;
  readonly manifestBytes: Buffer;
  readonly revision: string;
}

/**
 * Writes an artifact into a directory that is empty or does not exist: the files, `manifest.json` with their sizes and digests, and with a key
 * `manifest.json.sig`. The same content gives the same bytes: keys in one order, files by path.
 * @throws AppError `directory_not_empty`, `bad_private_key`; ArtifactRejectedError for a manifest or names that nobody would take
 */
export async function writeArtifact(directory: string, manifestWithoutFiles: Omit<ModelManifest, 'files'>, files: ReadonlyMap<string, ArtifactFile>, privateKeyPem: string | undefined): Promise<WrittenArtifact> {
  const names = [...files.keys()].toSorted((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
  checkFileNames({ files: names.map((path) => ({ path, sha256: '', bytes: 0 })) }, { maxBytes: Infinity });
  await mkdir(directory, { recursive: true });
  if ((await readdir(directory)).length > 0) throw new AppError('conflict', 'directory_not_empty', `${directory} is not empty: an artifact holds nothing but its own files.`);
  const listed: ModelManifest['files'] = [];
  for (const path of names) {
    const target = join(directory, path);
    const source = files.get(path);
    await mkdir(dirname(target), { recursive: true });
    if (source === undefined || source instanceof Uint8Array) await writeFile(target, source ?? '');
    else await copyFile(source.file, target);
    listed.push({ path, ...(await measure(target)) });
  }
  const manifestBytes = manifestBytesOf({ ...manifestWithoutFiles, files: listed });
  const manifest = readManifest(manifestBytes);
  await writeFile(join(directory, MANIFEST_FILE), manifestBytes);
  await signDirectory(directory, manifestBytes, privateKeyPem);
  return { manifest, manifestBytes, revision: artifactRevision(manifest, manifestBytes) };
}

/** Writes `manifest.json.sig` over the manifest's exact bytes; without a key removes one that is there. @throws AppError `bad_private_key` */
export async function signDirectory(directory: string, manifestBytes: Uint8Array, privateKeyPem: string | undefined): Promise<void> {
  const path = join(directory, SIGNATURE_FILE);
  if (privateKeyPem === undefined) await rm(path, { force: true });
  else await writeFile(path, signManifest(manifestBytes, privateKeyPem));
}

/** The bytes of a `manifest.json`: the schema's fields in its order, then others; inside them keys by name; two spaces, a newline at the end. */
export function manifestBytesOf(manifest: ModelManifest): Buffer {
  const order = Object.keys(modelManifestSchema.shape);
  const rank = (key: string): number => (order.includes(key) ? order.indexOf(key) : order.length);
  const entries = Object.entries(manifest).toSorted(([a], [b]) => rank(a) - rank(b) || compare(a, b)).map(([key, value]) => [key, sorted(value)] as const);
  return Buffer.from(`${JSON.stringify(Object.fromEntries(entries), undefined, 2)}\n`);
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).toSorted(([a], [b]) => compare(a, b)).map(([key, item]) => [key, sorted(item)]));
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

async function measure(path: string): Promise<{ readonly sha256: string; readonly bytes: number }> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(path), hash);
  return { sha256: hash.digest('hex'), bytes: (await stat(path)).size };
}
