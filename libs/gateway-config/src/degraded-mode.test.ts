import { expect, test } from 'vitest';
import { ConfigRejectedError } from './config-rejected-error.ts';
import { DEFAULT_DEGRADED_MODE, parseDegradedMode } from './degraded-mode.ts';

const DIGEST = 'A'.repeat(64);

test('everything is read, and a bare off is off', () => {
  expect(parseDegradedMode(`fallback_keys: [${DIGEST}]\nfallback_key_ttl_s: 10m\nmemory_cache_mb: 1\non_redis_down: { rate_limits: off }\nbreaker: { failures: 2, half_open_after_s: 0.5 }`)).toEqual({
    fallbackKeys: new Set([DIGEST.toLowerCase()]), fallbackKeyTtlMs: 600_000, memoryCacheBytes: 1_048_576, rateLimitsWithoutRedis: 'off', breaker: { failures: 2, halfOpenAfterMs: 500 },
  });
  expect(parseDegradedMode('on_redis_down: { rate_limits: local }').rateLimitsWithoutRedis).toBe('local');
});

test.each(['', '# only a comment\n\n', 'breaker: {}'])('what is not said has its default (%j)', (text) => {
  expect(parseDegradedMode(text)).toEqual(DEFAULT_DEGRADED_MODE);
});

test.each([
  ['memory_cache: 5', 'memory_cache', 'memory_cache_mb'],
  ['breaker: { failure: 1 }', 'breaker.failure', 'failures'],
  ['on_redis_down: { rate_limit: off }', 'on_redis_down.rate_limit', 'rate_limits'],
])('a misspelt key is refused with the right one (%s)', (text, path, suggestion) => {
  expect(() => parseDegradedMode(text)).toThrow(ConfigRejectedError);
  try {
    parseDegradedMode(text);
  } catch (error) {
    expect(error).toMatchObject({ problems: [{ path, suggestion, line: 1 }] });
  }
});

test.each(['fallback_keys: [sk-a-real-key]', 'on_redis_down: { rate_limits: sometimes }', 'breaker: { failures: 0 }', 'breaker: 5', '- a', 'fallback_keys: [', 'memory_cache_mb: -1'])('%s is refused without showing it', (text) => {
  expect(() => parseDegradedMode(text)).toThrow(ConfigRejectedError);
  expect(() => parseDegradedMode(text)).not.toThrow(/sk-a-real-key/);
});
