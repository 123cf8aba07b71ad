import { hash } from 'node:crypto';
import type { ConfiguredModel, GatewayConfig } from '@pointsman/gateway-config';
import { compileCost, modelFacts, withCustomPrices, type PriceMap } from '@pointsman/pricing';
import { createProvider, providerIds, type Provider, type UpstreamPools } from '@pointsman/providers';
import type { CircuitBreakers, Cooldowns, RetryBudget } from '@pointsman/resilience';
import {
  createStrategy, Decider, fillWildcards, ModelGroups, strategyDefinition,
  type Candidate, type DecisionProblem, type DeploymentStatsRegistry, type ModelGroupMatch, type RouterModels, type StrategyParts,
} from '@pointsman/routing';
import type { JsonValue } from '@pointsman/schemas';
import type { Clock } from '@pointsman/timing';
import { candidateFacts } from './candidate-facts.ts';
import type { Deployment, GroupPlan, ListedModel, Snapshot } from './snapshot.ts';

/** What snapshots are made with and share: everything here outlives a reload on purpose. */
export interface SnapshotParts {
  readonly pools: UpstreamPools;
  readonly breakers: CircuitBreakers;
  readonly cooldowns: Cooldowns;
  readonly retryBudget: RetryBudget;
  readonly stats: DeploymentStatsRegistry;
  readonly prices: PriceMap;
  readonly clock: Clock;
  readonly random: () => number;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** What an operator has to do before a deployment can be called: a key that is not set, for instance. */
  readonly onProviderProblem: (configured: ConfiguredModel, problem: string) => void;
  /** Router models of this process; undefined where none can be loaded. */
  readonly models?: RouterModels | undefined;
  /** What is learned online; undefined where nothing is kept. */
  readonly bandits?: StrategyParts['bandits'];
  /** Whether the configuration may name modules as strategies, and the folder that their paths are relative to. */
  readonly modules?: StrategyParts['modules'];
  readonly onDecisionProblem: (problem: DecisionProblem, strategy: string, cause: unknown) => void;
}

/** Names that met a wildcard are kept ready; past this many the oldest goes. Clients choose these names. */
const MAX_WILDCARD_PLANS = 1_000;

/** Combinations of `api_base` and its like that clients sent where an operator allows it; past this many the oldest goes. */
const MAX_CLIENT_SIDE_PLANS = 100;

const SERVED: ReadonlySet<string> = new Set(providerIds);

async function compileDeployment(configured: ConfiguredModel, config: GatewayConfig, parts: SnapshotParts, opened: Set<Provider>): Promise<Deployment> {
  const { provider: id, model, apiKey, apiBase, apiVersion } = configured;
  const dropParams = configured.dropParams ?? config.dropParams;
  const params = dropParams ? { ...configured.params, drop_params: true } : configured.params;
  const provider = await createProvider({ provider: id, model, apiKey, apiBase, apiVersion, params }, { pools: parts.pools, env: parts.env });
  opened.add(provider);
  for (const problem of provider.problems ?? []) parts.onProviderProblem(configured, problem);
  const baseModel = configured.info['base_model'];
  const listed = parts.prices.findPrice({ model, provider: id, ...(typeof baseModel === 'string' ? { baseModel } : {}) });
  const price = withCustomPrices(listed, params, configured.info);
  const facts = modelFacts(price);
  const candidate: Candidate = {
    id: configured.id, group: configured.group, model: configured.configuredModel, pattern: patternOf(configured, config), provider: id,
    weight: configured.weight, rpm: configured.rpm, tpm: configured.tpm, order: configured.order, tags: configured.tags,
    ...candidateFacts(configured, facts, config.candidates),
    maxParallelRequests: configured.maxParallelRequests, stats: parts.stats.get(configured.id),
  };
  const defaults = Object.entries(configured.bodyDefaults).filter((entry): entry is [string, JsonValue] => entry[1] !== undefined);
  return {
    configured, candidate, provider, breaker: parts.breakers.get(configured.id),
    costOf: price === undefined ? undefined : compileCost(price),
    bodyDefaults: defaults.length === 0 ? undefined : new Map(defaults),
  };
}

/** The model as the configuration has it, where the entry is one that a client's name was filled into. */
function patternOf({ id, group, configuredModel }: ConfiguredModel, config: GatewayConfig): string | undefined {
  const asConfigured = group.includes('*') ? config.models.find((model) => model.id === id)?.configuredModel : undefined;
  return asConfigured === configuredModel ? undefined : asConfigured;
}

