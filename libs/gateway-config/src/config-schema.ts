import { keyGenerateFields } from '@pointsman/schemas';
import { z } from 'zod';
import { KNOWN_STRATEGIES } from './known-strategies.ts';
import { LITELLM_CACHE_TYPES } from './litellm-names.ts';
import { booleanSetting, durationSetting, expected, namesSetting, numberSetting, setting, textSetting } from './setting.ts';

/**
 * Every key that this gateway acts on, with what it does and what holds without it.
 * One place: the parser, `config.schema.json`, the tables of `docs/configuration.md` and `validate-config` all read these shapes.
 * Keys that LiteLLM knows and that are missing here are reported as ignored.
 */

const fallbackList = z.array(z.record(z.string(), namesSetting('a list of model groups'), { error: expected('a mapping such as {"gpt-4o": ["claude-sonnet"]}') }), { error: expected('a list such as [{"gpt-4o": ["claude-sonnet"]}]') });

const aliasTarget = z.string({ error: expected('the name of a model group') }).min(1, { error: expected('the name of a model group') });

export const retryPolicyShape = {
  BadRequestErrorRetries: setting(numberSetting({ min: 0, integer: true }), { description: 'Retries after a 400 from the provider.' }),
  AuthenticationErrorRetries: setting(numberSetting({ min: 0, integer: true }), { description: 'Retries after a 401 or 403 from the provider.' }),
  TimeoutErrorRetries: setting(numberSetting({ min: 0, integer: true }), { description: 'Retries after a timeout.' }),
  RateLimitErrorRetries: setting(numberSetting({ min: 0, integer: true }), { description: 'Retries after a 429 from the provider.' }),
  ContentPolicyViolationErrorRetries: setting(numberSetting({ min: 0, integer: true }), { description: 'Retries after a refusal by the provider’s content filter.' }),
  InternalServerErrorRetries: setting(numberSetting({ min: 0, integer: true }), { description: 'Retries after a 5xx from the provider.' }),
};
/** Retry counts that LiteLLM has and this gateway folds into others. */
export const IGNORED_RETRIES: ReadonlySet<string> = new Set(['ServiceUnavailableErrorRetries', 'NotFoundErrorRetries', 'DefaultRetries']);
const retryPolicy = z.object(retryPolicyShape, { error: expected('a mapping such as {RateLimitErrorRetries: 3}') });

export const canaryShape = {
  model_version: setting(textSetting('a version such as v43'), { description: 'The version on trial.', ours: true }),
  weight: setting(numberSetting({ min: 0, max: 100 }), { description: 'Percent of requests that it serves, sticky by user, then by trace id.', ours: true }),
};

export const strategyArgsShape = {
  llm_data_path: setting(textSetting('a file name'), { description: 'The candidates file of LLMRouter, next to the configuration.', ours: true }),
  model_name: setting(textSetting('a directory name'), { description: 'Name of the router model: its directory under `MODELS_DIR`.', ours: true }),
  model_version: setting(textSetting('a version such as v42'), { description: 'Version of the router model to serve. Changing it is a rollout or a rollback.', ours: true }),
  canary: setting(z.object(canaryShape, { error: expected('a mapping with model_version and weight') }), { description: 'A second version that serves a share of the requests.', ours: true }),
  quality_cost_tradeoff: setting(numberSetting({ min: 0, max: 1 }), { description: '0: the cheapest model that will do; 1: the best.', ours: true }),
  exploration: setting(numberSetting({ min: 0, max: 1 }), { description: 'Share of decisions that are drawn by chance (softmax over the scores) instead of taken greedily: what learning from traffic needs.', default: 0, ours: true }),
  exploration_temperature: setting(numberSetting({ min: 0.0001, max: 100 }), { description: 'Of that draw, in points of score: a candidate worse by this much is drawn e times less often.', default: 0.05, ours: true }),
  session_affinity: setting(booleanSetting(), { description: 'Whether later turns of a conversation keep their model while it can serve.', default: true, ours: true }),
  posterior_scale: setting(numberSetting({ min: 0, max: 10 }), { description: '`contextual-bandit`: how far its beliefs reach, in points of quality; more explores more.', default: 0.25, ours: true }),
  forgetting_half_life_h: setting(numberSetting({ min: 0, max: 87_600 }), { description: '`contextual-bandit`: hours after which what was learned counts half; 0 forgets nothing.', default: 168, ours: true }),
  error_reward: setting(numberSetting({ min: 0, max: 1 }), { description: '`contextual-bandit`: the reward of a request whose provider failed.', default: 0, ours: true }),
  learn_from_errors: setting(booleanSetting(), { description: '`contextual-bandit`: whether a provider that failed is a reward (`error_reward`).', default: true, ours: true }),
  feedback_window_s: setting(numberSetting({ min: 1, max: 604_800 }), { description: '`contextual-bandit`: seconds in which feedback about a request is learned from.', default: 3600, ours: true }),
  store_prompts: setting(booleanSetting(), { description: 'Whether training rows hold the prompt. Without it not a word of one leaves the pod.', default: false, ours: true }),
  store_ngrams: setting(booleanSetting(), { description: 'Whether training rows hold hashed word pairs, which a dictionary can look up.', default: false, ours: true }),
  decision_timeout_ms: setting(numberSetting({ min: 1, max: 60_000 }), { description: 'Milliseconds for a routing decision; past them the default candidate serves.', ours: true }),
};
/** Strategies own their arguments: what is not listed passes through to them. */
export const strategyArgs = z.looseObject(strategyArgsShape, { error: expected('a mapping of arguments') });

