import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { lstat, readdir, readFile } from 'node:fs/promises';
import { join, sep } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { ArtifactRejectedError, shown } from './artifact-rejected-error.ts';
import { MANIFEST_FILE, MAX_MANIFEST_BYTES, SIGNATURE_FILE } from './manifest.ts';
import { SIGNATURE_BYTES } from './signature.ts';
import { verifyManifest, type ManifestDemands, type VerifiedManifest } from './verify-manifest.ts';

export interface VerifyArtifactOptions extends ManifestDemands {
  readonly signal?: AbortSignal | undefined;
}

/**
 * Proves that a directory holds exactly one whole artifact: the manifest is signed and the one asked for, every file it names is there with its size and
 * SHA-256 (read as a stream), and nothing else is.
 * @throws ArtifactRejectedError with a stable `code`; what the file system says (`EIO`) and the signal's reason pass through
 */
export async function verifyArtifactDirectory(directory: string, { signal, ...demands }: VerifyArtifactOptions): Promise<VerifiedManifest> {
  const bytes = await readBounded(directory, MANIFEST_FILE, MAX_MANIFEST_BYTES + 1);
  if (bytes === undefined) throw new ArtifactRejectedError('manifest_missing', 'manifest.json is not there.', { path: MANIFEST_FILE });
  // One byte more than a signature shows that it is none.
  const signature = demands.mode === 'off' ? undefined : await readBounded(directory, SIGNATURE_FILE, SIGNATURE_BYTES + 1);
  const verified = verifyManifest(bytes, signature, demands);
  const wanted = new Set(verified.manifest.files.map(({ path }) => path));
  for await (const path of filesIn(directory, '')) {
    if (path === MANIFEST_FILE || path === SIGNATURE_FILE || wanted.has(path)) continue;
    throw new ArtifactRejectedError('file_unexpected', `The file ${shown(path)} is not in the manifest.`, { path });
  }
  for (const { path, sha256, bytes: size } of verified.manifest.files) {
    signal?.throwIfAborted();
    const found = await regularFile(directory, path);
    if (found === undefined) throw new ArtifactRejectedError('file_missing', `The file ${shown(path)} is not there.`, { path });
    if (found.size !== size) throw new ArtifactRejectedError('file_size', `The file ${shown(path)} has ${found.size} bytes; the manifest says ${size}.`, { path });
    const hash = createHash('sha256');
    // Named at length: `pipeline` takes no undefined signal.
    await pipeline(createReadStream(join(directory, path), { highWaterMark: 1 << 20 }), hash, ...(signal === undefined ? [] : [{ signal }] as const));
    if (hash.digest('hex') !== sha256) throw new ArtifactRejectedError('file_digest', `The content of ${shown(path)} is not what the manifest says (SHA-256).`, { path });
  }
  return verified;
}

/** A small file whole, or its first `maxBytes`; undefined when there is none. */
async function readBounded(directory: string, path: string, maxBytes: number): Promise<Buffer | undefined> {
  const found = await regularFile(directory, path);
  if (found === undefined) return undefined;
  if (found.size < maxBytes) return readFile(join(directory, path));
  const chunks: Buffer[] = [];
  for await (const chunk of createReadStream(join(directory, path), { end: maxBytes - 1 })) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

async function regularFile(directory: string, path: string): Promise<{ readonly size: number } | undefined> {
  const found = await lstat(join(directory, path)).catch((error: unknown) => {
    if (error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ENOTDIR')) return undefined;
    throw error;
  });
  if (found !== undefined && !found.isFile()) throw notRegular(path);
  return found;
}

/** Paths of all files below, with slashes. @throws ArtifactRejectedError `file_not_regular` for links, pipes and devices */
async function* filesIn(root: string, folder: string): AsyncIterable<string> {
  for (const entry of await readdir(join(root, folder), { withFileTypes: true })) {
    const path = folder === '' ? entry.name : `${folder}/${entry.name}`;
    if (entry.isDirectory()) yield* filesIn(root, path);
    else if (entry.isFile()) yield path.split(sep).join('/');
    else throw notRegular(path);
  }
}

function notRegular(path: string): ArtifactRejectedError {
  return new ArtifactRejectedError('file_not_regular', `${shown(path)} is a link or a special file: expected a plain file.`, { path });
}
