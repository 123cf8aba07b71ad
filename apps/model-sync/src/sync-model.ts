import { createHash } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { AppError, describeUnknown } from '@pointsman/errors';
import type { WantedModel } from '@pointsman/gateway-config';
import { ArtifactRejectedError, MANIFEST_FILE, modelFolder, type ManifestDemands } from '@pointsman/model-artifacts';
import type { ObjectStore } from '@pointsman/object-store';
import { confirmedRevision, confirmRevision, createStagingDirectory, ensureServed, NoGatewayError, pointTo, pruneGenerations, publishedRevision, RejectedRevisionError, removeLeftovers, type GatewayDoor, type SyncPassContext } from '@pointsman/sync';
import { attribute, metric, type Metrics } from '@pointsman/telemetry';
import { createModelGenerations, type ModelGenerations } from './model-generations.ts';
import { missingModel, type Obtained, type ObtainRequest } from './obtain-model.ts';

export interface SyncModelParts {
  readonly modelsDir: string;
  readonly origin: ObjectStore;
  readonly obtain: (request: ObtainRequest) => Promise<Obtained>;
  readonly demandsOf: (model: { readonly name: string; readonly version: string }) => ManifestDemands;
  /** Undefined where there is no gateway to ask: an init container. */
  readonly door: GatewayDoor | undefined;
  readonly applyTimeoutMs: number;
  readonly nudgeEveryMs: number;
  readonly metrics: Metrics;
}

export interface Rejection {
  readonly version: string;
  readonly revision: string;
  readonly reason: string;
}

/** How one model stands: an entry of `models` on `/health/model-sync`. */
export interface ModelStatus {
  readonly name: string;
  /** What the configuration asks for. */
  readonly version: string | null;
  /** What `current` points to. */
  readonly revision: string | null;
  /** Other versions that are there: canaries. */
  readonly others: readonly { readonly version: string; readonly revision: string }[];
  /** Whether the gateway said that it serves `revision`; null where it was not asked. */
  readonly served: boolean | null;
  readonly rejected?: readonly Rejection[];
  readonly problem?: string;
}

export interface ModelOutcome {
  readonly status: ModelStatus;
  readonly changed: boolean;
  readonly failure: unknown;
}

/** Leftovers of a killed process; nothing of a running one is older (a stalled transfer gives up earlier). */
const LEFTOVERS_MS = 600_000;
const MAX_LISTED = 2_000;

