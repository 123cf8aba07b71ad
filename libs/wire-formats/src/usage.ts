import { isJsonObject, type JsonObject } from '@pointsman/schemas';

/** Tokens of one call, as a bill counts them. The parts are contained in the totals, never added to them. */
export interface Usage {
  /** Everything the model read, cached tokens included. */
  readonly promptTokens: number;
  /** Everything the model wrote, reasoning included. */
  readonly completionTokens: number;
  readonly totalTokens: number;
  /** Part of the prompt that was read from the provider's cache. */
  readonly cachedTokens: number;
  /** Part of the prompt that was written to the provider's cache, for any time. */
  readonly cacheCreationTokens: number;
  /** Part of `cacheCreationTokens` that was written for one hour, which Anthropic bills higher than five minutes. */
  readonly cacheCreation1hTokens: number;
  /** Part of the completion that was reasoning. */
  readonly reasoningTokens: number;
  readonly audioInputTokens: number;
  readonly audioOutputTokens: number;
  readonly imageInputTokens?: number | undefined;
  readonly imageOutputTokens?: number | undefined;
  /** What the provider says it served the call at, where that is not its default. */
  readonly serviceTier?: ServiceTier | undefined;
  /** Web searches that the provider made for the call and bills one by one. */
  readonly webSearches?: number | undefined;
  readonly webSearchContext?: 'low' | 'medium' | 'high' | undefined;
  /** Calls that are priced each, whatever they hold: a rerank. No reply says it; who calls does. */
  readonly queries?: number | undefined;
}

/** Tiers with prices of their own. */
export type ServiceTier = 'batch' | 'flex' | 'priority';

/** The tier that a reply names; undefined for the default one (`default`, `standard`, `auto`). */
export function serviceTierOf(named: unknown): ServiceTier | undefined {
  return named === 'flex' || named === 'priority' || named === 'batch' ? named : undefined;
}

/** The formats whose replies carry usage. */
export type UsageFormat = 'chat' | 'completions' | 'embeddings' | 'responses' | 'messages';

/** The usage of a whole reply, or undefined when the provider sent none. */
export function usageOfReply(format: UsageFormat, value: unknown): Usage | undefined {
  if (!isJsonObject(value)) return undefined;
  if (format === 'responses') return responsesUsage(value['usage'], serviceTierOf(value['service_tier']), webSearchesIn(value['output']));
  if (format === 'messages') return anthropicUsage(value['usage'], undefined);
  return openAiUsage(value['usage'], serviceTierOf(value['service_tier']));
}

/** OpenAI bills the searches that its Responses list, pages that were opened and searched within not. */
function webSearchesIn(output: unknown): number | undefined {
  if (!Array.isArray(output)) return undefined;
  let searches = 0;
  for (const item of output) {
    if (!isJsonObject(item) || item['type'] !== 'web_search_call') continue;
    const type = isJsonObject(item['action']) ? item['action']['type'] : undefined;
    if (type === undefined || type === 'search') searches += 1;
  }
  return searches === 0 ? undefined : searches;
}

const CONTEXT_SIZES: ReadonlySet<unknown> = new Set(['low', 'medium', 'high']);

/** Usage as chat completions, completions and embeddings report it. */
export function openAiUsage(raw: unknown, serviceTier?: ServiceTier): Usage | undefined {
  if (!isJsonObject(raw)) return undefined;
  const context = raw['search_context_size'];
  const promptTokens = count(raw['prompt_tokens']);
  const inputDetails = details(raw['prompt_tokens_details']);
  const outputDetails = details(raw['completion_tokens_details']);
  const reasoningTokens = count(outputDetails?.['reasoning_tokens'] ?? raw['reasoning_tokens']);
  const written = count(raw['completion_tokens']);
  const stated = count(raw['total_tokens']);
  // xAI and Gemini's OpenAI surface leave reasoning out of completion_tokens and put it into the total: OpenAI counts it in both.
  const completionTokens = reasoningTokens > 0 && stated === promptTokens + written + reasoningTokens ? written + reasoningTokens : written;
  return {
    promptTokens,
    completionTokens,
    totalTokens: stated === 0 ? promptTokens + completionTokens : stated,
    // DeepSeek's prompt_cache_hit_tokens predates the details object.
    cachedTokens: count(inputDetails?.['cached_tokens'] ?? raw['prompt_cache_hit_tokens']),
    cacheCreationTokens: count(inputDetails?.['cache_creation_tokens'] ?? inputDetails?.['cache_write_tokens'] ?? raw['cache_creation_input_tokens']),
    cacheCreation1hTokens: count(inputDetails?.['cache_creation_1h_tokens']),
    reasoningTokens,
    audioInputTokens: count(inputDetails?.['audio_tokens']),
    audioOutputTokens: count(outputDetails?.['audio_tokens']),
    imageInputTokens: some(inputDetails?.['image_tokens']),
    imageOutputTokens: some(outputDetails?.['image_tokens']),
    serviceTier,
    // Perplexity bills every request by the size of its search, and deep research by the number of its searches.
    webSearches: some(raw['num_search_queries']) ?? (CONTEXT_SIZES.has(context) ? 1 : undefined),
    webSearchContext: CONTEXT_SIZES.has(context) ? (context as Usage['webSearchContext']) : undefined,
    queries: undefined,
  };
}

