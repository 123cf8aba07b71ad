import type { EmbeddingModelV4 } from '@ai-sdk/provider';
import type { JsonObject, JsonValue } from '@pointsman/schemas';
import { badRequest } from './bad-request.ts';
import type { Dialect } from './dialect.ts';

const CONSUMED = new Set(['model', 'input', 'encoding_format', 'dimensions', 'user', 'metadata', 'tags']);
/** Calls under way at once for a model that takes one text per call. */
const PARALLEL_CALLS = 4;

export interface EmbeddingsCall {
  readonly body: JsonObject;
  readonly model: string;
  readonly embedding: EmbeddingModelV4;
  readonly dialect: Dialect;
  readonly headers: Readonly<Record<string, string>>;
  readonly signal: AbortSignal;
}

/**
 * One OpenAI embeddings request through an SDK's embedding model, cut into as many calls as the model needs.
 * Usage is 0 where the provider reports none (Gemini, Ollama before 0.2).
 */
export async function createEmbeddings({ body, model, embedding, dialect, headers, signal }: EmbeddingsCall): Promise<JsonObject> {
  const values = inputsOf(body['input']);
  const dimensions = body['dimensions'];
  if (dimensions !== undefined && dimensions !== null && typeof dimensions !== 'number') throw badRequest('dimensions', 'a number');
  const format = body['encoding_format'];
  const rest = new Map<string, JsonObject[string]>();
  for (const [key, value] of Object.entries(body)) if (value !== undefined && value !== null && !CONSUMED.has(key)) rest.set(key, value);
  const providerOptions = dialect.embeddingOptions({ body, rest });
  const perCall = (await embedding.maxEmbeddingsPerCall) ?? values.length;

  const batches: string[][] = [];
  for (let at = 0; at < values.length; at += perCall) batches.push(values.slice(at, at + perCall));
  const results = new Array<Awaited<ReturnType<EmbeddingModelV4['doEmbed']>>>(batches.length);
  let next = 0;
  const work = async (): Promise<void> => {
    for (let index = next; index < batches.length; index = next) {
      next += 1;
      results[index] = await embedding.doEmbed({
        values: batches[index] ?? [],
        headers: { ...headers },
        abortSignal: signal,
        ...(typeof dimensions === 'number' ? { dimensions } : {}),
        ...(providerOptions === undefined ? {} : { providerOptions }),
      });
    }
  };
  await Promise.all(Array.from({ length: Math.min(PARALLEL_CALLS, batches.length) }, work));

  const vectors = results.flatMap((result) => result.embeddings);
  const tokens = results.reduce((sum, result) => sum + (Number.isFinite(result.usage?.tokens) ? (result.usage?.tokens ?? 0) : 0), 0);
  return {
    object: 'list',
    model,
    data: vectors.map((vector, index): JsonValue => ({ object: 'embedding', index, embedding: format === 'base64' ? base64Of(vector) : vector })),
    usage: { prompt_tokens: tokens, total_tokens: tokens },
  };
}

function inputsOf(input: unknown): string[] {
  if (typeof input === 'string') return [input];
  if (!Array.isArray(input) || input.length === 0) throw badRequest('input', 'a string or a non-empty array of strings');
  return input.map((one: unknown, index) => {
    if (typeof one !== 'string') throw badRequest(`input[${index}]`, 'a string: this provider does not take token ids');
    return one;
  });
}

/** OpenAI's base64 form: little-endian 32-bit floats. */
function base64Of(vector: readonly number[]): string {
  const bytes = Buffer.allocUnsafe(vector.length * 4);
  vector.forEach((value, index) => bytes.writeFloatLE(value, index * 4));
  return bytes.toString('base64');
}
