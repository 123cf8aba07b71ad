import { z } from 'zod';
import { defineNative } from '../dialect.ts';
import { googleDialect } from './google-dialect.ts';
import { baseUrlOf, optionalHeaders, requireKey } from './settings.ts';

const DEFAULT_BASE = 'https://generativelanguage.googleapis.com';

export const gemini = defineNative({
  settings: z.looseObject({ extra_headers: optionalHeaders }),
  async load(settings, deployment, { fetch, env }) {
    const { createGoogle } = await import('@ai-sdk/google');
    const apiKey = requireKey(deployment, env, 'GEMINI_API_KEY', 'GOOGLE_API_KEY');
    const root = baseUrlOf(deployment, DEFAULT_BASE).replace(/\/v1(?:beta)?$/, '');
    const provider = createGoogle({ apiKey, baseURL: `${root}/v1beta`, headers: settings.extra_headers, fetch });
    return {
      dialect: googleDialect('google'),
      language: provider.languageModel(deployment.model),
      embedding: provider.embeddingModel(deployment.model),
      passthrough: { baseUrl: `${root}/v1beta`, headers: () => ({ 'x-goog-api-key': apiKey }) },
      secrets: [apiKey],
    };
  },
});