/** Usage as the Responses API reports it. */
export function responsesUsage(raw: unknown, serviceTier?: ServiceTier, webSearches?: number): Usage | undefined {
  if (!isJsonObject(raw)) return undefined;
  const promptTokens = count(raw['input_tokens']);
  const completionTokens = count(raw['output_tokens']);
  const inputDetails = details(raw['input_tokens_details']);
  const outputDetails = details(raw['output_tokens_details']);
  return {
    promptTokens,
    completionTokens,
    totalTokens: count(raw['total_tokens']) || promptTokens + completionTokens,
    cachedTokens: count(inputDetails?.['cached_tokens']),
    cacheCreationTokens: count(inputDetails?.['cache_creation_tokens'] ?? inputDetails?.['cache_write_tokens']),
    cacheCreation1hTokens: count(inputDetails?.['cache_creation_1h_tokens']),
    reasoningTokens: count(outputDetails?.['reasoning_tokens']),
    audioInputTokens: count(inputDetails?.['audio_tokens']),
    audioOutputTokens: count(outputDetails?.['audio_tokens']),
    imageInputTokens: some(inputDetails?.['image_tokens']),
    imageOutputTokens: some(outputDetails?.['image_tokens']),
    serviceTier,
    webSearches,
    webSearchContext: undefined,
    queries: undefined,
  };
}

/**
 * Usage as Anthropic reports it, where `input_tokens` leaves out what was read from or written to the cache: here the prompt holds all three.
 * In a stream, message_start brings the input side and message_delta the running output side; `earlier` is what the stream said before.
 */
export function anthropicUsage(raw: unknown, earlier: Usage | undefined): Usage | undefined {
  if (!isJsonObject(raw)) return earlier;
  const cachedTokens = present(raw['cache_read_input_tokens']) ?? earlier?.cachedTokens ?? 0;
  const cacheCreationTokens = present(raw['cache_creation_input_tokens']) ?? earlier?.cacheCreationTokens ?? 0;
  const earlierInput = earlier === undefined ? 0 : earlier.promptTokens - earlier.cachedTokens - earlier.cacheCreationTokens;
  const promptTokens = (present(raw['input_tokens']) ?? earlierInput) + cachedTokens + cacheCreationTokens;
  const completionTokens = present(raw['output_tokens']) ?? earlier?.completionTokens ?? 0;
  return {
    promptTokens,
    completionTokens,
    totalTokens: promptTokens + completionTokens,
    cachedTokens,
    cacheCreationTokens,
    cacheCreation1hTokens: present(details(raw['cache_creation'])?.['ephemeral_1h_input_tokens']) ?? earlier?.cacheCreation1hTokens ?? 0,
    reasoningTokens: present(details(raw['output_tokens_details'])?.['thinking_tokens']) ?? earlier?.reasoningTokens ?? 0,
    audioInputTokens: 0,
    audioOutputTokens: 0,
    imageInputTokens: undefined,
    imageOutputTokens: undefined,
    serviceTier: serviceTierOf(raw['service_tier']) ?? earlier?.serviceTier,
    webSearches: some(details(raw['server_tool_use'])?.['web_search_requests']) ?? earlier?.webSearches,
    webSearchContext: undefined,
    queries: undefined,
  };
}

/** A count of at least one. */
function some(raw: unknown): number | undefined {
  const counted = present(raw);
  return counted === 0 ? undefined : counted;
}

function details(raw: unknown): JsonObject | undefined {
  return isJsonObject(raw) ? raw : undefined;
}

function count(raw: unknown): number {
  return present(raw) ?? 0;
}

/** More tokens than any call has; what a provider says beyond it is a mistake or a lie, and neither may become a bill. */
const MAX_COUNT = 2 ** 31 - 1;

function present(raw: unknown): number | undefined {
  return isTokenCount(raw) ? Math.floor(raw) : undefined;
}

/** A finite number from 0 to 2^31-1. What is none (a provider's null, 1e308) is treated as not sent, so that it is counted here instead. */
export function isTokenCount(raw: unknown): raw is number {
  return typeof raw === 'number' && raw >= 0 && raw <= MAX_COUNT;
}
