import { z } from 'zod';
import { ConfigRejectedError } from './config-rejected-error.ts';
import { checkKeys, problemsOf, type Findings } from './findings.ts';
import type { ConfigProblem } from './gateway-config.ts';
import { showPath, type Path } from './path.ts';
import { readYaml } from './read-yaml.ts';
import { durationSetting, expected, numberSetting, setting } from './setting.ts';

const breakerShape = {
  failures: setting(numberSetting({ min: 1, integer: true }), { description: 'Failures in a row that open the breaker of a dependency.', default: 5 }),
  half_open_after_s: setting(durationSetting({ positive: true }), { description: 'Seconds until an open breaker lets one call through.', default: 60 }),
};
const onRedisDownShape = {
  rate_limits: setting(z.enum(['off', 'local'], { error: 'expected "off" or "local"' }), { description: '`off`: no limits; `local`: each replica counts for itself.', default: 'off' }),
};

/** `degraded-mode.yaml`: what holds while a dependency is away. */
export const degradedModeShape = {
  fallback_keys: setting(z.array(z.string().regex(/^[0-9a-fA-F]{64}$/, { error: 'expected the SHA-256 of a key in 64 hex digits, not the key' }), { error: expected('a list of SHA-256 digests') }), { description: 'SHA-256 of keys that are accepted while the database is away and nothing is cached.' }),
  fallback_key_ttl_s: setting(durationSetting(), { description: 'How long a key that the database once confirmed is trusted without it.', default: 3600 }),
  memory_cache_mb: setting(numberSetting({ min: 0, max: 65_536 }), { description: 'Memory for what Redis would hold.', default: 100 }),
  on_redis_down: setting(z.object(onRedisDownShape, { error: expected('a mapping with rate_limits') }), { description: 'What holds while Redis is away.' }),
  breaker: setting(z.object(breakerShape, { error: expected('a mapping with failures and half_open_after_s') }), { description: 'Circuit breaker of each dependency.' }),
};

export interface DegradedMode {
  /** SHA-256 of keys, lower-case hex. */
  readonly fallbackKeys: ReadonlySet<string>;
  readonly fallbackKeyTtlMs: number;
  readonly memoryCacheBytes: number;
  readonly rateLimitsWithoutRedis: 'off' | 'local';
  readonly breaker: { readonly failures: number; readonly halfOpenAfterMs: number };
}

/** What holds where there is no `degraded-mode.yaml`. */
export const DEFAULT_DEGRADED_MODE: DegradedMode = {
  fallbackKeys: new Set(), fallbackKeyTtlMs: 3_600_000, memoryCacheBytes: 100 * 1024 * 1024, rateLimitsWithoutRedis: 'off', breaker: { failures: 5, halfOpenAfterMs: 60_000 },
};

/** Reads the text of a `degraded-mode.yaml`. A file without content means the defaults. Throws `ConfigRejectedError` with every problem. */
export function parseDegradedMode(text: string, path = 'degraded-mode.yaml'): DegradedMode {
  if (text.split('\n').every((line) => /^\s*(#|$)/.test(line))) return DEFAULT_DEGRADED_MODE;
  const outcome = readYaml({ path, text });
  if ('problems' in outcome) throw new ConfigRejectedError(outcome.problems);
  const { file } = outcome;
  const findings: Findings = { problems: [], warnings: [], honoured: [] };
  const root: Record<string, unknown> = { ...file.root };
  // PyYAML and this reader follow YAML 1.1, where a bare `off` is false.
  const onRedisDown = root['on_redis_down'];
  if (typeof onRedisDown === 'object' && onRedisDown !== null && 'rate_limits' in onRedisDown && onRedisDown.rate_limits === false) root['on_redis_down'] = { ...onRedisDown, rate_limits: 'off' };
  checkKeys(root, [], { known: Object.keys(degradedModeShape) }, findings);
  if (typeof root['breaker'] === 'object' && root['breaker'] !== null) checkKeys({ ...root['breaker'] }, ['breaker'], { known: Object.keys(breakerShape) }, findings);
  if (typeof onRedisDown === 'object' && onRedisDown !== null) checkKeys({ ...onRedisDown }, ['on_redis_down'], { known: Object.keys(onRedisDownShape) }, findings);
  const result = z.object(degradedModeShape).safeParse(root);
  if (!result.success) findings.problems.push(...problemsOf(result.error, []));
  if (findings.problems.length > 0 || !result.success) throw new ConfigRejectedError(findings.problems.map(({ path: at, ...problem }) => located(at, problem, path, file.locate)));
  const { data } = result;
  return {
    fallbackKeys: new Set((data.fallback_keys ?? []).map((key) => key.toLowerCase())),
    fallbackKeyTtlMs: data.fallback_key_ttl_s ?? DEFAULT_DEGRADED_MODE.fallbackKeyTtlMs,
    memoryCacheBytes: data.memory_cache_mb === undefined ? DEFAULT_DEGRADED_MODE.memoryCacheBytes : Math.floor(data.memory_cache_mb * 1024 * 1024),
    rateLimitsWithoutRedis: data.on_redis_down?.rate_limits ?? DEFAULT_DEGRADED_MODE.rateLimitsWithoutRedis,
    breaker: {
      failures: data.breaker?.failures ?? DEFAULT_DEGRADED_MODE.breaker.failures,
      halfOpenAfterMs: data.breaker?.half_open_after_s ?? DEFAULT_DEGRADED_MODE.breaker.halfOpenAfterMs,
    },
  };
}

function located(at: Path, problem: Omit<ConfigProblem, 'path'>, file: string, locate: (path: Path) => { readonly line: number; readonly column: number } | undefined): ConfigProblem {
  return { path: showPath(at), ...problem, file, ...locate(at) };
}
