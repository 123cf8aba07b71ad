import { isJsonObject, type JsonObject } from '@pointsman/schemas';
import { z } from 'zod';
import { breakerShape, canaryShape, groupStrategyShape, IGNORED_RETRIES, judgeShape, litellmSettingsShape, retryPolicyShape, routerSettingsShape, strategyArgsShape } from './config-schema.ts';
import { checkKeys, problemsOf, type Findings } from './findings.ts';
import type { RetryPolicy, RouterSettings } from './gateway-config.ts';
import { slipOf } from './nearest-name.ts';
import type { Path } from './path.ts';

const routerSchema = z.object(routerSettingsShape);
const litellmSchema = z.object(litellmSettingsShape);
type Router = z.infer<typeof routerSchema>;
export type LitellmSettings = z.infer<typeof litellmSchema>;

export interface RouterSections {
  /** `router_settings` and `litellm_settings`: references resolved, nulls gone, keys checked. */
  readonly router: JsonObject;
  readonly litellm: JsonObject;
}

/** Reads the settings of routing, retries and fallbacks from both sections. What is wrong goes to `findings`, and its default holds. */
export function readRouter({ router, litellm }: RouterSections, findings: Findings): { readonly settings: RouterSettings; readonly litellmSettings: LitellmSettings } {
  checkNestedKeys(router, findings);
  const own = validated(routerSchema, router, ['router_settings'], findings);
  const general = validated(litellmSchema, litellm, ['litellm_settings'], findings);
  const fallbacks = mergeFallbacks(own.fallbacks, general.fallbacks);
  const settings: RouterSettings = {
    strategy: own.routing_strategy ?? 'simple-shuffle',
    strategyArgs: asJson(own.routing_strategy_args),
    strategies: readStrategies(own),
    numRetries: own.num_retries ?? general.num_retries ?? 2,
    maxFallbacks: own.max_fallbacks ?? general.max_fallbacks ?? 5,
    timeoutMs: own.timeout ?? general.request_timeout ?? 6_000_000,
    streamTimeoutMs: own.stream_timeout ?? general.stream_timeout,
    retryAfterMs: own.retry_after ?? 0,
    retryPolicy: readRetryPolicy(own.retry_policy),
    groupRetryPolicy: Object.fromEntries(Object.entries(own.model_group_retry_policy ?? {}).map(([group, policy]) => [group, readRetryPolicy(policy)])),
    allowedFails: own.allowed_fails ?? general.allowed_fails ?? 3,
    cooldownMs: own.cooldown_time ?? general.cooldown_time ?? 5000,
    disableCooldowns: own.disable_cooldowns ?? false,
    fallbacks: new Map([...fallbacks].filter(([group]) => group !== '*')),
    // LiteLLM writes default fallbacks as the group `*`.
    defaultFallbacks: own.default_fallbacks ?? general.default_fallbacks ?? fallbacks.get('*') ?? [],
    contextWindowFallbacks: mergeFallbacks(own.context_window_fallbacks, general.context_window_fallbacks),
    contentPolicyFallbacks: mergeFallbacks(own.content_policy_fallbacks, general.content_policy_fallbacks),
    aliases: new Map(Object.entries({ ...general.model_group_alias, ...own.model_group_alias })
      .map(([alias, target]) => [alias, typeof target === 'string' ? { group: target, hidden: false } : { group: target.model, hidden: target.hidden ?? false }])),
    enableTagFiltering: own.enable_tag_filtering ?? false,
    tagFilteringMatchAny: own.tag_filtering_match_any ?? true,
    enablePreCallChecks: own.enable_pre_call_checks ?? false,
    streamRecovery: own.stream_recovery ?? 'error',
    retryBudgetRatio: own.retry_budget_ratio ?? 0.2,
    judge: readJudge(own.judge, findings),
    breaker: { failures: own.breaker?.failures ?? 5, halfOpenAfterMs: own.breaker?.half_open_after_s ?? 60_000 },
  };
  return { settings, litellmSettings: general };
}

function readJudge(judge: Partial<Router>['judge'], findings: Findings): RouterSettings['judge'] {
  if (judge === undefined) return undefined;
  const { model } = judge;
  if (model === undefined) {
    findings.problems.push({ path: ['router_settings', 'judge', 'model'], message: 'is required: the model group that judges' });
    return undefined;
  }
  return { model, sampleRate: judge.sample_rate ?? 0.01, maxUsdPerDay: judge.max_usd_per_day ?? 1, secondCandidate: judge.second_candidate ?? 'random', rubric: judge.rubric };
}

