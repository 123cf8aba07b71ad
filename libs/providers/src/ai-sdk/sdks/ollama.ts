import { z } from 'zod';
import { defineNative } from '../dialect.ts';
import { baseUrlOf, firstOf, optionalHeaders } from './settings.ts';

const DEFAULT_BASE = 'http://localhost:11434';

export const ollama = defineNative({
  settings: z.looseObject({ extra_headers: optionalHeaders }),
  async load(settings, deployment, { fetch, env }) {
    const [{ OllamaChatModel, ollamaDialect }, { OllamaEmbeddingModel }] = await Promise.all([import('./ollama-chat-model.ts'), import('./ollama-embedding-model.ts')]);
    const baseUrl = baseUrlOf(deployment, firstOf(env, 'OLLAMA_API_BASE') ?? DEFAULT_BASE).replace(/\/api(?:\/(?:chat|generate|embed))?$/, '');
    const apiKey = deployment.apiKey ?? firstOf(env, 'OLLAMA_API_KEY');
    const headers: Record<string, string> = { ...settings.extra_headers, ...(apiKey === undefined ? {} : { authorization: `Bearer ${apiKey}` }) };
    const config = { modelId: deployment.model, baseUrl, headers, fetch };
    return {
      dialect: ollamaDialect,
      language: new OllamaChatModel(config),
      embedding: new OllamaEmbeddingModel(config),
      passthrough: { baseUrl: `${baseUrl}/api`, headers: () => headers },
      secrets: apiKey === undefined ? [] : [apiKey],
    };
  },
});