const strategyName = textSetting('the name of a strategy').meta({ examples: [...KNOWN_STRATEGIES] });
export const groupStrategyShape = {
  routing_strategy: setting(strategyName, { description: 'The strategy of this group.', ours: true }),
  routing_strategy_args: setting(strategyArgs, { description: 'Its arguments; without them, those of `router_settings`.', ours: true }),
};

export const breakerShape = {
  failures: setting(numberSetting({ min: 1, integer: true }), { description: 'Failures in a row that open the breaker of a deployment.', default: 5, ours: true }),
  half_open_after_s: setting(durationSetting({ positive: true }), { description: 'Seconds until an open breaker lets one request through.', default: 60, ours: true }),
};

export const JUDGED_CANDIDATES = ['random', 'cheapest', 'dearest'] as const;
export const judgeShape = {
  model: setting(textSetting('a model group'), { description: 'The model group that judges. Prompts and answers of sampled requests are sent to its provider.', ours: true }),
  sample_rate: setting(numberSetting({ min: 0, max: 1 }), { description: 'Share of routed chat requests that are answered a second time in the background and judged.', default: 0.01, ours: true }),
  max_usd_per_day: setting(numberSetting({ min: 0, max: 1_000_000 }), { description: 'What second answers and verdicts may cost in a day (UTC), of all replicas. Models without a known price are not asked.', default: 1, ours: true }),
  second_candidate: setting(z.enum(JUDGED_CANDIDATES, { error: 'expected "random", "cheapest" or "dearest"' }), { description: 'Who answers a second time, of the other candidates of the group.', default: 'random', ours: true }),
  rubric: setting(textSetting('text'), { description: 'What the judge goes by, in words; without it correctness, completeness and following the instructions.', ours: true }),
};

