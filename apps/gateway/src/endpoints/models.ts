import { AppError } from '@pointsman/errors';
import { modelFacts, withCustomPrices } from '@pointsman/pricing';
import { mayUseModel } from '../access/principal.ts';
import type { Exchange } from '../http/exchange.ts';
import { sendJson } from '../http/send-json.ts';
import { serve, type Handler } from '../http/serve.ts';
import type { ListedModel } from '../snapshot/snapshot.ts';
import type { GatewayContext } from './gateway-context.ts';

/** OpenAI's model object. `created` is a constant, as LiteLLM's: nobody knows when a group was made. */
const CREATED = 1677610602;

function openAiModel(id: string): { readonly id: string; readonly object: 'model'; readonly created: number; readonly owned_by: string } {
  return { id, object: 'model', created: CREATED, owned_by: 'openai' };
}

function visible(exchange: Exchange): readonly ListedModel[] {
  return exchange.snapshot.listed.filter(({ name, models }) => mayUseModel(exchange.principal, name, models));
}

export function listModels(context: GatewayContext): Handler {
  return serve(context, { route: '/v1/models' }, ({ exchange }) => {
    sendJson(exchange.res, 200, { object: 'list', data: visible(exchange).map(({ name }) => openAiModel(name)) });
  });
}

/** `id` may hold slashes (`openai/gpt-4o`). */
export function showModel(context: GatewayContext, id: string): Handler {
  return serve(context, { route: '/v1/models/{id}' }, ({ exchange }) => {
    const listed = exchange.snapshot.listed.find(({ name }) => name === id);
    const known = exchange.snapshot.plan(id) !== undefined && mayUseModel(exchange.principal, id, listed?.models);
    if (!known) {
      throw new AppError('not_found', 'model_not_found', `The model \`${id.slice(0, 200)}\` does not exist or is not accessible`, { param: 'model' });
    }
    sendJson(exchange.res, 200, openAiModel(id));
  });
}

/** LiteLLM's `/model/info`: every deployment with its settings, without secrets. Where deployments are is for administrators. */
export function modelInfo(context: GatewayContext): Handler {
  return serve(context, { route: '/model/info' }, ({ exchange }) => {
    const showsBase = exchange.principal.role === 'admin';
    const data = visible(exchange).flatMap(({ name, models }) => models.map((configured) => {
      const price = withCustomPrices(context.prices.findPrice({ model: configured.model, provider: configured.provider }), configured.params, configured.info);
      const facts = modelFacts(price);
      return {
        model_name: name,
        litellm_params: { model: configured.configuredModel, ...(configured.apiBase === undefined || !showsBase ? {} : { api_base: configured.apiBase }), ...(configured.rpm === undefined ? {} : { rpm: configured.rpm }), ...(configured.tpm === undefined ? {} : { tpm: configured.tpm }) },
        model_info: {
          ...configured.info, id: configured.id, db_model: false, litellm_provider: configured.provider, mode: facts.mode ?? null,
          max_input_tokens: facts.maxInputTokens ?? null, max_output_tokens: facts.maxOutputTokens ?? null,
          input_cost_per_token: facts.inputCostPerToken ?? null, output_cost_per_token: facts.outputCostPerToken ?? null,
          ...Object.fromEntries([...facts.supports].map((feature) => [`supports_${feature}`, true])),
        },
      };
    }));
    sendJson(exchange.res, 200, { data });
  });
}
