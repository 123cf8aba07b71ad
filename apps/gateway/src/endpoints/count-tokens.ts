import { checkCountTokensBody } from '@pointsman/schemas';
import { AppError } from '@pointsman/errors';
import { countPrompt } from '@pointsman/tokens';
import { resolveGroup } from '../access/resolve-group.ts';
import { parseJsonBody } from '../http/parse-json-body.ts';
import { sendJson } from '../http/send-json.ts';
import { serveWithBody, type Handler } from '../http/serve.ts';
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
    const gone = new AbortController();
    exchange.runner = { clientGone: () => gone.abort(), endNow: () => exchange.res.destroy() };
    for (const { provider } of plan.deployments) {
      if (provider.countTokens === undefined) continue;
      const counted = await provider.countTokens(value, AbortSignal.any([gone.signal, AbortSignal.timeout(COUNT_TIMEOUT_MS)])).catch(() => undefined);
      if (counted === undefined) continue;
      sendJson(exchange.res, 200, { input_tokens: counted });
      return;
    }
    const configured = plan.deployments[0]?.configured;
    const baseModel = configured?.info['base_model'];
    const inputTokens = countPrompt('messages', value, typeof baseModel === 'string' ? baseModel : configured?.model ?? model);
    sendJson(exchange.res, 200, { input_tokens: inputTokens }, { 'x-pointsman-token-count': 'estimated' });
  });
}
