import type { AppError } from '@pointsman/errors';
import type { Decision } from '@pointsman/routing';
import type { AttributeSet } from '@pointsman/telemetry';
import type { Usage } from '@pointsman/wire-formats';
import type { Deployment } from '../snapshot/snapshot.ts';

/** What is known about one proxied request; filled on the way, read once at its end by metrics, span, spend and audit. */
export interface ExchangeRecord {
  readonly operation: 'chat' | 'completions' | 'embeddings' | 'responses' | 'messages' | 'passthrough';
  readonly stream: boolean;
  /** '' for a request that was passed through untouched to a provider, naming no model outside its body. */
  readonly requestedModel: string;
  group: string;
  decision: Decision | undefined;
  /** The decision as spans tell it; undefined where nothing is recorded. */
  decisionAttributes: AttributeSet | undefined;
  /** Of a request that was passed through: whose provider and credentials; its model is the call's only where `requestedModel` names one. */
  deployment: Deployment | undefined;
  retries: number;
  fallbacks: number;
  /** Milliseconds spent waiting for providers before the first byte of the reply that was used. */
  upstreamMs: number;
  ttftMs: number | undefined;
  usage: Usage | undefined;
  /** True where the provider sent no usage and the figures are counted here. */
  usageEstimated: boolean;
  costUsd: number | undefined;
  finishReason: string | undefined;
  responseId: string | undefined;
  error: AppError | undefined;
  clientGone: boolean;
  /** Who the caller says it is for: `user` of the body, or LiteLLM's end-user headers. */
  readonly endUser: string | undefined;
  /** The reply came out of the cache: nobody was asked, nothing was spent. */
  cacheHit: boolean;
  /** `x-litellm-cache-key`, where the cache was asked. */
  cacheKey: string | undefined;
  /** A broken stream was continued by another deployment. */
  recovered: boolean;
}
