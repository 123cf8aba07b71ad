import { existsSync, mkdirSync, renameSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { ensureConfig } from './default-config.ts';
import { ensureMasterKey } from './master-key.ts';
import { ensureModelKey } from './model-key.ts';
import { POD_APPS, type PodApp, type PodPlaces } from './pod-apps.ts';
import { startPodProcess, type PodProcess } from './pod-process.ts';
import { freePort, portProblem } from './port-check.ts';
import { listeningUrl, readableLine } from './readable-log.ts';

/** Variables that every app must have as the pod decided them. */
const PINNED: ReadonlySet<string> = new Set(['HOST', 'PORT', 'CONFIG_PATH', 'CONFIG_DIR', 'MODELS_DIR', 'RUN_DIR', 'LITELLM_MASTER_KEY', 'HEALTH_PORT', 'POINTSMAN_HOME']);

export interface RunPodOptions {
  /** The checkout whose apps are started. */
  readonly root: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** A configuration of the caller's own. */
  readonly config: string | undefined;
  /** Every log line on the terminal, not only warnings. */
  readonly verbose: boolean;
}

const say = (text: string): void => console.log(text);
const complain = (text: string): void => console.error(text);

/** What a first request may ask for: `auto` where there is such a group, else the first name that stands for one model. */
function modelToTry(names: readonly string[]): string {
  return names.find((name) => name === 'auto') ?? names.find((name) => !name.includes('*')) ?? 'auto';
}

/** The models that the gateway lists for this key; undefined when the configuration names a master key of its own. */
async function listedModels(url: string, masterKey: string): Promise<readonly string[] | undefined> {
  const reply = await fetch(`${url}/v1/models`, { headers: { authorization: `Bearer ${masterKey}` }, signal: AbortSignal.timeout(5_000) });
  if (!reply.ok) return reply.status === 401 ? undefined : [];
  const { data } = (await reply.json()) as { readonly data: readonly { readonly id: string }[] };
  return data.map(({ id }) => id);
}

async function banner(url: string, { places, config }: { readonly places: PodPlaces; readonly config: ShownConfig }): Promise<string> {
  const listed = await listedModels(url, places.masterKey).catch(() => []);
  const key = listed === undefined ? '<master key>' : places.masterKey;

  return `
  Pointsman is listening on ${url}

  master key   ${listed === undefined ? 'the one in your configuration (general_settings.master_key)' : key}
  config       ${config.file} (${config.note})
  logs         ${places.home}/logs
  API docs     ${url}/docs

  Try it:
  curl ${url}/v1/chat/completions -H 'authorization: Bearer ${key}' -H 'content-type: application/json' -d '{"model":"${modelToTry(listed ?? [])}","messages":[{"role":"user","content":"Hello, who answers?"}]}'

  Ctrl-C stops it.
`;
}

/** OTLP over HTTP (https://opentelemetry.io/docs/specs/otlp/#otlphttp-default-port). */
const OTLP_PORT = 4_318;

/** What the banner says of where the configuration is. */
interface ShownConfig {
  readonly file: string;
  readonly note: string;
}

function entryOf(root: string, app: string): string {
  return join(root, 'apps', app, 'src', 'main.ts');
}

/** The configuration in the folder that stands in for a bucket, made on the first start. */
function storedConfig(home: string, env: RunPodOptions['env']): ShownConfig {
  const file = join(home, 'objects', 'prod', 'config.yaml');
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
  // Where it lay before there was a store.
  const earlier = join(home, 'config.yaml');
  if (!existsSync(file) && existsSync(earlier)) renameSync(earlier, file);
  const state = ensureConfig(file, env);
  return { file, note: { written: 'just written', renewed: 'renewed: your provider keys or this version changed', unchanged: 'generated; edit it freely', edited: 'yours; `npm start` leaves it alone' }[state] };
}

/** A port for the pod's own spans: the usual one, or any free one where it is taken. */
async function otlpPortOf(apps: readonly PodApp[], env: RunPodOptions['env']): Promise<number | undefined> {
  if ((env['OTEL_EXPORTER_OTLP_ENDPOINT'] ?? '') !== '' || !apps.some(({ name }) => name === 'trace-exporter')) return undefined;
  return await portProblem('127.0.0.1', OTLP_PORT) === undefined ? OTLP_PORT : freePort('127.0.0.1');
}

/** The usual port of each app's health, or any free one where another pod has it. */
async function healthPortsOf(apps: readonly PodApp[]): Promise<ReadonlyMap<string, number>> {
  const ports = apps.map(async ({ name, healthPort = 0 }) => [name, healthPort !== 0 && await portProblem('127.0.0.1', healthPort) === undefined ? healthPort : 0] as const);
  return new Map(await Promise.all(ports));
}

/**
 * Runs the pod as local processes until a signal comes or one of them ends. Resolves to the exit code: 0 after a signal,
 * else the code of the app that ended.
 */
export async function runPod({ root, env, config, verbose }: RunPodOptions): Promise<number> {
  const home = resolve(env['POINTSMAN_HOME'] ?? join(root, '.pointsman'));
  for (const folder of ['logs', 'models', 'run', 'objects', 'config', 'spool']) mkdirSync(join(home, folder), { recursive: true, mode: 0o700 });

  const port = Number(env['PORT'] ?? 4_000);
  if (!Number.isInteger(port) || port < 0 || port > 65_535) {
    complain(`PORT must be a number from 0 to 65535, not ${JSON.stringify(env['PORT'])}.`);
    return 78;
  }
  const host = env['HOST'] ?? '127.0.0.1';
  const problem = await portProblem(host, port);
  if (problem !== undefined) {
    complain(problem);
    return 1;
  }

  const given = config ?? env['CONFIG_PATH'] ?? env['LITELLM_CONFIG_PATH'];
  const ownConfig = given === undefined ? undefined : resolve(env['INIT_CWD'] ?? process.cwd(), given);
  if (ownConfig !== undefined && !existsSync(ownConfig)) {
    complain(`There is no configuration file ${ownConfig}.`);
    return 78;
  }
  const hasRealStore = [env['OBJECT_STORE_URL'], env['S3_BUCKET']].some((value) => value !== undefined && value !== '');
  const shownConfig = ownConfig !== undefined ? { file: ownConfig, note: 'yours' } : hasRealStore ? { file: `${env['S3_KEY'] ?? 'prod/config.yaml'} in the object store`, note: 'yours' } : storedConfig(home, env);
  const masterKey = env['LITELLM_MASTER_KEY'] ?? ensureMasterKey(join(home, 'master_key'));
  const apps = POD_APPS.filter(({ name, needsStoredConfig }) => existsSync(entryOf(root, name)) && (needsStoredConfig !== true || ownConfig === undefined));
  const places: PodPlaces = {
    home, ownConfig, masterKey, host, port, storeUrl: hasRealStore ? undefined : pathToFileURL(join(home, 'objects')).href,
    modelKey: ensureModelKey(join(home, 'keys')), otlpPort: await otlpPortOf(apps, env), healthPorts: await healthPortsOf(apps),
  };
  const envOf = (app: PodApp): Readonly<Record<string, string | undefined>> => {
    const own = app.env(places);
    // What names a place of the pod is ours to say; anything else the caller may have set.
    const pinned = Object.fromEntries(Object.entries(own).filter(([name]) => PINNED.has(name)));
    return { ...own, ...env, ...pinned };
  };
  const start = (app: PodApp, { args = [], onLine }: { readonly args?: readonly string[]; readonly onLine: (line: string) => void }): PodProcess => startPodProcess({
    name: app.name, entry: entryOf(root, app.name), env: envOf(app), args, ...(app.nodeFlags === undefined ? {} : { nodeFlags: app.nodeFlags }), logFile: join(home, 'logs', `${app.name}.log`),
    onLine: (line) => {
      onLine(line);
      const readable = readableLine(app.name, line);
      if (verbose || readable.isWarning) complain(readable.text);
    },
  });

  // As the pod's init container: nothing listens before there is a configuration. Later starts serve the last one at once.
  const init = apps.find(({ name }) => name === 'config-sync');
  if (init !== undefined && !existsSync(join(home, 'config', 'current'))) {
    const code = await start(init, { args: ['--once'], onLine: () => undefined }).ended;
    if (code !== 0) {
      complain(`There is no valid configuration yet: config-sync --once ended with exit code ${code}. Its log: ${join(home, 'logs', 'config-sync.log')}`);
      return code;
    }
  }
  const processes: PodProcess[] = [];
  const ready = new Set<string>();
  let stopping = false;
  for (const app of apps) {
    processes.push(start(app, { onLine: (line) => {
      const url = listeningUrl(line);
      if (url === undefined || ready.has(app.name)) return;
      ready.add(app.name);
      if (app.name === 'gateway') void banner(url, { places, config: shownConfig }).then(say);
    } }));
  }
  if (processes.length === 0) {
    complain('This checkout has no app to start (apps/*/src/main.ts).');
    return 1;
  }

  const stopped = Promise.withResolvers<'signal'>();
  let firstSignalAt = 0;
  const onSignal = (): void => {
    // npm passes on the Ctrl-C that the terminal has sent already: the same wish twice within a moment is one.
    if (stopping && performance.now() - firstSignalAt > 1_000) {
      for (const one of processes) one.signal('SIGKILL');
      return;
    }
    if (stopping) return;
    stopping = true;
    firstSignalAt = performance.now();
    stopped.resolve('signal');
  };
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, onSignal);

  const first = await Promise.race([stopped.promise, ...processes.map(async (one) => ({ name: one.name, code: await one.ended }))]);
  if (first === 'signal') {
    say('Stopping: letting requests finish.');
  } else {
    stopping = true;
    firstSignalAt = performance.now();
    complain(`${first.name} ended with exit code ${first.code}${ready.has(first.name) ? '' : ' before it was ready'}; stopping the pod. Its log: ${join(home, 'logs', `${first.name}.log`)}`);
  }
  // One after the other: the exporters still take what the gateway has to say at its end.
  for (const one of processes) {
    one.signal('SIGTERM');
    const code = await one.ended;
    if (code !== 0 && one.name !== (first === 'signal' ? undefined : first.name)) complain(`${one.name} ended with exit code ${code}.`);
  }
  if (first === 'signal') return 0;
  // A pod that lost an app has failed, also when the app thought that it was done.
  return first.code === 0 ? 1 : first.code;
}

