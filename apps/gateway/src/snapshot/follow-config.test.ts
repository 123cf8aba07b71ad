import { mkdir, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DEFAULT_DEGRADED_MODE, parseDegradedMode, parseGatewayConfig, type DegradedMode, type ParsedGatewayConfig } from '@pointsman/gateway-config';
import { LiveValue } from '@pointsman/live-value';
import { providerIds } from '@pointsman/providers';
import { startTelemetry } from '@pointsman/telemetry';
import { eventually, temporaryDirectory, type TemporaryDirectory } from '@pointsman/testing';
import { expect, test } from 'vitest';
import { chatConfig, parseConfig } from '../fake-gateway.fixture.ts';
import { GatewayMetrics } from '../record/gateway-metrics.ts';
import { emptySnapshot } from './compile-snapshot.ts';
import { followConfig, type ConfigFollower, type ReloadReport } from './follow-config.ts';
import { readGeneration } from './read-generation.ts';
import { readSecretFiles, type Environment } from './secret-files.ts';
import type { Snapshot } from './snapshot.ts';

const served: ReadonlySet<string> = new Set(providerIds);
const NEVER_MS = 1_000_000;

class RecordingMetrics extends GatewayMetrics {
  readonly reloads: string[] = [];

  override reloaded(outcome: 'applied' | 'rejected' | 'unchanged'): void {
    // A watch that was late to notice what a test asked for itself finds nothing new: when it does is chance.
    if (outcome !== 'unchanged') this.reloads.push(outcome);
    super.reloaded(outcome);
  }
}

interface Followed extends AsyncDisposable {
  readonly directory: TemporaryDirectory;
  readonly path: string;
  readonly follower: ConfigFollower;
  readonly live: LiveValue<Snapshot>;
  readonly metrics: RecordingMetrics;
  /** Names of the models of every snapshot that was compiled, and of those that were closed again. */
  readonly compiled: string[];
  readonly closed: string[];
  readonly adopted: string[];
  readonly modes: DegradedMode[];
  /** What was reported, oldest first. */
  readonly reported: ReloadReport[];
  /** `level message` of every line that the follower wrote. */
  logged(): string[];
  names(): string[];
  write(...ids: readonly string[]): Promise<void>;
}

interface FollowOptions {
  readonly pollMs?: number;
  /** Runs before each compile; may wait or throw. */
  readonly beforeCompile?: (parsed: ParsedGatewayConfig) => Promise<void> | void;
  readonly candidates?: boolean;
  /** Makes a folder of secrets, which the models' names come from. */
  readonly secrets?: boolean;
}

async function follow({ pollMs = NEVER_MS, beforeCompile = () => undefined, secrets = false }: FollowOptions = {}): Promise<Followed> {
  const directory = await temporaryDirectory();
  const path = join(directory.path, 'config.yaml');
  const secretsDirectory = join(directory.path, 'secrets');
  if (secrets) await mkdir(secretsDirectory);
  let env: Environment = {};
  const lines: string[] = [];
  const telemetry = startTelemetry({ serviceName: 't', serviceVersion: '0', logLevel: 'debug', processMetrics: false, writeLine: (line) => void lines.push(line) });
  const metrics = new RecordingMetrics(telemetry.metrics);
  const live = new LiveValue<Snapshot>(emptySnapshot(parseConfig('model_list: []')), (snapshot) => snapshot.close());
  const [compiled, closed, adopted]: [string[], string[], string[]] = [[], [], []];
  const [modes, reported]: [DegradedMode[], ReloadReport[]] = [[], []];
  const nameOf = ({ config }: { config: Snapshot['config'] }): string => config.models.map(({ id }) => id).join(' ');
  const follower = followConfig({
    configPath: path, candidatesPath: undefined, pollMs, live, metrics, logger: telemetry.logger, now: () => 1_700_000_000_000,
    degradedModePath: undefined,
    ...(secrets ? { secretsDirectory, readSecrets: async () => {
      const read = await readSecretFiles(secretsDirectory, { FROM_PROCESS: 'process' });
      ({ env } = read);
      return read.digest;
    } } : {}),
    parse: (texts) => ({
      degradedMode: texts.degradedMode === undefined ? DEFAULT_DEGRADED_MODE : parseDegradedMode(texts.degradedMode), ...parseGatewayConfig({ ...texts, env, providerIds: served }),
    }),
    async compile(parsed) {
      await beforeCompile(parsed);
      const name = nameOf(parsed);
      compiled.push(name);
      return { ...emptySnapshot(parsed.config), revision: parsed.config.revision, ready: true, appliedAtMs: 1, close: () => void closed.push(name) };
    },
    adopt: (snapshot, { degradedMode }) => {
      adopted.push(nameOf(snapshot));
      modes.push(degradedMode);
    },
    models: () => ({ models: [] }),
    onReport: (report) => {
      reported.push(report);
      return Promise.resolve();
    },
  });
  return {
    directory, path, follower, live, metrics, compiled, closed, adopted, modes, reported,
    logged: () => lines.map((line) => JSON.parse(line) as { level: string; msg: string }).filter(({ msg }) => msg !== 'config warning').map(({ level, msg }) => `${level} ${msg}`),
    names: () => live.current.config.models.map(({ id }) => id),
    write: (...ids) => writeFile(path, chatConfig(ids)),
    async [Symbol.asyncDispose]() {
      await follower.close();
      await directory[Symbol.asyncDispose]();
    },
  };
}

