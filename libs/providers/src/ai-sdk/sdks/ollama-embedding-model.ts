import type { EmbeddingModelV4, EmbeddingModelV4CallOptions, EmbeddingModelV4Result } from '@ai-sdk/provider';
import { isJsonObject } from '@pointsman/schemas';
import { postToOllama, replyObject, type OllamaConfig } from './ollama-api.ts';

/** Ollama's /api/embed. https://github.com/ollama/ollama/blob/main/docs/api.md#generate-embeddings */
export class OllamaEmbeddingModel implements EmbeddingModelV4 {
  readonly specificationVersion = 'v4';
  readonly provider = 'ollama';
  readonly modelId: string;
  readonly maxEmbeddingsPerCall = 2048;
  readonly supportsParallelCalls = false;
  readonly #config: OllamaConfig;

  constructor(config: OllamaConfig) {
    this.modelId = config.modelId;
    this.#config = config;
  }

  async doEmbed(options: EmbeddingModelV4CallOptions): Promise<EmbeddingModelV4Result> {
    const own = options.providerOptions?.['ollama'];
    const body = { ...own, model: this.modelId, input: options.values, ...(options.dimensions === undefined ? {} : { dimensions: options.dimensions }) };
    const reply = await replyObject(await postToOllama(this.#config, '/api/embed', body, options));
    const embeddings = reply['embeddings'];
    if (!Array.isArray(embeddings) || embeddings.length !== options.values.length) throw new Error('Ollama answered with another number of embeddings than texts.');
    const tokens = isJsonObject(reply) && typeof reply['prompt_eval_count'] === 'number' ? reply['prompt_eval_count'] : undefined;
    return { embeddings: embeddings as number[][], warnings: [], ...(tokens === undefined ? {} : { usage: { tokens } }) };
  }
}
