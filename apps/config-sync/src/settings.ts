import { hostname } from 'node:os';
import { resolve } from 'node:path';
import { parseObjectStoreUrl } from '@pointsman/object-store';
import { parseRedisUrl } from '@pointsman/redis';
import { readSettings, setting, SettingsError, telemetryVariables, type SettingsProblem } from '@pointsman/service';
import type { Secret } from '@pointsman/telemetry';
import { z } from 'zod';

const environmentSchema = z.object({
  ...telemetryVariables,
  OBJECT_STORE_URL: setting.text().optional(),
  S3_BUCKET: setting.text().optional(),
  S3_ENDPOINT: setting.url().optional(),
  S3_KEY: setting.text().default('prod/config.yaml').refine((key) => key.length <= 900 && key.split('/').every((segment) => !['', '.', '..'].includes(segment)), { error: 'must be the key of an object such as prod/config.yaml, without a leading slash, empty segments or ..' }),
  CONFIG_DIR: setting.text().default('/app/config'),
  CONFIG_SYNC_INTERVAL: setting.durationMs({ min: 100, max: 86_400_000 }).default(60_000),
  CONFIG_SYNC_ONCE_TIMEOUT: setting.durationMs({ min: 100, max: 86_400_000 }).default(120_000),
  RELOAD_SIGNAL: setting.oneOf(['SIGHUP', 'SIGUSR1', 'SIGUSR2']).default('SIGHUP'),
  RELOAD_URL: setting.plainUrl('the key is LITELLM_MASTER_KEY').optional(),
  LITELLM_MASTER_KEY: setting.secret().optional(),
  RUN_DIR: setting.text().default('/app/run'),
  REDIS_URL: setting.text().optional(),
  HEALTH_PORT: setting.port().default(8081),
  HEALTH_HOST: setting.text().optional(),
});

/** Everything config-sync takes from its environment, checked and resolved. Credentials of the store are found by the AWS SDK. */
export interface ConfigSyncSettings {
  readonly telemetry: z.output<typeof environmentSchema>;
  readonly storeUrl: string;
  readonly storeEndpoint: string | undefined;
  /** The key of the stable configuration where no `release.json` says otherwise; its folder holds `release.json`. */
  readonly configKey: string;
  readonly configDir: string;
  readonly intervalMs: number;
  /** How long `--once` tries. */
  readonly onceTimeoutMs: number;
  /** How the gateway is told: by its address, or by a signal to the process in `runDir/gateway.pid`. */
  readonly reload: { readonly kind: 'url'; readonly url: string; readonly key: Secret } | { readonly kind: 'signal'; readonly signal: NodeJS.Signals; readonly runDir: string };
  readonly redisUrl: string | undefined;
  readonly podName: string;
  readonly healthPort: number;
  /** All interfaces when undefined. */
  readonly healthHost: string | undefined;
}

/** Reads the settings. @throws SettingsError with every problem found, never with a value. */
export function readConfigSyncSettings(env: Readonly<Record<string, string | undefined>>): ConfigSyncSettings {
  const problems = problemsBetweenVariables(env);
  let read: z.output<typeof environmentSchema>;
  try {
    read = readSettings(environmentSchema, env, { aliases: { CONFIG_SYNC_INTERVAL: ['POLL_INTERVAL'] } });
  } catch (error) {
    if (error instanceof SettingsError) throw new SettingsError([...error.problems, ...problems]);
    throw error;
  }
  if (problems.length > 0) throw new SettingsError(problems);
  const { RELOAD_URL: url, LITELLM_MASTER_KEY: key } = read;
  return {
    telemetry: read,
    storeUrl: read.OBJECT_STORE_URL ?? `s3://${read.S3_BUCKET ?? ''}`,
    storeEndpoint: read.S3_ENDPOINT,
    configKey: read.S3_KEY,
    configDir: resolve(read.CONFIG_DIR),
    intervalMs: read.CONFIG_SYNC_INTERVAL,
    onceTimeoutMs: read.CONFIG_SYNC_ONCE_TIMEOUT,
    reload: url === undefined || key === undefined ? { kind: 'signal', signal: read.RELOAD_SIGNAL, runDir: resolve(read.RUN_DIR) } : { kind: 'url', url, key },
    redisUrl: read.REDIS_URL,
    podName: read.POD_NAME ?? hostname(),
    healthPort: read.HEALTH_PORT,
    healthHost: read.HEALTH_HOST,
  };
}

function problemsBetweenVariables(env: Readonly<Record<string, string | undefined>>): readonly SettingsProblem[] {
  const value = (name: string): string | undefined => (env[name]?.trim() === '' ? undefined : env[name]?.trim());
  const problems: SettingsProblem[] = [];
  const bucket = value('S3_BUCKET');
  const store = value('OBJECT_STORE_URL') ?? (bucket === undefined ? undefined : `s3://${bucket}`);
  if (store === undefined) problems.push({ variable: 'OBJECT_STORE_URL', problem: 'is required, or S3_BUCKET' });
  else problems.push(...problemOf(value('OBJECT_STORE_URL') === undefined ? 'S3_BUCKET' : 'OBJECT_STORE_URL', () => parseObjectStoreUrl(store)));
  const redis = value('REDIS_URL');
  if (redis !== undefined) problems.push(...problemOf('REDIS_URL', () => parseRedisUrl(redis)));
  if (value('RELOAD_URL') !== undefined && value('LITELLM_MASTER_KEY') === undefined) problems.push({ variable: 'LITELLM_MASTER_KEY', problem: 'is required with RELOAD_URL' });
  return problems;
}

/** The parsers' messages hold nothing of what they were given. */
function problemOf(variable: string, parse: () => unknown): readonly SettingsProblem[] {
  try {
    parse();
    return [];
  } catch (error) {
    return [{ variable, problem: error instanceof Error ? error.message : 'cannot be read' }];
  }
}