test('a valid file is applied: swapped, adopted, reported, and the old snapshot closed', async () => {
  await using followed = await follow();
  await followed.write('a');
  await followed.follower.reload('start');
  await followed.write('b');
  await followed.follower.reload('signal');
  expect(followed.names()).toEqual(['b']);
  expect(followed.adopted).toEqual(['a', 'b']);
  expect(followed.closed).toEqual(['a']);
  expect(followed.metrics.reloads).toEqual(['applied', 'applied']);
  expect(followed.follower.report()).toMatchObject({ config_revision: followed.live.current.revision, applied_at: expect.any(String) as string });
});

test('a bad file keeps the old one serving, and says where it is wrong until it is right again', async () => {
  await using followed = await follow();
  await followed.write('a');
  await followed.follower.reload('start');
  const { revision } = followed.live.current;
  await writeFile(followed.path, 'model_list:\n  - model_nam: x\n');
  await followed.follower.reload('signal');
  expect(followed.live.current.revision).toBe(revision);
  const rejected = followed.follower.report().last_rejected;
  expect(rejected?.problems.map(({ path }) => path)).toContain('model_list[0].model_nam');
  expect(rejected?.reason).toContain('model_nam');
  expect(followed.adopted).toEqual(['a']);
  await followed.write('c');
  await followed.follower.reload('signal');
  expect(followed.names()).toEqual(['c']);
  expect(followed.follower.report()).not.toHaveProperty('last_rejected');
});

test('a file that cannot be compiled is rejected like one that cannot be read', async () => {
  let broken = false;
  await using followed = await follow({ beforeCompile: () => { if (broken) throw new Error('strategy failed to load'); } });
  await followed.write('a');
  await followed.follower.reload('start');
  broken = true;
  await followed.write('b');
  await followed.follower.reload('signal');
  expect(followed.names()).toEqual(['a']);
  expect(followed.follower.report().last_rejected?.reason).toContain('strategy failed to load');
  // What made it fail may be gone: whoever asks by a signal is answered by another try.
  broken = false;
  await followed.follower.reload('signal');
  expect(followed.names()).toEqual(['b']);
});

test('each state is logged once, however often it is met: applied, rejected, restored, rejected again', async () => {
  await using followed = await follow();
  const again = async (text: string): Promise<void> => {
    await writeFile(followed.path, text);
    await followed.follower.reload('signal');
    await followed.follower.reload('signal');
    await followed.follower.reload('poll');
  };
  const good = chatConfig(['a']);
  await again(good);
  await again('model_list: 5');
  await again(good);
  await again('model_list: 5');
  expect(followed.logged()).toEqual(['info config applied', 'error config rejected', 'info config restored', 'error config rejected']);
  expect(followed.compiled).toEqual(['a']);
});

