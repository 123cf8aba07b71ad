import { mkdir, rm, statfs, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { AppError } from '@pointsman/errors';
import { ArtifactRejectedError, MANIFEST_FILE, SIGNATURE_FILE, verifyArtifactDirectory, type ManifestDemands, type VerifiedManifest } from '@pointsman/model-artifacts';
import type { ArtifactSource } from './artifact-source.ts';
import { forEachOf } from './for-each-of.ts';

export interface FetchArtifactOptions {
  readonly demands: ManifestDemands;
  /** Read and checked before: what the files are to be. */
  readonly manifest: { readonly bytes: Buffer; readonly signature: Buffer | undefined; readonly verified: VerifiedManifest };
  /** An empty directory of our own. */
  readonly directory: string;
  readonly signal: AbortSignal;
  /** Bytes that this process may still write below a directory. */
  readonly freeBytes: (directory: string) => Promise<number>;
  /** Told all the time; whoever logs it keeps the pace down. */
  readonly onProgress: (receivedBytes: number, totalBytes: number) => void;
  /** Called when the files are there and before they are read again to prove it. */
  readonly onDownloaded?: () => void;
}

/** Files at once: enough to fill a connection, few enough to leave the gateway beside its own. */
const CONCURRENT_FILES = 4;

/**
 * Downloads all files of a checked manifest, then proves from the disk that the directory holds exactly that artifact.
 * @throws ArtifactRejectedError for content that stays bad; AppError `no_space` before the first byte; what the store says
 */
export async function fetchArtifact(source: ArtifactSource, { demands, manifest, directory, signal, freeBytes, onProgress, onDownloaded }: FetchArtifactOptions): Promise<VerifiedManifest> {
  const { files } = manifest.verified.manifest;
  const total = files.reduce((sum, file) => sum + file.bytes, 0);
  const free = await freeBytes(directory);
  if (free < total) throw new AppError('unavailable', 'no_space', `The model needs ${String(total)} bytes, and ${String(free)} are free where models are kept: make room, or give the volume a larger size.`);
  const received = new Map<string, number>();
  let sum = 0;
  await forEachOf(files, { concurrency: CONCURRENT_FILES, signal }, async (file, fileSignal) => {
    const target = join(directory, file.path);
    await mkdir(dirname(target), { recursive: true });
    const download = (): ReturnType<ArtifactSource['download']> => source.download(file.path, {
      target, bytes: file.bytes, signal: fileSignal,
      onProgress: (bytes) => {
        sum += bytes - (received.get(file.path) ?? 0);
        received.set(file.path, bytes);
        onProgress(sum, total);
      },
    });
    let got = await download();
    if (got?.bytes === file.bytes && got.sha256 !== file.sha256) {
      // Content that is refused is refused for good: one bit that fell over on the way must not be the reason.
      await rm(target, { force: true });
      got = await download();
    }
    if (got === undefined) throw new ArtifactRejectedError('file_missing', `The file ${JSON.stringify(file.path)} is not there.`, { path: file.path });
    if (got.bytes !== file.bytes) throw new ArtifactRejectedError('file_size', `The file ${JSON.stringify(file.path)} has ${String(got.bytes)} bytes; the manifest says ${String(file.bytes)}.`, { path: file.path });
    if (got.sha256 !== file.sha256) throw new ArtifactRejectedError('file_digest', `The content of ${JSON.stringify(file.path)} is not what the manifest says (SHA-256).`, { path: file.path });
  });
  await writeFile(join(directory, MANIFEST_FILE), manifest.bytes);
  if (manifest.signature !== undefined) await writeFile(join(directory, SIGNATURE_FILE), manifest.signature);
  onDownloaded?.();
  // What counts is what the disk gives back, not what was sent to it.
  return verifyArtifactDirectory(directory, { ...demands, signal });
}

/** What a process that is not root may write. */
export async function freeBytesOf(directory: string): Promise<number> {
  const { bavail, bsize } = await statfs(directory);
  return bavail * bsize;
}