export const routerSettingsShape = {
  routing_strategy: setting(strategyName, { description: 'How a deployment is chosen among those of a group. An unknown one is an error.', default: 'simple-shuffle' }),
  routing_strategy_args: setting(strategyArgs, { description: 'Arguments of the strategy.' }),
  strategies: setting(z.record(z.string(), z.union([strategyName, z.object(groupStrategyShape)], { error: expected('the name of a strategy, or a mapping with routing_strategy and routing_strategy_args') }), { error: expected('a mapping from model group to strategy') }), { description: 'Other strategies for some model groups: a name, or `{routing_strategy, routing_strategy_args}`.', ours: true }),
  num_retries: setting(numberSetting({ min: 0, max: 100, integer: true }), { description: 'Retries of a failed call within its group.', default: 2 }),
  max_fallbacks: setting(numberSetting({ min: 0, max: 100, integer: true }), { description: 'Fallback groups tried for one request.', default: 5 }),
  timeout: setting(durationSetting({ positive: true }), { description: 'Deadline of a whole request, retries and fallbacks included.', default: 6000 }),
  stream_timeout: setting(durationSetting({ positive: true }), { description: 'Longest silence of a stream. Without it, `timeout`.' }),
  retry_after: setting(durationSetting(), { description: 'Least wait before a retry.', default: 0 }),
  retry_policy: setting(retryPolicy, { description: 'Retries by kind of failure, instead of `num_retries`.' }),
  model_group_retry_policy: setting(z.record(z.string(), retryPolicy, { error: expected('a mapping from model group to retry policy') }), { description: 'Retry policy by model group.' }),
  allowed_fails: setting(numberSetting({ min: 0, integer: true }), { description: 'Failures in a minute after which a deployment rests.', default: 3 }),
  cooldown_time: setting(durationSetting(), { description: 'How long a failing deployment rests.', default: 5 }),
  disable_cooldowns: setting(booleanSetting(), { description: 'Never rest a deployment.', default: false }),
  fallbacks: setting(fallbackList, { description: 'Groups to try when a group fails: `[{"gpt-4o": ["claude-sonnet"]}]`.' }),
  default_fallbacks: setting(namesSetting('a list of model groups'), { description: 'Groups to try when a group without fallbacks of its own fails.' }),
  context_window_fallbacks: setting(fallbackList, { description: 'Groups to try when the prompt is too long.' }),
  content_policy_fallbacks: setting(fallbackList, { description: 'Groups to try when the provider’s content filter refuses.' }),
  model_group_alias: setting(z.record(z.string(), z.union([aliasTarget, z.object({ model: aliasTarget, hidden: booleanSetting().optional() })], { error: expected('a model group, or {model, hidden}') }), { error: expected('a mapping from alias to model group') }), { description: 'Other names for groups: `alias: group`, or `alias: {model: group, hidden: true}`.' }),
  enable_tag_filtering: setting(booleanSetting(), { description: 'Choose only deployments whose `tags` match the request’s.', default: false }),
  tag_filtering_match_any: setting(booleanSetting(), { description: 'One shared tag is enough; false: all must match.', default: true }),
  enable_pre_call_checks: setting(booleanSetting(), { description: 'Leave out deployments whose context window is smaller than the prompt.', default: false }),
  stream_recovery: setting(z.enum(['error', 'continue'], { error: 'expected "error" or "continue"' }), { description: 'When a stream breaks after its first content: end it with an error frame, or let the next candidate continue the answer.', default: 'error', ours: true }),
  retry_budget_ratio: setting(numberSetting({ min: 0, max: 10 }), { description: 'Retries allowed per first try over the last ten seconds.', default: 0.2, ours: true }),
  judge: setting(z.object(judgeShape, { error: expected('a mapping with model, sample_rate, max_usd_per_day') }), { description: 'A second answer and a judge for a share of the chat requests, off the client’s path. Off without it.', ours: true }),
  breaker: setting(z.object(breakerShape, { error: expected('a mapping with failures and half_open_after_s') }), { description: 'Circuit breaker of each deployment.', ours: true }),
};

/** The caches of LiteLLM that this gateway has. */
export const SERVED_CACHES = ['redis', 'local'] as const;
const cacheType = z.enum([...SERVED_CACHES, ...LITELLM_CACHE_TYPES], { error: expected('"redis" or "local"') });
export const cacheParamsShape = {
  type: setting(cacheType, { description: '`redis`: the Redis of `REDIS_URL`, shared by all replicas; without one, and while it is away, the memory of each replica. `local`: always that memory. LiteLLM’s other types are not served: a warning, and `redis` holds.', default: 'redis' }),
  mode: setting(z.enum(['default_on', 'default_off'], { error: 'expected "default_on" or "default_off"' }), { description: '`default_off`: only for requests that say `cache: {"use-cache": true}`.', default: 'default_on' }),
  ttl: setting(durationSetting({ positive: true }), { description: 'How long a reply is kept. With `type: local` 600 without it; both as LiteLLM.', default: 60 }),
  default_in_memory_ttl: setting(durationSetting({ positive: true }), { description: 'As `ttl`, and wins over it, with `type: local`.' }),
  default_in_redis_ttl: setting(durationSetting({ positive: true }), { description: 'As `ttl`, and wins over it, with `type: redis`.' }),
  namespace: setting(textSetting('text'), { description: 'Part of every key in Redis, so that installations which share one keep their replies apart.' }),
  supported_call_types: setting(namesSetting('a list such as [acompletion, aembedding]'), { description: 'The calls whose replies are kept: `acompletion`, `atext_completion`, `aembedding`, `aresponses`, `anthropic_messages`. Without it all of them.' }),
  scope: setting(z.enum(['key', 'team', 'shared'], { error: 'expected "key", "team" or "shared"' }), { description: 'Who gets to see a reply: only the key that asked for it, every key of its team, or everybody (as LiteLLM).', default: 'key', ours: true }),
  max_reply_kb: setting(numberSetting({ min: 1, max: 65_536 }), { description: 'Replies longer than this many KiB are not kept.', default: 1024, ours: true }),
};

