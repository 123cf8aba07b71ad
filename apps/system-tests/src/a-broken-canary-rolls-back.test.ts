import { spawn } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { eventually, freePort, json, startObjectStore, startScriptedUpstream, startSteadyLoad, temporaryDirectory } from '@pointsman/testing';
import { expect, test } from 'vitest';
import { deployment, MASTER_KEY } from './gateway-under-test.ts';
import { startPodUnderTest, type PodUnderTest } from './pod-under-test.ts';
import { startSharedState, untilDatabase } from './shared-state.ts';

const ROOT = join(import.meta.dirname, '..', '..', '..');
const PODS = 4;

interface Finished {
  readonly code: number | null;
  readonly output: string;
}

/** The operator's command line, as its own process. */
function pointsman(args: readonly string[], env: Readonly<Record<string, string>>): { readonly finished: Promise<Finished>; readonly output: () => string } {
  const child = spawn(join(ROOT, 'node_modules', '.bin', 'node'), [join(ROOT, 'apps', 'ctl', 'src', 'main.ts'), ...args], { cwd: ROOT, env: { PATH: process.env['PATH'], NO_COLOR: '1', ...env }, stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text: string) => (output += text));
  return { output: () => output, finished: new Promise((resolve) => child.once('close', (code) => resolve({ code, output }))) };
}

test('a canary that answers errors is rolled back by itself within a minute, the audit log says who, what and when, and the other pods never noticed', async () => {
  await using state = await startSharedState();
  await using store = await startObjectStore();
  await using directory = await temporaryDirectory();
  await using upstream = await startScriptedUpstream({ reply: json({ id: 'x', object: 'chat.completion', created: 1, model: 'm', choices: [{ index: 0, message: { role: 'assistant', content: 'well' }, finish_reason: 'stop' }], usage: { prompt_tokens: 1, completion_tokens: 1, total_tokens: 2 } }) });
  const configFor = (url: string): string => JSON.stringify({ model_list: [deployment('auto', { url }, 'm')], router_settings: { num_retries: 0 } });
  await store.put('prod/config.yaml', configFor(upstream.url));

  const pods: PodUnderTest[] = [];
  try {
    for (let index = 0; index < PODS; index += 1) pods.push(await startPodUnderTest({ store, name: `pod-${String(index)}`, env: { DATABASE_URL: state.env['DATABASE_URL'] ?? '', REDIS_URL: state.redis.url } }));
    await Promise.all(pods.map(({ gateway }) => untilDatabase(gateway)));
    const stable = (await pods[0]?.report())?.config_revision;
    const loads = pods.map(({ gateway }) => startSteadyLoad({ url: gateway.url, requestsPerSecond: 100 / PODS, streamShare: 0, headers: { authorization: `Bearer ${MASTER_KEY}` } }));
    await eventually(() => loads.every((load) => load.succeeded() > 20));

    // Valid in every word, and of a provider that nobody can reach.
    const broken = join(directory.path, 'broken.yaml');
    await writeFile(broken, configFor(`http://127.0.0.1:${String(await freePort())}`));
    const env = { ...store.env, DATABASE_URL: state.env['DATABASE_URL'] ?? '', LITELLM_MASTER_KEY: MASTER_KEY };
    const gateways = pods.map(({ gateway }) => gateway.url).join(',');
    const rollout = pointsman(['rollout', 'config', broken, '--gateways', gateways, '--window', '60s', '--interval', '1s', '--poll', '2s', '--max-error-rate', '1%', '--actor', 'ada', '--yes'], env);

    const canary = await eventually(async () => {
      for (const pod of pods) if ((await pod.report()).config_revision !== stable) return pod;
      return false;
    }, { timeoutMs: 60_000 });
    const servedFrom = Date.now();
    const { code, output } = await rollout.finished;
    expect(code, output).toBe(2);
    expect(output).toMatch(/Rolling back \(error-rate\)/);
    await eventually(async () => {
      for (const pod of pods) expect((await pod.report()).config_revision).toBe(stable);
    }, { timeoutMs: 60_000 });
    expect(Date.now() - servedFrom).toBeLessThan(60_000);
    await eventually(async () => expect((await canary.configHealth()).status).toBe('ok'));

    const reports = await Promise.all(loads.map((load) => load.stop()));
    for (const [index, pod] of pods.entries()) {
      const report = reports[index];
      if (pod !== canary) expect(report?.failures, pod.name).toEqual([]);
    }
    // What the canary failed stopped with it.
    const failures = reports[pods.indexOf(canary)]?.failures ?? [];
    expect(failures.length).toBeGreaterThan(0);
    // 429: the breaker of its only deployment is open, and whoever watched only statuses of 500 and above would see nothing.
    for (const { status } of failures) expect([502, 429]).toContain(status);

    const rows = await state.postgres.sql("select record->>'action', record->>'actor', record->>'resource', record->>'at' from pointsman.audit_log where record->>'action' like 'config.rollout.%' order by record->>'at'");
    expect(rows.map(([action, actor, resource]) => [action, actor, resource])).toEqual([['config.rollout.start', 'ada', 'config:prod'], ['config.rollout.rollback', 'ada', 'config:prod']]);
    for (const [, , , at] of rows) expect(Date.parse(at ?? '')).toBeGreaterThan(servedFrom - 120_000);
    expect(JSON.parse((await store.get('prod/release.json'))?.toString() ?? '')).toEqual({ stable: { config_key: 'prod/config.yaml' } });
  } finally {
    await Promise.all(pods.map((pod) => pod[Symbol.asyncDispose]()));
  }
}, 300_000);
