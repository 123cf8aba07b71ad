import { modelNameSchema, modelVersionSchema } from '@pointsman/schemas';
import { systemClock, type Clock } from '@pointsman/timing';
import { z } from 'zod';
import { createMlflowClient, MlflowError, nothing, type MlflowSettings } from './mlflow-client.ts';
import {
  checkArtifactPath, checkArtifactSize, checkName, compareVersions, ModelRegistryError, otherDigest,
  type AskOptions, type ModelRegistry, type NewVersion, type RegisteredVersion,
} from './model-registry.ts';
import { finite } from './object-store-registry.ts';

export type { MlflowSettings } from './mlflow-client.ts';

// MLflow numbers versions by itself (1, 2, 3 …): ours, with all that belongs to the lineage, are tags of them.
const TAG = {
  version: 'pointsman.version', digest: 'pointsman.digest', dataset: 'pointsman.dataset_sha256', artifact: 'pointsman.artifact_url', by: 'pointsman.registered_by', at: 'pointsman.registered_at',
  deployed: 'pointsman.deployed',
} as const;

const experimentSchema = z.object({ experiment: z.object({ experiment_id: z.string(), lifecycle_stage: z.string().optional() }) });
const createdExperimentSchema = z.object({ experiment_id: z.string() });
const infoSchema = z.object({ run_id: z.string(), artifact_uri: z.string().default('') });
const runSchema = z.object({ run: z.object({ info: infoSchema }) });
const tagsSchema = z.array(z.object({ key: z.string(), value: z.string().default('') })).default([]);
const versionSchema = z.object({ name: z.string(), version: z.string(), creation_timestamp: z.coerce.number().default(0), run_id: z.string().default(''), source: z.string().default(''), tags: tagsSchema });
type MlflowVersion = z.infer<typeof versionSchema>;
const createdVersionSchema = z.object({ model_version: versionSchema });
const searchSchema = z.object({ model_versions: z.array(versionSchema).default([]), next_page_token: z.string().optional() });
const modelSchema = z.object({ registered_model: z.object({ aliases: z.array(z.object({ alias: z.string(), version: z.string() })).default([]) }) });
const deployedSchema = z.object({ environment: z.string(), percent: z.number(), actor: z.string(), at: z.string() });

/** A batch may hold 1,000 figures, of them at most 100 params. */
const MOST_PARAMS = 100;
const MOST_METRICS = 900;
/** MLflow 3 takes 6,000 characters; older ones 500. */
const MAX_PARAM_CHARS = 500;
const MAX_PAGES = 100;

