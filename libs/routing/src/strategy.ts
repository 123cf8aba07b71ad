import type { Lease } from '@pointsman/live-value';
import type { Compound } from './compound/compound.ts';
import type { DeploymentStats } from './deployment-stats.ts';
import type { EmbedderIdentity, FeatureExtractor, PromptFeatures, PromptInput } from './features/prompt-features.ts';
import type { RouterModel } from './onnx/router-model.ts';
import type { BanditLearners } from './strategies/contextual-bandit/contextual-bandit.ts';

/** What a request may need that not every model has. */
export type Ability = 'tools' | 'vision' | 'json';

/** A deployment that could serve a request, with what strategies decide by. */
export interface Candidate {
  /** Stable id of the deployment (`model_info.id`, or a digest of its settings). */
  readonly id: string;
  /** The model group of the configuration (`model_name`). */
  readonly group: string;
  /** `provider/model` as the configuration names it. */
  readonly model: string;
  /** The model as configured (`openai/*`), where a name that a client chose was filled into it: what metrics may show. Undefined where `model` is the configuration's. */
  readonly pattern?: string | undefined;
  readonly provider: string;
  /** `litellm_params.weight`, `rpm`, `tpm`, `order`: undefined where not set. Lower `order` is tried first. */
  readonly weight: number | undefined;
  readonly rpm: number | undefined;
  readonly tpm: number | undefined;
  readonly order: number | undefined;
  readonly tags: readonly string[];
  /** USD per token; undefined when the price is not known. */
  readonly inputCostPerToken: number | undefined;
  readonly outputCostPerToken: number | undefined;
  /** Tokens the model takes; undefined when not known. */
  readonly maxInputTokens: number | undefined;
  /** `litellm_params.max_parallel_requests`, else the router's default; undefined = no limit. */
  readonly maxParallelRequests?: number | undefined;
  /** Names by which a router model or `llm_candidates.json` may know it besides `model` and `group`: the entry's name there, the model without its provider. */
  readonly knownAs?: readonly string[] | undefined;
  /** What is believed of its quality before anything was learned, 0 to 1: `quality_score` of `llm_candidates.json`. Undefined when nobody said. */
  readonly priorQuality?: number | undefined;
  /** Parameters in billions, where `llm_candidates.json` says so. */
  readonly sizeB?: number | undefined;
  /** What it is known not to take. What nobody knows counts as able. */
  readonly lacks?: ReadonlySet<Ability> | undefined;
  /** What this replica saw of the deployment lately. Shared between snapshots, so that a reload forgets nothing. */
  readonly stats: DeploymentStats;
}

export interface Session {
  /** Opaque; of one caller. */
  readonly id: string;
  /** Whether there were turns before this one, or the caller says that it belongs to a session. A first turn only begins one. */
  readonly isContinued: boolean;
}

/** What a strategy may look at. Built lazily: a getter that nobody reads costs nothing. */
export interface RoutingInput {
  readonly candidates: readonly Candidate[];
  /** The text that routing features are made of: the user's side of the conversation. */
  readonly prompt: () => string;
  /** A rough token count of the prompt (characters / 4). */
  readonly promptTokens: () => number;
  readonly user: string | undefined;
  readonly traceId: string;
  /** Whether the client asked for a stream: then time to first token is what it waits for. */
  readonly stream?: boolean | undefined;
  /** What features of the prompt are made of. Undefined where a caller has none: then strategies that learn decide by what they believe beforehand. */
  readonly about?: (() => PromptInput) | undefined;
  /** The conversation this belongs to, where that can be told. */
  readonly session?: (() => Session | undefined) | undefined;
}

/** The outcome of one decision; everything that a span, a header or a training row needs to say why. */
export interface RoutingDecision {
  /** All candidates, best first: dispatch tries them in this order. */
  readonly order: readonly Candidate[];
  /** Score per candidate, in the order of `order`; higher is better. */
  readonly scores: readonly number[];
  readonly strategy: string;
  /** '' where nothing was trained. */
  readonly modelVersion: string;
  /** Probability with which this strategy picks the first candidate, in (0, 1]: what off-policy evaluation divides by. */
  readonly propensity: number;
  /** How the scores came about, in the order of `order`, where a strategy predicts: `POST /v1/route` shows it. */
  readonly explained?: {
    /** Predicted quality, 0 to 1. */
    readonly quality: readonly number[];
    /** Expected price of this request, USD; undefined where it is not known. */
    readonly costUsd: readonly (number | undefined)[];
    /** What a point of quality is weighed against: `score = quality − weight × cost / highest cost`. */
    readonly costWeight: number;
    /** Whether the conversation's earlier choice was kept. */
    readonly isSticky: boolean;
  } | undefined;
  /** What it was decided from, where the strategy read the prompt. Kept by reference; encoded only where a span is recorded. */
  readonly features?: PromptFeatures | undefined;
  /** Which embedding `features` holds. */
  readonly embedder?: EmbedderIdentity | undefined;
  /** What of the prompt itself the configuration lets a span keep (`store_ngrams`, `store_prompts`); undefined: nothing. */
  readonly kept?: { readonly ngrams: boolean; readonly prompt: string | undefined } | undefined;
  /** Set where more than one model is to work on the answer: what dispatch does beyond asking the first of `order` that answers. */
  readonly compound?: Compound | undefined;
}

/** A way to choose. Deterministic for a given random source; never throws for any non-empty candidate list. */
export interface Strategy {
  readonly name: string;
  decide(input: RoutingInput): RoutingDecision | Promise<RoutingDecision>;
}

/** The router models of this process. */
export interface RouterModels {
  /**
   * Borrows the model that serves for a name and version (undefined: whatever version is published; both undefined: the one that ships with the product).
   * While the version is not there or was refused, the last good one of that name; undefined when there is none at all.
   */
  acquire(name: string | undefined, version: string | undefined): Lease<RouterModel> | undefined;
  /** The extractor that makes what a model wants; undefined when this process has none that is the same. */
  extractor(embedder: EmbedderIdentity): FeatureExtractor | undefined;
}

/** What strategies get from outside, so that tests decide time and chance. */
export interface StrategyParts {
  readonly random: () => number;
  /** Wall time in milliseconds. */
  readonly now: () => number;
  /** `router_settings.routing_strategy_args`. */
  readonly args: Readonly<Record<string, unknown>>;
  /** Undefined where nothing learned can be loaded: strategies that learn then decide by what they believe beforehand. */
  readonly models?: RouterModels | undefined;
  /** What `contextual-bandit` learns into; it outlives snapshots. Undefined: what it learns goes with the strategy. */
  readonly bandits?: BanditLearners | undefined;
  /** Whether an operator's own module may be loaded, and which folder its path is relative to. Undefined: none may. */
  readonly modules?: { readonly allowed: boolean; readonly directory?: string | undefined } | undefined;
}
