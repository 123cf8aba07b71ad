import { AppError } from '@pointsman/errors';
import { checkCountTokensBody, type JsonObject } from '@pointsman/schemas';
import { countPrompt } from '@pointsman/tokens';
import { resolveGroup } from '../access/resolve-group.ts';
import type { Exchange } from '../http/exchange.ts';
import { parseJsonBody } from '../http/parse-json-body.ts';
import { sendJson } from '../http/send-json.ts';
import { serveWithBody, type Handler } from '../http/serve.ts';
import type { GroupPlan } from '../snapshot/snapshot.ts';
import { admitWithoutTokens, limitHeaders, NOTHING_USED } from './admit-without-tokens.ts';
import type { GatewayContext } from './gateway-context.ts';

/** Longest wait for a provider's own count before the estimate answers. */
const COUNT_TIMEOUT_MS = 5_000;

/** `POST /v1/messages/count_tokens`: the provider's own count where it has one, else an estimate, which the reply's header says. */
export function countTokens(context: GatewayContext): Handler {
  return serveWithBody(context, { route: '/v1/messages/count_tokens', errorShape: 'anthropic' }, async ({ exchange }, raw) => {
    const { value } = parseJsonBody(raw);
    const wrong = checkCountTokensBody(value);
    if (wrong !== undefined) throw wrong;
    const { model } = value;
    if (typeof model !== 'string') throw new AppError('invalid_request', 'missing_required_parameter', "Missing required parameter: 'model'.", { param: 'model' });
    const plan = await resolveGroup(exchange, model, '/v1/messages/count_tokens');
    const admission = await admitWithoutTokens(context, exchange, plan);
    const inputTokens = await countAtProvider(exchange, plan, value).finally(() => admission.settle(NOTHING_USED));
    if (inputTokens !== undefined) {
      sendJson(exchange.res, 200, { input_tokens: inputTokens }, limitHeaders(exchange));
      return;
    }
    const configured = plan.deployments[0]?.configured;
    const baseModel = configured?.info['base_model'];
    const estimated = countPrompt('messages', value, typeof baseModel === 'string' ? baseModel : configured?.model ?? model);
    sendJson(exchange.res, 200, { input_tokens: estimated }, { ...limitHeaders(exchange), 'x-pointsman-token-count': 'estimated' });
  });
}

/** Asks the group's providers that count, one after another. Undefined where none does. */
async function countAtProvider(exchange: Exchange, plan: GroupPlan, body: JsonObject): Promise<number | undefined> {
  if (exchange.res.destroyed) return undefined; // the client left while its limits were asked
  const gone = new AbortController();
  exchange.runner = { clientGone: () => gone.abort(), endNow: () => exchange.res.destroy() };
  for (const { provider } of plan.deployments) {
    if (provider.countTokens === undefined) continue;
    const counted = await provider.countTokens(body, AbortSignal.any([gone.signal, AbortSignal.timeout(COUNT_TIMEOUT_MS)])).catch(() => undefined);
    if (counted !== undefined || gone.signal.aborted) return counted;
  }
  return undefined;
}
