import type { ProviderError, ProviderFault } from '@pointsman/providers';
import type { Decision } from '@pointsman/routing';
import { attribute, type Span } from '@pointsman/telemetry';
import type { Attempt } from '../dispatch/attempt.ts';
import type { Exchange } from '../http/exchange.ts';
import type { Deployment } from '../snapshot/snapshot.ts';
import type { ExchangeRecord } from './exchange-record.ts';

const OPERATIONS = { chat: 'chat', completions: 'text_completion', embeddings: 'embeddings', responses: 'chat', messages: 'chat', passthrough: 'passthrough' } as const;

/** Says on a span why the router chose what it chose. Set on the decision's own span and on the request's, so that either can be searched. */
export function annotateDecision(span: Span, decision: Decision | undefined): void {
  if (decision === undefined || !span.recording) return;
  span.set(attribute.ROUTER_STRATEGY, decision.strategy);
  span.set(attribute.ROUTER_CANDIDATES, decision.order.map(({ model }) => model));
  span.set(attribute.ROUTER_SCORES, decision.scores);
  span.set(attribute.ROUTER_SCORE, decision.scores[0]);
  span.set(attribute.ROUTER_SELECTED_MODEL, decision.order[0]?.model);
  span.set(attribute.ROUTER_MODEL_VERSION, decision.modelVersion);
  span.set(attribute.ROUTER_LATENCY_MS, decision.tookMs);
  span.set(attribute.ROUTER_PROPENSITY, decision.propensity);
}

export function annotateAttempt(span: Span, { configured }: Deployment, attempt: Attempt, outcome: 'ok' | ProviderFault | 'abandoned', error: ProviderError | undefined): void {
  if (!span.recording) return;
  span.set(attribute.LLM_MODEL, configured.configuredModel);
  span.set(attribute.LLM_PROVIDER, configured.provider);
  span.set(attribute.LLM_MODEL_ID, configured.id);
  span.set(attribute.LLM_ATTEMPT_OUTCOME, outcome);
  if (attempt.usage !== undefined) {
    span.set(attribute.GEN_AI_USAGE_INPUT_TOKENS, attempt.usage.promptTokens);
    span.set(attribute.GEN_AI_USAGE_OUTPUT_TOKENS, attempt.usage.completionTokens);
  }
  if (error !== undefined) span.fail(error.code, error.fault);
  else if (outcome !== 'ok') span.fail(outcome);
}

/** The request's own span: what was asked, what was chosen, what it used and cost, and how it ended. */
export function annotateRequest({ trace, requestId, isAuthenticated, principal }: Pick<Exchange, 'trace' | 'requestId' | 'isAuthenticated' | 'principal'>, record: ExchangeRecord): void {
  if (!trace.recording) return;
  const { deployment, usage } = record;
  annotateDecision(trace, record.decision);
  trace.set(attribute.GEN_AI_OPERATION_NAME, OPERATIONS[record.operation]);
  trace.set(attribute.GEN_AI_REQUEST_MODEL, record.requestedModel);
  trace.set(attribute.LLM_MODEL_GROUP, record.group);
  trace.set(attribute.LLM_STREAM, record.stream);
  trace.set(attribute.LLM_REQUEST_ID, requestId);
  if (isAuthenticated) trace.set(attribute.LLM_KEY_HASH, principal.keyHash.slice(0, 16));
  if (deployment !== undefined) {
    trace.set(attribute.GEN_AI_PROVIDER_NAME, deployment.configured.provider);
    trace.set(attribute.LLM_PROVIDER, deployment.configured.provider);
    if (record.operation !== 'passthrough' || record.requestedModel !== '') trace.set(attribute.LLM_MODEL, deployment.configured.configuredModel);
    trace.set(attribute.LLM_MODEL_ID, deployment.configured.id);
  }
  if (usage !== undefined) {
    trace.set(attribute.LLM_USAGE_PROMPT_TOKENS, usage.promptTokens);
    trace.set(attribute.LLM_USAGE_COMPLETION_TOKENS, usage.completionTokens);
    trace.set(attribute.LLM_USAGE_TOTAL_TOKENS, usage.totalTokens);
    trace.set(attribute.GEN_AI_USAGE_INPUT_TOKENS, usage.promptTokens);
    trace.set(attribute.GEN_AI_USAGE_OUTPUT_TOKENS, usage.completionTokens);
    if (usage.cachedTokens > 0) trace.set(attribute.LLM_USAGE_CACHED_TOKENS, usage.cachedTokens);
    if (usage.reasoningTokens > 0) trace.set(attribute.LLM_USAGE_REASONING_TOKENS, usage.reasoningTokens);
  }
  trace.set(attribute.LLM_COST_USD, record.costUsd);
  trace.set(attribute.LLM_TIME_TO_FIRST_TOKEN_MS, record.stream ? record.ttftMs : undefined);
  trace.set(attribute.LLM_ATTEMPTS, 1 + record.retries + record.fallbacks);
  if (record.finishReason !== undefined) trace.set(attribute.GEN_AI_RESPONSE_FINISH_REASONS, [record.finishReason]);
  trace.set(attribute.GEN_AI_RESPONSE_ID, record.responseId);
  if (record.error !== undefined) trace.fail(record.error.code, record.error.kind);
  else if (record.clientGone) trace.fail('client_closed_request');
}
