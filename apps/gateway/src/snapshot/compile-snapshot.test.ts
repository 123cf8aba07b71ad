import { loadPriceMap } from '@pointsman/pricing';
import { UpstreamPools } from '@pointsman/providers';
import { CircuitBreakers, Cooldowns, RetryBudget } from '@pointsman/resilience';
import { DeploymentStatsRegistry } from '@pointsman/routing';
import { ManualClock } from '@pointsman/timing';
import { expect, test } from 'vitest';
import { chatConfig, entry, parseConfig } from '../fake-gateway.fixture.ts';
import { adoptSettings, compileSnapshot, emptySnapshot, type SnapshotParts } from './compile-snapshot.ts';
import type { GroupPlan, Snapshot } from './snapshot.ts';

const prices = loadPriceMap();

interface TestParts extends SnapshotParts {
  readonly problems: string[];
  holders(): number;
}

function makeParts(): TestParts {
  const clock = new ManualClock();
  const pools = new UpstreamPools();
  const problems: string[] = [];
  return {
    clock, pools, prices, env: {}, random: () => 0.5, breakers: new CircuitBreakers({ clock }), cooldowns: new Cooldowns({ clock }), retryBudget: new RetryBudget({ clock }),
    stats: new DeploymentStatsRegistry(), problems, onProviderProblem: ({ id }, problem) => void problems.push(`${id}: ${problem}`), onDecisionProblem: () => undefined,
    holders: () => pools.counts().reduce((sum, { holders }) => sum + holders, 0),
  };
}

const compile = (yaml: string, parts: SnapshotParts): Promise<Snapshot> => compileSnapshot(parseConfig(yaml), parts);

async function planFor(snapshot: Snapshot, name: string): Promise<GroupPlan> {
  const plan = await snapshot.plan(name);
  if (plan === undefined) throw new Error(`no plan for ${name}`);
  return plan;
}

function wildcard(group: string, model: string, more = ''): string {
  return `model_list:\n  - model_name: "${group}"\n    litellm_params: { model: "${model}", api_key: sk-upstream }\n    model_info: { id: w }\n${more}`;
}

test('a group has its deployments in the order of the file, priced, with parts that outlive the snapshot', async () => {
  const parts = makeParts();
  const snapshot = await compile(chatConfig(['a', 'b']), parts);
  const plan = await planFor(snapshot, 'chat');
  expect(plan.deployments.map(({ configured }) => configured.id)).toEqual(['a', 'b']);
  expect(plan.candidates.map((candidate) => plan.deploymentOf.get(candidate)?.configured.id)).toEqual(['a', 'b']);
  const next = await planFor(await compile(chatConfig(['b', 'a']), parts), 'chat');
  expect(next.deployments[1]?.breaker).toBe(plan.deployments[0]?.breaker);
  expect(next.deployments[1]?.candidate.stats).toBe(plan.deployments[0]?.candidate.stats);
  expect(plan.deployments[0]?.costOf?.({ promptTokens: 1_000_000, completionTokens: 0, totalTokens: 1_000_000, cachedTokens: 0, cacheCreationTokens: 0, cacheCreation1hTokens: 0, reasoningTokens: 0, audioInputTokens: 0, audioOutputTokens: 0 })).toBeGreaterThan(0);
  expect(snapshot.byProvider.get('openai')).toBe(plan.deployments[0]);
});

test('a name nobody configured has no plan, JavaScript\'s own names neither', async () => {
  const snapshot = await compile(chatConfig(['a']), makeParts());
  for (const name of ['nope', '', '__proto__', 'constructor']) expect(snapshot.plan(name)).toBeUndefined();
});

test('an alias is the plan of its group', async () => {
  const snapshot = await compile(chatConfig(['a'], 'router_settings: { model_group_alias: { gpt: chat } }\n'), makeParts());
  expect(snapshot.plan('gpt')).toBe(snapshot.plan('chat'));
});

test('openai/* asked for a name is a deployment of that name, ready the second time without a promise', async () => {
  const snapshot = await compile(wildcard('openai/*', 'openai/*'), makeParts());
  const plan = await planFor(snapshot, 'openai/gpt-4o-mini');
  expect(plan.deployments[0]?.configured).toMatchObject({ provider: 'openai', model: 'gpt-4o-mini', configuredModel: 'openai/gpt-4o-mini', id: 'w' });
  expect(snapshot.plan('openai/gpt-4o-mini')).toBe(plan);
  expect(snapshot.plan('anthropic/x')).toBeUndefined();
});

