import { AppError } from '@pointsman/errors';
import type { JsonObject } from '@pointsman/schemas';
import { filterPlan } from '../dispatch/eligible-candidates.ts';
import { splitGatewayParameters } from '../dispatch/gateway-parameters.ts';
import { promptOf } from '../dispatch/prompt-text.ts';
import { resolveGroup } from '../access/resolve-group.ts';
import type { Exchange } from '../http/exchange.ts';
import { parseJsonBody } from '../http/parse-json-body.ts';
import { sendJson } from '../http/send-json.ts';
import { serveWithBody, type Handler } from '../http/serve.ts';
import type { GroupPlan } from '../snapshot/snapshot.ts';
import { admitWithoutTokens, limitHeaders, NOTHING_USED } from './admit-without-tokens.ts';
import type { GatewayContext } from './gateway-context.ts';

/** `POST /v1/route`: the decision that a chat request would get, and why. Nothing is called. */
export function routeDryRun(context: GatewayContext): Handler {
  return serveWithBody(context, { route: '/v1/route' }, async ({ exchange }, raw) => {
    const { value } = parseJsonBody(raw);
    const { model } = value;
    if (typeof model !== 'string' || model === '') throw new AppError('invalid_request', 'missing_required_parameter', "Missing required parameter: 'model'.", { param: 'model' });
    const { body, parameters } = splitGatewayParameters(value);
    const plan = await resolveGroup(exchange, model, '/v1/route');
    const admission = await admitWithoutTokens(context, exchange, plan);
    const decided = await decide(context, exchange, { plan, body, tags: parameters.tags }).finally(() => admission.settle(NOTHING_USED));
    sendJson(exchange.res, 200, decided, limitHeaders(exchange));
  });
}

interface Question {
  readonly plan: GroupPlan;
  readonly body: JsonObject;
  readonly tags: readonly string[] | undefined;
}

async function decide(context: GatewayContext, exchange: Exchange, { plan, body, tags }: Question): Promise<JsonObject> {
  const prompt = promptOf('chat', { value: body });
  const { candidates, removed } = filterPlan(plan, exchange.snapshot, context.dispatch.cooldowns, { tags, promptTokens: prompt.tokens, about: prompt.about });
  const filters = removed.map(({ candidate, reason }) => ({ model: candidate.model, model_id: candidate.id, reason }));
  if (candidates.length === 0) {
    return { model_group: plan.group, candidates: [], filtered: filters, selected: null, strategy: plan.decider.strategyName, model_version: '', latency_ms: 0 };
  }
  const decision = await plan.decider.decide({
    candidates, prompt: prompt.text, promptTokens: prompt.tokens, about: prompt.about, user: typeof body['user'] === 'string' ? body['user'] : exchange.principal.userId, stream: body['stream'] === true, traceId: exchange.trace.traceId,
  });
  return {
    model_group: plan.group,
    strategy: decision.strategy,
    model_version: decision.modelVersion,
    latency_ms: decision.tookMs,
    propensity: decision.propensity,
    ...(decision.explained === undefined ? {} : { cost_weight: decision.explained.costWeight }),
    selected: decision.order[0]?.model ?? null,
    selected_id: decision.order[0]?.id ?? null,
    candidates: decision.order.map((candidate, index) => ({
      model: candidate.model, model_id: candidate.id, provider: candidate.provider, score: decision.scores[index] ?? null,
      predicted_quality: decision.explained?.quality[index] ?? null, expected_cost_usd: decision.explained?.costUsd[index] ?? null,
      input_cost_per_token: candidate.inputCostPerToken ?? null, output_cost_per_token: candidate.outputCostPerToken ?? null,
      breaker: context.breakers.get(candidate.id).state,
    })),
    filtered: filters,
    ...(decision.problem === undefined ? {} : { problem: decision.problem }),
  };
}
