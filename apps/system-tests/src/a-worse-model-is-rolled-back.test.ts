import { spawn } from 'node:child_process';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { eventually, json, startScriptedUpstream, temporaryDirectory } from '@pointsman/testing';
import { expect, test } from 'vitest';
import { deployment, MASTER_KEY } from './gateway-under-test.ts';
import { startPodUnderTest, type PodUnderTest } from './pod-under-test.ts';
import { makeArtifact, makeSigners } from './router-artifacts.ts';
import { startSharedState, untilDatabase } from './shared-state.ts';

const ROOT = join(import.meta.dirname, '..', '..', '..');
const MODEL = 'quality-router';
const USERS = 400;

interface Finished {
  readonly code: number | null;
  readonly output: string;
}

/** The operator's command line, as its own process. */
async function pointsman(args: readonly string[], env: Readonly<Record<string, string>>): Promise<Finished> {
  const child = spawn(join(ROOT, 'node_modules', '.bin', 'node'), [join(ROOT, 'apps', 'ctl', 'src', 'main.ts'), ...args], { cwd: ROOT, env: { PATH: process.env['PATH'], NO_COLOR: '1', ...env }, stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text: string) => (output += text));
  return await new Promise((resolve) => child.once('close', (code) => resolve({ code, output })));
}