/** MLflow's tracking server and model registry. Two who register the same version at once: the lower of MLflow's own numbers stands, the other one is taken away again. */
export function createMlflowRegistry(settings: MlflowSettings, { clock = systemClock }: { readonly clock?: Clock } = {}): ModelRegistry {
  const client = createMlflowClient(settings);

  const experimentId = async (name: string, options: AskOptions): Promise<string> => {
    for (let attempt = 0; ; attempt += 1) {
      const found = await client.get('experiments/get-by-name', { experiment_name: name }, experimentSchema, options).catch(unlessMissing);
      if (found?.experiment.lifecycle_stage === 'deleted') throw new ModelRegistryError('refused', `the experiment ${name} was deleted in MLflow: restore it, or use another name`);
      if (found !== undefined) return found.experiment.experiment_id;
      try {
        return (await client.send('POST', 'experiments/create', { name }, createdExperimentSchema, options)).experiment_id;
      } catch (error) {
        // Somebody else has made it meanwhile.
        if (!(error instanceof MlflowError) || error.errorCode !== 'RESOURCE_ALREADY_EXISTS' || attempt > 2) throw error;
      }
    }
  };
  const versionsOf = async (name: string, options: AskOptions): Promise<readonly MlflowVersion[]> => {
    const all: MlflowVersion[] = [];
    let token = '';
    for (let page = 0; page < MAX_PAGES; page += 1) {
      const found = await client.get('model-versions/search', { filter: `name='${name}'`, max_results: '200', ...(token === '' ? {} : { page_token: token }) }, searchSchema, options);
      all.push(...found.model_versions.filter((each) => each.name === name));
      token = found.next_page_token ?? '';
      if (token === '') break;
    }
    return all.toSorted((a, b) => Number(a.version) - Number(b.version));
  };
  const aliasesOf = async (name: string, options: AskOptions): Promise<readonly { readonly alias: string; readonly version: string }[]> => (await client.get('registered-models/get', { name }, modelSchema, options).catch(unlessMissing))?.registered_model.aliases ?? [];
  /** The first of MLflow's numbers that is ours. */
  const numbered = async (name: string, version: string, options: AskOptions): Promise<MlflowVersion | undefined> => {
    const wanted = checked(modelVersionSchema, version);
    return (await versionsOf(checked(modelNameSchema, name), options)).find((each) => tagOf(each, TAG.version) === wanted);
  };
  const demanded = async (name: string, version: string, options: AskOptions): Promise<MlflowVersion> => {
    const found = await numbered(name, version, options);
    if (found === undefined) throw new ModelRegistryError('not_found', `${name} ${version} is not registered in MLflow`);
    return found;
  };
  const answer = async (found: MlflowVersion, isNew: boolean, wanted: NewVersion, options: AskOptions): Promise<{ readonly isNew: boolean; readonly version: RegisteredVersion }> => {
    const digest = tagOf(found, TAG.digest);
    if (digest !== wanted.digest) throw otherDigest(wanted, digest);
    return { isNew, version: shown(found, await aliasesOf(wanted.name, options)) };
  };
  const artifactUriOf = async (runId: string, options: AskOptions): Promise<string> => (await client.get('runs/get', { run_id: runId }, runSchema, options)).run.info.artifact_uri;

  return {
    kind: 'mlflow',
    place: client.place,
    startRun: async ({ experiment, name, tags = {} }, options = {}) => {
      const id = await experimentId(checkName('an experiment', experiment), options);
      const { run } = await client.send('POST', 'runs/create', {
        experiment_id: id, run_name: name, start_time: clock.now(), tags: Object.entries({ ...tags, 'mlflow.source.name': 'pointsman' }).map(([key, value]) => ({ key, value })),
      }, runSchema, options);
      return { id: run.info.run_id, experiment, artifactUri: run.info.artifact_uri };
    },
    logFigures: async (runId, { params = {}, metrics = {} }, options = {}) => {
      const timestamp = clock.now();
      const allParams = Object.entries(params).map(([key, value]) => ({ key, value: value.slice(0, MAX_PARAM_CHARS) }));
      const allMetrics = Object.entries(finite(metrics)).map(([key, value]) => ({ key: key.replaceAll(/[^\w./ -]/g, '_'), value, timestamp, step: 0 }));
      for (let at = 0; at * MOST_PARAMS < allParams.length || at * MOST_METRICS < allMetrics.length; at += 1) {
        await client.send('POST', 'runs/log-batch', {
          run_id: runId, params: allParams.slice(at * MOST_PARAMS, (at + 1) * MOST_PARAMS), metrics: allMetrics.slice(at * MOST_METRICS, (at + 1) * MOST_METRICS), tags: [],
        }, nothing, options);
      }
    },
    logArtifact: async (runId, path, body, options = {}) => {
      checkArtifactSize(body);
      checkArtifactPath(path);
      const uri = URL.parse(await artifactUriOf(runId, options));
      // Elsewhere (s3:, file:) only who has that place's own credentials can write.
      if (uri?.protocol !== 'mlflow-artifacts:') return 'skipped';
      await client.putArtifact(`${uri.pathname.replace(/^\/+/, '')}/${path}`, body, options);
      return 'stored';
    },
    endRun: async (runId, outcome, options = {}) => {
      await client.send('POST', 'runs/update', { run_id: runId, status: outcome === 'finished' ? 'FINISHED' : 'FAILED', end_time: clock.now() }, nothing, options);
    },
    register: async (wanted, options = {}) => {
      const { name } = wanted;
      const before = await numbered(name, wanted.version, options);
      if (before !== undefined) return await answer(before, false, wanted, options);
      await client.send('POST', 'registered-models/create', { name }, nothing, options).catch((error: unknown) => {
        if (!(error instanceof MlflowError) || error.errorCode !== 'RESOURCE_ALREADY_EXISTS') throw error;
      });
      const { model_version: made } = await client.send('POST', 'model-versions/create', {
        name, run_id: wanted.runId,
        // A path of this machine is refused by MLflow unless it lies below the run's artifacts.
        source: wanted.artifactUrl.startsWith('s3://') ? wanted.artifactUrl : await artifactUriOf(wanted.runId, options),
        tags: [[TAG.version, wanted.version], [TAG.digest, wanted.digest], [TAG.dataset, wanted.datasetSha256], [TAG.artifact, wanted.artifactUrl], [TAG.by, wanted.registeredBy], [TAG.at, new Date(clock.now()).toISOString()]]
          .map(([key, value]) => ({ key, value })),
      }, createdVersionSchema, options);
      const first = await numbered(name, wanted.version, options);
      if (first === undefined) throw new ModelRegistryError('unavailable', `MLflow does not show ${name} ${wanted.version}, which it has taken`);
      if (first.version === made.version) return await answer(first, true, wanted, options);
      await client.send('DELETE', 'model-versions/delete', { name, version: made.version }, nothing, options);
      return await answer(first, false, wanted, options);
    },
    find: async (name, version, options = {}) => {
      const found = await numbered(name, version, options);
      return found === undefined ? undefined : shown(found, await aliasesOf(name, options));
    },
    list: async (name, options = {}) => {
      const [versions, aliases] = await Promise.all([versionsOf(checked(modelNameSchema, name), options), aliasesOf(name, options)]);
      const ours = new Map<string, MlflowVersion>();
      for (const each of versions) {
        const version = tagOf(each, TAG.version);
        if (version !== '' && !ours.has(version)) ours.set(version, each);
      }
      return [...ours.values()].map((each) => shown(each, aliases)).toSorted((a, b) => compareVersions(a.version, b.version));
    },
    setAlias: async (name, alias, version, options = {}) => {
      checkName('an alias', alias);
      if (version === undefined) await client.send('DELETE', 'registered-models/alias', { name: checked(modelNameSchema, name), alias }, nothing, options).catch(unlessMissing);
      else await client.send('POST', 'registered-models/alias', { name, alias, version: (await demanded(name, version, options)).version }, nothing, options);
    },
    markDeployed: async (name, version, deployed, options = {}) => {
      const { version: number } = await demanded(name, version, options);
      await client.send('POST', 'model-versions/set-tag', { name, version: number, key: TAG.deployed, value: JSON.stringify(deployed) }, nothing, options);
    },
  };
}