test('asked for the same new name at the same time, it is made once', async () => {
  const snapshot = await compile(wildcard('openai/*', 'openai/*'), makeParts());
  const [one, two] = [snapshot.plan('openai/x'), snapshot.plan('openai/x')];
  expect(one).toBeInstanceOf(Promise);
  expect(two).toBe(one);
});

test('"*" leaves even the provider to the client\'s name, where that provider is served', async () => {
  const snapshot = await compile(wildcard('*', '*'), makeParts());
  expect((await planFor(snapshot, 'groq/llama-3')).deployments[0]?.configured).toMatchObject({ provider: 'groq', model: 'llama-3', configuredModel: 'groq/llama-3' });
  expect((await planFor(snapshot, 'nobody/x')).deployments[0]?.configured.configuredModel).toBe('nobody/x');
});

test('what was filled with a client\'s name still knows the pattern that the configuration has, what was not has none', async () => {
  const snapshot = await compile(`${wildcard('openai/*', 'openai/*')}  - model_name: "openai/*"\n    litellm_params: { model: openai/gpt-4o, api_key: sk-upstream }\n    model_info: { id: fixed }\n`, makeParts());
  const { candidates } = await planFor(snapshot, 'openai/made-up');
  expect(candidates.map(({ id, model, pattern }) => [id, model, pattern])).toEqual([['w', 'openai/made-up', 'openai/*'], ['fixed', 'openai/gpt-4o', undefined]]);
  expect((await planFor(await compile(chatConfig(['a']), makeParts()), 'chat')).candidates[0]?.pattern).toBeUndefined();
});

test('a pattern in the middle is filled with what the star stood for', async () => {
  const snapshot = await compile(wildcard('fast-*-x', 'openai/gpt-*-turbo'), makeParts());
  expect((await planFor(snapshot, 'fast-4-x')).deployments[0]?.configured.model).toBe('gpt-4-turbo');
});

test('clients choose names that meet a wildcard: the newest thousand are kept, the oldest is made anew', async () => {
  const snapshot = await compile(wildcard('openai/*', 'openai/*'), makeParts());
  const first = await planFor(snapshot, 'openai/0');
  for (let name = 1; name < 1_000; name += 1) await planFor(snapshot, `openai/${String(name)}`);
  expect(snapshot.plan('openai/0')).toBe(first);
  await planFor(snapshot, 'openai/1000');
  expect(snapshot.plan('openai/0')).toBeInstanceOf(Promise);
  await snapshot.plan('openai/0');
  snapshot.close();
});

test('what a client sets for itself is a plan of its own; the operator\'s stays as it was', async () => {
  const snapshot = await compile(chatConfig(['a']), makeParts());
  const plan = await planFor(snapshot, 'chat');
  const own = await snapshot.withClientSide(plan, new Map([['api_key', 'sk-own'], ['api_base', 'http://127.0.0.1:9/v1']]));
  expect(own.deployments[0]?.configured).toMatchObject({ apiKey: 'sk-own', apiBase: 'http://127.0.0.1:9/v1', id: 'a' });
  expect(plan.deployments[0]?.configured.apiKey).toBe('sk-upstream');
  expect(await snapshot.withClientSide(plan, new Map([['api_base', 'http://127.0.0.1:9/v1'], ['api_key', 'sk-own']]))).toBe(own);
  expect(await snapshot.withClientSide(plan, new Map([['api_key', 'sk-other']]))).not.toBe(own);
});

test('closing gives every provider back, the ones that wildcards made too', async () => {
  const parts = makeParts();
  const snapshot = await compile(wildcard('openai/*', 'openai/*'), parts);
  await planFor(snapshot, 'openai/x');
  expect(parts.holders()).toBe(2);
  snapshot.close();
  expect(parts.holders()).toBe(0);
});

test('a configuration that fails half-way gives back the providers it had opened', async () => {
  const parts = makeParts();
  const opening = makeParts();
  await compile(chatConfig(['a', 'b']), opening);
  expect(opening.holders()).toBe(2);
  const config = parseConfig(chatConfig(['a', 'b']));
  await expect(compileSnapshot({ ...config, router: { ...config.router, strategy: 'no-such-strategy' } }, parts)).rejects.toThrow();
  expect(parts.holders()).toBe(0);
});

