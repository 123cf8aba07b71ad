import type { LanguageModelV4Usage } from '@ai-sdk/provider';
import { isJsonObject, type JsonObject } from '@pointsman/schemas';

/**
 * Token counts in OpenAI's words; undefined when the provider reported none.
 * `prompt_tokens` holds cached and cache-written tokens too, as OpenAI counts; `cache_creation_tokens` is LiteLLM's name.
 */
export function openAiUsageOf(usage: LanguageModelV4Usage): JsonObject | undefined {
  const prompt = usage.inputTokens.total;
  const completion = usage.outputTokens.total;
  if (prompt === undefined && completion === undefined) return undefined;
  const raw: JsonObject = isJsonObject(usage.raw) ? usage.raw : {};
  // Cohere reports cached tokens, its SDK does not map them.
  const cached = usage.inputTokens.cacheRead ?? numberOf(raw['cached_tokens']);
  const written = usage.inputTokens.cacheWrite;
  const writtenForAnHour = oneHourTokens(raw);
  const reasoning = usage.outputTokens.reasoning;
  return {
    prompt_tokens: prompt ?? 0,
    completion_tokens: completion ?? 0,
    total_tokens: (prompt ?? 0) + (completion ?? 0),
    prompt_tokens_details: {
      cached_tokens: cached ?? 0,
      ...(written === undefined ? {} : { cache_creation_tokens: written }),
      ...(writtenForAnHour === undefined ? {} : { cache_creation_1h_tokens: writtenForAnHour }),
    },
    completion_tokens_details: { reasoning_tokens: reasoning ?? 0 },
  };
}

/** Anthropic's `cache_creation.ephemeral_1h_input_tokens` and Bedrock's `cacheDetails`. */
function oneHourTokens(raw: JsonObject): number | undefined {
  const creation = raw['cache_creation'];
  if (isJsonObject(creation)) return numberOf(creation['ephemeral_1h_input_tokens']);
  const details = raw['cacheDetails'];
  if (!Array.isArray(details)) return undefined;
  const hour = details.find((detail) => isJsonObject(detail) && detail['ttl'] === '1h');
  return isJsonObject(hour) ? numberOf(hour['inputTokens']) : undefined;
}

function numberOf(value: unknown): number | undefined {
  return typeof value === 'number' && Number.isFinite(value) ? value : undefined;
}