/** What is not there is no error where it was looked for. */
function unlessMissing(error: unknown): undefined {
  if (error instanceof MlflowError && error.errorCode === 'RESOURCE_DOES_NOT_EXIST') return undefined;
  throw error;
}

function tagOf({ tags }: MlflowVersion, key: string): string {
  return tags.find((tag) => tag.key === key)?.value ?? '';
}

function shown(found: MlflowVersion, aliases: readonly { readonly alias: string; readonly version: string }[]): RegisteredVersion {
  const deployed = deployedSchema.safeParse(parsed(tagOf(found, TAG.deployed)));
  return {
    name: found.name, version: tagOf(found, TAG.version), digest: tagOf(found, TAG.digest), datasetSha256: tagOf(found, TAG.dataset), runId: found.run_id,
    artifactUrl: tagOf(found, TAG.artifact), registeredBy: tagOf(found, TAG.by), registeredAt: tagOf(found, TAG.at),
    aliases: aliases.filter(({ version }) => version === found.version).map(({ alias }) => alias).toSorted(), deployed: deployed.success ? deployed.data : undefined,
  };
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

function checked(schema: z.ZodType<string>, text: string): string {
  const result = schema.safeParse(text);
  if (!result.success) throw new ModelRegistryError('refused', result.error.issues[0]?.message ?? 'not a name');
  return result.data;
}
