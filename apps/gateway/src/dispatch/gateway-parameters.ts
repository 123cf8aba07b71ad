import { AppError } from '@pointsman/errors';
import { isJsonObject, type JsonObject } from '@pointsman/schemas';
import { readCacheControls, type CacheControls } from '../cache/cache-controls.ts';

/** Fields of a body that speak to the gateway (LiteLLM's), not to a provider: a provider would refuse them as unknown. */
const FOR_THE_GATEWAY = new Set([
  'tags', 'fallbacks', 'num_retries', 'timeout', 'cache', 'guardrails', 'mock_response', 'mock_testing_fallbacks', 'disable_fallbacks',
  'litellm_metadata', 'litellm_call_id', 'litellm_trace_id', 'litellm_session_id', 'request_timeout', 'no-log', 'enable_tag_filtering',
  // Whether parameters are dropped, and whose a model is, the configuration says: a client is not asked.
  'drop_params', 'additional_drop_params', 'custom_llm_provider',
]);

/** Where the client would choose the server that gets the operator's prompt traffic or key: only where the model's entry allows it. */
const CLIENT_SIDE = ['api_base', 'base_url', 'api_key', 'api_version', 'organization', 'aws_region_name', 'vertex_project', 'vertex_location'] as const;

export interface GatewayParameters {
  readonly tags: readonly string[] | undefined;
  readonly fallbacks: readonly string[] | undefined;
  readonly disableFallbacks: boolean;
  readonly numRetries: number | undefined;
  readonly timeoutMs: number | undefined;
  readonly mockResponse: string | undefined;
  /** What the client set of `api_base` and its like; undefined when it set none. */
  readonly clientSide: ReadonlyMap<string, string> | undefined;
  /** What the client says about the response cache; undefined when it says nothing. */
  readonly cache: CacheControls | undefined;
}

/** What most requests say to the gateway. */
export const NO_PARAMETERS: GatewayParameters = {
  tags: undefined, fallbacks: undefined, disableFallbacks: false, numRetries: undefined, timeoutMs: undefined, mockResponse: undefined, clientSide: undefined, cache: undefined,
};

export interface SplitBody {
  /** The body without what was for the gateway: the same object when there was nothing. */
  readonly body: JsonObject;
  readonly parameters: GatewayParameters;
}

function wrong(param: string, expected: string): AppError {
  return new AppError('invalid_request', 'invalid_type', `Invalid type for '${param}': ${expected} was expected.`, { param });
}

function stringsOf(value: unknown, param: string): string[] | undefined {
  if (value === undefined || value === null) return undefined;
  if (!Array.isArray(value) || value.length > 64) throw wrong(param, 'an array of at most 64 strings');
  return value.map((item, index) => {
    const name: unknown = isJsonObject(item) ? item['model'] : item;
    if (typeof name !== 'string' || name.length > 256) throw wrong(`${param}[${String(index)}]`, 'a string');
    return name;
  });
}

function numberOf(value: unknown, param: string, most: number): number | undefined {
  if (value === undefined || value === null) return undefined;
  if (typeof value !== 'number' || !(value >= 0) || value > most) throw wrong(param, `a number from 0 to ${String(most)}`);
  return value;
}

/** OpenAI's `metadata` holds at most 16 strings; LiteLLM clients put objects and lists for the proxy there, which OpenAI refuses. */
function isProviderMetadata(value: unknown): boolean {
  if (!isJsonObject(value)) return false;
  for (const key in value) if (typeof value[key] !== 'string') return false;
  return true;
}

/** Whether a field of a body speaks to the gateway alone. */
export function isForTheGateway(key: string): boolean {
  return FOR_THE_GATEWAY.has(key);
}

/** Whether a body says anything to the gateway. The common one does not. */
export function hasGatewayParameters(body: JsonObject): boolean {
  for (const key in body) {
    if (FOR_THE_GATEWAY.has(key)) return true;
    if (key === 'metadata' || (CLIENT_SIDE as readonly string[]).includes(key)) return true;
  }
  return false;
}

/**
 * Separates what a body says to the gateway from what it says to the provider.
 * @throws AppError `invalid_request` naming the field, for a value of the wrong type.
 */
export function splitGatewayParameters(body: JsonObject): SplitBody {
  const rest: JsonObject = {};
  let clientSide: Map<string, string> | undefined;
  let changed = false;
  for (const key of Object.keys(body)) {
    const value = body[key];
    if (FOR_THE_GATEWAY.has(key) || key === '__proto__') {
      changed = true;
    } else if ((CLIENT_SIDE as readonly string[]).includes(key)) {
      changed = true;
      if (value === null) continue;
      if (typeof value !== 'string') throw wrong(key, 'a string');
      (clientSide ??= new Map()).set(key === 'base_url' ? 'api_base' : key, value);
    } else if (key === 'metadata' && value !== null && !isProviderMetadata(value)) {
      if (!isJsonObject(value)) throw wrong('metadata', 'an object');
      changed = true;
    } else {
      rest[key] = value;
    }
  }
  const metadata = body['metadata'];
  const litellmMetadata = body['litellm_metadata'];
  const tagsFromMetadata = isJsonObject(metadata) ? metadata['tags'] : isJsonObject(litellmMetadata) ? litellmMetadata['tags'] : undefined;
  const mock = body['mock_response'];
  if (mock !== undefined && mock !== null && typeof mock !== 'string') throw wrong('mock_response', 'a string');
  const timeoutS = numberOf(body['timeout'] ?? body['request_timeout'], 'timeout', 86_400);
  return {
    body: changed ? rest : body,
    parameters: {
      tags: stringsOf(body['tags'] ?? tagsFromMetadata, 'tags'),
      fallbacks: stringsOf(body['fallbacks'], 'fallbacks'),
      disableFallbacks: body['disable_fallbacks'] === true,
      numRetries: numberOf(body['num_retries'], 'num_retries', 20),
      timeoutMs: timeoutS === undefined ? undefined : timeoutS * 1000,
      mockResponse: typeof mock === 'string' ? mock : undefined,
      clientSide,
      cache: readCacheControls(body['cache']),
    },
  };
}
