import { ArtifactRejectedError, MANIFEST_FILE, MAX_MANIFEST_BYTES, SIGNATURE_BYTES, SIGNATURE_FILE } from '@pointsman/model-artifacts';
import { ObjectStoreError, type ObjectStore } from '@pointsman/object-store';

export interface DownloadFileOptions {
  readonly target: string;
  /** What the manifest says; one byte more is refused. */
  readonly bytes: number;
  readonly signal: AbortSignal;
  /** Bytes of this file so far; a file that changed on the way begins again. */
  readonly onProgress: (receivedBytes: number) => void;
}

/** Where a whole artifact can be read from: the folder of the store that models are uploaded to, or a copy in a cache. */
export interface ArtifactSource {
  readonly kind: 'origin' | 'cache';
  readManifest(signal: AbortSignal): Promise<{ readonly bytes: Buffer; readonly signature: Buffer | undefined; readonly etag: string } | undefined>;
  /** The SHA-256 of what was written; undefined when there is no such file. @throws ArtifactRejectedError `file_size` when it is larger than it should be */
  download(path: string, options: DownloadFileOptions): Promise<{ readonly sha256: string; readonly bytes: number } | undefined>;
}

/** Slower than this on average, in bytes per second, a download is given up. */
const SLOWEST_BYTES_PER_S = 64 * 1024;
const LEAST_TIMEOUT_MS = 60_000;

/** How long the transfer of so many bytes may take, in milliseconds. */
export function transferTimeoutMs(bytes: number): number {
  return LEAST_TIMEOUT_MS + Math.ceil((bytes / SLOWEST_BYTES_PER_S) * 1000);
}

export function storeSource(store: ObjectStore, folder: string, kind: ArtifactSource['kind']): ArtifactSource {
  return {
    kind,
    async readManifest(signal) {
      const found = await store.read(`${folder}/${MANIFEST_FILE}`, { maxBytes: MAX_MANIFEST_BYTES, signal }).catch(asRejection('manifest_too_large', MANIFEST_FILE, MAX_MANIFEST_BYTES));
      if (found === undefined || found === 'unchanged') return undefined;
      const signature = await store.read(`${folder}/${SIGNATURE_FILE}`, { maxBytes: 1024, signal }).catch(asRejection('signature_invalid', SIGNATURE_FILE, SIGNATURE_BYTES));
      return { bytes: found.body, signature: signature === undefined || signature === 'unchanged' ? undefined : signature.body, etag: found.head.etag };
    },
    async download(path, { target, bytes, signal, onProgress }) {
      const found = await store.download(`${folder}/${path}`, target, { maxBytes: bytes, timeoutMs: transferTimeoutMs(bytes), signal, onProgress }).catch(asRejection('file_size', path, bytes));
      return found === undefined ? undefined : { sha256: found.sha256, bytes: found.head.bytes };
    },
  };
}

function asRejection(code: 'manifest_too_large' | 'signature_invalid' | 'file_size', path: string, bytes: number): (error: unknown) => never {
  return (error) => {
    if (error instanceof ObjectStoreError && error.kind === 'too_large') throw new ArtifactRejectedError(code, `${path} is larger than ${String(bytes)} bytes.`, { path, cause: error });
    throw error;
  };
}
