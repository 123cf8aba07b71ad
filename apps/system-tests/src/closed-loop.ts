import { spawn } from 'node:child_process';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import { MANIFEST_FILE, manifestDigest, readManifest } from '@pointsman/model-artifacts';
import { openModelRegistry } from '@pointsman/model-registry';
import type { ObjectStore } from '@pointsman/object-store';
import { seededRandom } from '@pointsman/routing';
import type { ModelManifest } from '@pointsman/schemas';
import { eventually, spawnApp, temporaryDirectory } from '@pointsman/testing';
import { expect } from 'vitest';
import { MASTER_KEY } from './gateway-under-test.ts';
import { startPodUnderTest, type PodUnderTest } from './pod-under-test.ts';
import { makeArtifact, makeSigners } from './router-artifacts.ts';
import { startSharedState, untilDatabase } from './shared-state.ts';

const ROOT = join(import.meta.dirname, '..', '..', '..');
export const LOOP_MODEL = 'loop-router';
/** In every prompt, and nowhere else. */
export const CANARY = 'xylophonequartz';
const CONFIG_KEY = 'prod/config.yaml';
const MODELS = ['simulated/swift', 'simulated/steady', 'simulated/sage', 'simulated/oracle'] as const;
/** How good each model's answers are, by kind of prompt: only the users know. Each kind has a shape that text features tell apart. */
const KINDS = [
  { quality: [0.95, 0.3, 0.6, 0.2], prompt: (words: string) => `Write code:\n\`\`\`python\ndef f(x):\n    return x[0] + y\n\`\`\`\n${words}` },
  { quality: [0.4, 0.2, 0.9, 0.15], prompt: (words: string) => `Compute 3*x^2 + 4*x - 7 = 0 and prove that ${words} = 12.5` },
  { quality: [0.3, 0.6, 0.5, 0.9], prompt: (words: string) => `hi! ${words} :)` },
  { quality: [0.35, 0.9, 0.6, 0.5], prompt: (words: string) => `What is the ${words}? Which one was first?` },
] as const;
const FILLER = ['river', 'please', 'about', 'the', 'now', 'with', 'care', 'story', 'matrix', 'loop'];
const LEARNED_FROM = 2_000;
const MEASURED = 400;
const MAX_OBJECT_BYTES = 256 * 1024 * 1024;
/** Even draws while something is to be learned, few afterwards. */
const [EXPLORING, SETTLED] = [0.6, 0.1];

interface Finished {
  readonly code: number | null;
  readonly out: string;
  readonly output: string;
}

/** The operator's command line, as its own process. */
async function pointsman(args: readonly string[], env: Readonly<Record<string, string>>): Promise<Finished> {
  const child = spawn(join(ROOT, 'node_modules', '.bin', 'node'), [join(ROOT, 'apps', 'ctl', 'src', 'main.ts'), ...args], { cwd: ROOT, env: { PATH: process.env['PATH'], NO_COLOR: '1', ...env }, stdio: ['ignore', 'pipe', 'pipe'] });
  let [out, output] = ['', ''];
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    out += text;
    output += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => (output += text));
  return await new Promise((resolve) => child.once('close', (code) => resolve({ code, out, output })));
}

interface Users {
  readonly failures: string[];
  /** When the first answer came that this version decided, in milliseconds since 1970: it stays true however soon the version is gone again. */
  firstAnswerBy(version: string): number | undefined;
  /** Sends so many requests, a few at a time, each with what its user thought of the answer; resolves to the mean regret: quality of the best model less that of the one that answered. */
  regretOf(requests: number): Promise<number>;
  /** Goes on, steadily, until told to stop. */
  keepAsking(): { stop(): Promise<void> };
}

