import { randomUUID } from 'node:crypto';
import { readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { AppError } from '@pointsman/errors';
import { ArtifactRejectedError, MANIFEST_FILE, manifestDigest, modelFolder, readManifest, SIGNATURE_FILE, verifyArtifactDirectory } from '@pointsman/model-artifacts';
import { ModelRegistryError, openModelRegistry, type ModelRegistry } from '@pointsman/model-registry';
import type { ObjectStore } from '@pointsman/object-store';
import type { ModelManifest } from '@pointsman/schemas';
import { z } from 'zod';
import { readingFile } from '../check-config.ts';
import type { AddCommand, CommandContext } from '../command-context.ts';
import { storedArtifact } from '../model/stored-artifact.ts';
import { atStore, openStore } from '../release/open-store.ts';
import { actorOf } from '../release/release-options.ts';

interface Options {
  readonly artifact: string;
  readonly metrics?: string;
  readonly experiment?: string;
  readonly store?: string;
  readonly actor?: string;
  readonly json?: true;
}

const UPLOAD_MS = 600_000;
const metricsSchema = z.record(z.string(), z.number());

const HELP = `
Checks that the folder is one whole artifact, puts it at models/{name}-{version}/ in the store (the manifest last, never over another one), and writes
it down in the model registry: a run with the training's params, metrics and manifest, and a version with its dataset, digest and run.
The registry is MLflow where MLFLOW_TRACKING_URI names one (with MLFLOW_TRACKING_TOKEN, or _USERNAME and _PASSWORD), else the object store.
Doing it again changes nothing. Sign first (pointsman sign-model): a signature that is added later is uploaded too.

Examples:
  $ pointsman register --artifact ./knn-router-v43
  $ pointsman register --artifact ./knn-router-v43 --metrics evaluation.json --experiment routers`;

/** `pointsman register` */
export const addRegister: AddCommand = (program, context) => {
  program.command('register').summary('put a trained model into the store and the registry').description('Puts a trained router model into the object store and the model registry.')
    .requiredOption('--artifact <directory>', 'the folder with manifest.json')
    .option('--metrics <file>', 'more metrics, a JSON object of numbers')
    .option('--experiment <name>', 'of the registry; else the name of the model')
    .option('--store <url>', 'the object store, s3://bucket/prefix or file:///dir; else OBJECT_STORE_URL, with S3_ENDPOINT and AWS_* as config-sync has them')
    .option('--actor <name>', 'who does it; else $USER@host')
    .option('--json', 'one JSON object instead of text')
    .addHelpText('after', HELP)
    .action((options: Options) => register(options, context));
};

async function register({ artifact: directory, metrics: metricsFile, experiment, store: url, actor: named, json }: Options, { env, print }: CommandContext): Promise<void> {
  const actor = actorOf(named, env);
  const more = metricsFile === undefined ? {} : await readMetrics(metricsFile);
  const bytes = await readingFile(join(directory, MANIFEST_FILE), readFile(join(directory, MANIFEST_FILE)));
  const manifest = await rejecting(async () => {
    const { name, version } = readManifest(bytes);
    return (await verifyArtifactDirectory(directory, { expect: { name, version }, publicKeys: [], mode: 'off', maxBytes: Infinity })).manifest;
  });
  const { name, version } = manifest;
  const digest = manifestDigest(bytes);
  using store = await openStore(url, env);
  const uploaded = await upload(store, { directory, manifest, bytes, digest });
  const { registry, isNew, runId, artifacts } = await registering(async () => {
    const opened = openModelRegistry(env, store);
    return { registry: opened, ...await writeDown(opened, { manifest, bytes, digest, metrics: { ...manifest.training.metrics, ...more }, actor, experiment: experiment ?? name, artifactUrl: `${store.url}/${modelFolder(name, version)}` }) };
  });
  const next = `pointsman rollout model ${name} --version ${version} --gate gate.json --gateways dns://gateway-headless:4000`;
  if (json === true) print(JSON.stringify({ name, version, digest, uploaded, registry: { kind: registry.kind, place: registry.place, is_new: isNew, run_id: runId, artifacts }, next }, undefined, 2));
  else {
    print([
      `${uploaded ? 'Uploaded' : 'Already there:'} ${name} ${version} (digest ${digest.slice(0, 12)}) at ${store.url}/${modelFolder(name, version)}`,
      `${isNew ? 'Registered' : 'Registered already'} in ${registry.kind === 'mlflow' ? 'MLflow' : 'the object store'} (${registry.place}), run ${runId}${artifacts === 'skipped' ? '; the run keeps its artifacts at a place that only MLflow’s own clients write to: they were skipped' : ''}`,
      `Next: ${next}`,
    ].join('\n'));
  }
}

interface Written {
  readonly manifest: ModelManifest;
  readonly bytes: Buffer;
  readonly digest: string;
}

/** False: all of it was there. @throws AppError `conflict` when something else is there under this version. */
async function upload(store: ObjectStore, { directory, manifest, bytes, digest }: Written & { readonly directory: string }): Promise<boolean> {
  const { name, version } = manifest;
  const folder = modelFolder(name, version);
  const conflict = (what: string): AppError => new AppError('conflict', 'other_artifact', `${what}: a version is never two things, give what is new another version`);
  const isOther = async (): Promise<boolean> => {
    const found = await storedArtifact(store, name, version);
    if (found !== undefined && found.digest !== digest) throw conflict(`${store.url}/${folder} holds another ${name} ${version} (digest ${found.digest.slice(0, 12)})`);
    return found !== undefined;
  };
  const isThere = await isOther();
  if (!isThere) {
    for (const { path, sha256 } of manifest.files) {
      const key = `${folder}/${path}`;
      const written = await atStore(() => store.upload(key, { file: join(directory, path) }, { ifAbsent: true, timeoutMs: UPLOAD_MS }));
      // Left by an upload that broke off, or of somebody who is uploading now: the same bytes are welcome.
      if (written === false && await sha256Of(store, key) !== sha256) throw conflict(`${store.url}/${key} is there and is not what the manifest names`);
    }
  }
  // Signed after it was registered, or for the first time.
  const signature = await readFile(join(directory, SIGNATURE_FILE)).catch(() => undefined);
  if (signature !== undefined) await atStore(() => store.write(`${folder}/${SIGNATURE_FILE}`, signature, { timeoutMs: UPLOAD_MS }));
  if (isThere) return false;
  const written = await atStore(() => store.write(`${folder}/${MANIFEST_FILE}`, bytes, { ifAbsent: true, contentType: 'application/json', timeoutMs: UPLOAD_MS }));
  if (written === false) await isOther();
  return written !== false;
}

async function sha256Of(store: ObjectStore, key: string): Promise<string | undefined> {
  const file = join(tmpdir(), `pointsman-register-${randomUUID()}`);
  try {
    return (await atStore(() => store.download(key, file, { maxBytes: 64 * 1024 ** 3, timeoutMs: UPLOAD_MS })))?.sha256;
  } finally {
    await rm(file, { force: true });
  }
}

interface WriteDown extends Written {
  readonly metrics: Readonly<Record<string, number>>;
  readonly actor: string;
  readonly experiment: string;
  readonly artifactUrl: string;
}

async function writeDown(registry: ModelRegistry, { manifest, bytes, digest, metrics, actor, experiment, artifactUrl }: WriteDown): Promise<{ readonly isNew: boolean; readonly runId: string; readonly artifacts: 'stored' | 'skipped' | 'unchanged' }> {
  const { name, version, strategy, training } = manifest;
  const before = await registry.find(name, version);
  if (before !== undefined && before.digest === digest) return { isNew: false, runId: before.runId, artifacts: 'unchanged' };
  // A trainer that wrote its own run has named it.
  const runId = manifest.mlflow !== undefined && registry.kind === 'mlflow' ? manifest.mlflow.run_id : (await registry.startRun({ experiment, name: `${name}-${version}`, tags: { strategy, registered_by: actor } })).id;
  await registry.logFigures(runId, {
    params: { strategy, version, dataset_sha256: training.dataset_sha256, dataset_uri: training.dataset_uri, rows: String(training.rows), seed: String(training.seed), embedder: manifest.features.embedder.name }, metrics,
  });
  const artifacts = await registry.logArtifact(runId, MANIFEST_FILE, bytes);
  const { isNew, version: registered } = await registry.register({ name, version, digest, datasetSha256: training.dataset_sha256, runId, artifactUrl, registeredBy: actor });
  await registry.endRun(runId, 'finished');
  return { isNew, runId: registered.runId, artifacts };
}

async function readMetrics(file: string): Promise<Readonly<Record<string, number>>> {
  const text = await readingFile(file, readFile(file, 'utf8'));
  try {
    return metricsSchema.parse(JSON.parse(text));
  } catch (error) {
    throw new AppError('invalid_request', 'invalid_metrics', `${file} expects a JSON object of numbers`, { cause: error });
  }
}

async function rejecting<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof ArtifactRejectedError)) throw error;
    throw new AppError('unprocessable', error.code, error.message, { cause: error });
  }
}

async function registering<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof ModelRegistryError)) throw error;
    throw new AppError(error.kind === 'conflict' ? 'conflict' : error.retryable ? 'unavailable' : 'invalid_request', `registry_${error.kind}`, `model registry: ${error.message}`, { cause: error });
  }
}
