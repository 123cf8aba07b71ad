import { join } from 'node:path';
import { MANIFEST_FILE, READY_FILE, SIGNATURE_FILE, type VerifiedManifest } from '@pointsman/model-artifacts';
import type { ObjectStore } from '@pointsman/object-store';
import { z } from 'zod';
import { storeSource, transferTimeoutMs, type ArtifactSource } from './artifact-source.ts';
import { forEachOf } from './for-each-of.ts';

/** Which copy answers to a manifest at the origin. Tolerant: sidecars of different versions share a cache. */
const pointerSchema = z.object({ revision: z.string().min(1).max(200), manifest_sha256: z.string().regex(/^[0-9a-f]{64}$/), origin_etag: z.string().min(1), fence: z.number() });
/** The last object of a copy that is whole. */
const readySchema = z.object({ manifest_sha256: z.string(), fence: z.number() });

const MAX_MARKER_BYTES = 16 * 1024;
const CONCURRENT_FILES = 4;
/** Below every number of a lock: any holder replaces what was written without one. */
const WITHOUT_LOCK = 0;

export interface CachedArtifact {
  readonly revision: string;
  readonly manifestDigest: string;
  readonly source: ArtifactSource;
}

export interface StoreInCacheOptions {
  readonly name: string;
  readonly verified: VerifiedManifest;
  /** Holds exactly the verified artifact. */
  readonly directory: string;
  readonly hasSignature: boolean;
  readonly originEtag: string;
  /** Of the lock under which this was fetched: a marker of a later holder for the same content is never replaced. Undefined without a lock: then none is. */
  readonly fence: number | undefined;
  readonly writtenBy: string;
  /** Writes over what is there: a reader found it bad. */
  readonly replace: boolean;
  readonly signal: AbortSignal;
}

/**
 * Copies of models that peers read instead of the origin: in the same store for a cluster, in a folder of the machine for a node. Nothing in it is trusted:
 * whoever reads checks signature and digests again.
 */
export interface ModelCache {
  /** The whole copy of what the origin has now; one HEAD at the origin gives the etag, so that nobody but the first has to read there. */
  find(name: string, version: string, originEtag: string, signal: AbortSignal): Promise<CachedArtifact | undefined>;
  /** False when another has written the same meanwhile: a later holder of the lock, or anybody when this was made without it. */
  store(options: StoreInCacheOptions): Promise<boolean>;
}

export function createModelCache(store: ObjectStore): ModelCache {
  const folderOf = (name: string, revision: string): string => `models-cache/${name}-${revision}`;
  const pointerOf = (name: string, version: string): string => `models-cache/${name}-${version}.json`;

  async function readMarker<T>(key: string, schema: z.ZodType<T>, signal: AbortSignal): Promise<{ readonly etag: string; readonly value: T | undefined } | undefined> {
    const found = await store.read(key, { maxBytes: MAX_MARKER_BYTES, signal });
    if (found === undefined || found === 'unchanged') return undefined;
    return { etag: found.head.etag, value: parse(found.body, schema) };
  }

  /**
   * Puts a marker unless a later holder has put one for the same content, by conditional writes: whoever was overtaken notices. A marker of something else (an
   * earlier upload, a forged one) is out of date whatever number it bears.
   */
  async function writeMarker<T extends { readonly fence: number }>(key: string, schema: z.ZodType<T>, { value, fence, isSame, signal }: {
    readonly value: object; readonly fence: number | undefined; readonly isSame: (there: T) => boolean; readonly signal: AbortSignal;
  }): Promise<boolean> {
    const body = `${JSON.stringify({ ...value, fence: fence ?? WITHOUT_LOCK })}\n`;
    for (;;) {
      signal.throwIfAborted();
      const there = await readMarker(key, schema, signal);
      if (there?.value !== undefined && isSame(there.value) && (fence === undefined || there.value.fence > fence)) return false;
      const written = await store.write(key, body, { signal, contentType: 'application/json', ...(there === undefined ? { ifAbsent: true } as const : { ifMatch: there.etag }) });
      if (written !== false) return true;
    }
  }

  return {
    async find(name, version, originEtag, signal) {
      const pointer = (await readMarker(pointerOf(name, version), pointerSchema, signal))?.value;
      if (pointer === undefined || pointer.origin_etag !== originEtag || !/^[0-9A-Za-z._-]+$/.test(pointer.revision)) return undefined;
      const folder = folderOf(name, pointer.revision);
      const ready = (await readMarker(`${folder}/${READY_FILE}`, readySchema, signal))?.value;
      if (ready?.manifest_sha256 !== pointer.manifest_sha256) return undefined;
      return { revision: pointer.revision, manifestDigest: pointer.manifest_sha256, source: storeSource(store, folder, 'cache') };
    },
    async store({ name, verified, directory, hasSignature, originEtag, fence, writtenBy, replace, signal }) {
      const { manifest, revision, digest } = verified;
      const folder = folderOf(name, revision);
      const readyKey = `${folder}/${READY_FILE}`;
      const ready = replace ? undefined : (await readMarker(readyKey, readySchema, signal))?.value;
      if (ready?.manifest_sha256 !== digest) {
        const files = [...manifest.files, { path: MANIFEST_FILE, bytes: 0 }, ...(hasSignature ? [{ path: SIGNATURE_FILE, bytes: 0 }] : [])];
        await forEachOf(files, { concurrency: CONCURRENT_FILES, signal }, async ({ path, bytes }, fileSignal) => {
          // The folder is named after the content: what is there from an attempt that broke off is the same.
          await store.upload(`${folder}/${path}`, { file: join(directory, path) }, { timeoutMs: transferTimeoutMs(bytes), signal: fileSignal, ...(replace ? {} : { ifAbsent: true } as const) });
        });
        const written = await writeMarker(readyKey, readySchema, {
          value: { manifest_sha256: digest, files: manifest.files.length, written_by: writtenBy }, fence, isSame: (there) => there.manifest_sha256 === digest, signal,
        });
        if (!written) return false;
      }
      return writeMarker(pointerOf(name, manifest.version), pointerSchema, {
        value: { revision, manifest_sha256: digest, origin_etag: originEtag, written_by: writtenBy }, fence, signal,
        isSame: (there) => there.origin_etag === originEtag && there.manifest_sha256 === digest,
      });
    },
  };
}

function parse<T>(body: Buffer, schema: z.ZodType<T>): T | undefined {
  try {
    const result = schema.safeParse(JSON.parse(body.toString('utf8')));
    return result.success ? result.data : undefined;
  } catch {
    return undefined;
  }
}