function startUsers(pod: PodUnderTest): Users {
  const random = seededRandom(11);
  const failures: string[] = [];
  const firstAnswers = new Map<string, number>();
  let asked = 0;
  const ask = async (): Promise<number> => {
    asked += 1;
    const number = asked;
    const { quality, prompt } = KINDS[Math.floor(random() * KINDS.length)] ?? KINDS[0];
    const words = Array.from({ length: 6 }, () => FILLER[Math.floor(random() * FILLER.length)]).join(' ');
    const noise = (random() - 0.5) * 0.4;
    const response = await pod.gateway.post('/v1/chat/completions', { model: 'auto', user: `user-${String(number % 500)}`, max_tokens: 4, messages: [{ role: 'user', content: prompt(`${words} ${CANARY} ${String(number)}`) }] });
    const text = await response.text();
    const version = response.headers.get('x-router-model-version') ?? '';
    if (!firstAnswers.has(version)) firstAnswers.set(version, Date.now());
    const truth = quality[MODELS.findIndex((model) => model === response.headers.get('x-router-selected-model'))];
    if (response.status !== 200 || truth === undefined) {
      failures.push(`${String(response.status)} ${text}`);
      return 0;
    }
    const feedback = await pod.gateway.post('/v1/feedback', { request_id: response.headers.get('x-request-id') ?? '', score: Math.min(1, Math.max(0, truth + noise)) });
    if (feedback.status !== 202) failures.push(`feedback: ${String(feedback.status)}`);
    await feedback.body?.cancel();
    return Math.max(...quality) - truth;
  };
  const tried = (): Promise<number> => ask().catch((error: unknown) => {
    failures.push(String(error));
    return 0;
  });
  return {
    failures,
    firstAnswerBy: (version) => firstAnswers.get(version),
    regretOf: async (requests) => {
      let [left, sum] = [requests, 0];
      await Promise.all(Array.from({ length: 8 }, async () => {
        while (left > 0) {
          left -= 1;
          const regret = await tried();
          sum += regret;
        }
      }));
      return sum / requests;
    },
    keepAsking: () => {
      let isOver = false;
      const lanes = Array.from({ length: 3 }, async () => {
        while (!isOver) {
          await tried();
          // Steady, not as fast as the machine can: the pod and the operator's command run beside it.
          await new Promise((resolve) => setTimeout(resolve, 20));
        }
      });
      return {
        stop: async () => {
          isOver = true;
          await Promise.all(lanes);
        },
      };
    },
  };
}

interface Content {
  readonly path: string;
  readonly bytes: Buffer;
}

/** Without its compression. */
function content(path: string, bytes: Buffer): Content {
  return { path, bytes: path.endsWith('.gz') && bytes.length > 0 ? gunzipSync(bytes) : bytes };
}

async function objectsBelow(store: ObjectStore, prefix: string): Promise<readonly Content[]> {
  const found: Content[] = [];
  for await (const { key } of store.list(prefix)) {
    const read = await store.read(key, { maxBytes: MAX_OBJECT_BYTES });
    if (read !== undefined && read !== 'unchanged') found.push(content(key, read.body));
  }
  return found;
}

async function filesBelow(folder: string): Promise<readonly Content[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return await Promise.all(entries.filter((entry) => entry.isFile()).map(async (entry) => {
    const path = join(entry.parentPath, entry.name);
    // Gone meanwhile: a spool is emptied, a file replaced.
    return content(path, await readFile(path).catch(() => Buffer.alloc(0)));
  }));
}

interface Row {
  readonly kind: string;
  readonly outcome: { readonly feedback_score?: number };
}

const rowsOf = (bytes: Buffer): readonly Row[] => bytes.toString().split('\n').filter((line) => line !== '').map((line) => JSON.parse(line) as Row);

/** A version as it lies on the disk of who trained it. */
export interface LearnedVersion {
  readonly manifest: ModelManifest;
  /** Of `manifest.json`: what the version is. */
  readonly digest: string;
  readonly bytes: Buffer;
}

export type LoopMoment = 'promoted' | 'rolled back';

export interface LoopOptions {
  /** What processes find the bucket by. */
  readonly env: Readonly<Record<string, string>>;
  /** The same bucket, for the test to look into. */
  readonly store: ObjectStore;
  /** Where models are registered; in the bucket without it. */
  readonly mlflowUrl?: string;
  /** Called when v2 was promoted, and when v3 was tried and is gone again. */
  readonly look?: (moment: LoopMoment, versions: ReadonlyMap<string, LearnedVersion>) => Promise<void>;
}

/**
 * Users ask and say what they think of answers; that becomes rows, a model, a passed gate, a registered version, a canary and a promotion that lowers regret. A model
 * that learned the opposite is refused and, forced, rolled back. Everything runs as its own process, as in production.
 */