test('a rejected file is not parsed again by the poll', async () => {
  await using followed = await follow();
  await writeFile(followed.path, 'model_list: 5');
  for (const reason of ['start', 'poll', 'poll', 'file change']) await followed.follower.reload(reason);
  expect(followed.metrics.reloads).toEqual(['rejected']);
});

test('a file that is away keeps the old one serving, is told once, and counts as restored when it is back', async () => {
  await using followed = await follow();
  await followed.write('a');
  await followed.follower.reload('start');
  await rename(followed.path, `${followed.path}.away`);
  await followed.follower.reload('poll');
  await followed.follower.reload('poll');
  expect(followed.names()).toEqual(['a']);
  expect(followed.follower.report().last_rejected).toMatchObject({ reason: expect.stringContaining('cannot be read') as string });
  await rename(`${followed.path}.away`, followed.path);
  await followed.follower.reload('poll');
  expect(followed.follower.report()).not.toHaveProperty('last_rejected');
  expect(followed.logged()).toEqual(['info config applied', 'error config rejected', 'info config restored']);
});

test('a directory in place of the file, and a file that is not there at all, leave the gateway running without a configuration', async () => {
  await using followed = await follow();
  await followed.follower.reload('start');
  expect(followed.live.current.ready).toBe(false);
  expect(followed.follower.report()).toMatchObject({ config_revision: null, applied_at: null });
  await mkdir(followed.path);
  await followed.follower.reload('signal');
  await rm(followed.path, { recursive: true });
  await followed.write('a');
  await followed.follower.reload('signal');
  expect(followed.names()).toEqual(['a']);
});

test('asked again while a pass runs, it makes one more pass, shared by all who asked', async () => {
  let open = (): void => undefined;
  const gate = new Promise<void>((resolve) => { open = resolve; });
  let waits = 0;
  await using followed = await follow({ beforeCompile: () => { waits += 1; return waits === 1 ? gate : undefined; } });
  await followed.write('a');
  const first = followed.follower.reload('start');
  await eventually(() => waits === 1);
  await followed.write('b'); // after the first pass has read
  const more = [1, 2, 3].map(() => followed.follower.reload('signal'));
  expect(new Set(more).size).toBe(1);
  open();
  await Promise.all([first, ...more]);
  expect(followed.compiled).toEqual(['a', 'b']);
  expect(followed.names()).toEqual(['b']);
  expect(followed.closed).toEqual(['a']);
});

test('a change in an included file is a change', async () => {
  await using followed = await follow();
  await writeFile(followed.path, 'include: [more.yaml]\nmodel_list: []\n');
  await writeFile(join(followed.directory.path, 'more.yaml'), chatConfig(['a']));
  await followed.follower.reload('start');
  expect(followed.names()).toEqual(['a']);
  await writeFile(join(followed.directory.path, 'more.yaml'), chatConfig(['b']));
  await followed.follower.reload('poll');
  expect(followed.names()).toEqual(['b']);
});

test('an included file that is missing is told by its place', async () => {
  await using followed = await follow();
  await writeFile(followed.path, 'include: [missing.yaml]\nmodel_list: []\n');
  await followed.follower.reload('start');
  expect(followed.follower.report().last_rejected?.problems).toMatchObject([{ path: 'include[0]', file: followed.path, line: 1 }]);
});

test('llm_candidates.json beside the file is part of it: there, changed, or not there', async () => {
  await using followed = await follow();
  await followed.write('a');
  await followed.follower.reload('start');
  const candidates = join(followed.directory.path, 'llm_candidates.json');
  await writeFile(candidates, '{}');
  await followed.follower.reload('poll');
  await writeFile(candidates, 'not json');
  await followed.follower.reload('poll');
  expect(followed.metrics.reloads).toEqual(['applied', 'applied', 'rejected']);
  await rm(candidates);
  await followed.follower.reload('poll');
  expect(followed.metrics.reloads).toEqual(['applied', 'applied', 'rejected', 'applied']);
});

