import { describe, expect, test } from 'vitest';
import { ConfigRejectedError } from './config-rejected-error.ts';
import type { CacheSettings } from './gateway-config.ts';
import { parseGatewayConfig } from './parse-gateway-config.ts';

const EVERY_FORMAT = ['chat', 'completions', 'embeddings', 'messages', 'responses'];

function read(yaml: string): { readonly cache: CacheSettings | undefined; readonly warnings: readonly string[]; readonly problems: readonly string[]; readonly honoured: readonly string[] } {
  const show = ({ path, message, suggestion }: { readonly path: string; readonly message: string; readonly suggestion?: string }): string => `${path.replace('litellm_settings.', '')}: ${message}${suggestion === undefined ? '' : ` → ${suggestion}`}`;
  try {
    const { config, warnings, honoured } = parseGatewayConfig({ files: `litellm_settings:\n${yaml}`, env: { LITELLM_MASTER_KEY: 'sk-a-long-enough-key' }, providerIds: new Set(['openai']) });
    return { cache: config.cache, warnings: warnings.filter(({ path }) => path.includes('cache')).map(show), problems: [], honoured };
  } catch (error) {
    if (!(error instanceof ConfigRejectedError)) throw error;
    return { cache: undefined, warnings: [], problems: error.problems.map(show), honoured: [] };
  }
}

describe('cache and cache_params', () => {
  test.each(['  drop_params: true', '  cache: false', '  cache: false\n  cache_params: { type: redis, ttl: 5 }', '  cache_params: { type: redis }'])('without cache: true there is none: %j', (yaml) => {
    expect(read(yaml)).toMatchObject({ cache: undefined, problems: [] });
  });

  test('cache: true alone keeps replies of every format for a minute, for the key that asked', () => {
    const { cache, warnings } = read('  cache: true');
    expect(cache).toMatchObject({ type: 'redis', optIn: false, ttlMs: 60_000, namespace: undefined, scope: 'key', maxReplyBytes: 1024 * 1024 });
    expect([...cache?.formats ?? []].toSorted()).toEqual(EVERY_FORMAT);
    expect(warnings).toEqual([]);
  });

  test('every parameter is honoured, and reported as such', () => {
    const { cache, warnings, honoured } = read('  cache: "true"\n  cache_params: { type: local, mode: default_off, ttl: "90", namespace: prod, supported_call_types: [acompletion, embedding], scope: team, max_reply_kb: 64 }');
    expect(cache).toMatchObject({ type: 'local', optIn: true, ttlMs: 90_000, namespace: 'prod', scope: 'team', maxReplyBytes: 65_536 });
    expect([...cache?.formats ?? []].toSorted()).toEqual(['chat', 'embeddings']);
    expect(warnings).toEqual([]);
    expect(honoured).toContain('litellm_settings.cache_params.scope');
  });

  test.each([
    ['{ type: local }', 600_000], ['{ type: redis }', 60_000], ['{ type: local, ttl: 5 }', 5_000], ['{ type: local, ttl: 5, default_in_memory_ttl: 7, default_in_redis_ttl: 9 }', 7_000],
    ['{ ttl: 5, default_in_memory_ttl: 7, default_in_redis_ttl: 9 }', 9_000],
  ])('the time of LiteLLM holds for %s', (params, ttlMs) => {
    expect(read(`  cache: true\n  cache_params: ${params}`).cache).toMatchObject({ ttlMs });
  });

  test.each(['redis-semantic', 'valkey-semantic', 'qdrant-semantic', 's3', 'gcs', 'azure-blob', 'disk'])('the type %s is named as not served, and equal requests are still answered', (type) => {
    const { cache, warnings } = read(`  cache: true\n  cache_params: { type: ${type} }`);
    expect(cache).toMatchObject({ type: 'redis' });
    expect(warnings).toEqual([expect.stringContaining(type)]);
  });

  test('what only LiteLLM does with its parameters is a warning each, also where its variable is missing', () => {
    expect(read('  cache: true\n  cache_params: { host: os.environ/REDIS_HOST, similarity_threshold: 0.8 }').warnings).toEqual([
      expect.stringMatching(/^cache_params\.host: .*does not act on it$/), expect.stringMatching(/^cache_params\.similarity_threshold: /),
    ]);
    expect(read('  cache: true\n  cache_params: { supported_call_types: [acompletion, atranscription] }').warnings).toEqual([expect.stringContaining('atranscription')]);
  });

  test.each([
    ['{ tll: 5 }', 'cache_params.tll: nobody knows this key → ttl'], ['{ mode: default }', 'cache_params.mode: expected "default_on" or "default_off"'], ['{ ttl: -1 }', 'cache_params.ttl: '],
    ['{ ttl: 0 }', 'cache_params.ttl: '], ['{ scope: everybody }', 'cache_params.scope: expected "key", "team" or "shared"'], ['{ type: memcached }', 'cache_params.type: '],
    ['{ supported_call_types: [acompletions] }', 'cache_params.supported_call_types[0]: nobody knows this type of call → acompletion'], ['yes', 'cache_params: expected a mapping'], ['{ max_reply_kb: 0 }', 'cache_params.max_reply_kb: '],
  ])('%s is refused', (params, problem) => {
    expect(read(`  cache: true\n  cache_params: ${params}`).problems).toEqual([expect.stringContaining(problem)]);
  });
});
