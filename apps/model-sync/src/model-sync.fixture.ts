import { mkdir, readdir, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { generateSigningKeys, modelFolder, writeArtifact } from '@pointsman/model-artifacts';
import type { GatewayReport, ModelManifest } from '@pointsman/schemas';
import type { GatewayDoor } from '@pointsman/sync';
import { startTelemetry, type Telemetry } from '@pointsman/telemetry';
import { readModelSyncSettings, type ModelSyncSettings } from './settings.ts';
import { startModelSync, type RunningModelSync, type StartModelSyncOptions } from './start-model-sync.ts';

/** What of `startObjectStore()` is used here. */
interface StoreParts extends AsyncDisposable {
  readonly env: Readonly<Record<string, string>>;
  readonly requests: readonly { readonly method: string; readonly key: string }[];
  put(key: string, body: string | Uint8Array): Promise<void>;
}

/** From `@pointsman/testing`, which only tests may import. */
export interface WorldParts<Store extends StoreParts> {
  readonly startObjectStore: () => Promise<Store>;
  readonly temporaryDirectory: () => Promise<AsyncDisposable & { readonly path: string }>;
}

type LogLine = Readonly<Record<string, unknown>>;

const signing = generateSigningKeys();
export const otherSigning = generateSigningKeys();

/** One gateway of a test: serves what the links and directories say when it is nudged, or refuses it. */
export class FakeGateway implements GatewayDoor {
  nudges = 0;
  /** False: there is none. */
  isThere = true;
  /** Reasons by revision. */
  readonly refuses = new Map<string, string>();
  #served: GatewayReport['models'] = [];
  #rejected: NonNullable<GatewayReport['rejected_models']> = [];
  readonly #modelsDir: string;

  constructor(modelsDir: string) {
    this.#modelsDir = modelsDir;
  }

  async report(): Promise<GatewayReport | undefined> {
    await Promise.resolve();
    return this.isThere ? { config_revision: 'c', applied_at: null, models: this.#served, rejected_models: this.#rejected } : undefined;
  }

  async nudge(): Promise<boolean> {
    if (!this.isThere) return false;
    this.nudges += 1;
    const served: GatewayReport['models'] = [];
    const rejected: NonNullable<GatewayReport['rejected_models']> = [];
    for (const name of await readdir(this.#modelsDir).catch(() => [])) {
      for (const revision of await readdir(join(this.#modelsDir, name, 'generations')).catch(() => [])) {
        const version = revision.slice(0, -13);
        const reason = this.refuses.get(revision);
        if (reason === undefined) served.push({ name, version, revision, applied_at: '' });
        else rejected.push({ name, version, revision, reason, at: '' });
      }
    }
    this.#served = served;
    this.#rejected = rejected;
    return true;
  }

  get served(): readonly string[] {
    return this.#served.map(({ revision }) => revision);
  }

  /** As after a restart: serves and refuses nothing yet. */
  forget(): void {
    this.#served = [];
    this.#rejected = [];
  }
}

export interface Pod extends AsyncDisposable {
  readonly sync: RunningModelSync;
  readonly gateway: FakeGateway;
  readonly modelsDir: string;
  readonly telemetry: Telemetry;
  readonly logs: readonly LogLine[];
  /** Content of a file of what `current` points to; undefined when there is none. */
  served(path?: string, name?: string): Promise<string | undefined>;
  generations(name?: string): Promise<string[]>;
}

export interface World<Store extends StoreParts> extends AsyncDisposable {
  readonly store: Store;
  readonly directory: string;
  readonly configDir: string;
  /** The environment of a model-sync of this world. */
  env(more?: Readonly<Record<string, string>>): Record<string, string>;
  /** Writes an artifact into the store; resolves to its revision. */
  upload(version: string, files?: Readonly<Record<string, string | Buffer>>, more?: { readonly name?: string; readonly sign?: 'good' | 'other' | 'none'; readonly as?: string }): Promise<string>;
  /** Publishes a configuration as config-sync does. */
  want(version: string | undefined, canary?: string, name?: string): Promise<void>;
  publish(text: string): Promise<void>;
  startPod(options?: Partial<StartModelSyncOptions> & { readonly env?: Readonly<Record<string, string>>; readonly modelsDir?: string }): Promise<Pod>;
  settings(more?: Readonly<Record<string, string>>): ModelSyncSettings;
  /** GETs of files of models at the origin, by key. */
  originReads(): string[];
}

export const MODEL = 'knn-router';

export function manifestOf(name: string, version: string): Omit<ModelManifest, 'files'> {
  return {
    schema_version: 1, name, version, strategy: 'llmrouter-knn', created_at: '2026-05-01T00:00:00Z', candidates: ['small', 'large'],
    features: { version: 1, embedder: { name: 'none', sha256: '', dimensions: 0 } },
    golden: [{ prompt: 'hi', scores: { small: 0.4, large: 0.6 }, tolerance: 0.01 }],
    training: { dataset_uri: 's3://b/d', dataset_sha256: 'a'.repeat(64), rows: 1, started_at: '2026-05-01T00:00:00Z', duration_s: 1, seed: 7, metrics: {} },
  };
}

export async function createWorld<Store extends StoreParts>({ startObjectStore, temporaryDirectory }: WorldParts<Store>): Promise<World<Store>> {
  const stack = new AsyncDisposableStack();
  const store = stack.use(await startObjectStore());
  const { path } = stack.use(await temporaryDirectory());
  const configDir = join(path, 'config');
  const keyFile = join(path, 'public.pem');
  await mkdir(configDir);
  await writeFile(keyFile, signing.publicKeyPem);
  // The AWS SDK takes its credentials from the environment of the process.
  for (const [name, value] of Object.entries(store.env)) process.env[name] = value;
  let count = 0;

  const env: World<Store>['env'] = (more = {}) => ({
    ...store.env, CONFIG_DIR: configDir, MODELS_DIR: join(path, 'models'), RUN_DIR: join(path, 'run'), MODEL_SIGNING_PUBLIC_KEYS: keyFile, MODEL_SYNC_INTERVAL: '200ms', HEALTH_PORT: '0', MODEL_CACHE: 'off', LOG_LEVEL: 'debug', ...more,
  });
  const settings: World<Store>['settings'] = (more) => readModelSyncSettings(env(more));
  const publish: World<Store>['publish'] = async (text) => {
    const generation = join(configDir, 'generations', `r${String(count += 1)}`);
    await mkdir(generation, { recursive: true });
    await writeFile(join(generation, 'config.yaml'), text);
    const link = join(configDir, `.link-${String(count)}`);
    await symlink(relative(configDir, generation), link);
    await rename(link, join(configDir, 'current'));
  };
  return {
    store, directory: path, configDir, env, settings, publish,
    want: (version, canary, name = MODEL) => publish(version === undefined ? 'model_list: []\n' : JSON.stringify({ router_settings: { routing_strategy: 'llmrouter-knn', routing_strategy_args: { model_name: name, model_version: version, ...(canary === undefined ? {} : { canary: { model_version: canary, weight: 10 } }) } } })),
    upload: async (version, files = { 'model.onnx': `weights of ${version}` }, { name = MODEL, sign = 'good', as = version } = {}) => {
      const directory = join(path, `artifact-${String(count += 1)}`);
      const key = { good: signing.privateKeyPem, other: otherSigning.privateKeyPem, none: undefined }[sign];
      const { revision } = await writeArtifact(directory, manifestOf(name, version), new Map(Object.entries(files).map(([file, content]) => [file, Buffer.from(content)])), key);
      for (const entry of await readdir(directory, { recursive: true, withFileTypes: true })) {
        if (entry.isFile()) await store.put(`${modelFolder(name, as)}/${relative(directory, join(entry.parentPath, entry.name))}`, await readFile(join(entry.parentPath, entry.name)));
      }
      await rm(directory, { recursive: true });
      return revision;
    },
    originReads: () => store.requests.filter(({ method, key }) => method === 'GET' && key.startsWith('models/')).map(({ key }) => key),
    startPod: async ({ env: more, modelsDir = join(path, `pod-${String(count += 1)}`), ...options } = {}) => {
      const logs: LogLine[] = [];
      const telemetry = options.telemetry ?? startTelemetry({ serviceName: 'model-sync', serviceVersion: '0', logLevel: 'debug', processMetrics: false, writeLine: (line) => logs.push(JSON.parse(line) as LogLine) });
      const gateway = new FakeGateway(modelsDir);
      const sync = await startModelSync(settings({ MODELS_DIR: modelsDir, ...more }), { door: gateway, random: () => 0, lockTtlMs: 1_000, applyTimeoutMs: 5_000, nudgeEveryMs: 100, ...options, telemetry });
      return {
        sync, gateway, modelsDir, telemetry, logs,
        served: (file = 'model.onnx', name = MODEL) => readFile(join(modelsDir, name, 'current', file), 'utf8').catch(() => undefined),
        generations: async (name = MODEL) => (await readdir(join(modelsDir, name, 'generations')).catch(() => [])).toSorted(),
        [Symbol.asyncDispose]: () => sync.close(),
      };
    },
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}