test('degraded-mode.yaml is part of it: a bad one keeps the whole of what serves, a good one is adopted with it, one that is gone means the defaults', async () => {
  await using followed = await follow();
  const file = join(followed.directory.path, 'degraded-mode.yaml');
  await followed.write('a');
  await followed.follower.reload('start');
  await followed.write('b');
  await writeFile(file, 'fallback_key_ttl: 60\n');
  await followed.follower.reload('signal');
  expect(followed.names()).toEqual(['a']);
  expect(followed.follower.report().last_rejected?.reason).toContain('fallback_key_ttl');
  await writeFile(file, 'fallback_key_ttl_s: 60\n');
  await followed.follower.reload('signal');
  expect(followed.names()).toEqual(['b']);
  await rm(file);
  await followed.follower.reload('signal');
  expect(followed.modes.map(({ fallbackKeyTtlMs }) => fallbackKeyTtlMs)).toEqual([3_600_000, 60_000, 3_600_000]);
  // A watch that was late reports the same once more.
  const told = followed.reported.map(({ last_rejected }) => last_rejected !== undefined);
  expect(told.filter((refused, index) => refused !== told[index - 1])).toEqual([false, true, false]);
  expect(followed.reported.at(-1)?.config_revision).toBe(followed.live.current.revision);
});

test('all files are read from the generation that config.yaml leads to, not from one that is published while they are read', async () => {
  await using followed = await follow();
  const root = followed.directory.path;
  const publish = async (name: string, files: Readonly<Record<string, string>>): Promise<void> => {
    await mkdir(join(root, 'generations', name), { recursive: true });
    for (const [file, text] of Object.entries(files)) await writeFile(join(root, 'generations', name, file), text);
    await symlink(join('generations', name), join(root, '.link'));
    await rename(join(root, '.link'), join(root, 'current'));
  };
  for (const file of ['config.yaml', 'llm_candidates.json', 'degraded-mode.yaml']) await symlink(join('current', file), join(root, file));
  await publish('one', { 'config.yaml': chatConfig(['a']), 'degraded-mode.yaml': 'fallback_key_ttl_s: 1\n' });
  await followed.follower.reload('signal');
  const first = await readGeneration({ configPath: followed.path, candidatesPath: undefined, degradedModePath: undefined });
  expect(first.files[0]?.path).toBe(join(root, 'generations', 'one', 'config.yaml'));
  await publish('two', { 'config.yaml': chatConfig(['b']), 'llm_candidates.json': '{}' });
  await followed.follower.reload('signal');
  expect(followed.names()).toEqual(['b']);
  expect(followed.modes.map(({ fallbackKeyTtlMs }) => fallbackKeyTtlMs)).toEqual([1_000, 3_600_000]);
});

test('a touch without a change compiles nothing', async () => {
  await using followed = await follow();
  await followed.write('a');
  await followed.follower.reload('start');
  await followed.write('a');
  await followed.follower.reload('signal');
  await followed.follower.reload('poll');
  expect(followed.compiled).toEqual(['a']);
  expect(followed.metrics.reloads).toEqual(['applied']);
});

test('the file is followed: written, replaced by rename, and swapped through a link', async () => {
  await using followed = await follow();
  const { directory, path } = followed;
  // Nobody tells when the watch has begun: written again until it is noticed, more slowly than writes are gathered.
  await eventually(async () => {
    await followed.write('a');
    expect(followed.names()).toEqual(['a']);
  }, { intervalMs: 200 });
  await writeFile(join(directory.path, 'next.yaml'), chatConfig(['b']));
  await rename(join(directory.path, 'next.yaml'), path);
  await eventually(() => expect(followed.names()).toEqual(['b']));
  await mkdir(join(directory.path, 'generation'));
  await writeFile(join(directory.path, 'generation', 'config.yaml'), chatConfig(['c']));
  await symlink('generation', join(directory.path, 'current'));
  await symlink('current/config.yaml', join(directory.path, 'link'));
  await rename(join(directory.path, 'link'), path);
  await eventually(() => expect(followed.names()).toEqual(['c']));
});