test('the provider whose own setting up fails is given back too', async () => {
  const parts = makeParts();
  const failing: SnapshotParts = { ...parts, prices: { ...prices, findPrice: () => { throw new Error('bad price'); } } };
  await expect(compile(chatConfig(['a']), failing)).rejects.toThrow('bad price');
  expect(parts.holders()).toBe(0);
});

test('a name whose plan cannot be made fails the one who waits, and only asking does no harm', async () => {
  const parts = makeParts();
  let broken = false;
  const failing: SnapshotParts = { ...parts, prices: { ...prices, findPrice: (key) => { if (broken) throw new Error('bad price'); return prices.findPrice(key); } } };
  const snapshot = await compile(wildcard('openai/*', 'openai/*'), failing);
  broken = true;
  void snapshot.plan('openai/x'); // as GET /v1/models/{id} does: an unhandled rejection would end the process, and this test run
  await new Promise(setImmediate);
  await expect(snapshot.plan('openai/y')).rejects.toThrow('bad price');
  broken = false;
  await expect(snapshot.plan('openai/y')).resolves.toBeDefined(); // a failure is not kept
});

test('a group may have a strategy of its own', async () => {
  const snapshot = await compile(`${chatConfig(['a'])}${entry('other', 'b')}router_settings: { routing_strategy: simple-shuffle, strategies: { other: least-busy } }\n`, makeParts());
  expect((await planFor(snapshot, 'chat')).decider.strategyName).toBe('simple-shuffle');
  expect((await planFor(snapshot, 'other')).decider.strategyName).toBe('least-busy');
});

test('drop_params of the whole configuration holds for a model that does not say', async () => {
  const snapshot = await compile(`${chatConfig(['a'])}litellm_settings: { drop_params: true }\n`, makeParts());
  expect(snapshot.config.dropParams).toBe(true);
  expect(snapshot.plan('chat')).toBeDefined();
});

test('what an operator still has to do is told, without failing', async () => {
  const parts = makeParts();
  await compile('model_list:\n  - model_name: chat\n    litellm_params: { model: openai/gpt-4o }\n    model_info: { id: keyless }\n', parts);
  expect(parts.problems).toHaveLength(1);
  expect(parts.problems[0]).toMatch(/^keyless: /);
});

test('a reload forgets the breakers, cooldowns and statistics of what it no longer names, and keeps the others', async () => {
  const parts = makeParts();
  const old = await compile(chatConfig(['kept', 'gone']), parts);
  adoptSettings(old, parts);
  const breakers = new Map(['kept', 'gone'].map((id) => [id, parts.breakers.get(id)]));
  const stats = new Map(['kept', 'gone'].map((id) => [id, parts.stats.get(id)]));
  for (const id of ['kept', 'gone']) parts.cooldowns.failed({ id, status: 401, groupSize: 2, cooldownMs: 60_000 });
  const next = await compile(chatConfig(['kept']), parts);
  expect(parts.cooldowns.isCoolingDown('gone')).toBe(true); // compiling touches nothing live
  adoptSettings(next, parts);
  expect(parts.cooldowns.isCoolingDown('kept')).toBe(true);
  expect(parts.cooldowns.isCoolingDown('gone')).toBe(false);
  expect(parts.breakers.get('kept')).toBe(breakers.get('kept'));
  expect(parts.breakers.get('gone')).not.toBe(breakers.get('gone'));
  expect(parts.stats.get('kept')).toBe(stats.get('kept'));
  expect(parts.stats.get('gone')).not.toBe(stats.get('gone'));
});

test('the settings of breakers, cooldowns and retries follow the configuration', async () => {
  const parts = makeParts();
  adoptSettings(await compile(chatConfig(['a'], 'router_settings: { disable_cooldowns: true, retry_budget_ratio: 0 }\n'), parts), parts);
  expect(parts.cooldowns.failed({ id: 'a', status: 401, groupSize: 2 })).toBeUndefined();
  const before = parts.retryBudget.remaining;
  for (let request = 0; request < 100; request += 1) parts.retryBudget.firstTry();
  expect(parts.retryBudget.remaining).toBe(before);
});

test('before the first configuration nothing is served', () => {
  const empty = emptySnapshot(parseConfig('model_list: []'));
  expect(empty.ready).toBe(false);
  expect(empty.plan('chat')).toBeUndefined();
  expect(empty.listed).toEqual([]);
});
