import { z } from 'zod';
import { defineNative } from '../dialect.ts';
import { cohereDialect } from './cohere-dialect.ts';
import { baseUrlOf, optionalHeaders, requireKey } from './settings.ts';

const DEFAULT_BASE = 'https://api.cohere.com';

export const cohere = defineNative({
  settings: z.looseObject({ extra_headers: optionalHeaders }),
  async load(settings, deployment, { fetch, env }) {
    const { createCohere } = await import('@ai-sdk/cohere');
    const apiKey = requireKey(deployment, env, 'COHERE_API_KEY', 'CO_API_KEY');
    // LiteLLM's api_base may name the endpoint itself.
    const root = baseUrlOf(deployment, DEFAULT_BASE).replace(/\/v[12](?:\/(?:chat|embed))?$/, '');
    const provider = createCohere({ apiKey, baseURL: `${root}/v2`, headers: settings.extra_headers, fetch });
    return {
      dialect: cohereDialect,
      language: provider.languageModel(deployment.model),
      embedding: provider.embeddingModel(deployment.model),
      passthrough: { baseUrl: `${root}/v2`, headers: () => ({ authorization: `Bearer ${apiKey}` }) },
      secrets: [apiKey],
    };
  },
});
