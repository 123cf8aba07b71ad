import { mkdir, readdir, readFile, readlink } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { configRevision, readConfigFiles } from '@pointsman/gateway-config';
import type { SyncHealth } from '@pointsman/schemas';

/** The shared folders of one pod and its gateway's side of the conversation; config-sync processes are started into it. */
export interface Pod<App> extends AsyncDisposable {
  readonly configDir: string;
  readonly env: Readonly<Record<string, string>>;
  startConfigSync(env: Readonly<Record<string, string>>): Promise<App>;
  startGateway(): Promise<App>;
  /** What the gateway says it serves. */
  served(): Promise<string | null>;
  /** The revision that `current` points to, after everything in it was read and found to be just that. */
  published(): Promise<string>;
}

/** Of the test layer, which only tests may import. */
export interface PodParts<App> {
  readonly spawnApp: (name: string, options: { readonly env?: Readonly<Record<string, string>>; readonly entry?: string; readonly args?: readonly string[] }) => Promise<App>;
  readonly temporaryDirectory: () => Promise<AsyncDisposable & { readonly path: string }>;
}

export async function startPod<App extends AsyncDisposable>({ spawnApp, temporaryDirectory }: PodParts<App>): Promise<Pod<App>> {
  const directory = await temporaryDirectory();
  const configDir = join(directory.path, 'config');
  const runDir = join(directory.path, 'run');
  await mkdir(configDir);
  await mkdir(runDir);
  const env = { CONFIG_DIR: configDir, RUN_DIR: runDir, HEALTH_PORT: '0', HEALTH_HOST: '127.0.0.1', CONFIG_SYNC_INTERVAL: '200ms', POD_NAME: 'pod-1', NODE_COMPILE_CACHE: join(directory.path, 'compiled') };
  const running: App[] = [];
  const keep = (app: App): App => {
    running.push(app);
    return app;
  };
  return {
    configDir,
    env,
    startConfigSync: async (more) => keep(await spawnApp('config-sync', { env: { ...env, ...more } })),
    startGateway: async () => keep(await spawnApp('config-sync', { entry: join(import.meta.dirname, 'fake-gateway.fixture.ts'), args: [configDir, runDir] })),
    served: async () => (JSON.parse(await readFile(join(runDir, 'applied.json'), 'utf8')) as { readonly config_revision: string | null }).config_revision,
    async published() {
      const target = await readlink(join(configDir, 'current'));
      const generation = join(configDir, target);
      const names = await readdir(generation);
      const optional = async (name: string): Promise<string | undefined> => (names.includes(name) ? readFile(join(generation, name), 'utf8') : undefined);
      const files = await readConfigFiles('config.yaml', (path) => readFile(join(generation, path), 'utf8'));
      const revision = configRevision({ files, candidates: await optional('llm_candidates.json'), degradedMode: await optional('degraded-mode.yaml') });
      if (revision !== basename(target)) throw new Error(`What is published as ${basename(target)} is ${revision}: ${names.join(', ')}`);
      return revision;
    },
    async [Symbol.asyncDispose]() {
      for (const app of running) await app[Symbol.asyncDispose]();
      await directory[Symbol.asyncDispose]();
    },
  };
}

export async function healthOf(app: { readonly url: string }): Promise<SyncHealth & { readonly code: number }> {
  const response = await fetch(`${app.url}/health/config-sync`);
  return { ...(await response.json() as SyncHealth), code: response.status };
}

/** A sample of `/metrics` by name and labels as they are written there. */
export async function metricOf(app: { readonly url: string }, sample: string): Promise<number | undefined> {
  const line = (await (await fetch(`${app.url}/metrics`)).text()).split('\n').find((each) => each.startsWith(`${sample} `));
  return line === undefined ? undefined : Number(line.slice(sample.length + 1));
}
