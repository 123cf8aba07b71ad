import { resolve } from 'node:path';
import { parseObjectStoreUrl } from '@pointsman/object-store';
import { parseRedisUrl } from '@pointsman/redis';
import { readSettings, setting, SettingsError, telemetryVariables, type SettingsProblem } from '@pointsman/service';
import type { Secret } from '@pointsman/telemetry';
import { z } from 'zod';

const RELOAD_SIGNALS = ['SIGHUP', 'SIGUSR1', 'SIGUSR2'] as const;

const environmentSchema = z.object({
  ...telemetryVariables,
  MODELS_DIR: setting.text().default('/app/models'),
  CONFIG_DIR: setting.text().default('/app/config'),
  CONFIG_PATH: setting.text().optional(),
  RUN_DIR: setting.text().default('/app/run'),
  MODEL_SYNC_INTERVAL: setting.durationMs({ min: 100, max: 86_400_000 }).default(300_000),
  MODEL_VERIFY: setting.oneOf(['require', 'warn', 'off']).default('require'),
  MODEL_SIGNING_PUBLIC_KEYS: setting.list().default([]),
  MODEL_MAX_BYTES: setting.integer({ min: 1 }).default(8 * 1024 ** 3),
  MODEL_CACHE: setting.oneOf(['cluster', 'node', 'off']).default('cluster'),
  MODEL_NODE_CACHE_DIR: setting.text().optional(),
  REDIS_URL: setting.text().optional(),
  OBJECT_STORE_URL: setting.text().optional(),
  S3_BUCKET: setting.text().optional(),
  S3_ENDPOINT: setting.url().optional(),
  RELOAD_SIGNAL: setting.oneOf(RELOAD_SIGNALS).default('SIGHUP'),
  RELOAD_URL: setting.plainUrl('the key is LITELLM_MASTER_KEY').optional(),
  LITELLM_MASTER_KEY: setting.secret().optional(),
  HEALTH_PORT: setting.port().default(8082),
});

/** Everything model-sync takes from its environment, checked and with absolute paths. */
export interface ModelSyncSettings {
  readonly telemetry: z.output<typeof environmentSchema>;
  readonly modelsDir: string;
  readonly configDir: string;
  /** A configuration that was placed by hand, instead of what config-sync publishes under `configDir`. */
  readonly configPath: string | undefined;
  readonly runDir: string;
  readonly intervalMs: number;
  readonly verify: 'require' | 'warn' | 'off';
  /** PEM files. */
  readonly publicKeyFiles: readonly string[];
  readonly maxBytes: number;
  readonly cache: { readonly kind: 'cluster' | 'off' } | { readonly kind: 'node'; readonly directory: string };
  readonly redisUrl: string | undefined;
  readonly objectStoreUrl: string;
  readonly s3Endpoint: string | undefined;
  readonly reload: { readonly kind: 'signal'; readonly signal: (typeof RELOAD_SIGNALS)[number] } | { readonly kind: 'url'; readonly url: string; readonly key: Secret };
  readonly healthPort: number;
  /** Who wrote something into the cache, for those who look there. */
  readonly podName: string;
  /** What `os.environ/NAME` of the configuration refers to. */
  readonly env: Readonly<Record<string, string | undefined>>;
}

/**
 * Reads the settings of model-sync.
 * @throws SettingsError with every problem found, never with a value
 */
export function readModelSyncSettings(env: Readonly<Record<string, string | undefined>>): ModelSyncSettings {
  let read: z.output<typeof environmentSchema>;
  const problems: SettingsProblem[] = [];
  try {
    read = readSettings(environmentSchema, env);
  } catch (error) {
    if (!(error instanceof SettingsError)) throw error;
    problems.push(...error.problems);
    // What is wrong in one variable must not hide what is wrong between others: those are read without it.
    const wrong = new Set(error.problems.map(({ variable }) => variable));
    read = readSettings(environmentSchema, Object.fromEntries(Object.entries(env).filter(([name]) => !wrong.has(name))));
  }
  const given = (variable: string): boolean => !problems.some((problem) => problem.variable === variable);
  const check = (variable: string, holds: boolean, problem: string): void => {
    if (!holds && given(variable)) problems.push({ variable, problem });
  };
  const objectStoreUrl = read.OBJECT_STORE_URL ?? (read.S3_BUCKET === undefined ? undefined : `s3://${read.S3_BUCKET}`);
  check('OBJECT_STORE_URL', objectStoreUrl !== undefined, 'is required (or S3_BUCKET)');
  check('OBJECT_STORE_URL', objectStoreUrl === undefined || holds(() => parseObjectStoreUrl(objectStoreUrl)), 'must be s3://bucket/prefix or file:///absolute/path, without credentials');
  check('REDIS_URL', read.REDIS_URL === undefined || holds(() => parseRedisUrl(read.REDIS_URL ?? '')), 'must be redis://, rediss://, redis+sentinel:// or a comma list of nodes, with what is special in a password percent-encoded');
  check('MODEL_SIGNING_PUBLIC_KEYS', read.MODEL_VERIFY !== 'require' || read.MODEL_SIGNING_PUBLIC_KEYS.length > 0, 'is required with MODEL_VERIFY=require: PEM files with the public keys that models are signed with');
  check('MODEL_NODE_CACHE_DIR', read.MODEL_CACHE !== 'node' || read.MODEL_NODE_CACHE_DIR !== undefined, 'is required with MODEL_CACHE=node: a folder of the machine that its pods share');
  check('LITELLM_MASTER_KEY', read.RELOAD_URL === undefined || read.LITELLM_MASTER_KEY !== undefined, 'is required with RELOAD_URL');
  if (problems.length > 0 || objectStoreUrl === undefined) throw new SettingsError(problems);
  return {
    telemetry: read,
    modelsDir: resolve(read.MODELS_DIR),
    configDir: resolve(read.CONFIG_DIR),
    configPath: read.CONFIG_PATH === undefined ? undefined : resolve(read.CONFIG_PATH),
    runDir: resolve(read.RUN_DIR),
    intervalMs: read.MODEL_SYNC_INTERVAL,
    verify: read.MODEL_VERIFY,
    publicKeyFiles: read.MODEL_SIGNING_PUBLIC_KEYS.map((file) => resolve(file)),
    maxBytes: read.MODEL_MAX_BYTES,
    cache: read.MODEL_CACHE === 'node' ? { kind: 'node', directory: resolve(read.MODEL_NODE_CACHE_DIR ?? '.') } : { kind: read.MODEL_CACHE },
    redisUrl: read.REDIS_URL,
    objectStoreUrl,
    s3Endpoint: read.S3_ENDPOINT,
    reload: read.RELOAD_URL === undefined || read.LITELLM_MASTER_KEY === undefined ? { kind: 'signal', signal: read.RELOAD_SIGNAL } : { kind: 'url', url: read.RELOAD_URL, key: read.LITELLM_MASTER_KEY },
    healthPort: read.HEALTH_PORT,
    podName: read.POD_NAME ?? 'unknown',
    env,
  };
}

function holds(parse: () => unknown): boolean {
  try {
    parse();
    return true;
  } catch {
    return false;
  }
}