/** Brings one model in step with what the configuration asks for. Never rejects but on the signal: what fails is part of the outcome. */
export function createModelSync(parts: SyncModelParts): (wanted: WantedModel, context: SyncPassContext, signal: AbortSignal) => Promise<ModelOutcome> {
  const { origin, door } = parts;
  const rejections = parts.metrics.counter(metric.MODEL_SYNC_REJECTIONS);
  const roots = new Map<string, ModelGenerations>();
  /** What the origin's manifest with an etag is, by name and version: nothing has to be read there again. */
  const known = new Map<string, { readonly etag: string; readonly revision: string }>();
  /** Bad content, until anything about it changes at the origin. */
  const rejected = new Map<string, { readonly fingerprint: string; readonly error: RejectedRevisionError }>();
  /** What the gateway refused, by name and revision. */
  const refused = new Map<string, string>();

  function generationsOf(name: string): ModelGenerations {
    const there = roots.get(name);
    if (there !== undefined) return there;
    const generations = createModelGenerations(join(parts.modelsDir, name));
    roots.set(name, generations);
    return generations;
  }

  /** The revision of a version, in its generation on disk. `problem`: it is there, but the store could not be asked whether it is still the newest. */
  async function ensureGeneration(model: { readonly name: string; readonly version: string }, context: SyncPassContext, signal: AbortSignal): Promise<{ readonly revision: string; readonly isNew?: true; readonly problem?: unknown }> {
    const key = `${model.name}/${model.version}`;
    const generations = generationsOf(model.name);
    const question = { demands: parts.demandsOf(model), signal, logger: context.logger };
    let etag: string;
    try {
      const head = await origin.head(`${modelFolder(model.name, model.version)}/${MANIFEST_FILE}`, { signal });
      if (head === undefined) throw missingModel(origin, model);
      etag = head.etag;
    } catch (error) {
      signal.throwIfAborted();
      const revision = await generations.newestOf(model.version, question);
      if (revision === undefined) throw error;
      return { revision, problem: error };
    }
    const before = known.get(key);
    if (before?.etag === etag && await generations.has(before.revision, question)) return { revision: before.revision };
    const bad = rejected.get(key);
    if (bad !== undefined && bad.fingerprint === await fingerprintOf(model, etag, signal)) throw bad.error;
    const staging = await createStagingDirectory(generations.root);
    try {
      const obtained = await parts.obtain({ ...question, originEtag: etag, generations, staging, span: context.span, fetched: context.fetched });
      if (obtained.from !== 'disk') {
        const publish = context.span.child('model-sync.publish', 'internal');
        publish.set(attribute.SYNC_REVISION, obtained.revision);
        await generations.place(staging, obtained.revision).finally(() => publish.end());
      }
      known.set(key, { etag: obtained.originEtag, revision: obtained.revision });
      rejected.delete(key);
      return { revision: obtained.revision, ...(obtained.from === 'disk' ? {} : { isNew: true } as const) };
    } catch (error) {
      if (error instanceof RejectedRevisionError) {
        rejections.labels(error.cause instanceof ArtifactRejectedError ? error.cause.code : 'other').inc();
        rejected.set(key, { error, fingerprint: await fingerprintOf(model, etag, signal) });
      }
      throw asDiskFull(error);
    } finally {
      await rm(staging, { recursive: true, force: true });
    }
  }

  /** Everything in the folder of a version: any repair there is worth another look. */
  async function fingerprintOf({ name, version }: { readonly name: string; readonly version: string }, etag: string, signal: AbortSignal): Promise<string> {
    const hash = createHash('sha256').update(etag);
    try {
      let count = 0;
      for await (const head of origin.list(`${modelFolder(name, version)}/`, { signal })) {
        hash.update(`\0${head.key}\0${head.etag}`);
        count += 1;
        if (count >= MAX_LISTED) break;
      }
    } catch {
      // Not everybody may list: then only a new manifest is news.
      signal.throwIfAborted();
    }
    return hash.digest('hex');
  }

  /** Resolves when the gateway serves it. @throws RejectedRevisionError with its reason when it refuses it */
  async function apply({ name, version, revision }: { readonly name: string; readonly version: string; readonly revision: string }, context: SyncPassContext, signal: AbortSignal): Promise<void> {
    if (door === undefined) return;
    const span = context.span.child('model-sync.apply', 'client');
    span.set(attribute.ROUTER_MODEL_NAME, name);
    span.set(attribute.SYNC_REVISION, revision);
    try {
      // One that is still starting reads the disk by itself: the next pass asks again, instead of this one holding up a new configuration.
      if (await door.report(signal) === undefined) throw new NoGatewayError(door.absence ?? 'nobody answers');
      await ensureServed(door, {
        revision, nudgeEveryMs: parts.nudgeEveryMs, timeoutMs: parts.applyTimeoutMs,
        isServed: (report) => report.models.some((model) => model.name === name && model.revision === revision),
        refusal: (report) => report.rejected_models?.find((model) => model.name === name && model.version === version && model.revision === revision)?.reason,
      }, signal);
      refused.delete(`${name}/${revision}`);
    } catch (error) {
      span.fail(error instanceof RejectedRevisionError ? 'refused' : 'not_served', describeUnknown(error));
      if (error instanceof RejectedRevisionError) {
        if (!refused.has(`${name}/${revision}`)) rejections.labels('gateway').inc();
        refused.set(`${name}/${revision}`, error.message);
      }
      throw error;
    } finally {
      span.end();
    }
  }

  /** What the gateway refused before and still lists as refused is not tried again; one that was restarted has forgotten, and may think otherwise. */
  async function standingRefusal(name: string, revision: string, signal: AbortSignal): Promise<string | undefined> {
    const reason = refused.get(`${name}/${revision}`);
    if (reason === undefined || door === undefined) return undefined;
    const report = await door.report(signal).catch(() => undefined);
    signal.throwIfAborted();
    if (report === undefined || report.rejected_models?.some((model) => model.name === name && model.revision === revision) === true) return reason;
    refused.delete(`${name}/${revision}`);
    return undefined;
  }

  return async function syncModel({ name, version, others }, context, signal) {
    const generations = generationsOf(name);
    const { root } = generations;
    // In every pass: what a process left that was killed a moment ago is too young at the start, and must not fill the disk for ever.
    await removeLeftovers(root, { olderThanMs: LEFTOVERS_MS }).catch(() => 0);
    const before = await publishedRevision(root);
    const refusals: Rejection[] = [];
    const failures: unknown[] = [];
    const keep = new Set<string>(before === undefined ? [] : [before]);
    let served: boolean | null = null;
    let changed = false;
    /** Takes note of what went wrong with a version; the others go on. */
    const note = (wanted: string, error: unknown): void => {
      signal.throwIfAborted();
      if (error instanceof RejectedRevisionError) refusals.push({ version: wanted, revision: error.revision, reason: error.message });
      else failures.push(error);
    };

    /** Back to what the gateway last served; with nothing to go back to, nothing is published. */
    const giveWay = async (revision: string): Promise<void> => {
      const confirmed = await confirmedRevision(root);
      const target = confirmed !== undefined && confirmed !== revision ? confirmed : before !== revision ? before : undefined;
      if (target === undefined) await rm(join(root, 'current'), { force: true });
      else await pointTo(root, target);
      await door?.nudge(signal).catch(() => false);
    };

    /** The generation of a version; undefined when it is not there, or the gateway refuses it: then that is noted. */
    const placeVersion = async (wanted: string): Promise<string | undefined> => {
      try {
        const { revision, problem, isNew } = await ensureGeneration({ name, version: wanted }, context, signal);
        keep.add(revision);
        changed ||= isNew === true;
        if (problem !== undefined) failures.push(problem);
        const standing = await standingRefusal(name, revision, signal);
        if (standing === undefined) return revision;
        refusals.push({ version: wanted, revision, reason: standing });
      } catch (error) {
        note(wanted, error);
      }
      return undefined;
    };

    // Everything is in its place before the gateway is told: it looks for the canary in the same moment as for the version beside it.
    const stable = version === undefined ? undefined : await placeVersion(version);
    const placed: { readonly version: string; readonly revision: string }[] = [];
    for (const other of others) {
      const revision = await placeVersion(other);
      if (revision !== undefined) placed.push({ version: other, revision });
    }
    if (stable !== undefined && await publishedRevision(root) !== stable) await pointTo(root, stable);
    if (stable !== undefined && version !== undefined && door !== undefined) {
      try {
        await apply({ name, version, revision: stable }, context, signal);
        await confirmRevision(root, stable);
        served = true;
      } catch (error) {
        served = false;
        if (error instanceof RejectedRevisionError) await giveWay(stable);
        note(version, error);
      }
    }
    for (const { version: other, revision } of placed) {
      try {
        await apply({ name, version: other, revision }, context, signal);
      } catch (error) {
        note(other, error);
      }
    }
    const confirmed = await confirmedRevision(root);
    if (confirmed !== undefined) keep.add(confirmed);
    // Readers may still be on what was published before: it goes when the next one has come.
    await pruneGenerations(root, { keep: 1, alsoKeep: keep }).catch((error: unknown) => failures.push(error));

    const revision = await publishedRevision(root) ?? null;
    const [failure] = failures;
    return {
      changed: revision !== (before ?? null) || changed,
      failure,
      status: {
        name, version: version ?? null, revision, others: placed, served,
        ...(refusals.length === 0 ? {} : { rejected: refusals }),
        ...(failure === undefined ? {} : { problem: failure instanceof AppError ? failure.message : describeUnknown(failure) }),
      },
    };
  };
}

/** The same words for a disk that is full, whoever noticed it. */
function asDiskFull(error: unknown): unknown {
  const isFull = error instanceof Error && (('code' in error && (error.code === 'ENOSPC' || error.code === 'EDQUOT')) || ('kind' in error && error.kind === 'no_space'));
  return isFull ? new AppError('unavailable', 'no_space', 'The volume where models are kept is full: make room, or give it a larger size. What was served before goes on.', { cause: error }) : error;
}
