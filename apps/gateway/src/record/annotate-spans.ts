import type { ProviderError, ProviderFault } from '@pointsman/providers';
import type { Decision } from '@pointsman/routing';
import { attribute, AttributeSet, AttributeSets, type RequestSpan, type Span } from '@pointsman/telemetry';
import type { Attempt } from '../dispatch/attempt.ts';
import type { Exchange } from '../http/exchange.ts';
import type { Deployment } from '../snapshot/snapshot.ts';
import type { ExchangeRecord } from './exchange-record.ts';
import { addRoutingEvent } from './routing-event.ts';

const OPERATIONS = { chat: 'chat', completions: 'text_completion', embeddings: 'embeddings', responses: 'chat', messages: 'chat', passthrough: 'passthrough' } as const;

/** Says on a span why the router chose what it chose. Added to the decision's own span and to the request's, so that either can be searched. */
export function decisionAttributes({ strategy, order, scores, modelVersion, tookMs, propensity }: Decision): AttributeSet {
  return new AttributeSet([
    attribute.ROUTER_STRATEGY, strategy, attribute.ROUTER_CANDIDATES, order.map(({ model }) => model), attribute.ROUTER_SCORES, scores, attribute.ROUTER_SCORE, scores[0] ?? 0,
    attribute.ROUTER_SELECTED_MODEL, order[0]?.model ?? '', attribute.ROUTER_MODEL_VERSION, modelVersion, attribute.ROUTER_LATENCY_MS, tookMs, attribute.ROUTER_PROPENSITY, propensity,
  ]);
}

interface DeploymentAttributes {
  readonly ofAttempt: AttributeSet;
  readonly ofRequest: AttributeSet;
}

const deployments = new WeakMap<Deployment, DeploymentAttributes>();

function deploymentAttributes(deployment: Deployment): DeploymentAttributes {
  let sets = deployments.get(deployment);
  if (sets === undefined) {
    const { configuredModel, provider, id } = deployment.configured;
    const common = { [attribute.LLM_MODEL]: configuredModel, [attribute.LLM_PROVIDER]: provider, [attribute.LLM_MODEL_ID]: id };
    sets = { ofAttempt: AttributeSet.of(common), ofRequest: AttributeSet.of({ ...common, [attribute.GEN_AI_PROVIDER_NAME]: provider }) };
    deployments.set(deployment, sets);
  }
  return sets;
}

/** What a request asked for: a handful of combinations, unless clients make up names below a wildcard. */
const questions = new AttributeSets();

function questionAttributes({ operation, stream, requestedModel, group }: ExchangeRecord): AttributeSet {
  return questions.get(operation, String(stream), group, requestedModel) ?? questions.keep(AttributeSet.of({
    [attribute.GEN_AI_OPERATION_NAME]: OPERATIONS[operation], [attribute.GEN_AI_REQUEST_MODEL]: requestedModel.slice(0, 1_024), [attribute.LLM_MODEL_GROUP]: group, [attribute.LLM_STREAM]: stream,
  }), operation, String(stream), group, requestedModel);
}

const exchanges = new AttributeSets();

/** The HTTP side of a request that is over. */
export function annotateHttp(trace: RequestSpan, route: string, method: string | undefined, status: number): void {
  if (!trace.recording) return;
  const words = [route, method ?? '', String(status)] as const;
  trace.add(exchanges.get(...words) ?? exchanges.keep(AttributeSet.of({ 'http.route': route, 'http.request.method': method, 'http.response.status_code': status }), ...words));
}

export function annotateAttempt(span: Span, deployment: Deployment, attempt: Attempt, outcome: 'ok' | ProviderFault | 'abandoned', error: ProviderError | undefined): void {
  if (!span.recording) return;
  span.add(deploymentAttributes(deployment).ofAttempt);
  span.set(attribute.LLM_ATTEMPT_OUTCOME, outcome);
  if (attempt.usage !== undefined) {
    span.set(attribute.GEN_AI_USAGE_INPUT_TOKENS, attempt.usage.promptTokens);
    span.set(attribute.GEN_AI_USAGE_OUTPUT_TOKENS, attempt.usage.completionTokens);
  }
  if (error !== undefined) span.fail(error.code, error.fault);
  else if (outcome !== 'ok') span.fail(outcome);
}

/** The request's own span: what was asked, what was chosen, what it used and cost, and how it ended. */
export function annotateRequest(exchange: Pick<Exchange, 'trace' | 'requestId' | 'isAuthenticated' | 'principal'>, record: ExchangeRecord): void {
  const { trace, requestId } = exchange;
  if (!trace.recording) return;
  const { deployment, usage } = record;
  if (record.decisionAttributes !== undefined) trace.add(record.decisionAttributes);
  trace.add(questionAttributes(record));
  trace.set(attribute.LLM_REQUEST_ID, requestId);
  if (exchange.isAuthenticated) trace.set(attribute.LLM_KEY_HASH, exchange.principal.keyHash.slice(0, 16));
  if (deployment !== undefined) {
    if (record.operation !== 'passthrough' || record.requestedModel !== '') trace.add(deploymentAttributes(deployment).ofRequest);
    else {
      // Whose credentials were used is known; which model was asked stands in a body that nobody read.
      trace.set(attribute.GEN_AI_PROVIDER_NAME, deployment.configured.provider);
      trace.set(attribute.LLM_PROVIDER, deployment.configured.provider);
      trace.set(attribute.LLM_MODEL_ID, deployment.configured.id);
    }
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
  addRoutingEvent(exchange, record);
  if (record.error !== undefined) trace.fail(record.error.code, record.error.kind);
  else if (record.clientGone) trace.fail('client_closed_request');
}