/** The entry that serves one concrete name of a wildcard group: `openai/*` asked for `openai/gpt-4o` is a deployment of `gpt-4o`. */
function concreteModel(configured: ConfiguredModel, match: ModelGroupMatch): ConfiguredModel {
  const filled = fillWildcards(configured.configuredModel, match.captured, match.resolved);
  // `model: "*"` leaves even the provider to the client's name.
  const slash = filled.indexOf('/');
  const prefix = configured.configuredModel === '*' && slash > 0 ? filled.slice(0, slash) : undefined;
  if (prefix !== undefined && SERVED.has(prefix)) {
    return { ...configured, configuredModel: filled, provider: prefix, model: filled.slice(slash + 1) };
  }
  return { ...configured, configuredModel: filled, model: fillWildcards(configured.model, match.captured, match.resolved) };
}

const NO_ENVIRONMENT: Readonly<Record<string, string | undefined>> = {};
/** Parameters that may hold a credential. */
const CREDENTIAL = /key|secret|token|credential|header|password|role|organization|project|account/i;

/** The entry with what a client may set for itself. With another server, the operator's credentials stay behind. */
function withClientSettings(configured: ConfiguredModel, clientSide: ReadonlyMap<string, string>): ConfiguredModel {
  const elsewhere = clientSide.has('api_base');
  const kept = elsewhere ? Object.fromEntries(Object.entries(configured.params).filter(([name]) => !CREDENTIAL.test(name))) : configured.params;
  return {
    ...configured,
    apiKey: clientSide.get('api_key') ?? (elsewhere ? undefined : configured.apiKey),
    apiBase: clientSide.get('api_base') ?? configured.apiBase,
    apiVersion: clientSide.get('api_version') ?? configured.apiVersion,
    params: { ...kept, ...Object.fromEntries(clientSide) },
    bodyDefaults: elsewhere ? {} : configured.bodyDefaults,
  };
}

function closeAll(providers: Iterable<Provider>): void {
  for (const provider of providers) provider.close();
}

/**
 * Makes what serves requests out of a checked configuration. May take seconds and may fail; touches nothing that serves now.
 * @throws AppError when a provider's settings are wrong or a strategy cannot be loaded.
 */
export async function compileSnapshot(config: GatewayConfig, parts: SnapshotParts): Promise<Snapshot> {
  const opened = new Set<Provider>();
  try {
    return await compile(config, parts, opened);
  } catch (error) {
    closeAll(opened);
    throw error;
  }
}

