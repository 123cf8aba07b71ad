import { AppError } from '@pointsman/errors';
import type { WireFormat } from '@pointsman/providers';
import type { Session } from '@pointsman/routing';
import { checkChatBody, checkCompletionBody, checkEmbeddingBody, checkMessagesBody, checkResponsesBody, type BodyCheck } from '@pointsman/schemas';
import type { JsonObject } from '@pointsman/schemas';
import { cachedDecision } from '../cache/cached-decision.ts';
import { replayStored } from '../cache/replay-stored.ts';
import type { StoredReply } from '../cache/response-cache.ts';
import { Dispatch } from '../dispatch/dispatch.ts';
import { FallbackLimits } from '../dispatch/fallback-limits.ts';
import { hasGatewayParameters, NO_PARAMETERS, splitGatewayParameters, type GatewayParameters } from '../dispatch/gateway-parameters.ts';
import { changedBody, type RequestBody } from '../dispatch/request-body.ts';
import { newRecord } from '../dispatch/new-record.ts';
import { promptOf } from '../dispatch/prompt-text.ts';
import { sessionOf } from '../dispatch/session-of.ts';
import type { Exchange } from '../http/exchange.ts';
import { joinTaps } from '../judge/open-judge.ts';
import { STAND_IN } from '../http/long-strings.ts';
import { parseJsonBody, type JsonBody } from '../http/parse-json-body.ts';
import type { Running } from '../http/serve.ts';
import type { Admission, AdmissionRequest } from '../access/limits.ts';
import { resolveGroup } from '../access/resolve-group.ts';
import { decisionAttributes } from '../record/annotate-spans.ts';
import type { GroupPlan } from '../snapshot/snapshot.ts';
import type { GatewayContext } from './gateway-context.ts';

const CHECKS: Readonly<Record<WireFormat, BodyCheck>> = {
  chat: checkChatBody, completions: checkCompletionBody, embeddings: checkEmbeddingBody, messages: checkMessagesBody, responses: checkResponsesBody,
};

export interface ProxiedCallOptions {
  readonly format: WireFormat;
  /** How the route calls itself in error messages: `/chat/completions`. */
  readonly path: string;
  /** The model named in the path (`/openai/deployments/{model}/…`), which wins over the body's. */
  readonly modelFromPath?: string | undefined;
}

/** Headers of LiteLLM that overrule the body: `x-litellm-timeout` (seconds), `x-litellm-num-retries`, `x-litellm-tags` (comma separated). */
function withHeaders(exchange: Exchange, parameters: GatewayParameters): GatewayParameters {
  const { headers } = exchange.req;
  const timeout = headers['x-litellm-timeout'];
  const retries = headers['x-litellm-num-retries'];
  const tags = headers['x-litellm-tags'];
  if (timeout === undefined && retries === undefined && tags === undefined) return parameters;
  return {
    ...parameters,
    timeoutMs: positive(timeout, 'x-litellm-timeout', 86_400, 1000) ?? parameters.timeoutMs,
    numRetries: positive(retries, 'x-litellm-num-retries', 20, 1) ?? parameters.numRetries,
    tags: typeof tags === 'string' ? tags.split(',', 64).map((tag) => tag.trim()).filter((tag) => tag !== '') : parameters.tags,
  };
}

function positive(value: string | string[] | undefined, header: string, most: number, factor: number): number | undefined {
  if (value === undefined) return undefined;
  const number = Number(value);
  if (Array.isArray(value) || !(number >= 0) || number > most) {
    throw new AppError('invalid_request', 'invalid_header', `Invalid header '${header}': a number from 0 to ${String(most)} was expected.`, { param: header });
  }
  return number * factor;
}

/** From the bytes of a request to a running dispatch: parse, check, split, find the group, admit, go. */
export function startProxiedCall(context: GatewayContext, running: Running, raw: Buffer, { format, path, modelFromPath }: ProxiedCallOptions): void | Promise<void> {
  const { exchange } = running;
  const parsed = parseJsonBody(raw);
  const { outline } = parsed;
  const model = modelFromPath ?? outline['model'];
  if (model === undefined || model === null || model === '') {
    throw new AppError('invalid_request', '400', `${path}: Invalid model name passed in model=None. Call \`/v1/models\` to view available models for your key.`, { param: 'model' });
  }
  const wrong = CHECKS[format](outline, { modelFromPath: modelFromPath !== undefined });
  if (wrong !== undefined) throw wrong;
  if (typeof model !== 'string') throw new AppError('invalid_request', 'invalid_type', "Invalid type for 'model': a string was expected.", { param: 'model' });
  if (model === STAND_IN) throw new AppError('invalid_request', 'invalid_value', "Invalid value for 'model': a name of at most 1,024 characters was expected.", { param: 'model' });
  const split = hasGatewayParameters(outline) ? splitGatewayParameters(parsed.value) : undefined;
  const parameters = withHeaders(exchange, split?.parameters ?? NO_PARAMETERS);
  let body: RequestBody = parsed;
  if (split !== undefined && split.body !== parsed.value) body = changedBody(split.body);
  if (modelFromPath !== undefined && outline['model'] !== modelFromPath) body = changedBody({ ...body.value, model: modelFromPath });
  const call: PreparedCall = { format, model, asked: parsed, body, parameters };
  const plan = resolveGroup(exchange, model, path);
  return plan instanceof Promise ? plan.then((resolved) => admit(context, running, call, resolved)) : admit(context, running, call, plan);
}

interface PreparedCall {
  readonly format: WireFormat;
  readonly model: string;
  /** What the client sent. */
  readonly asked: JsonBody;
  /** What of it is for a provider. */
  readonly body: RequestBody;
  readonly parameters: GatewayParameters;
}

