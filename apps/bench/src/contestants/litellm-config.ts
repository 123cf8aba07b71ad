import { randomBytes } from 'node:crypto';
import { requestedModel } from './contestant.ts';

/**
 * The configuration file that Pointsman and LiteLLM both run with, to the letter: two deployments of one model, so that there is a decision to make.
 * JSON is YAML, so no YAML writer is needed.
 */
export function gatewayConfig(upstreamUrl: string, more: object = {}): string {
  const deployment = (id: string): unknown => ({
    model_name: requestedModel,
    litellm_params: { model: `openai/${requestedModel}`, api_base: `${upstreamUrl}/v1`, api_key: 'sk-upstream' },
    model_info: { id },
  });
  return JSON.stringify(
    {
      model_list: [deployment('bench-a'), deployment('bench-b')],
      router_settings: { routing_strategy: 'simple-shuffle' },
      general_settings: { master_key: 'os.environ/LITELLM_MASTER_KEY' },
      ...more,
    },
    undefined,
    2,
  );
}

/** A master key that nobody guesses: LiteLLM refuses to start with a weak one. */
export function newMasterKey(): string {
  return `sk-${randomBytes(24).toString('hex')}`;
}