async function compile(config: GatewayConfig, parts: SnapshotParts, opened: Set<Provider>): Promise<Snapshot> {
  const { router } = config;
  const byGroup = new Map<string, ConfiguredModel[]>();
  for (const model of config.models) {
    const entries = byGroup.get(model.group);
    if (entries === undefined) byGroup.set(model.group, [model]);
    else entries.push(model);
  }
  const deciders = new Map<string, Promise<Decider>>();
  const deciderOf = (group: string): { readonly decider: Promise<Decider>; readonly enforcesRateLimits: boolean; readonly readsPrompt: boolean } => {
    const own = Object.hasOwn(router.strategies, group) ? router.strategies[group] : undefined;
    const name = own?.strategy ?? router.strategy;
    const key = own === undefined ? '' : group;
    let decider = deciders.get(key);
    if (decider === undefined) {
      const args = own?.args ?? router.strategyArgs;
      const timeoutMs = args['decision_timeout_ms'];
      decider = createStrategy(name, { random: parts.random, now: () => parts.clock.now(), args, models: parts.models, bandits: parts.bandits, modules: parts.modules }).then((strategy) => new Decider({
        strategy, clock: parts.clock, onProblem: parts.onDecisionProblem, ...(typeof timeoutMs === 'number' ? { timeoutMs } : {}),
      }));
      deciders.set(key, decider);
    }
    const definition = strategyDefinition(name);
    return { decider, enforcesRateLimits: definition?.enforcesRateLimits ?? false, readsPrompt: definition?.readsPrompt ?? false };
  };
  const checks = config.routerSettings['optional_pre_call_checks'];
  const alwaysEnforce = Array.isArray(checks) && checks.includes('enforce_model_rate_limits');

  const planOf = async (group: string, models: readonly ConfiguredModel[], using: SnapshotParts = parts): Promise<GroupPlan> => {
    const deployments: Deployment[] = [];
    for (const model of models) {
      deployments.push(await compileDeployment(model, config, using, opened));
    }
    const { decider, enforcesRateLimits, readsPrompt } = deciderOf(group);
    return {
      group, deployments, candidates: deployments.map(({ candidate }) => candidate),
      deploymentOf: new Map(deployments.map((deployment) => [deployment.candidate, deployment])),
      decider: await decider, enforcesRateLimits: enforcesRateLimits || alwaysEnforce, readsPrompt,
    };
  };

  const plans = new Map<string, GroupPlan>();
  const byProvider = new Map<string, Deployment>();
  for (const [group, models] of byGroup) {
    const plan = await planOf(group, models);
    plans.set(group, plan);
    for (const deployment of plan.deployments) {
      if (!byProvider.has(deployment.configured.provider)) byProvider.set(deployment.configured.provider, deployment);
    }
  }

  const groups = new ModelGroups({ groups: byGroup.keys(), aliases: router.aliases });
  /** Names are chosen by clients: the providers of a plan that goes are closed, and calls under way finish. */
  const dropOldest = (plans: Map<string, GroupPlan | Promise<GroupPlan>> | Map<string, Promise<GroupPlan>>): void => {
    for (const [name, plan] of plans) {
      plans.delete(name);
      void Promise.resolve(plan).then(({ deployments }) => {
        for (const { provider } of deployments) if (opened.delete(provider)) provider.close();
      }).catch(() => undefined);
      return;
    }
  };
  const wildcardPlans = new Map<string, GroupPlan | Promise<GroupPlan>>();
  const wildcardPlan = (match: ModelGroupMatch): GroupPlan | Promise<GroupPlan> => {
    const known = wildcardPlans.get(match.resolved);
    if (known !== undefined) return known;
    if (wildcardPlans.size >= MAX_WILDCARD_PLANS) dropOldest(wildcardPlans);
    const models = (byGroup.get(match.group) ?? []).map((model) => concreteModel(model, match));
    const pending = planOf(match.group, models).then((plan) => {
      wildcardPlans.set(match.resolved, plan);
      return plan;
    }, (error: unknown) => {
      wildcardPlans.delete(match.resolved);
      throw error;
    });
    wildcardPlans.set(match.resolved, pending);
    // Who only asks whether a name is served does not wait for the plan: its failure must not end the process.
    pending.catch(() => undefined);
    return pending;
  };

  const clientSidePlans = new Map<string, Promise<GroupPlan>>();
  const withClientSide = (plan: GroupPlan, clientSide: ReadonlyMap<string, string>): Promise<GroupPlan> => {
    // The key of the map is a digest: it would hold a client's credentials otherwise.
    const key = hash('sha256', JSON.stringify([plan.group, plan.deployments.map(({ configured }) => configured.configuredModel), [...clientSide].sort()]));
    let pending = clientSidePlans.get(key);
    if (pending === undefined) {
      if (clientSidePlans.size >= MAX_CLIENT_SIDE_PLANS) dropOldest(clientSidePlans);
      // A server that a client chose gets no credential of the operator's: neither from the entry nor from the environment.
      const env = clientSide.has('api_base') ? NO_ENVIRONMENT : parts.env;
      pending = planOf(plan.group, plan.deployments.map(({ configured }) => withClientSettings(configured, clientSide)), { ...parts, env });
      clientSidePlans.set(key, pending);
      pending.catch(() => clientSidePlans.delete(key));
    }
    return pending;
  };

  const listed: ListedModel[] = groups.list().map((name) => ({ name, models: byGroup.get(groups.resolve(name)?.group ?? name) ?? [] }));
  return {
    revision: config.revision,
    appliedAtMs: parts.clock.now(),
    config,
    ready: true,
    plan(name) {
      const match = groups.resolve(name);
      if (match === undefined) return undefined;
      return match.captured.length === 0 ? plans.get(match.group) : wildcardPlan(match);
    },
    withClientSide,
    listed,
    byProvider,
    close: () => closeAll(opened),
  };
}

/** Tells the parts that outlive snapshots what the new configuration says, and lets them forget what it no longer names. */
export function adoptSettings({ config }: Snapshot, parts: SnapshotParts): void {
  const { router } = config;
  parts.breakers.configure(router.breaker);
  parts.cooldowns.configure({ allowedFails: router.allowedFails, cooldownMs: router.cooldownMs, disabled: router.disableCooldowns });
  parts.retryBudget.configure({ ratio: router.retryBudgetRatio });
  const ids = new Set(config.models.map(({ id }) => id));
  parts.breakers.retain(ids);
  parts.cooldowns.retain(ids);
  parts.stats.retain(ids);
}

/** What serves before the first valid configuration: nothing. */
export function emptySnapshot(config: GatewayConfig): Snapshot {
  return { revision: '', appliedAtMs: 0, config, ready: false, plan: () => undefined, withClientSide: (plan) => Promise.resolve(plan), listed: [], byProvider: new Map(), close: () => undefined };
}