/** What `/key/generate` takes; `key` itself would be the secret of every key. */
const { key: _key, ...keyFields } = keyGenerateFields.schema.shape;
export const keyDefaultsShape = keyFields;
/** Fields of keys that LiteLLM knows and that have no effect here. */
export const KEY_FIELDS_WITHOUT_EFFECT = keyGenerateFields.withoutEffect;

const { max_budget, budget_duration, max_parallel_requests, tpm_limit, rpm_limit } = keyFields;
/** A key that never expires has no time to compare, so `duration` is a length of time here and nothing else. */
export const keyBoundsShape = { max_budget, budget_duration, duration: budget_duration, max_parallel_requests, tpm_limit, rpm_limit };

export const litellmSettingsShape = {
  cache: setting(booleanSetting(), { description: 'Keep replies, and answer equal requests with them.', default: false }),
  cache_params: setting(z.looseObject(cacheParamsShape, { error: expected('a mapping such as {type: redis, ttl: 600}') }), { description: 'Where replies are kept, how long and for whom.' }),
  drop_params: setting(booleanSetting(), { description: 'Drop request parameters that the provider does not take, instead of refusing.', default: false }),
  request_timeout: setting(durationSetting({ positive: true }), { description: 'As `router_settings.timeout`, which wins.', default: 6000 }),
  stream_timeout: setting(durationSetting({ positive: true }), { description: 'As `router_settings.stream_timeout`, which wins.' }),
  num_retries: setting(numberSetting({ min: 0, max: 100, integer: true }), { description: 'As `router_settings.num_retries`, which wins.', default: 2 }),
  max_fallbacks: setting(numberSetting({ min: 0, max: 100, integer: true }), { description: 'As `router_settings.max_fallbacks`, which wins.', default: 5 }),
  allowed_fails: setting(numberSetting({ min: 0, integer: true }), { description: 'As `router_settings.allowed_fails`, which wins.', default: 3 }),
  cooldown_time: setting(durationSetting(), { description: 'As `router_settings.cooldown_time`, which wins.', default: 5 }),
  fallbacks: setting(fallbackList, { description: 'Merged with `router_settings.fallbacks`, which wins for a group that both name.' }),
  default_fallbacks: setting(namesSetting('a list of model groups'), { description: 'As `router_settings.default_fallbacks`, which wins.' }),
  context_window_fallbacks: setting(fallbackList, { description: 'Merged with `router_settings.context_window_fallbacks`.' }),
  content_policy_fallbacks: setting(fallbackList, { description: 'Merged with `router_settings.content_policy_fallbacks`.' }),
  model_group_alias: setting(routerSettingsShape.model_group_alias.unwrap(), { description: 'Merged with `router_settings.model_group_alias`, which wins.' }),
  default_key_generate_params: setting(z.looseObject(keyDefaultsShape, { error: expected('a mapping such as {max_budget: 10, models: [gpt-4o]}') }), { description: 'What a new key gets where its maker leaves a field open: the fields of `/key/generate`.' }),
  upperbound_key_generate_params: setting(z.looseObject(keyBoundsShape, { error: expected('a mapping such as {max_budget: 100, duration: 30d}') }), { description: 'The most that anybody, administrators included, may give a key: `max_budget`, `budget_duration`, `duration`, `max_parallel_requests`, `tpm_limit`, `rpm_limit`. What is left open becomes the bound.' }),
  forward_traceparent_to_llm_provider: setting(booleanSetting(), { description: 'Send `traceparent` on to providers.', default: true }),
  require_auth_for_metrics_endpoint: setting(booleanSetting(), { description: 'Ask for a key at `/metrics`.', default: false }),
};

export const generalSettingsShape = {
  master_key: setting(textSetting(), { description: 'The key that may do everything. Without it, `LITELLM_MASTER_KEY` of the environment.' }),
  max_request_size_mb: setting(numberSetting({ min: 0.001, max: 1024 }), { description: 'Longest request body in MiB; longer ones get 413.', default: 32 }),
  litellm_key_header_name: setting(textSetting('the name of a header').refine((name) => /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/.test(name), { error: 'expected the name of an HTTP header' }), { description: 'Another header that carries the key.' }),
  dangerously_permit_weak_or_unset_master_key: setting(booleanSetting(), { description: 'Do not warn about a missing or well-known master key.', default: false }),
};