/** People who ask, and say what the answer was worth: what the strong model answers is good. Their word reaches any pod, not the one that answered. */
function startUsers(pods: readonly PodUnderTest[]): { readonly failures: readonly string[]; readonly versionsOf: ReadonlyMap<string, readonly string[]>; answered(): number; stop(): Promise<void> } {
  const failures: string[] = [];
  const versionsOf = new Map<string, string[]>();
  let [isOver, answered] = [false, 0];
  const ask = async (round: number): Promise<void> => {
    const pod = pods[round % pods.length];
    const user = `user-${String((round * 7) % USERS)}`;
    const response = await pod?.gateway.post('/v1/chat/completions', { model: 'auto', user, messages: [{ role: 'user', content: `question ${String(round)}` }] });
    const text = await response?.text();
    if (response?.status !== 200) {
      failures.push(`${String(response?.status)} ${String(text)}`);
      return;
    }
    answered += 1;
    const version = response.headers.get('x-router-model-version') ?? '';
    const seen = versionsOf.get(user) ?? [];
    if (seen.at(-1) !== version) versionsOf.set(user, [...seen, version]);
    const isGood = response.headers.get('x-router-selected-model')?.includes('strong') === true;
    const feedback = await pods[(round + 1) % pods.length]?.gateway.post('/v1/feedback', { request_id: response.headers.get('x-request-id') ?? '', score: isGood ? 0.9 : 0.2 });
    if (feedback?.status !== 202) failures.push(`feedback: ${String(feedback?.status)}`);
    await feedback?.body?.cancel();
  };
  const lanes = [0, 1, 2].map(async (lane) => {
    for (let round = lane; !isOver; round += 3) {
      await ask(round).catch((error: unknown) => failures.push(String(error)));
      // Steady, not as fast as the machine can: the pods and the operator's command run beside it.
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  });
  return {
    failures, versionsOf, answered: () => answered,
    stop: async () => {
      isOver = true;
      await Promise.all(lanes);
    },
  };
}

test('a good version of a router model is promoted in stages; a worse one is refused by the gate and, forced, rolled back by what its users say, with no request failed', async () => {
  await using state = await startSharedState();
  await using directory = await temporaryDirectory();
  await using upstream = await startScriptedUpstream({ reply: json({ id: 'x', object: 'chat.completion', created: 1, model: 'm', choices: [{ index: 0, message: { role: 'assistant', content: 'well' }, finish_reason: 'stop' }], usage: { prompt_tokens: 10, completion_tokens: 10, total_tokens: 20 } }) });
  const signers = await makeSigners(directory.path);
  const objects = join(directory.path, 'objects');
  await mkdir(join(objects, 'prod'), { recursive: true });
  const store = { env: { OBJECT_STORE_URL: `file://${objects}` } };
  const shared = { DATABASE_URL: state.env['DATABASE_URL'] ?? '', REDIS_URL: state.redis.url };
  const operator = { ...store.env, DATABASE_URL: shared.DATABASE_URL, LITELLM_MASTER_KEY: MASTER_KEY };

  // v1 and v2 know that the strong model is better; v3 believes the opposite.
  for (const [version, weak, strong] of [['v1', 0.1, 0.9], ['v2', 0.2, 0.95], ['v3', 0.9, 0.1]] as const) {
    const folder = join(directory.path, version);
    await makeArtifact(folder, { name: MODEL, version, scores: { 'hosted_vllm/weak': weak, 'hosted_vllm/strong': strong }, privateKey: signers.privateKey });
    const registered = await pointsman(['register', '--artifact', folder, '--actor', 'ada'], operator);
    expect(registered, registered.output).toMatchObject({ code: 0, output: expect.stringMatching(new RegExp(`Uploaded ${MODEL} ${version}[^]*Registered in the object store[^]*Next: pointsman rollout model`)) as string });
  }
  const again = await pointsman(['register', '--artifact', join(directory.path, 'v1')], operator);
  expect(again, again.output).toMatchObject({ code: 0, output: expect.stringMatching(/Already there[^]*Registered already/) as string });

  const priced = (model: string, perToken: number): object => deployment('auto', upstream, model, { params: { input_cost_per_token: perToken, output_cost_per_token: perToken } });
  const [head, tail] = ['# prod, by hand\n', '  num_retries: 0 # as agreed\n'];
  await writeFile(join(objects, 'prod', 'config.yaml'), `${head}model_list: ${JSON.stringify([priced('weak', 1e-6), priced('strong', 1e-6)])}
router_settings:
  routing_strategy: llmrouter-hybrid
  routing_strategy_args: # rollouts change these
    model_name: ${MODEL}
    model_version: v1 # first
    session_affinity: false
${tail}`);

  const pods: PodUnderTest[] = [];
  try {
    for (let index = 0; index < 2; index += 1) pods.push(await startPodUnderTest({ store, name: `pod-${String(index)}`, modelKeys: [signers.publicKeyFile], intervalS: '0.5', env: shared }));
    await Promise.all(pods.map(({ gateway }) => untilDatabase(gateway)));
    const served = async (): Promise<readonly (readonly string[])[]> => await Promise.all(pods.map(async (pod) => (await pod.report()).models.map(({ version }) => version).toSorted()));
    await eventually(async () => expect(await served()).toEqual([['v1'], ['v1']]), { timeoutMs: 60_000 });
    const users = startUsers(pods);
    await eventually(() => users.answered() > 50, { timeoutMs: 30_000 });

    const rollout = (version: string, ...more: readonly string[]): Promise<Finished> => pointsman([
      'rollout', 'model', MODEL, '--version', version, '--gateways', pods.map(({ gateway }) => gateway.url).join(','), '--stages', '25,50,100', '--window', '3s', '--interval', '500ms', '--min-requests', '20', '--pick-up', '60s',
      // A busy machine must not look like a slow model.
      '--max-latency-increase', '100%', '--blind', '60s', ...more,
    ], operator);

    // 1. A good one.
    const passed = join(directory.path, 'passed.json');
    await writeFile(passed, JSON.stringify({ passed: true, reasons: ['quality at equal cost 0.91 (0.90 to 0.92), serving 0.90'] }));
    const good = await rollout('v2', '--gate', passed, '--actor', 'ada');
    expect(good.code, good.output).toBe(0);
    expect(good.output).toMatch(/Started: quality-router v2 at 25 %[^]*On to 50 %[^]*On to 100 %[^]*Promoted: quality-router serves v2 \(was v1\)[^]*2 replicas serve it/);
    const written = await readFile(join(objects, 'prod', 'config.yaml'), 'utf8');
    expect([written.startsWith(head), written.endsWith(tail), written.includes('model_version: v2 # first'), written.includes('canary')]).toEqual([true, true, true, false]);
    // Who came to the new version stayed there.
    for (const versions of users.versionsOf.values()) expect(['v1', 'v1 v2', 'v2']).toContain(versions.join(' '));

    // 2. A worse one: refused by the gate, and not forced by nobody.
    const refused = join(directory.path, 'refused.json');
    await writeFile(refused, JSON.stringify({ passed: false, reasons: ['quality at equal cost 0.41, serving 0.91'] }));
    expect(await rollout('v3')).toMatchObject({ code: 1, output: expect.stringContaining('--gate') as string });
    expect(await rollout('v3', '--gate', refused, '--actor', 'bob')).toMatchObject({ code: 1, output: expect.stringContaining('0.41') as string });
    expect(await rollout('v3', '--gate', refused, '--force')).toMatchObject({ code: 1, output: expect.stringContaining('--actor') as string });
    expect(await readFile(join(objects, 'prod', 'config.yaml'), 'utf8')).toBe(written);

    const forced = rollout('v3', '--gate', refused, '--force', '--actor', 'bob', '--window', '60s', '--min-requests', '100000');
    // What users say of a few answers is enough: the first pod may be back before the second has loaded it.
    await eventually(() => [...users.versionsOf.values()].some((versions) => versions.includes('v3')), { timeoutMs: 60_000 });
    const servedFrom = Date.now();
    const bad = await forced;
    expect(bad.code, bad.output).toBe(2);
    expect(bad.output).toMatch(/Rolling back \(feedback\): mean feedback 0\.2 of \d+ \(0\.9 of \d+ on stable\)[^]*Rolled back in[^]*2 replicas back on v2/);
    expect(Date.now() - servedFrom).toBeLessThan(60_000);
    expect(await readFile(join(objects, 'prod', 'config.yaml'), 'utf8')).toBe(written);

    // 3. One command goes further back.
    const back = await pointsman(['rollback', 'model', MODEL, '--gateways', pods.map(({ gateway }) => gateway.url).join(','), '--actor', 'eve', '--reason', 'to be sure'], operator);
    expect(back.code, back.output).toBe(0);
    expect(back.output).toMatch(/goes back to v1 \(from v2\)[^]*every one serves it/);
    await eventually(() => [...users.versionsOf.values()].some((versions) => versions.at(-1) === 'v1'));

    await users.stop();
    expect(users.failures).toEqual([]);
    expect(users.answered()).toBeGreaterThan(200);

    const deployments = await state.postgres.sql('select version, action, percent, actor, environment, from_version, to_version, reason from pointsman.model_deployments order by number');
    expect(deployments.map((row) => row.slice(0, 7).map(String))).toEqual([
      ['v2', 'start', '25', 'ada', 'prod', 'v1', 'v1'], ['v2', 'stage', '50', 'ada', 'prod', 'v1', 'v1'], ['v2', 'stage', '100', 'ada', 'prod', 'v1', 'v1'], ['v2', 'promote', '100', 'ada', 'prod', 'v1', 'v2'],
      ['v3', 'start', '25', 'bob', 'prod', 'v2', 'v2'], ['v3', 'rollback', '0', 'bob', 'prod', 'v2', 'v2'], ['v1', 'rollback', '100', 'eve', 'prod', 'v2', 'v1'],
    ]);
    expect(deployments.map((row) => String(row[7]))).toEqual([expect.stringContaining('the gate passed it'), '', '', '', expect.stringContaining('forced against the gate'), expect.stringContaining('feedback: '), 'to be sure']);
    const audit = await state.postgres.sql("select record->>'action', record->>'actor', record->>'resource', record->>'at' from pointsman.audit_log where record->>'action' like 'model.rollout.%' order by record->>'at'");
    expect(audit.map((row) => row.slice(0, 3))).toEqual(deployments.map((row) => [`model.rollout.${String(row[1])}`, row[3], `model:${MODEL}`]));
    for (const row of audit) expect(Date.parse(String(row[3]))).toBeGreaterThan(0);
  } finally {
    await Promise.all(pods.map((pod) => pod[Symbol.asyncDispose]()));
  }
}, 300_000);
