import { mkdir, rename, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { chatChunks, createGate, eventually, json, sse, startScriptedUpstream, startSteadyLoad, temporaryDirectory, type Script, type ScriptedUpstream, type UpstreamCall } from '@pointsman/testing';
import { expect, test } from 'vitest';
import { deployment, MASTER_KEY, question, startGatewayUnderTest, type GatewayUnderTest } from './gateway-under-test.ts';
import { readStream } from './streamed-reply.ts';

interface ConfigHealth {
  readonly config_revision: string | null;
  readonly last_rejected?: { readonly reason: string; readonly revision: string; readonly problems: readonly { readonly path: string; readonly message: string }[] };
}

/** Nothing but a signal makes the gateway look: for the tests of one way of noticing. */
const NO_POLL = { CONFIG_POLL_INTERVAL_S: '3600' };

async function configHealth(gateway: GatewayUnderTest): Promise<ConfigHealth> {
  return await (await gateway.get('/health/config')).json() as ConfigHealth;
}

/** Answers JSON and, slowly enough to outlive a reload, streams. The words name the server. */
function answering(name: string): (call: UpstreamCall) => Script {
  const stream = sse(chatChunks([name, ' ', 'says ', 'hello']), { everyMs: 15 });
  const whole = json({ id: 'x', object: 'chat.completion', created: 1, model: 'm', choices: [{ index: 0, message: { role: 'assistant', content: name }, finish_reason: 'stop' }], usage: { prompt_tokens: 1, completion_tokens: 1, total_tokens: 2 } });
  return ({ json: body }) => ((body as { readonly stream?: boolean }).stream === true ? stream : whole);
}

async function saidBy(gateway: GatewayUnderTest, model = 'auto'): Promise<string> {
  const response = await gateway.post('/v1/chat/completions', { model, ...question });
  expect(response.status).toBe(200);
  return ((await response.json()) as { choices: { message: { content: string } }[] }).choices[0]?.message.content ?? '';
}

function logLines(gateway: GatewayUnderTest, msg: string): number {
  return gateway.logs().filter((line) => line['msg'] === msg).length;
}

const DEPLOYMENTS = 4;

/** The n-th of fifteen valid configurations: other weights, more or fewer deployments, another server. */
function validConfig(step: number, upstreams: readonly ScriptedUpstream[]): object {
  const base = upstreams[Math.floor(step / 2) % upstreams.length];
  if (base === undefined) throw new Error('no upstream');
  const count = 1 + (step % DEPLOYMENTS);
  return {
    model_list: Array.from({ length: count }, (_, index) => deployment('auto', base, `m${String(index)}`, { params: { weight: 1 + ((step + index) % 5) } })),
    router_settings: { num_retries: step % 3, timeout: 60 + step },
  };
}

const INVALID: readonly { readonly what: string; readonly text: (valid: object) => string; readonly told: RegExp }[] = [
  { what: 'broken YAML', text: () => 'model_list: [ {model_name: "auto", litellm_params: {', told: /YAML|line|flow|expected/i },
  { what: 'an unknown key', text: (valid) => JSON.stringify({ ...valid, router_settings: { num_retires: 1 } }), told: /router_settings\.num_retires/ },
  { what: 'an unknown strategy', text: (valid) => JSON.stringify({ ...valid, router_settings: { routing_strategy: 'best-of-luck' } }), told: /router_settings\.routing_strategy/ },
  { what: 'an empty file', text: () => '', told: /empty/i },
  { what: 'a fallback to a missing group', text: (valid) => JSON.stringify({ ...valid, router_settings: { fallbacks: [{ auto: ['nobody'] }] } }), told: /router_settings\.fallbacks.*nobody/ },
];

test('twenty replacements of the configuration under load, five of them invalid, fail no request', async () => {
  await using first = await startScriptedUpstream({ reply: answering('first') });
  await using second = await startScriptedUpstream({ reply: answering('second') });
  const upstreams = [first, second];
  // The poll comes by while a bad file lies there: it must be told and counted once all the same.
  await using gateway = await startGatewayUnderTest({ config: validConfig(0, upstreams), env: { CONFIG_POLL_INTERVAL_S: '0.1' } });
  const load = startSteadyLoad({ url: gateway.url, requestsPerSecond: 100, streamShare: 0.5, headers: { authorization: `Bearer ${MASTER_KEY}` } });
  await eventually(() => load.succeeded() > 50);

  let serving = (await configHealth(gateway)).config_revision;
  const revisions = new Set([serving]);
  let step = 0;
  const applyValid = async (): Promise<void> => {
    step += 1;
    await gateway.writeConfig(validConfig(step, upstreams));
    const before = serving;
    await eventually(async () => {
      const health = await configHealth(gateway);
      expect(health.config_revision).not.toBe(before);
      expect(health.last_rejected).toBeUndefined();
      serving = health.config_revision;
    });
    revisions.add(serving);
    const answered = load.succeeded();
    await eventually(() => load.succeeded() > answered + 20);
  };
  for (const [index, { what, text, told }] of INVALID.entries()) {
    for (let valid = 0; valid < 3; valid += 1) await applyValid();
    await gateway.writeConfig(text(validConfig(step, upstreams)));
    const health = await eventually(async () => {
      const now = await configHealth(gateway);
      expect(now.last_rejected, what).toBeDefined();
      return now;
    });
    expect(JSON.stringify(health.last_rejected), what).toMatch(told);
    expect(health.config_revision, what).toBe(serving);
    await eventually(() => expect(logLines(gateway, 'config rejected')).toBe(index + 1));
    expect(gateway.logs().findLast(({ msg }) => msg === 'config rejected')).toMatchObject({ level: 'error', reason: expect.stringMatching(/./), serving_revision: serving });
    const answered = load.succeeded();
    await eventually(() => load.succeeded() > answered + 20);
  }

  const report = await load.stop();
  expect(report.failures).toEqual([]);
  expect(report.succeeded).toBe(report.sent);
  expect([...report.statuses.keys()]).toEqual([200]);
  expect(revisions.size).toBe(16);
  expect(await gateway.metric('gateway_config_reloads_total', { outcome: 'applied' })).toBe(16);
  expect(await gateway.metric('gateway_config_reloads_total', { outcome: 'rejected' })).toBe(5);
  expect(await gateway.metric('gateway_config_info')).toBe(1);
  expect(await gateway.metric('gateway_config_info', { revision: serving ?? 'none' })).toBe(1);
  expect(await gateway.stop()).toBe(0);
}, 120_000);

test('a configuration that is repaired and broken in the same way again is told twice', async () => {
  await using upstream = await startScriptedUpstream({ reply: answering('first') });
  const good = validConfig(1, [upstream]);
  await using gateway = await startGatewayUnderTest({ config: good });
  for (const told of [1, 2]) {
    await gateway.writeConfig('model_list: 5');
    await eventually(() => expect(logLines(gateway, 'config rejected')).toBe(told));
    await gateway.writeConfig(good);
    await eventually(async () => expect((await configHealth(gateway)).last_rejected).toBeUndefined());
  }
  expect(logLines(gateway, 'config restored')).toBe(2);
});

test('a request finishes on the deployment it began with, and connections to a provider that is gone are closed', async () => {
  const gate = createGate();
  const held = sse(chatChunks(['old ', 'and ', 'whole']));
  // A server that would keep idle connections for minutes: what closes them is the gateway.
  const patient = { ...held.headers, 'keep-alive': 'timeout=600' };
  await using old = await startScriptedUpstream({ scripts: { m: { ...held, headers: patient, steps: [...held.steps.slice(0, 2), { until: gate.opened }, ...held.steps.slice(2)] }, idle: { ...held, headers: patient } } });
  await using fresh = await startScriptedUpstream({ reply: answering('fresh') });
  await using gateway = await startGatewayUnderTest({ config: { model_list: [deployment('auto', old, 'm'), deployment('idle', old, 'idle')] } });
  const idle = await readStream(await gateway.post('/v1/chat/completions', { model: 'idle', stream: true, ...question }));
  expect(idle.isDone).toBe(true);
  const response = await gateway.post('/v1/chat/completions', { model: 'auto', stream: true, ...question });
  expect(old.openConnections).toBeGreaterThan(0);

  const { config_revision: before } = await configHealth(gateway);
  await gateway.writeConfig({ model_list: [deployment('auto', fresh, 'm')] });
  await eventually(async () => expect((await configHealth(gateway)).config_revision).not.toBe(before));
  expect(await saidBy(gateway)).toBe('fresh');
  const calls = old.calls.length;
  gate.open();
  expect(await readStream(response)).toMatchObject({ text: 'old and whole', endings: ['stop'], errors: [], isDone: true });
  expect(old.calls).toHaveLength(calls);
  await eventually(() => expect(old.openConnections).toBe(0), { timeoutMs: 15_000 });
  expect(await saidBy(gateway)).toBe('fresh');
});

test('SIGHUP reloads at once, with five hundred deployments too, and never ends the process', async () => {
  await using directory = await temporaryDirectory();
  const included = join(directory.path, 'models.yaml');
  await using upstream = await startScriptedUpstream({ reply: answering('served') });
  const models = (count: number, group: string): string => JSON.stringify({ model_list: Array.from({ length: count }, (_, index) => deployment(`${group}-${String(index)}`, upstream, `m${String(index)}`)) });
  await writeFile(included, models(1, 'small'));
  // An included file in another directory is watched by nobody: only the signal makes the gateway read it.
  await using gateway = await startGatewayUnderTest({ config: { include: [included] }, env: NO_POLL });
  expect(await saidBy(gateway, 'small-0')).toBe('served');

  await writeFile(included, models(500, 'large'));
  for (let round = 0; round < 20; round += 1) expect(await saidBy(gateway, 'small-0')).toBe('served');
  gateway.signal('SIGHUP');
  await eventually(async () => expect(await saidBy(gateway, 'large-499')).toBe('served'));
  expect(await saidBy(gateway, 'large-0')).toBe('served');
  expect((await gateway.post('/v1/chat/completions', { model: 'small-0', ...question })).status).toBe(400);

  for (let round = 0; round < 10; round += 1) gateway.signal('SIGHUP');
  await writeFile(included, 'model_list: 5');
  gateway.signal('SIGHUP');
  await eventually(async () => expect((await configHealth(gateway)).last_rejected?.reason).toMatch(/model_list/));
  expect(await saidBy(gateway, 'large-499')).toBe('served');
  expect(await gateway.stop()).toBe(0);
}, 90_000);

// `current` is what config-sync swaps, `..data` what the kubelet swaps where a ConfigMap is mounted.
test.each(['current', '..data'])('a generation published by swapping the link %s is noticed', async (link) => {
  await using directory = await temporaryDirectory();
  await using first = await startScriptedUpstream({ reply: answering('first') });
  await using second = await startScriptedUpstream({ reply: answering('second') });
  const root = directory.path;
  const publish = async (generation: string, upstream: ScriptedUpstream): Promise<void> => {
    await mkdir(join(root, 'generations', generation), { recursive: true });
    await writeFile(join(root, 'generations', generation, 'config.yaml'), JSON.stringify({ model_list: [deployment('auto', upstream, 'm')] }));
    await symlink(join('generations', generation), join(root, `${link}.${generation}`));
    await rename(join(root, `${link}.${generation}`), join(root, link));
  };
  await publish('a', first);
  await symlink(join(link, 'config.yaml'), join(root, 'config.yaml'));
  await using gateway = await startGatewayUnderTest({ config: {}, env: { ...NO_POLL, CONFIG_PATH: join(root, 'config.yaml') } });
  expect(await saidBy(gateway)).toBe('first');

  for (const [generation, upstream, name] of [['b', second, 'second'], ['c', first, 'first'], ['d', second, 'second']] as const) {
    await publish(generation, upstream);
    await eventually(async () => expect(await saidBy(gateway)).toBe(name));
  }
});

test('what watching misses is found by the poll', async () => {
  await using directory = await temporaryDirectory();
  const included = join(directory.path, 'models.yaml');
  await using first = await startScriptedUpstream({ reply: answering('first') });
  await using second = await startScriptedUpstream({ reply: answering('second') });
  await writeFile(included, JSON.stringify({ model_list: [deployment('auto', first, 'm')] }));
  await using gateway = await startGatewayUnderTest({ config: { include: [included] }, env: { CONFIG_POLL_INTERVAL_S: '0.3' } });
  expect(await saidBy(gateway)).toBe('first');
  await writeFile(included, JSON.stringify({ model_list: [deployment('auto', second, 'm')] }));
  await eventually(async () => expect(await saidBy(gateway)).toBe('second'));
});