export const modelParamsShape = {
  model: setting(textSetting('provider/model'), { description: '`provider/model`, e.g. `openai/gpt-4o`; `*` in a wildcard entry. Required.' }),
  custom_llm_provider: setting(textSetting('a provider'), { description: 'The provider, where `model` does not begin with one.' }),
  api_key: setting(textSetting(), { description: 'Key at the provider. Without it, the provider’s own variable (`OPENAI_API_KEY`, …).' }),
  api_base: setting(textSetting('a URL'), { description: 'URL of the provider. A trailing `/v1` belongs to it, as in LiteLLM.' }),
  base_url: setting(textSetting('a URL'), { description: 'Other name of `api_base`.' }),
  api_version: setting(textSetting(), { description: 'API version (Azure).' }),
  litellm_credential_name: setting(textSetting('a name'), { description: 'Entry of `credential_list` that fills in what is not set here.' }),
  weight: setting(numberSetting({ min: 0 }), { description: 'Share of the traffic of its group.' }),
  rpm: setting(numberSetting({ min: 0 }), { description: 'Requests per minute it can take.' }),
  tpm: setting(numberSetting({ min: 0 }), { description: 'Tokens per minute it can take.' }),
  order: setting(numberSetting({}), { description: 'Deployments of a lower order are tried first.' }),
  tags: setting(namesSetting('a list of tags'), { description: 'Tags for tag filtering; `default` serves requests without tags.' }),
  timeout: setting(durationSetting({ positive: true }), { description: 'Longest wait for this deployment.' }),
  stream_timeout: setting(durationSetting({ positive: true }), { description: 'Longest silence of a stream of this deployment.' }),
  max_parallel_requests: setting(numberSetting({ min: 1, integer: true }), { description: 'Requests it may serve at the same time, per replica.' }),
  cooldown_time: setting(durationSetting(), { description: 'How long it rests after failures.' }),
  drop_params: setting(booleanSetting(), { description: 'Drop parameters that the provider does not take.' }),
  configurable_clientside_auth_params: setting(z.array(z.union([z.string(), z.record(z.string(), z.string())]), { error: expected('a list of parameter names') }), { description: 'Parameters that a client may set in its request, e.g. `[api_base]`.' }),
  extra_body: setting(z.record(z.string(), z.unknown(), { error: expected('a mapping') }), { description: 'More fields of each request body.' }),
};

export const modelEntryShape = {
  model_name: setting(textSetting('the name that clients ask for'), { description: 'The group that clients ask for. May hold a wildcard (`openai/*`, `*`). Required.' }),
  litellm_params: setting(z.looseObject(modelParamsShape, { error: expected('a mapping with at least model') }), { description: 'How to reach the deployment. What neither this gateway nor LiteLLM knows is sent to the provider in each request body.' }),
  model_info: setting(z.looseObject({ id: setting(textSetting('a name'), { description: 'Id of the deployment; unique.' }) }, { error: expected('a mapping') }), { description: 'Facts about the model: `id`, `base_model`, `mode`, prices, limits, anything of yours.' }),
  rpm: setting(numberSetting({ min: 0 }), { description: 'As `litellm_params.rpm`.' }),
  tpm: setting(numberSetting({ min: 0 }), { description: 'As `litellm_params.tpm`.' }),
};

export const credentialShape = {
  credential_name: setting(textSetting('a name'), { description: 'Name for `litellm_credential_name`. Required.' }),
  credential_values: setting(z.record(z.string(), z.unknown(), { error: expected('a mapping') }), { description: 'Values that entries take over (`api_key`, `api_base`, …).' }),
  credential_info: setting(z.record(z.string(), z.unknown(), { error: expected('a mapping') }), { description: 'Notes for people.' }),
};

/** The honoured keys of each section, for lookups by section name. */
export const SECTION_SHAPES = {
  router_settings: routerSettingsShape,
  litellm_settings: litellmSettingsShape,
  general_settings: generalSettingsShape,
} as const;

export const TOP_LEVEL_SECTIONS: Readonly<Record<string, string>> = {
  model_list: 'The deployments: which models there are and how to reach them.',
  router_settings: 'Choosing among deployments, retries, fallbacks, timeouts.',
  litellm_settings: 'Settings of requests in general.',
  general_settings: 'Settings of the server.',
  environment_variables: 'Values for `os.environ/NAME` references in this file; they win over the real environment and never reach it.',
  credential_list: 'Named credentials, used by `litellm_params.litellm_credential_name`.',
  include: 'Files to merge into this one, relative to the file that names them: lists are joined, everything else is replaced.',
};
