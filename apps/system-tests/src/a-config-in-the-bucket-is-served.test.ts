import { readdir, readlink } from 'node:fs/promises';
import { join } from 'node:path';
import { chatChunks, eventually, json, sse, startObjectStore, startScriptedUpstream, startSteadyLoad, type ObjectStoreFault, type RunningObjectStore, type Script, type ScriptedUpstream, type UpstreamCall } from '@pointsman/testing';
import { expect, test } from 'vitest';
import { deployment, MASTER_KEY, question } from './gateway-under-test.ts';
import { startPodUnderTest, type PodUnderTest } from './pod-under-test.ts';

const KEY = 'prod/config.yaml';
const LOAD = { requestsPerSecond: 100, streamShare: 0.5, headers: { authorization: `Bearer ${MASTER_KEY}` } };

/** Answers JSON and, slowly enough to outlive a change, streams. */
function answering(name: string): (call: UpstreamCall) => Script {
  const stream = sse(chatChunks([name, ' ', 'says ', 'hello']), { everyMs: 15 });
  const whole = json({ id: 'x', object: 'chat.completion', created: 1, model: 'm', choices: [{ index: 0, message: { role: 'assistant', content: name }, finish_reason: 'stop' }], usage: { prompt_tokens: 1, completion_tokens: 1, total_tokens: 2 } });
  return ({ json: body }) => ((body as { readonly stream?: boolean }).stream === true ? stream : whole);
}

/** The n-th of many valid configurations. */
function validConfig(step: number, upstream: ScriptedUpstream): object {
  return {
    model_list: Array.from({ length: 1 + (step % 4) }, (_, index) => deployment('auto', upstream, `m${String(index)}`, { params: { weight: 1 + ((step + index) % 5) } })),
    router_settings: { num_retries: step % 3, timeout: 60 + step },
  };
}

async function saidBy(pod: PodUnderTest): Promise<string> {
  const response = await pod.gateway.post('/v1/chat/completions', { model: 'auto', ...question });
  expect(response.status).toBe(200);
  return ((await response.json()) as { choices: { message: { content: string } }[] }).choices[0]?.message.content ?? '';
}

interface BadUpload {
  readonly what: string;
  readonly put: (store: RunningObjectStore, valid: object) => Promise<void>;
  readonly told: RegExp;
  /** Takes away what was put besides the configuration. */
  readonly clean?: (store: RunningObjectStore) => Promise<void>;
}

const BAD: readonly BadUpload[] = [
  { what: 'broken YAML', put: (store) => store.put(KEY, 'model_list: [ {model_name: "auto", litellm_params: {'), told: /YAML|line|flow|expected/i },
  { what: 'an unknown key', put: (store, valid) => store.put(KEY, JSON.stringify({ ...valid, router_settings: { num_retires: 1 } })), told: /router_settings\.num_retires/ },
  { what: 'an empty file', put: (store) => store.put(KEY, ''), told: /empty/i },
  { what: 'a fallback to a missing group', put: (store, valid) => store.put(KEY, JSON.stringify({ ...valid, router_settings: { fallbacks: [{ auto: ['nobody'] }] } })), told: /router_settings\.fallbacks.*nobody/ },
  { what: 'a degraded mode with a typing mistake', put: (store) => store.put('prod/degraded-mode.yaml', 'on_redis_down: { rate_limit: local }\n'), told: /degraded-mode.*rate_limit/, clean: (store) => store.put('prod/degraded-mode.yaml', 'on_redis_down: { rate_limits: local }\n') },
];

test('twenty uploads under load, five of them bad: every good one is served with proof, every bad one is only told, no request fails', async () => {
  await using upstream = await startScriptedUpstream({ reply: answering('upstream') });
  await using store = await startObjectStore();
  await store.put(KEY, JSON.stringify(validConfig(0, upstream)));
  await using pod = await startPodUnderTest({ store });
  const load = startSteadyLoad({ url: pod.gateway.url, ...LOAD });
  await eventually(() => load.succeeded() > 50);

  let serving = (await pod.report()).config_revision;
  const revisions = new Set([serving]);
  // A gateway that was there before its first configuration has told that none could be read.
  const refusedAtStart = await pod.gateway.metric('gateway_config_reloads_total', { outcome: 'rejected' });
  let step = 0;
  const uploadValid = async (): Promise<void> => {
    step += 1;
    await store.put(KEY, JSON.stringify(validConfig(step, upstream)));
    const before = serving;
    await eventually(async () => {
      const report = await pod.report();
      expect(report.config_revision).not.toBe(before);
      serving = report.config_revision;
    });
    // The sidecar says so only once the gateway has.
    await eventually(async () => expect(await pod.configHealth()).toMatchObject({ status: 'ok', revision: serving, consecutive_failures: 0 }));
    expect((await pod.configHealth()).rejected).toBeUndefined();
    revisions.add(serving);
  };
  for (const { what, put, told, clean } of BAD) {
    for (let valid = 0; valid < 3; valid += 1) await uploadValid();
    await put(store, validConfig(step, upstream));
    const rejected = await eventually(async () => {
      const found = (await pod.configHealth()).rejected;
      expect(found, what).toBeDefined();
      return found;
    });
    expect(rejected?.reason, what).toMatch(told);
    expect(await pod.report(), what).toMatchObject({ config_revision: serving });
    expect((await fetch(`${pod.configSync.url}/health/config-sync`)).status, what).toBe(200);
    const answered = load.succeeded();
    await eventually(() => load.succeeded() > answered + 20);
    await clean?.(store);
  }

  const report = await load.stop();
  expect(report.failures).toEqual([]);
  expect(report.succeeded).toBe(report.sent);
  expect(revisions.size).toBe(16);
  expect(await pod.gateway.metric('gateway_config_reloads_total', { outcome: 'rejected' })).toBe(refusedAtStart);
  expect([await pod.configSync.stop(), await pod.gateway.stop()]).toEqual([0, 0]);
}, 180_000);

