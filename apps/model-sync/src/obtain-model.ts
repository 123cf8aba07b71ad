import { mkdir, readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { AppError, describeUnknown } from '@pointsman/errors';
import { LockUnavailableError, type HeldLock, type Lock } from '@pointsman/locking';
import { ArtifactRejectedError, MANIFEST_FILE, manifestDigest, MAX_MANIFEST_BYTES, modelFolder, SIGNATURE_FILE, verifyManifest, type ManifestDemands, type VerifiedManifest } from '@pointsman/model-artifacts';
import type { ObjectStore } from '@pointsman/object-store';
import { RejectedRevisionError } from '@pointsman/sync';
import { attribute, metric, type Logger, type Metrics, type Span } from '@pointsman/telemetry';
import { sleep, type Clock } from '@pointsman/timing';
import { storeSource, type ArtifactSource } from './artifact-source.ts';
import { fetchArtifact } from './fetch-artifact.ts';
import type { CachedArtifact, ModelCache } from './model-cache.ts';
import type { ModelGenerations } from './model-generations.ts';

export interface ObtainParts {
  /** Where models are uploaded to. */
  readonly origin: ObjectStore;
  /** What peers share, and the lock that makes one of them the first; without a cache everybody reads at the origin. */
  readonly cache: ModelCache | undefined;
  readonly lock: Lock | undefined;
  readonly freeBytes: (directory: string) => Promise<number>;
  readonly metrics: Metrics;
  readonly clock: Clock;
  readonly random: () => number;
  /** Without a lock, the longest random wait before the origin is read. */
  readonly jitterMs: number;
  /** How long the lock outlives a holder that was killed. */
  readonly lockTtlMs: number;
  readonly podName: string;
}

export interface ObtainRequest {
  readonly demands: ManifestDemands;
  /** Of the manifest at the origin, by a HEAD: tells whether a copy is one of what is there now. */
  readonly originEtag: string;
  readonly generations: ModelGenerations;
  /** An empty directory of our own. */
  readonly staging: string;
  readonly signal: AbortSignal;
  readonly span: Span;
  readonly logger: Logger;
  readonly fetched: (bytes: number) => void;
}

export interface Obtained {
  readonly revision: string;
  /** `disk`: the generation is there already, and nothing was staged. */
  readonly from: 'origin' | 'cache' | 'disk';
  readonly originEtag: string;
}

const PROGRESS_EVERY_MS = 5_000;
/** Between two looks into the cache while another holds the lock. */
const LOOK_EVERY_MS = 1_000;

/**
 * Gets one version of a model, from a copy that a peer made or from the origin. Whoever gets the lock first reads the origin and makes the copy; the others
 * wait for that. Without a lock everybody waits a random while and looks for a copy first.
 * Rejects with RejectedRevisionError (caused by the ArtifactRejectedError) for content of the origin that will not become good; with AppError `model_missing`.
 */
export function createObtainer(parts: ObtainParts): (request: ObtainRequest) => Promise<Obtained> {
  const { cache, lock, metrics, clock } = parts;
  const fetches = metrics.counter(metric.MODEL_SYNC_FETCHES);
  const lockWaits = metrics.histogram(metric.MODEL_SYNC_LOCK_WAIT).labels();
  /** Copies that did not stand the check here: read at the origin, and written anew. */
  const badCopies = new Set<string>();

  return async function obtain(request) {
    const { demands: { expect }, originEtag, generations, staging, signal, span, logger } = request;
    const keyOf = (revision: string): string => `${expect.name}/${revision}`;

    let atOrigin: Promise<string | undefined> | undefined;
    /** The digest of the manifest at the origin: the pointer in the cache only claims to be of it, and who may write there must not choose the model. */
    const digestAtOrigin = (): Promise<string | undefined> => atOrigin ??= parts.origin.read(`${modelFolder(expect.name, expect.version)}/${MANIFEST_FILE}`, { maxBytes: MAX_MANIFEST_BYTES, signal })
      .then((found) => (found === undefined || found === 'unchanged' ? undefined : manifestDigest(found.body)));

    const findCopy = async (): Promise<CachedArtifact | undefined> => {
      try {
        const copy = await cache?.find(expect.name, expect.version, originEtag, signal);
        if (copy === undefined || badCopies.has(keyOf(copy.revision))) return undefined;
        const digest = await digestAtOrigin();
        if (digest !== undefined && copy.manifestDigest === digest && copy.revision === `${expect.version}-${digest.slice(0, 12)}`) return copy;
        logger.warn('cache points to something else than the origin has', { model: expect.name, revision: copy.revision });
        return undefined;
      } catch (error) {
        signal.throwIfAborted();
        atOrigin = undefined;
        logger.warn('copy cannot be looked for', { model: expect.name, reason: describeUnknown(error) });
        return undefined;
      }
    };

    const fromCopy = async (): Promise<Obtained | undefined> => {
      const copy = await findCopy();
      if (copy === undefined) return undefined;
      if (await generations.has(copy.revision, request)) return { revision: copy.revision, from: 'disk', originEtag };
      try {
        const manifest = await copy.source.readManifest(signal);
        if (manifest === undefined || manifestDigest(manifest.bytes) !== copy.manifestDigest) throw new ArtifactRejectedError('manifest_missing', 'The copy has no manifest, or that of something else.');
        const verified = await fetchFrom(copy.source, manifest);
        return { revision: verified.revision, from: 'cache', originEtag };
      } catch (error) {
        if (!(error instanceof ArtifactRejectedError)) throw error;
        logger.warn('cache holds a bad copy', { model: expect.name, revision: copy.revision, code: error.code, reason: error.message });
        badCopies.add(keyOf(copy.revision));
        await empty(staging);
        return undefined;
      }
    };

    const fetchFrom = async (source: ArtifactSource, manifest: { readonly bytes: Buffer; readonly signature: Buffer | undefined }): Promise<VerifiedManifest> => {
      const verifiedManifest = verifyManifest(manifest.bytes, manifest.signature, request.demands);
      for (const warning of verifiedManifest.warnings) logger.warn('model is not verified', { model: expect.name, revision: verifiedManifest.revision, reason: warning });
      const download = span.child('model-sync.download', 'client');
      download.set(attribute.MODEL_SOURCE, source.kind);
      download.set(attribute.SYNC_REVISION, verifiedManifest.revision);
      let verify: Span | undefined;
      let reported = 0;
      let saidAt = clock.monotonic();
      const startedAt = saidAt;
      try {
        const verified = await fetchArtifact(source, {
          demands: request.demands, directory: staging, signal, freeBytes: parts.freeBytes,
          manifest: { ...manifest, verified: verifiedManifest },
          onProgress: (received, total) => {
            if (received > reported) {
              request.fetched(received - reported);
              reported = received;
            }
            if (clock.monotonic() - saidAt < PROGRESS_EVERY_MS) return;
            saidAt = clock.monotonic();
            logger.info('downloading', { model: expect.name, revision: verifiedManifest.revision, source: source.kind, received_bytes: received, total_bytes: total });
          },
          onDownloaded: () => {
            download.set(attribute.SYNC_BYTES, reported);
            download.end();
            verify = span.child('model-sync.verify', 'internal');
          },
        });
        fetches.labels(source.kind, 'ok').inc();
        logger.info('downloaded', { model: expect.name, revision: verified.revision, source: source.kind, bytes: reported, took_ms: Math.round(clock.monotonic() - startedAt) });
        return verified;
      } catch (error) {
        fetches.labels(source.kind, error instanceof ArtifactRejectedError ? 'rejected' : 'failed').inc();
        (verify ?? download).fail(error instanceof AppError ? error.code : 'failed', describeUnknown(error));
        throw error;
      } finally {
        verify?.end();
        download.end();
      }
    };

    const fromOrigin = async (fence: number | undefined, heldSignal: AbortSignal | undefined): Promise<Obtained> => {
      const source = storeSource(parts.origin, modelFolder(expect.name, expect.version), 'origin');
      let revision = expect.version;
      try {
        const manifest = await source.readManifest(signal);
        if (manifest === undefined) throw missingModel(parts.origin, expect);
        revision = `${expect.version}-${manifestDigest(manifest.bytes).slice(0, 12)}`;
        const checked = verifyManifest(manifest.bytes, manifest.signature, request.demands);
        const isThere = await generations.has(checked.revision, request);
        const verified = isThere ? checked : await fetchFrom(source, manifest);
        if (cache !== undefined) await share(verified, isThere ? generations.pathOf(revision) : staging, { etag: manifest.etag, fence, heldSignal });
        return { revision, from: isThere ? 'disk' : 'origin', originEtag: manifest.etag };
      } catch (error) {
        if (error instanceof ArtifactRejectedError) throw new RejectedRevisionError(revision, error.message, { cause: error });
        throw error;
      }
    };

    /** Makes the copy for the others. A failure costs them a download of their own, and this pod nothing. */
    const share = async (verified: VerifiedManifest, directory: string, { etag, fence, heldSignal }: { readonly etag: string; readonly fence: number | undefined; readonly heldSignal: AbortSignal | undefined }): Promise<void> => {
      const sharing = span.child('model-sync.share', 'client');
      sharing.set(attribute.LOCK_FENCE, fence);
      try {
        const written = await cache?.store({
          name: expect.name, verified, directory, originEtag: etag, fence, writtenBy: parts.podName, replace: badCopies.has(keyOf(verified.revision)),
          hasSignature: await stat(join(directory, SIGNATURE_FILE)).then(() => true, () => false),
          signal: heldSignal === undefined ? signal : AbortSignal.any([signal, heldSignal]),
        });
        badCopies.delete(keyOf(verified.revision));
        if (written === false) logger.info('another has filled the cache meanwhile', { model: expect.name, revision: verified.revision, fence });
      } catch (error) {
        signal.throwIfAborted();
        sharing.fail(error instanceof AppError ? error.code : 'failed', describeUnknown(error));
        logger.warn('model could not be put into the cache', { model: expect.name, revision: verified.revision, reason: describeUnknown(error) });
      } finally {
        sharing.end();
      }
    };

    const withoutLock = async (): Promise<Obtained> => {
      await sleep(parts.random() * parts.jitterMs, signal);
      signal.throwIfAborted();
      return await fromCopy() ?? await fromOrigin(undefined, undefined);
    };

    if (lock === undefined) return await fromCopy() ?? await withoutLock();
    const name = `model-sync:${expect.name}`;
    let waiting: { readonly span: Span; readonly since: number } | undefined;
    const waited = (held: HeldLock | undefined): void => {
      if (waiting === undefined) return;
      const waitMs = clock.monotonic() - waiting.since;
      lockWaits.observe(waitMs / 1000);
      waiting.span.set(attribute.LOCK_WAIT_MS, Math.round(waitMs));
      waiting.span.set(attribute.LOCK_FENCE, held?.fence);
      waiting.span.end();
      logger.info(held === undefined ? 'waiting for the lock is over' : 'lock acquired', { lock: name, wait_ms: Math.round(waitMs), fence: held?.fence });
      waiting = undefined;
    };
    try {
      for (;;) {
        const copied = await fromCopy();
        if (copied !== undefined) return copied;
        if (waiting === undefined) {
          waiting = { span: span.child('model-sync.lock', 'client'), since: clock.monotonic() };
          waiting.span.set(attribute.LOCK_KEY, name);
        }
        const held = await lock.acquire(name, { ttlMs: parts.lockTtlMs, waitMs: LOOK_EVERY_MS, signal });
        if (held === undefined) continue;
        const lost = (): void => logger.warn('lock lost', { lock: name, fence: held.fence, reason: describeUnknown(held.signal.reason) });
        try {
          // Made while this one waited: read without the lock, so that nobody waits for that.
          if (await findCopy() !== undefined) continue;
          waited(held);
          held.signal.addEventListener('abort', lost, { once: true });
          return await fromOrigin(held.fence, held.signal);
        } finally {
          held.signal.removeEventListener('abort', lost);
          await held.release();
          logger.debug('lock released', { lock: name, fence: held.fence });
        }
      }
    } catch (error) {
      if (!(error instanceof LockUnavailableError)) throw error;
      logger.warn('lock is not available, going on without', { lock: name, reason: error.message });
      waiting?.span.fail(error.code, error.message);
      return await withoutLock();
    } finally {
      waited(undefined);
    }
  };
}

export function missingModel(origin: ObjectStore, { name, version }: { readonly name: string; readonly version: string }): AppError {
  return new AppError('not_found', 'model_missing', `The configuration asks for ${name} ${version}, and ${modelFolder(name, version)}/manifest.json is not in ${origin.url}: upload it, or ask for another version.`);
}

async function empty(directory: string): Promise<void> {
  await mkdir(directory, { recursive: true });
  for (const entry of await readdir(directory)) await rm(join(directory, entry), { recursive: true, force: true });
}
