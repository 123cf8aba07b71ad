import { randomBytes } from 'node:crypto';
import { ObjectStoreError, type ObjectStore } from '@pointsman/object-store';
import { modelNameSchema, modelVersionSchema } from '@pointsman/schemas';
import { systemClock, type Clock } from '@pointsman/timing';
import { z } from 'zod';
import {
  checkArtifactPath, checkArtifactSize, checkName, compareVersions, ModelRegistryError, otherDigest,
  type AskOptions, type ModelRegistry, type RegisteredVersion,
} from './model-registry.ts';

/** Tolerant: what was stored earlier or by a newer program. */
const versionSchema = z.object({
  name: modelNameSchema, version: modelVersionSchema, digest: z.string(), dataset_sha256: z.string(), run_id: z.string(), artifact_url: z.string(),
  registered_at: z.string(), registered_by: z.string(),
  deployed: z.object({ environment: z.string(), percent: z.number(), actor: z.string(), at: z.string() }).optional(),
});
type StoredVersion = z.infer<typeof versionSchema>;
const aliasesSchema = z.object({ aliases: z.record(z.string(), z.string()) });
const runSchema = z.object({
  experiment: z.string(), name: z.string(), tags: z.record(z.string(), z.string()), status: z.enum(['running', 'finished', 'failed']), started_at: z.string(), ended_at: z.string().optional(),
  params: z.record(z.string(), z.string()), metrics: z.record(z.string(), z.number()),
});

const MAX_BYTES = 4 * 1024 * 1024;
const TRY_MS = 15_000;
/** Two who write at once: one of them reads again. More of them than this at the same object, and something is wrong. */
const TRIES = 20;
const RUN_ID = /^([A-Za-z0-9][A-Za-z0-9_.-]{0,127})\/([0-9a-f]{24})$/;

/**
 * The registry as objects, the default: `registry/{name}/versions/{version}.json` (written once, on the condition that it is not there),
 * `registry/{name}/aliases.json`, `registry-runs/{experiment}/{run}/run.json` and the artifacts beside it. Every change is a conditional write:
 * of two at the same moment neither is lost.
 */
