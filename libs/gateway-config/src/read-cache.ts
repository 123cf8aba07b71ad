import { isJsonObject, type JsonValue } from '@pointsman/schemas';
import { cacheParamsShape, SERVED_CACHES } from './config-schema.ts';
import { checkKeys, type Findings } from './findings.ts';
import type { CachedFormat, CacheSettings } from './gateway-config.ts';
import { LITELLM_CACHE_PARAMS, LITELLM_UNCACHED_CALLS } from './litellm-names.ts';
import { nearestName } from './nearest-name.ts';
import type { Path } from './path.ts';
import type { LitellmSettings } from './read-router.ts';

const PATH: Path = ['litellm_settings', 'cache_params'];
const DEFAULT_TTL_MS = { redis: 60_000, local: 600_000 } as const;

/** LiteLLM's names of calls, and the format that each is here. */
const FORMAT_OF_CALL: ReadonlyMap<string, CachedFormat> = new Map([
  ['completion', 'chat'], ['acompletion', 'chat'], ['text_completion', 'completions'], ['atext_completion', 'completions'], ['embedding', 'embeddings'], ['aembedding', 'embeddings'],
  ['responses', 'responses'], ['aresponses', 'responses'], ['anthropic_messages', 'messages'], ['aanthropic_messages', 'messages'],
]);

/** Whether something is done with this key of `cache_params`: `type`, but not the `host` of a Redis that `REDIS_URL` names here. */
export function isActedOnCacheParam(key: unknown): boolean {
  return typeof key !== 'string' || Object.hasOwn(cacheParamsShape, key);
}

/** Reads `cache` and `cache_params`. `written` is the section as it stands in the file: what is set, also by a variable that is missing. Undefined: the cache is off. */
export function readCache({ settings, written }: { readonly settings: LitellmSettings; readonly written: JsonValue | undefined }, findings: Findings): CacheSettings | undefined {
  const params = settings.cache_params ?? {};
  const keys = isJsonObject(written) ? written['cache_params'] : undefined;
  if (isJsonObject(keys)) {
    const set = Object.fromEntries(Object.entries(keys).filter(([, value]) => value !== null));
    checkKeys(set, PATH, { known: Object.keys(cacheParamsShape), ignored: LITELLM_CACHE_PARAMS }, findings);
  }
  const served = SERVED_CACHES.find((name) => name === params.type);
  if (params.type !== undefined && served === undefined) {
    findings.warnings.push({ path: [...PATH, 'type'], message: `this cache of LiteLLM is not served: equal requests are answered from Redis or memory instead of "${params.type}"` });
  }
  const type = served ?? 'redis';
  const formats = readFormats(params.supported_call_types, findings);
  if (settings.cache !== true) return undefined;
  return {
    type, formats,
    optIn: params.mode === 'default_off',
    ttlMs: (type === 'local' ? params.default_in_memory_ttl : params.default_in_redis_ttl) ?? params.ttl ?? DEFAULT_TTL_MS[type],
    namespace: params.namespace,
    scope: params.scope ?? 'key',
    maxReplyBytes: Math.floor((params.max_reply_kb ?? 1024) * 1024),
  };
}

function readFormats(calls: readonly string[] | undefined, findings: Findings): ReadonlySet<CachedFormat> {
  if (calls === undefined) return new Set(FORMAT_OF_CALL.values());
  const formats = new Set<CachedFormat>();
  for (const [index, call] of calls.entries()) {
    const format = FORMAT_OF_CALL.get(call);
    const path: Path = [...PATH, 'supported_call_types', index];
    if (format !== undefined) formats.add(format);
    else if (LITELLM_UNCACHED_CALLS.has(call)) findings.warnings.push({ path, message: `replies of "${call}" are not kept here`, ignored: true });
    else {
      const suggestion = nearestName(call, FORMAT_OF_CALL.keys());
      findings.problems.push({ path, message: 'nobody knows this type of call', ...(suggestion === undefined ? {} : { suggestion }) });
    }
  }
  return formats;
}
