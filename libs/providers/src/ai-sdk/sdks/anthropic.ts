import { z } from 'zod';
import { anthropicAddress } from '../../anthropic-wire/anthropic-address.ts';
import { defineNative } from '../dialect.ts';
import { anthropicDialect } from './anthropic-dialect.ts';
import { optionalHeaders } from './settings.ts';

export const anthropic = defineNative({
  settings: z.looseObject({ extra_headers: optionalHeaders }),
  async load(settings, deployment, { fetch, env }) {
    const { createAnthropic } = await import('@ai-sdk/anthropic');
    const address = anthropicAddress(deployment, env);
    const { 'x-api-key': apiKey, authorization, ...fixed } = address.headers;
    const provider = createAnthropic({
      baseURL: `${address.baseUrl}/v1`,
      ...(apiKey === undefined ? { authToken: (authorization ?? '').replace(/^Bearer /, '') } : { apiKey }),
      headers: { ...fixed, ...settings.extra_headers },
      fetch,
    });
    return {
      dialect: anthropicDialect,
      language: provider.languageModel(deployment.model),
      embedding: undefined,
      passthrough: { baseUrl: `${address.baseUrl}/v1`, headers: () => address.headers },
      secrets: [address.secret],
    };
  },
});