test('the poll finds what no watch tells: a change in a file of another directory', async () => {
  await using followed = await follow({ pollMs: 20 });
  await using elsewhere = await temporaryDirectory();
  await writeFile(join(elsewhere.path, 'more.yaml'), chatConfig(['a']));
  await writeFile(followed.path, `include: [${join(elsewhere.path, 'more.yaml')}]\nmodel_list: []\n`);
  await eventually(() => expect(followed.names()).toEqual(['a']));
  await writeFile(join(elsewhere.path, 'more.yaml'), chatConfig(['b']));
  await eventually(() => expect(followed.names()).toEqual(['b']));
});

test('closed during a pass: the pass is waited for, its snapshot is closed and never serves, and nothing runs afterwards', async () => {
  let open = (): void => undefined;
  const gate = new Promise<void>((resolve) => { open = resolve; });
  let waits = 0;
  await using followed = await follow({ beforeCompile: () => { waits += 1; return gate; } });
  await followed.write('a');
  const pass = followed.follower.reload('start');
  await eventually(() => waits === 1);
  const asked = followed.follower.reload('signal');
  let isClosed = false;
  const closing = followed.follower.close().then(() => { isClosed = true; });
  await new Promise(setImmediate);
  expect(isClosed).toBe(false);
  open();
  await Promise.all([pass, asked, closing]);
  await followed.write('b');
  await followed.follower.reload('signal');
  expect(followed.compiled).toEqual(['a']);
  expect(followed.closed).toEqual(['a']);
  expect(followed.adopted).toEqual([]);
  expect(followed.live.current.ready).toBe(false);
});

test('a rotated secret is applied though the configuration is the same, as the kubelet and as an agent write it; one that cannot be read changes nothing', async () => {
  await using followed = await follow({ secrets: true });
  const folder = join(followed.directory.path, 'secrets');
  const keys = (): (string | undefined)[] => followed.live.current.config.models.map(({ apiKey }) => apiKey);
  await writeFile(followed.path, JSON.stringify({ model_list: ['OPENAI_KEY', 'FROM_PROCESS'].map((name) => ({ model_name: name, litellm_params: { model: 'openai/gpt', api_key: `os.environ/${name}` } })) }));
  // A Secret as the kubelet mounts it: names are links through ..data, which is swapped.
  for (const [version, key] of [['v1', 'first'], ['v2', 'second']] as const) {
    await mkdir(join(folder, version));
    await writeFile(join(folder, version, 'OPENAI_KEY'), `${key}\n`);
  }
  await symlink('v1', join(folder, '..data'));
  await symlink(join('..data', 'OPENAI_KEY'), join(folder, 'OPENAI_KEY'));
  await followed.follower.reload('start');
  expect(keys()).toEqual(['first', 'process']);
  const { revision } = followed.live.current;
  await symlink('v2', join(folder, '..next'));
  await rename(join(folder, '..next'), join(folder, '..data'));
  await eventually(() => expect(keys()).toEqual(['second', 'process']));
  expect(followed.live.current.revision).toBe(revision);
  expect(followed.logged().at(-1)).toBe('info rotated secrets applied');
  await rm(join(folder, 'OPENAI_KEY'));
  await mkdir(join(folder, 'not a variable'));
  await writeFile(join(folder, 'OPENAI_KEY'), 'third');
  await eventually(() => expect(keys()).toEqual(['third', 'process']));
  await followed.follower.reload('signal');
  expect(followed.metrics.reloads, 'what is the same is not compiled again').toEqual(['applied', 'applied', 'applied']);
  await writeFile(join(folder, 'HUGE'), Buffer.alloc(70_000));
  await followed.follower.reload('signal');
  expect(followed.follower.report().last_rejected?.reason).toMatch(/SECRETS_DIR .* cannot be read: .*HUGE has more than 65536 bytes/);
  expect(keys()).toEqual(['third', 'process']);
});