/** The section as its schema reads it, without the keys that are wrong, so that one bad key does not hide what others say. */
export function validated<S extends z.ZodObject>(schema: S, section: JsonObject, path: Path, findings: Findings): Partial<z.infer<S>> {
  const result = schema.safeParse(section);
  if (result.success) return result.data;
  findings.problems.push(...problemsOf(result.error, path));
  const wrong = new Set(result.error.issues.map((issue) => issue.path[0]));
  const rest = schema.safeParse(Object.fromEntries(Object.entries(section).filter(([key]) => !wrong.has(key))));
  return rest.success ? rest.data : {};
}

function checkNestedKeys(router: JsonObject, findings: Findings): void {
  const check = (value: unknown, path: Path, shape: object, ignored?: ReadonlySet<string>): void => {
    if (isObject(value)) checkKeys(value, path, { known: Object.keys(shape), ...(ignored === undefined ? {} : { ignored }) }, findings);
  };
  check(router['judge'], ['router_settings', 'judge'], judgeShape);
  check(router['breaker'], ['router_settings', 'breaker'], breakerShape);
  check(router['retry_policy'], ['router_settings', 'retry_policy'], retryPolicyShape, IGNORED_RETRIES);
  for (const [group, policy] of entriesOf(router['model_group_retry_policy'])) check(policy, ['router_settings', 'model_group_retry_policy', group], retryPolicyShape, IGNORED_RETRIES);
  checkArgs(router['routing_strategy_args'], ['router_settings', 'routing_strategy_args'], findings);
  for (const [group, strategy] of entriesOf(router['strategies'])) {
    const path: Path = ['router_settings', 'strategies', group];
    check(strategy, path, groupStrategyShape);
    if (isObject(strategy)) {
      if (strategy['routing_strategy'] === undefined) findings.problems.push({ path: [...path, 'routing_strategy'], message: 'missing: expected the name of a strategy' });
      checkArgs(strategy['routing_strategy_args'], [...path, 'routing_strategy_args'], findings);
    }
  }
  for (const [alias, target] of entriesOf(router['model_group_alias'])) check(target, ['router_settings', 'model_group_alias', alias], { model: 0, hidden: 0 });
}

/** Strategies own their arguments; only a slip of one of ours is refused. */
function checkArgs(args: unknown, path: Path, findings: Findings): void {
  if (!isObject(args)) return;
  for (const key of Object.keys(args)) {
    const slip = Object.hasOwn(strategyArgsShape, key) ? undefined : slipOf(key, Object.keys(strategyArgsShape));
    if (slip === undefined) findings.honoured.push([...path, key]);
    else findings.problems.push({ path: [...path, key], message: 'looks like a slip of a known key', suggestion: slip });
  }
  if (isObject(args['canary'])) {
    checkKeys(args['canary'], [...path, 'canary'], { known: Object.keys(canaryShape) }, findings);
    if (args['canary']['model_version'] === undefined) findings.problems.push({ path: [...path, 'canary', 'model_version'], message: 'missing: expected a version such as v43' });
  }
}

function readStrategies({ strategies, routing_strategy_args: shared }: Partial<Router>): RouterSettings['strategies'] {
  return Object.fromEntries(Object.entries(strategies ?? {}).map(([group, choice]) => (typeof choice === 'string'
    ? [group, { strategy: choice, args: asJson(shared) }]
    : [group, { strategy: choice.routing_strategy ?? 'simple-shuffle', args: asJson(choice.routing_strategy_args ?? shared) }])));
}

function readRetryPolicy(policy: Router['retry_policy']): RetryPolicy {
  const counts = {
    badRequest: policy?.BadRequestErrorRetries, authentication: policy?.AuthenticationErrorRetries, timeout: policy?.TimeoutErrorRetries,
    rateLimit: policy?.RateLimitErrorRetries, contentPolicy: policy?.ContentPolicyViolationErrorRetries, serverError: policy?.InternalServerErrorRetries,
  };
  return Object.fromEntries(Object.entries(counts).filter(([, count]) => count !== undefined));
}

type FallbackList = Router['fallbacks'];

function mergeFallbacks(own: FallbackList, general: FallbackList): Map<string, readonly string[]> {
  return new Map([...(general ?? []), ...(own ?? [])].flatMap((entry) => Object.entries(entry)));
}

function asJson(args: Readonly<Record<string, unknown>> | undefined): JsonObject {
  return isJsonObject(args) ? args : {};
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function entriesOf(value: unknown): [string, unknown][] {
  return isObject(value) ? Object.entries(value) : [];
}