export function createObjectStoreRegistry(store: ObjectStore, { clock = systemClock }: { readonly clock?: Clock } = {}): ModelRegistry {
  const now = (): string => new Date(clock.now()).toISOString();
  const folderOf = (name: string): string => `registry/${checked(modelNameSchema, name)}`;
  const versionKey = (name: string, version: string): string => `${folderOf(name)}/versions/${checked(modelVersionSchema, version)}.json`;

  const read = async <T>(key: string, schema: z.ZodType<T>, { signal }: AskOptions): Promise<{ readonly value: T; readonly etag: string } | undefined> => {
    const found = await atStore(() => store.read(key, { maxBytes: MAX_BYTES, timeoutMs: TRY_MS, ...(signal === undefined ? {} : { signal }) }));
    if (found === undefined || found === 'unchanged') return undefined;
    const parsed = schema.safeParse(parseJson(found.body.toString('utf8')));
    if (!parsed.success) throw new ModelRegistryError('refused', `${key} is not as this registry writes it`);
    return { value: parsed.data, etag: found.head.etag };
  };
  const write = async (key: string, value: unknown, etag: string | undefined, { signal }: AskOptions): Promise<boolean> => {
    const options = { contentType: 'application/json', timeoutMs: TRY_MS, ...(signal === undefined ? {} : { signal }), ...(etag === undefined ? { ifAbsent: true as const } : { ifMatch: etag }) };
    return await atStore(() => store.write(key, `${JSON.stringify(value, undefined, 2)}\n`, options)) !== false;
  };
  /** Reads, changes and writes until nobody was in between. */
  const change = async <T>(key: string, schema: z.ZodType<T>, next: (value: T | undefined) => T, options: AskOptions): Promise<void> => {
    for (let attempt = 0; attempt < TRIES; attempt += 1) {
      const found = await read(key, schema, options);
      if (await write(key, next(found?.value), found?.etag, options)) return;
    }
    throw new ModelRegistryError('unavailable', `${key} keeps being changed by others`);
  };
  const aliasesOf = async (name: string, options: AskOptions): Promise<Readonly<Record<string, string>>> => (await read(`${folderOf(name)}/aliases.json`, aliasesSchema, options))?.value.aliases ?? {};
  const shown = (stored: StoredVersion, aliases: Readonly<Record<string, string>>): RegisteredVersion => ({
    name: stored.name, version: stored.version, digest: stored.digest, datasetSha256: stored.dataset_sha256, runId: stored.run_id, artifactUrl: stored.artifact_url,
    registeredAt: stored.registered_at, registeredBy: stored.registered_by, deployed: stored.deployed,
    aliases: Object.entries(aliases).filter(([, version]) => version === stored.version).map(([alias]) => alias).toSorted(),
  });
  const runFolder = (runId: string): string => {
    const [, experiment, id] = RUN_ID.exec(runId) ?? [];
    if (experiment === undefined || id === undefined) throw new ModelRegistryError('not_found', 'this registry has no such run');
    return `registry-runs/${experiment}/${id}`;
  };
  const changeRun = (runId: string, next: (run: z.infer<typeof runSchema>) => z.infer<typeof runSchema>, options: AskOptions): Promise<void> => change(`${runFolder(runId)}/run.json`, runSchema, (run) => {
    if (run === undefined) throw new ModelRegistryError('not_found', `there is no run ${runId}`);
    return next(run);
  }, options);

  return {
    kind: 'object-store',
    place: `${store.url}/registry`,
    startRun: async ({ experiment, name, tags = {} }, options = {}) => {
      const id = `${checkName('an experiment', experiment)}/${randomBytes(12).toString('hex')}`;
      await write(`${runFolder(id)}/run.json`, { experiment, name, tags, status: 'running', started_at: now(), params: {}, metrics: {} }, undefined, options);
      return { id, experiment, artifactUri: `${store.url}/${runFolder(id)}/artifacts` };
    },
    logFigures: async (runId, { params = {}, metrics = {} }, options = {}) => {
      await changeRun(runId, (run) => ({ ...run, params: withOwn(params, run.params), metrics: withOwn(run.metrics, finite(metrics)) }), options);
    },
    logArtifact: async (runId, path, body, { signal } = {}) => {
      checkArtifactSize(body);
      const key = `${runFolder(runId)}/artifacts/${checkArtifactPath(path)}`;
      await atStore(() => store.write(key, body, { timeoutMs: 60_000, ...(signal === undefined ? {} : { signal }) }));
      return 'stored';
    },
    endRun: async (runId, outcome, options = {}) => {
      await changeRun(runId, (run) => ({ ...run, status: outcome, ended_at: now() }), options);
    },
    register: async (version, options = {}) => {
      const stored: StoredVersion = {
        name: version.name, version: version.version, digest: version.digest, dataset_sha256: version.datasetSha256, run_id: version.runId, artifact_url: version.artifactUrl,
        registered_at: now(), registered_by: version.registeredBy,
      };
      const key = versionKey(version.name, version.version);
      if (await write(key, stored, undefined, options)) return { isNew: true, version: shown(stored, await aliasesOf(version.name, options)) };
      const found = await read(key, versionSchema, options);
      if (found === undefined) throw new ModelRegistryError('unavailable', `${key} comes and goes`);
      if (found.value.digest !== version.digest) throw otherDigest(version, found.value.digest);
      return { isNew: false, version: shown(found.value, await aliasesOf(version.name, options)) };
    },
    find: async (name, version, options = {}) => {
      const [found, aliases] = await Promise.all([read(versionKey(name, version), versionSchema, options), aliasesOf(name, options)]);
      return found === undefined ? undefined : shown(found.value, aliases);
    },
    list: async (name, options = {}) => {
      const versions: StoredVersion[] = [];
      const aliases = await aliasesOf(name, options);
      await atStore(async () => {
        for await (const { key } of store.list(`${folderOf(name)}/versions/`, { timeoutMs: TRY_MS, ...(options.signal === undefined ? {} : { signal: options.signal }) })) {
          const found = await read(key, versionSchema, options);
          if (found !== undefined) versions.push(found.value);
        }
      });
      return versions.toSorted((a, b) => compareVersions(a.version, b.version)).map((version) => shown(version, aliases));
    },
    setAlias: async (name, alias, version, options = {}) => {
      checkName('an alias', alias);
      if (version !== undefined && await read(versionKey(name, version), versionSchema, options) === undefined) throw notRegistered(name, version);
      await change(`${folderOf(name)}/aliases.json`, aliasesSchema, (value) => ({
        aliases: Object.fromEntries([...Object.entries(value?.aliases ?? {}).filter(([each]) => each !== alias), ...(version === undefined ? [] : [[alias, version] as const])]),
      }), options);
    },
    markDeployed: async (name, version, deployed, options = {}) => {
      await change(versionKey(name, version), versionSchema, (value) => {
        if (value === undefined) throw notRegistered(name, version);
        return { ...value, deployed: { ...deployed } };
      }, options);
    },
  };
}

function notRegistered(name: string, version: string): ModelRegistryError {
  return new ModelRegistryError('not_found', `${name} ${version} is not registered`);
}

function checked(schema: z.ZodType<string>, text: string): string {
  const result = schema.safeParse(text);
  if (!result.success) throw new ModelRegistryError('refused', result.error.issues[0]?.message ?? 'not a name');
  return result.data;
}

/** One record over another, whatever its keys are called. */
function withOwn<T>(under: Readonly<Record<string, T>>, over: Readonly<Record<string, T>>): Record<string, T> {
  return Object.fromEntries([...Object.entries(under), ...Object.entries(over)]);
}

export function finite(metrics: Readonly<Record<string, number>>): Record<string, number> {
  return Object.fromEntries(Object.entries(metrics).filter(([, value]) => Number.isFinite(value)));
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

/** What the store says, as this registry's words. */
export async function atStore<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof ObjectStoreError)) throw error;
    const kind = error.kind === 'denied' ? 'denied' : error.kind === 'timeout' ? 'timeout' : error.retryable ? 'unavailable' : 'refused';
    throw new ModelRegistryError(kind, `object store: ${error.message}`, { cause: error });
  }
}
