import { isJsonObject, type JsonObject, type JsonValue } from '@pointsman/schemas';
import type { Dialect, RequestDraft } from '../dialect.ts';
import { budgetIn, callersLimit, thinkingOf } from './reasoning-budget.ts';

/** Fields of the Converse request beside the model's own parameters. */
const CONVERSE_FIELDS = new Set(['guardrailConfig', 'performanceConfig', 'requestMetadata', 'promptVariables']);

/** Chat requests in the words of `@ai-sdk/amazon-bedrock` (the Converse API). */
export const bedrockDialect: Dialect = {
  name: 'amazonBedrock',
  systemFirst: true,
  takesUnsignedReasoning: false,
  cacheOptions: (cacheControl) => ({ amazonBedrock: { cachePoint: cachePoint(cacheControl) } }),
  thinkingOptions: (block) => ({ amazonBedrock: block.type === 'thinking' ? { signature: block.signature ?? '' } : { redactedContent: block.data } }),
  signatureOf(metadata) {
    const own = metadata['amazonBedrock'];
    const redacted = own?.['redactedContent'] ?? own?.['redactedData'];
    if (typeof redacted === 'string') return { redacted };
    const signature = own?.['signature'];
    return typeof signature === 'string' && signature !== '' ? { signature } : undefined;
  },
  thoughtSignatures: false,
  hostedTool: undefined,
  refine,
  knownEvents: undefined,
  planOf: undefined,
  embeddingOptions({ body, rest }) {
    const dimensions = body['dimensions'];
    const inputType = rest.get('input_type');
    const truncate = rest.get('truncate');
    const own = {
      ...(typeof dimensions === 'number' ? { dimensions, embeddingDimension: dimensions, outputDimension: dimensions } : {}),
      inputType: typeof inputType === 'string' ? inputType : 'search_document',
      ...(typeof truncate === 'string' ? { truncate } : {}),
    };
    return { amazonBedrock: own };
  },
};

function refine({ body, options, own, rest, patch }: RequestDraft): void {
  const thinking = thinkingOf(rest.get('thinking'));
  rest.delete('thinking');
  if (thinking !== undefined) own['reasoningConfig'] = { type: thinking.type, ...(thinking.budgetTokens === undefined ? {} : { budgetTokens: thinking.budgetTokens }) };
  if (rest.get('parallel_tool_calls') === false) options.providerOptions = { ...options.providerOptions, anthropic: { disableParallelToolUse: true } };
  rest.delete('parallel_tool_calls');
  const tier = rest.get('service_tier');
  rest.delete('service_tier');
  if (tier === 'default' || tier === 'priority' || tier === 'flex') own['serviceTier'] = tier;
  if (options.responseFormat?.type === 'json' && options.responseFormat.schema === undefined) {
    options.responseFormat = { ...options.responseFormat, schema: { type: 'object' } };
    own['structuredOutputMode'] = 'jsonTool';
  }
  const fields: JsonObject = {};
  for (const [key, value] of rest) {
    if (CONVERSE_FIELDS.has(key)) own[key] = value;
    else fields[key] = value;
  }
  rest.clear();
  if (Object.keys(fields).length > 0) own['additionalModelRequestFields'] = fields;
  const limit = options.maxOutputTokens;
  if (limit !== undefined && (thinking !== undefined || options.reasoning !== undefined)) patch((sent) => withLimit(sent, limit));
  const cached = cachedTools(body['tools']);
  if (cached.size > 0) patch((sent) => withToolCachePoints(sent, cached));
}

function withLimit(sent: JsonObject, limit: number): JsonObject {
  const inference = sent['inferenceConfig'];
  if (!isJsonObject(inference) || typeof inference['maxTokens'] !== 'number' || inference['maxTokens'] <= limit) return sent;
  const fields = sent['additionalModelRequestFields'];
  return { ...sent, inferenceConfig: { ...inference, maxTokens: callersLimit(limit, isJsonObject(fields) ? budgetIn(fields['thinking']) : undefined) } };
}

/** The SDK has no cache points behind tools. */
function withToolCachePoints(sent: JsonObject, cached: ReadonlyMap<string, JsonObject>): JsonObject {
  const config = sent['toolConfig'];
  if (!isJsonObject(config) || !Array.isArray(config['tools'])) return sent;
  const tools = config['tools'].flatMap((tool): JsonValue[] => {
    const spec = isJsonObject(tool) ? tool['toolSpec'] : undefined;
    const point = isJsonObject(spec) && typeof spec['name'] === 'string' ? cached.get(spec['name']) : undefined;
    return point === undefined ? [tool] : [tool, { cachePoint: cachePoint(point) }];
  });
  return { ...sent, toolConfig: { ...config, tools } };
}

function cachedTools(tools: unknown): Map<string, JsonObject> {
  const cached = new Map<string, JsonObject>();
  for (const tool of Array.isArray(tools) ? (tools as unknown[]) : []) {
    const fn = isJsonObject(tool) ? tool['function'] : undefined;
    if (!isJsonObject(tool) || !isJsonObject(fn) || typeof fn['name'] !== 'string') continue;
    const cacheControl = tool['cache_control'] ?? fn['cache_control'];
    if (isJsonObject(cacheControl)) cached.set(fn['name'], cacheControl);
  }
  return cached;
}

function cachePoint(cacheControl: JsonObject): JsonObject & { readonly type: string } {
  const ttl = cacheControl['ttl'];
  return { type: 'default', ...(typeof ttl === 'string' ? { ttl } : {}) };
}
