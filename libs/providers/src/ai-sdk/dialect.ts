import type { EmbeddingModelV4, LanguageModelV4, LanguageModelV4CallOptions, SharedV4ProviderMetadata, SharedV4ProviderOptions } from '@ai-sdk/provider';
import type { JsonObject } from '@pointsman/schemas';
import type { z } from 'zod';
import type { DeploymentSettings, Provider } from '../provider.ts';
import type { UnsignedRequest } from './upstream-fetch.ts';

/** One block of LiteLLM's `thinking_blocks`: the model's reasoning with the proof that it is the model's own. */
export type ThinkingBlock =
  | { readonly type: 'thinking'; readonly thinking: string; readonly signature?: string }
  | { readonly type: 'redacted_thinking'; readonly data: string };

/** What of a request a dialect may add to: the SDK's call options and a last change of the body that the SDK makes of them. */
export interface RequestDraft {
  readonly body: JsonObject;
  readonly options: LanguageModelV4CallOptions;
  /** `providerOptions` under the dialect's own name. */
  readonly own: JsonObject;
  /** Parameters of the client's body that nothing has consumed yet. A dialect deletes those it takes. */
  readonly rest: Map<string, JsonObject[string]>;
  readonly warn: (message: string) => void;
  /** Changes the provider's body just before it is sent. May be called more than once; the changes apply in order. */
  readonly patch: (change: (body: JsonObject) => JsonObject) => void;
}

/** Where one provider's SDK differs from the others, seen from the OpenAI chat format. */
export interface Dialect {
  /** The SDK's name for this provider in `providerOptions` and `providerMetadata`. */
  readonly name: string;
  /** Whether system messages must stand before all others. */
  readonly systemFirst: boolean;
  /** Whether reasoning without a signature may be sent back to the model. */
  readonly takesUnsignedReasoning: boolean;
  /** `cache_control` of a message, part or tool, in the SDK's words. Undefined where the provider has no such thing. */
  readonly cacheOptions: ((cacheControl: JsonObject) => SharedV4ProviderOptions) | undefined;
  /** A thinking block of an earlier turn, in the SDK's words. */
  readonly thinkingOptions: ((block: ThinkingBlock) => SharedV4ProviderOptions) | undefined;
  /** The signature of a reasoning part of the reply: undefined when it has none. */
  readonly signatureOf: ((metadata: SharedV4ProviderMetadata) => { readonly signature?: string; readonly redacted?: string } | undefined) | undefined;
  /** Whether thought signatures hang on texts and tool calls (Gemini). */
  readonly thoughtSignatures: boolean;
  /** A tool that is not a function, in the SDK's words: `{type: 'web_search_20250305', …}`. */
  readonly hostedTool: ((tool: JsonObject) => { readonly id: `${string}.${string}`; readonly name: string; readonly args: Record<string, unknown> } | undefined) | undefined;
  /** Reasoning, provider parameters, unknown parameters. */
  readonly refine: (draft: RequestDraft) => void;
  /** Event types of the provider's stream that this SDK knows; an event of another type is skipped instead of breaking the stream. */
  readonly knownEvents: ReadonlySet<string> | undefined;
  /** Text of an event that the SDK drops, to be passed on as reasoning: Cohere's tool plan. */
  readonly planOf: ((raw: unknown) => string | undefined) | undefined;
  /** `providerOptions` of an embeddings call. */
  readonly embeddingOptions: (draft: Pick<RequestDraft, 'body' | 'rest'>) => SharedV4ProviderOptions | undefined;
}

/** A provider's SDK, loaded and configured for one deployment. */
export interface NativeModels {
  readonly dialect: Dialect;
  readonly language: LanguageModelV4;
  readonly embedding: EmbeddingModelV4 | undefined;
  readonly passthrough: Provider['passthrough'];
  readonly sign?: (request: UnsignedRequest) => Promise<Readonly<Record<string, string>>>;
  /** Credentials that must never come back in a message. */
  readonly secrets: readonly string[];
  close?(): void;
}

export interface NativeParts {
  readonly fetch: typeof globalThis.fetch;
  readonly env: Readonly<Record<string, string | undefined>>;
}

/** One native provider: light to import, its SDK is loaded with the first deployment that names it. */
export interface NativeDefinition<S extends z.ZodType = z.ZodType> {
  /** Reads the fields it needs from `litellm_params`; all others pass. */
  readonly settings: S;
  readonly load: (settings: z.output<S>, deployment: DeploymentSettings, parts: NativeParts) => Promise<NativeModels>;
}

export function defineNative<S extends z.ZodType>(definition: NativeDefinition<S>): NativeDefinition<S> {
  return definition;
}