export async function closeTheLoop({ env, store, mlflowUrl, look }: LoopOptions): Promise<void> {
  await using state = await startSharedState();
  await using directory = await temporaryDirectory();
  const path = (name: string): string => join(directory.path, name);
  const signers = await makeSigners(directory.path);
  await writeFile(path('key.pem'), signers.privateKey);
  const shared = { DATABASE_URL: state.env['DATABASE_URL'] ?? '', REDIS_URL: state.redis.url };
  const registry = { ...(mlflowUrl === undefined ? {} : { MLFLOW_TRACKING_URI: mlflowUrl }) };
  const operator = { ...env, ...registry, DATABASE_URL: shared.DATABASE_URL, LITELLM_MASTER_KEY: MASTER_KEY };
  const done = async (...args: readonly string[]): Promise<string> => {
    const { code, out, output } = await pointsman(args, operator);
    expect(code, output).toBe(0);
    return out;
  };
  // Nothing was learned yet: the oracle is believed to be the best at everything.
  await makeArtifact(path('v1'), { name: LOOP_MODEL, version: 'v1', scores: Object.fromEntries(MODELS.map((model) => [model, model.endsWith('oracle') ? 0.8 : 0.4])), privateKey: signers.privateKey });
  await done('register', '--artifact', path('v1'), '--actor', 'ada');
  const configOf = (exploration: number, version: string): string => JSON.stringify({
    model_list: MODELS.map((model) => ({ model_name: 'auto', litellm_params: { model, simulated_ttft_ms: 1, simulated_tokens_per_s: 0, input_cost_per_token: 1e-6, output_cost_per_token: 1e-6 } })),
    router_settings: {
      routing_strategy: 'llmrouter-hybrid',
      routing_strategy_args: { model_name: LOOP_MODEL, model_version: version, session_affinity: false, quality_cost_tradeoff: 1, exploration, exploration_temperature: 100, decision_timeout_ms: 10_000 },
    },
  });
  const writeConfig = (exploration: number, version: string): Promise<unknown> => store.write(CONFIG_KEY, configOf(exploration, version));
  const writtenConfig = async (): Promise<string> => {
    const found = await store.read(CONFIG_KEY, { maxBytes: MAX_OBJECT_BYTES });
    return found === undefined || found === 'unchanged' ? '' : found.body.toString('utf8');
  };
  await writeConfig(EXPLORING, 'v1');

  await using exporter = await spawnApp('trace-exporter', {
    env: { ...env, OTLP_PORT: '0', HEALTH_PORT: '0', HEALTH_HOST: '127.0.0.1', SPOOL_DIR: path('spool'), FLUSH_INTERVAL: '1', JOIN_WINDOW: '2s', POD_NAME: 'pod-0', LOG_LEVEL: 'debug' },
  });
  await using pod = await startPodUnderTest({ store: { env }, modelKeys: [signers.publicKeyFile], intervalS: '0.5', env: { ...shared, OTEL_EXPORTER_OTLP_ENDPOINT: exporter.url } });
  await untilDatabase(pod.gateway);
  const served = async (): Promise<readonly string[]> => (await pod.report()).models.map(({ version }) => version).toSorted();
  await eventually(async () => expect(await served()).toEqual(['v1']), { timeoutMs: 60_000 });
  const users = startUsers(pod);

  // 1. Traffic becomes rows.
  const asked = users.regretOf(LEARNED_FROM);
  // Looked at while users ask: what waits for its feedback is in the spool for moments only.
  const waiting = await eventually(async () => {
    const files = await filesBelow(path('spool'));
    expect(files.some(({ bytes }) => bytes.includes('request_id'))).toBe(true);
    return files;
  }, { timeoutMs: 60_000 });
  const exploring = await asked;
  expect(users.failures).toEqual([]);
  const traceFiles = (): Promise<readonly Content[]> => objectsBelow(store, 'traces/');
  await eventually(async () => expect((await traceFiles()).flatMap(({ bytes }) => rowsOf(bytes)).filter(({ kind }) => kind === 'request')).toHaveLength(LEARNED_FROM), { timeoutMs: 60_000, intervalMs: 1_000 });

  // 2. Rows become a model, and of the same rows with every word turned round another one.
  for (const file of await traceFiles()) {
    const turned = rowsOf(file.bytes).map((row) => ({ ...row, outcome: { ...row.outcome, ...(row.outcome.feedback_score === undefined ? {} : { feedback_score: 1 - row.outcome.feedback_score }) } }));
    const to = join(path('turned'), file.path);
    await mkdir(dirname(to), { recursive: true });
    await writeFile(to, gzipSync(turned.map((row) => `${JSON.stringify(row)}\n`).join('')));
  }
  const train = ['train', '--strategy', 'hybrid', '--embedder', 'none', '--name', LOOP_MODEL, '--window', '1h', '--tradeoff', '1', '--sign-key', path('key.pem'), '--args', '{"landmarks":60,"hidden":12,"networks":1,"epochs":40}', '--json'];
  const learned = JSON.parse(await done(...train, '--traces', store.url, '--serving', path('v1'), '--out', path('v2'), '--version', 'v2')) as { readonly counts: { readonly used: number; readonly judged: number }; readonly held_rows: number };
  expect(learned).toMatchObject({ counts: { used: LEARNED_FROM, judged: LEARNED_FROM } });
  // A fifth, less what came in the same moment as the newest row learned from.
  expect(learned.held_rows).toBeGreaterThan(LEARNED_FROM / 6);
  await done(...train, '--traces', `file://${path('turned')}`, '--out', path('v3'), '--version', 'v3');

  // 3. The gate lets the one pass and refuses the other.
  const gate = async (version: string, serving: string): Promise<{ readonly code: number | null; readonly verdict: { readonly passed: boolean; readonly checks: readonly { readonly name: string; readonly passed: boolean; readonly reason: string }[] } }> => {
    const { code, out, output } = await pointsman(['gate', '--artifact', path(version), '--serving', path(serving), '--traces', store.url, '--window', '1h', '--tradeoff', '1', '--json'], operator);
    expect(out, output).toMatch(/^\{/);
    await writeFile(path(`gate-${version}.json`), out);
    return { code, verdict: JSON.parse(out) as { passed: boolean; checks: { name: string; passed: boolean; reason: string }[] } };
  };
  const good = await gate('v2', 'v1');
  expect(good, JSON.stringify(good.verdict.checks)).toMatchObject({ code: 0, verdict: { passed: true } });
  const bad = await gate('v3', 'v2');
  expect(bad).toMatchObject({ code: 1, verdict: { passed: false } });
  expect(bad.verdict.checks.filter(({ passed }) => !passed).map(({ name }) => name)).toContain('quality');
  for (const version of ['v2', 'v3']) await done('register', '--artifact', path(version), '--actor', 'ada');
  const versions = new Map<string, LearnedVersion>();
  for (const version of ['v1', 'v2', 'v3']) {
    const bytes = await readFile(join(path(version), MANIFEST_FILE));
    versions.set(version, { manifest: readManifest(bytes), digest: manifestDigest(bytes), bytes });
  }
  /** What is registered, with what it was made of, and who was deployed. */
  const expectRegistered = async (deployed: Readonly<Record<string, object | undefined>>): Promise<void> => {
    const found = await openModelRegistry(registry, store).list(LOOP_MODEL);
    expect(found).toEqual([...versions].map(([version, { manifest, digest }]) => ({
      name: LOOP_MODEL, version, digest, datasetSha256: manifest.training.dataset_sha256, runId: expect.any(String) as string, artifactUrl: `${store.url}/models/${LOOP_MODEL}-${version}`,
      registeredBy: 'ada', registeredAt: expect.any(String) as string, aliases: version === 'v2' && 'v2' in deployed ? ['champion'] : [],
      deployed: deployed[version] === undefined ? undefined : { environment: 'prod', at: expect.any(String) as string, ...deployed[version] },
    })));
  };
  await expectRegistered({});

  // 4. A canary, a promotion, and less regret under the same settings.
  const settled = async (version: string): Promise<void> => {
    const { config_revision: revision } = await pod.report();
    await writeConfig(SETTLED, version);
    await eventually(async () => expect((await pod.report()).config_revision).not.toBe(revision), { timeoutMs: 30_000 });
  };
  await settled('v1');
  const before = await users.regretOf(MEASURED);
  const asking = users.keepAsking();
  const rollout = (version: string, ...more: readonly string[]): Promise<Finished> => pointsman([
    'rollout', 'model', LOOP_MODEL, '--version', version, '--gateways', pod.gateway.url, '--gate', path(`gate-${version}.json`), '--stages', '25,100', '--window', '3s', '--interval', '500ms', '--min-requests', '20', '--pick-up', '60s',
    // A busy machine must not look like a slow model.
    '--max-latency-increase', '100%', '--blind', '60s', ...more,
  ], operator);
  const promoted = await rollout('v2', '--actor', 'ada');
  expect(promoted.code, promoted.output).toBe(0);
  expect(promoted.output).toContain('Promoted: loop-router serves v2 (was v1)');
  expect(promoted.output).not.toContain('registry was not brought up to date');
  await expectRegistered({ v2: { percent: 100, actor: 'ada' } });
  await look?.('promoted', versions);
  await asking.stop();
  await eventually(async () => expect(await served()).toEqual(['v2']), { timeoutMs: 30_000 });
  const after = await users.regretOf(MEASURED);
  const quality = good.verdict.checks.find(({ name }) => name === 'quality')?.reason ?? '';
  console.log(`regret per request: ${before.toFixed(4)} before, ${after.toFixed(4)} after (${exploring.toFixed(4)} while exploring); the gate: ${quality}`);
  expect(after).toBeLessThan(before / 2);

  // 5. The model that learned the opposite: refused, and forced.
  const written = await writtenConfig();
  expect(await rollout('v3', '--actor', 'bob')).toMatchObject({ code: 1, output: expect.stringContaining('the gate refused v3') as string });
  expect(await writtenConfig()).toBe(written);
  const askingOn = users.keepAsking();
  expect(users.firstAnswerBy('v3')).toBeUndefined();
  const back = await rollout('v3', '--force', '--actor', 'bob', '--window', '60s', '--min-requests', '100000');
  const endedAt = Date.now();
  await askingOn.stop();
  expect(back.code, back.output).toBe(2);
  // Users met it, however short it was there.
  const servedFrom = users.firstAnswerBy('v3');
  if (servedFrom === undefined) throw new Error(`nobody was answered by v3: ${back.output}`);
  const tookMs = endedAt - servedFrom;
  expect(back.output).toMatch(/Rolling back \(feedback\): mean feedback [^]*Rolled back in/);
  expect(tookMs).toBeLessThan(60_000);
  console.log(`the forced model was rolled back ${(tookMs / 1000).toFixed(1)} s after it first answered`);
  expect(await writtenConfig()).toBe(written);
  await eventually(async () => expect(await served()).toEqual(['v2']), { timeoutMs: 30_000 });
  expect(users.failures).toEqual([]);
  await expectRegistered({ v2: { percent: 100, actor: 'ada' }, v3: { percent: 0, actor: 'bob' } });
  await look?.('rolled back', versions);

  // 6. Who did it is written down.
  const deployments = await state.postgres.sql('select version, action, percent, actor, reason from pointsman.model_deployments order by number');
  expect(deployments.map((row) => row.slice(0, 4).map(String))).toEqual([['v2', 'start', '25', 'ada'], ['v2', 'stage', '100', 'ada'], ['v2', 'promote', '100', 'ada'], ['v3', 'start', '25', 'bob'], ['v3', 'rollback', '0', 'bob']]);
  expect([deployments[0]?.[4], deployments[3]?.[4], deployments[4]?.[4]].map(String)).toEqual([expect.stringMatching(/^the gate passed it: .*quality/), expect.stringMatching(/^forced against the gate: .*quality/), expect.stringContaining('feedback: ')]);
  const audit = await state.postgres.sql("select record->>'action', record->>'actor' from pointsman.audit_log where record->>'action' like 'model.rollout.%' order by record->>'at'");
  expect(audit).toEqual(deployments.map((row) => [`model.rollout.${String(row[1])}`, row[3]]));

  // 7. No word of a prompt is in anything that was written.
  const objects = await objectsBelow(store, '');
  // Tried again where a file was read while it was being written.
  const onDisk = await eventually(async () => (await Promise.all([directory.path, pod.directory, pod.gateway.directory].map(filesBelow))).flat());
  const files = [...waiting, ...objects, ...onDisk];
  expect(files.some(({ path: file }) => file.endsWith('.jsonl.gz'))).toBe(true);
  const logs = [pod.gateway, pod.configSync, pod.modelSync, exporter].map((app, index) => ({ path: `log ${String(index)}`, bytes: Buffer.from(app?.output() ?? '') }));
  expect(await state.postgres.sql(`select count(*) from pointsman.spend_logs as written where written::text like '%${CANARY}%'`)).toEqual([['0']]);
  expect([...files, ...logs].filter(({ bytes }) => bytes.includes(CANARY)).map(({ path: file }) => file)).toEqual([]);
}