const OUTAGES: readonly { readonly what: string; readonly fault?: ObjectStoreFault }[] = [
  { what: 'refuses connections' },
  { what: 'hangs', fault: { hang: true } },
  { what: 'answers 500', fault: { status: 500 } },
  { what: 'answers 403', fault: { status: 403 } },
  { what: 'sends a kilobyte a second', fault: { slow: 1_000 } },
];

test('while the store is away in every way it can be, the last good configuration serves, a gauge says so, and all is well again without a restart', async () => {
  await using first = await startScriptedUpstream({ reply: answering('first') });
  await using second = await startScriptedUpstream({ reply: answering('second') });
  await using store = await startObjectStore();
  const padding = `# ${'-'.repeat(400_000)}\n`;
  await store.put(KEY, JSON.stringify(validConfig(0, first)));
  await using pod = await startPodUnderTest({ store, intervalS: '0.5' });
  const load = startSteadyLoad({ url: pod.gateway.url, ...LOAD, requestsPerSecond: 50 });
  const isDegraded = async (): Promise<boolean> => /^gateway_degraded_mode\{[^}]*service="s3"[^}]*\} 1$/m.test(await (await fetch(`${pod.configSync.url}/metrics`)).text());
  let name = 'first';
  for (const { what, fault } of OUTAGES) {
    const next = name === 'first' ? 'second' : 'first';
    const [before, after] = [name, next];
    if (fault === undefined) await store.stop();
    else store.fail(fault);
    // What lies there now is long, so that a slow store is a store that does not arrive in time.
    await store.put(KEY, `${padding}${JSON.stringify(validConfig(1, after === 'first' ? first : second))}`);
    await eventually(async () => expect(await isDegraded(), what).toBe(true), { timeoutMs: 90_000 });
    const health = await pod.configHealth();
    expect(health, what).toMatchObject({ status: 'degraded' });
    expect(health.consecutive_failures, what).toBeGreaterThan(0);
    expect(await saidBy(pod), what).toBe(before);
    if (fault === undefined) await store.restart();
    else store.heal();
    await eventually(async () => expect(await saidBy(pod), what).toBe(after), { timeoutMs: 60_000 });
    await eventually(async () => expect(await isDegraded(), what).toBe(false));
    name = next;
  }
  const report = await load.stop();
  expect(report.failures).toEqual([]);
}, 300_000);

test('a store whose clock is an hour off, and a second sidecar on the same volume, change nothing', async () => {
  await using upstream = await startScriptedUpstream({ reply: answering('upstream') });
  await using store = await startObjectStore();
  store.clockSkewMs = 3_600_000;
  await store.put(KEY, JSON.stringify(validConfig(0, upstream)));
  await using pod = await startPodUnderTest({ store, intervalS: '0.3' });
  const first = pod.configSync;
  await using second = await pod.startConfigSync();
  for (let step = 1; step <= 8; step += 1) {
    if (step === 4) store.clockSkewMs = -3_600_000;
    const before = (await pod.report()).config_revision;
    await store.put(KEY, JSON.stringify(validConfig(step, upstream)));
    const revision = await eventually(async () => {
      const now = (await pod.report()).config_revision;
      expect(now).not.toBe(before);
      return now;
    }, { timeoutMs: 60_000 });
    // Both have come to the same end, whoever was first.
    for (const { url } of [first, second]) {
      await eventually(async () => expect(await (await fetch(`${url}/health/config-sync`)).json()).toMatchObject({ status: 'ok', revision, consecutive_failures: 0 }), { timeoutMs: 60_000 });
    }
    expect(await readlink(join(pod.configDir, 'current'))).toBe(`generations/${String(revision)}`);
  }
  expect((await readdir(pod.configDir)).filter((name) => name.startsWith('.'))).toEqual([]);
  await first[Symbol.asyncDispose]();
}, 240_000);
