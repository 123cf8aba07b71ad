import { join } from 'node:path';
import type { GatewayReport, SyncHealth } from '@pointsman/schemas';
import { eventually, spawnApp, temporaryDirectory, type RunningApp } from '@pointsman/testing';
import { startGatewayUnderTest, type GatewayUnderTest } from './gateway-under-test.ts';

/** One pod: a gateway and its sidecars as processes that share folders, as containers of a pod do. */
export interface PodUnderTest extends AsyncDisposable {
  readonly name: string;
  readonly directory: string;
  readonly gateway: GatewayUnderTest;
  readonly configSync: RunningApp;
  readonly modelSync: RunningApp | undefined;
  readonly configDir: string;
  readonly modelsDir: string;
  /** What the gateway says it serves. */
  report(): Promise<GatewayReport>;
  configHealth(): Promise<SyncHealth>;
  modelHealth(): Promise<SyncHealth>;
  /** Starts a sidecar anew, after a test has killed it. */
  startConfigSync(): Promise<RunningApp>;
  startModelSync(): Promise<RunningApp>;
}

export interface StartPodOptions {
  /** A bucket: what a process finds it by. */
  readonly store: { readonly env: Readonly<Record<string, string>> };
  readonly name?: string;
  /** For all processes of the pod. */
  readonly env?: Readonly<Record<string, string>>;
  /** PEM files of the keys that models must be signed by; without them there is no model-sync. */
  readonly modelKeys?: readonly string[];
  /** Seconds; 1 by default. */
  readonly intervalS?: string;
  /** Resolves without waiting for a first configuration. */
  readonly unready?: true;
}

/** Resolves once the gateway serves what the store holds. */
export async function startPodUnderTest({ store, name = 'pod-0', env = {}, modelKeys, intervalS = '1', unready }: StartPodOptions): Promise<PodUnderTest> {
  const temporary = await temporaryDirectory();
  const directory = temporary.path;
  const [configDir, modelsDir, runDir] = [join(directory, 'config'), join(directory, 'models'), join(directory, 'run')];
  const shared = { ...store.env, POD_NAME: name, CONFIG_DIR: configDir, MODELS_DIR: modelsDir, RUN_DIR: runDir, HEALTH_PORT: '0', ...env };
  const startConfigSync = (): Promise<RunningApp> => spawnApp('config-sync', { env: { CONFIG_SYNC_INTERVAL: intervalS, ...shared } });
  const startModelSync = (): Promise<RunningApp> => spawnApp('model-sync', { env: { MODEL_SYNC_INTERVAL: intervalS, MODEL_SIGNING_PUBLIC_KEYS: (modelKeys ?? []).join(','), ...shared } });
  let [configSync, modelSync, gateway]: [RunningApp | undefined, RunningApp | undefined, GatewayUnderTest | undefined] = [undefined, undefined, undefined];
  const end = async (): Promise<void> => {
    await Promise.all([configSync?.[Symbol.asyncDispose](), modelSync?.[Symbol.asyncDispose](), gateway?.[Symbol.asyncDispose]()]);
    await temporary[Symbol.asyncDispose]();
  };
  const health = async (app: RunningApp | undefined, path: string): Promise<SyncHealth> => {
    if (app === undefined) throw new Error(`this pod has nobody who serves ${path}`);
    return await (await fetch(`${app.url}${path}`)).json() as SyncHealth;
  };
  try {
    [configSync, gateway, modelSync] = await Promise.all([
      startConfigSync(),
      startGatewayUnderTest({ config: '', env: { ...shared, CONFIG_PATH: join(configDir, 'config.yaml'), POINTSMAN_HOME: directory, CONFIG_POLL_INTERVAL_S: '3600' } }),
      modelKeys === undefined ? undefined : startModelSync(),
    ]);
    const started = gateway;
    const pod: PodUnderTest = {
      name, directory, gateway: started, configDir, modelsDir,
      get configSync() {
        if (configSync === undefined) throw new Error('config-sync did not start');
        return configSync;
      },
      get modelSync() {
        return modelSync;
      },
      report: async () => await (await started.get('/health/config')).json() as GatewayReport,
      configHealth: () => health(configSync, '/health/config-sync'),
      modelHealth: () => health(modelSync, '/health/model-sync'),
      startConfigSync: async () => configSync = await startConfigSync(),
      startModelSync: async () => modelSync = await startModelSync(),
      [Symbol.asyncDispose]: end,
    };
    if (unready !== true) await eventually(async () => (await fetch(`${started.url}/health/readiness`)).status === 200, { timeoutMs: 60_000 });
    return pod;
  } catch (error) {
    await end();
    throw error;
  }
}