/** Asks the caller's limits and dispatches. */
function admit(context: GatewayContext, running: Running, call: PreparedCall, configured: GroupPlan): void | Promise<void> {
  const { clientSide } = call.parameters;
  if (clientSide === undefined) return dispatchAdmitted(context, running, call, configured);
  refuseClientSide(configured.deployments, clientSide);
  return running.exchange.snapshot.withClientSide(configured, clientSide).then((plan) => dispatchAdmitted(context, running, call, plan));
}

function dispatchAdmitted(context: GatewayContext, running: Running, call: PreparedCall, plan: GroupPlan): void | Promise<void> {
  const { exchange } = running;
  const { principal } = exchange;
  const { outline } = call.body;
  const prompt = promptOf(call.format, call.body);
  const stream = outline['stream'] === true;
  const endUser = endUserOf(exchange, outline);
  const anthropicBeta = betaOf(exchange);
  // Both questions leave in the same tick: on Redis they share a round trip.
  const visit = context.cache.visit({
    snapshot: exchange.snapshot, principal, format: call.format, group: plan.group, model: call.model, stream, body: call.asked, parameters: call.parameters,
    cacheControl: exchange.req.headers['cache-control'], anthropicBeta,
  });
  const admission: AdmissionRequest = { plan, outline, endUser, promptTokens: prompt.tokens };
  // Before anything is taken that must be given back: a body that is read whole may turn out to be wrong.
  const body = visit?.isShared === true ? changedBody(call.body.value) : call.body;
  const admitted = context.limits.admit(principal, admission);
  const found = visit?.found;
  const proceed = (answer: Admission | AppError, stored: StoredReply | undefined): void => {
    if (answer instanceof AppError) throw answer;
    exchange.admissionHeaders = answer.headers;
    const record = newRecord({ operation: call.format, stream, requestedModel: call.model, group: plan.group, endUser });
    running.record = record;
    record.cacheKey = visit?.key;
    if (record.stream) context.metrics.streamStarted();
    const fallbackLimits = FallbackLimits.of(context.limits, principal, admission);
    // What a client sends to a server of its own, or answers for itself, is nobody else's to read.
    const isOurs = call.parameters.clientSide === undefined && call.parameters.mockResponse === undefined;
    const sample = !isOurs ? undefined : context.judge?.sample({ requestId: exchange.requestId, snapshot: exchange.snapshot, plan, format: call.format, stream, body: () => body.value });
    const finished = (): void => {
      if (record.stream) context.metrics.streamEnded();
      context.book(exchange, record);
      // Nobody was asked for what came out of the cache: it uses nothing of what the caller has.
      answer.settle({ totalTokens: record.cacheHit ? 0 : record.usage?.totalTokens ?? 0, costUsd: record.costUsd ?? 0 });
      fallbackLimits?.settle(record);
      sample?.ended(record);
    };
    if (stored !== undefined) {
      record.decision = cachedDecision(plan, stored.modelId);
      if (exchange.trace.recording) record.decisionAttributes = decisionAttributes(record.decision);
      replayStored(exchange, { record, format: call.format, stored, finished });
      return;
    }
    new Dispatch(exchange, {
      format: call.format, body, stream: record.stream, requestedModel: call.model, plan, parameters: call.parameters,
      prompt: prompt.text, promptTokens: prompt.tokens, about: prompt.about, session: () => sessionOfCall(exchange, call), user: endUser ?? principal.userId,
      anthropicBeta, tap: joinTaps(visit?.tap(record), sample?.tap), fallbackLimits,
    }, context.dispatch, record, finished).start();
  };
  if (admitted instanceof Promise || found instanceof Promise) return Promise.all([admitted, found]).then(([answer, stored]) => proceed(answer, stored));
  return proceed(admitted, found);
}

/** Asked of what the client sent: the ids of LiteLLM clients do not travel on. */
function sessionOfCall({ principal, req }: Exchange, { asked, format }: PreparedCall): Session | undefined {
  let value: JsonObject;
  try {
    ({ value } = asked);
  } catch {
    return undefined;
  }
  return sessionOf({ format, value, caller: principal.keyHash, header: req.headers['x-litellm-session-id'] });
}

/** Who the caller says the request is for: the body's `user`, else LiteLLM's headers. */
function endUserOf({ req }: Exchange, outline: JsonObject): string | undefined {
  const { user } = outline;
  if (typeof user === 'string' && user !== STAND_IN) return user.slice(0, 256);
  const header = req.headers['x-litellm-end-user-id'] ?? req.headers['x-litellm-customer-id'];
  return typeof header === 'string' ? header.slice(0, 256) : undefined;
}

function betaOf({ req }: Exchange): string | undefined {
  const beta = req.headers['anthropic-beta'];
  return Array.isArray(beta) ? beta.join(',') : beta;
}

/** A client must not choose where prompts and keys go, unless the operator allowed that field for every deployment that may serve it. */
function refuseClientSide(deployments: readonly { readonly configured: { readonly clientSideParams: readonly string[] } }[], clientSide: ReadonlyMap<string, string>): void {
  for (const name of clientSide.keys()) {
    const allowed = deployments.every(({ configured }) => configured.clientSideParams.includes(name) || (name === 'api_base' && configured.clientSideParams.includes('base_url')));
    if (!allowed) {
      throw new AppError('invalid_request', 'client_side_parameter_refused', `'${name}' may not be set by a client. An operator allows it per model with configurable_clientside_auth_params.`, { param: name });
    }
  }
}
