import type { JsonObject } from '@pointsman/schemas';
import type { LlmCandidate } from './llm-candidates.ts';

/** One entry of `model_list`, normalised: secrets read from the environment, provider split off, numbers checked. */
export interface ConfiguredModel {
  /** `model_name`: the group a client asks for; may hold a wildcard (`openai/*`, `*`). */
  readonly group: string;
  /** `model_info.id`, or the first 32 hex digits of a SHA-256 over the entry's identity (group, model, api_base, provider params; never the key). Unique in a config. */
  readonly id: string;
  /** Provider id: from `custom_llm_provider`, else the prefix of `litellm_params.model`, else by the known model name (price map), else `openai`. */
  readonly provider: string;
  /** The model's name at the provider, without the provider prefix. For a wildcard entry the `*` stays and is replaced by what the client asked for. */
  readonly model: string;
  /** `litellm_params.model` as written: what logs and headers show. */
  readonly configuredModel: string;
  readonly apiKey: string | undefined;
  readonly apiBase: string | undefined;
  readonly apiVersion: string | undefined;
  /** All of `litellm_params` with `os.environ/` references resolved. */
  readonly params: JsonObject;
  /** `model_info` as written. */
  readonly info: JsonObject;
  readonly weight: number | undefined;
  readonly rpm: number | undefined;
  readonly tpm: number | undefined;
  readonly order: number | undefined;
  readonly tags: readonly string[];
  readonly timeoutMs: number | undefined;
  readonly streamTimeoutMs: number | undefined;
  readonly maxParallelRequests: number | undefined;
  readonly cooldownMs: number | undefined;
  readonly dropParams: boolean | undefined;
  /** Parameters a client may set for this model (`configurable_clientside_auth_params`), e.g. `api_base`. Empty by default. */
  readonly clientSideParams: readonly string[];
  /** Parameters of `litellm_params` that travel to the provider as defaults of each request body (`temperature`, `max_tokens`, …); the client's own value wins. */
  readonly bodyDefaults: JsonObject;
}

/** Counts of retries per fault, `retry_policy`; undefined = `numRetries`. */
export interface RetryPolicy {
  readonly badRequest?: number;
  readonly authentication?: number;
  readonly timeout?: number;
  readonly rateLimit?: number;
  readonly contentPolicy?: number;
  readonly serverError?: number;
}

export interface RouterSettings {
  /** The strategy of every group that `strategies` does not name. */
  readonly strategy: string;
  readonly strategyArgs: JsonObject;
  /** Strategy by model group. */
  readonly strategies: Readonly<Record<string, { readonly strategy: string; readonly args: JsonObject }>>;
  readonly numRetries: number;
  readonly maxFallbacks: number;
  /** Deadline of a whole request, retries and fallbacks included. */
  readonly timeoutMs: number;
  /** Longest silence of a stream; undefined = `timeoutMs`. */
  readonly streamTimeoutMs: number | undefined;
  /** Least wait before a retry. */
  readonly retryAfterMs: number;
  readonly retryPolicy: RetryPolicy;
  readonly groupRetryPolicy: Readonly<Record<string, RetryPolicy>>;
  readonly allowedFails: number;
  readonly cooldownMs: number;
  readonly disableCooldowns: boolean;
  /** Group → groups to try next, in order. `router_settings` and `litellm_settings` are merged, the former wins. */
  readonly fallbacks: ReadonlyMap<string, readonly string[]>;
  readonly defaultFallbacks: readonly string[];
  readonly contextWindowFallbacks: ReadonlyMap<string, readonly string[]>;
  readonly contentPolicyFallbacks: ReadonlyMap<string, readonly string[]>;
  /** Alias → group; a hidden alias is not listed by `/v1/models`. */
  readonly aliases: ReadonlyMap<string, { readonly group: string; readonly hidden: boolean }>;
  readonly enableTagFiltering: boolean;
  readonly tagFilteringMatchAny: boolean;
  readonly enablePreCallChecks: boolean;
  /** `error` (default) or `continue`: what happens to a stream that breaks after its first content. Ours. */
  readonly streamRecovery: 'error' | 'continue';
  /** Retries allowed per first try over the last ten seconds, e.g. 0.2. Ours. */
  readonly retryBudgetRatio: number;
  readonly breaker: { readonly failures: number; readonly halfOpenAfterMs: number };
  /** Second answers and a judge for a share of the chat requests; undefined: none. Ours. */
  readonly judge: { readonly model: string; /** 0 to 1. */ readonly sampleRate: number; readonly maxUsdPerDay: number; readonly secondCandidate: 'random' | 'cheapest' | 'dearest'; readonly rubric: string | undefined } | undefined;
}

/** The formats whose replies the response cache may keep. */
export type CachedFormat = 'chat' | 'completions' | 'embeddings' | 'messages' | 'responses';

/** `litellm_settings.cache_params` of a configuration with `cache: true`. */
export interface CacheSettings {
  /** Where Redis is wished for and where it is not, whatever is there. */
  readonly type: 'redis' | 'local';
  /** Only requests that ask for it have to do with the cache. */
  readonly optIn: boolean;
  readonly ttlMs: number;
  /** What the stored keys begin with. */
  readonly namespace: string | undefined;
  readonly formats: ReadonlySet<CachedFormat>;
  /** Who gets to see a reply. */
  readonly scope: 'key' | 'team' | 'shared';
  readonly maxReplyBytes: number;
}

/** What a `config.yaml` says, checked and normalised: plain data. Nothing here is loaded, connected or compiled. */
export interface GatewayConfig {
  /** First 12 hex digits of the SHA-256 over the bytes of every file that made it. */
  readonly revision: string;
  readonly models: readonly ConfiguredModel[];
  readonly router: RouterSettings;
  readonly masterKey: string | undefined;
  readonly dropParams: boolean;
  readonly maxRequestBytes: number;
  /** Renamed key header (`general_settings.litellm_key_header_name`), lower case. */
  readonly keyHeaderName: string | undefined;
  readonly requireAuthForMetrics: boolean;
  readonly forwardTraceparent: boolean;
  /** The response cache; undefined where it is off. */
  readonly cache: CacheSettings | undefined;
  /** The sections as written, for parts of the product that read their own keys (budgets, cache, alerting). Secrets resolved. */
  readonly generalSettings: JsonObject;
  readonly litellmSettings: JsonObject;
  readonly routerSettings: JsonObject;
  /** `llm_candidates.json` by candidate name; empty when none was given. */
  readonly candidates: ReadonlyMap<string, LlmCandidate>;
}

export interface ConfigProblem {
  /** `model_list[2].litellm_params.api_bse` */
  readonly path: string;
  readonly message: string;
  /** The nearest known key or value, where there is one. */
  readonly suggestion?: string;
  /** A warning about a key that LiteLLM knows and this gateway does not act on. */
  readonly ignored?: true;
  /** Where the path is written: file as it was named to the parser, line and column from 1. Absent where it cannot be told. */
  readonly file?: string;
  readonly line?: number;
  readonly column?: number;
}

export interface ParsedGatewayConfig {
  readonly config: GatewayConfig;
  /** Keys LiteLLM knows and this gateway does not act on, and other things worth a line in the log. */
  readonly warnings: readonly ConfigProblem[];
  /** Paths of the keys that the file sets and this gateway acts on, in file order: what `validate-config` shows as honoured. */
  readonly honoured: readonly string[];
}
