import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { ObjectStore } from '@pointsman/object-store';
import { readSettings, setting, telemetryVariables } from '@pointsman/service';
import { z } from 'zod';
import type { RouterModelsSettings } from './models/open-router-models.ts';

const environmentSchema = z.object({
  ...telemetryVariables,
  PORT: setting.port().default(4000),
  HOST: setting.text().default('0.0.0.0'),
  CONFIG_PATH: setting.text().optional(),
  LITELLM_CONFIG_PATH: setting.text().optional(),
  LITELLM_MASTER_KEY: setting.text().optional(),
  LLM_CANDIDATES_PATH: setting.text().optional(),
  DEGRADED_MODE_PATH: setting.text().optional(),
  DATABASE_URL: setting.text().refine((url) => /^(?:postgres(?:ql)?:\/\/.+|embedded|none)$/.test(url), { error: 'must be postgres://…, embedded or none' }).optional(),
  REDIS_URL: setting.text().refine((url) => /^rediss?(?:\+sentinel|\+cluster)?:\/\/.+$/.test(url), { error: 'must begin with redis://, rediss://, redis+sentinel:// or redis+cluster://' }).optional(),
  OBJECT_STORE_URL: setting.text().refine((url) => /^(?:s3:\/\/|file:\/\/\/).+$/.test(url), { error: 'must be s3://bucket/prefix or file:///folder' }).optional(),
  S3_ENDPOINT: setting.text().optional(),
  S3_BUCKET: setting.text().optional(),
  S3_KEY: setting.text().default('prod/config.yaml'),
  MODELS_DIR: setting.text().default('/app/models'),
  ROUTER_EMBEDDER: setting.oneOf(['static', 'minilm', 'none']).default('static'),
  MINILM_DIR: setting.text().optional(),
  MODEL_MAX_BYTES: setting.integer({ min: 1 }).default(2 * 1024 ** 3),
  MODEL_PREPARE_TIMEOUT_S: setting.decimal({ min: 1, max: 3600 }).default(60),
  ALLOW_CUSTOM_STRATEGY_MODULES: setting.flag().default(false),
  SECRETS_DIR: setting.text().optional(),
  RUN_DIR: setting.text().optional(),
  POINTSMAN_HOME: setting.text().default('.pointsman'),
  SHUTDOWN_STREAM_TIMEOUT_S: setting.decimal({ min: 0, max: 3600 }).default(30),
  SHUTDOWN_DELAY_S: setting.decimal({ min: 0, max: 300 }).default(0),
  CONFIG_POLL_INTERVAL_S: setting.decimal({ min: 0.1, max: 3600 }).default(5),
  REQUEST_HEADERS_TIMEOUT_S: setting.decimal({ min: 0.1, max: 600 }).default(15),
  REQUEST_BODY_TIMEOUT_S: setting.decimal({ min: 0.1, max: 3600 }).default(300),
});

/** Everything the gateway takes from its environment, checked and resolved to absolute paths. */
export interface GatewaySettings {
  readonly telemetry: z.output<typeof environmentSchema>;
  readonly host: string;
  readonly port: number;
  readonly configPath: string;
  /** `llm_candidates.json` beside the config, or `LLM_CANDIDATES_PATH`. */
  readonly candidatesPath: string | undefined;
  /** `DEGRADED_MODE_PATH`; undefined: `degraded-mode.yaml` beside the config. One that is not there means its defaults. */
  readonly degradedModePath: string | undefined;
  /** `postgres://…`; `embedded`: a database of this machine under `home`; `none`: no keys but the master key. */
  readonly database: { readonly kind: 'postgres'; readonly url: string } | { readonly kind: 'embedded' | 'none' };
  /** Undefined: limits and cache in the memory of this process. */
  readonly redisUrl: string | undefined;
  readonly masterKey: string | undefined;
  readonly models: RouterModelsSettings;
  /** Where what is learned online is kept: `bandit/{environment}/{group}.json` of the object store; undefined: beside Redis nowhere, without Redis under `home`. */
  readonly bandit: { readonly environment: string; readonly openStore: (() => Promise<ObjectStore>) | undefined };
  /** Whether the configuration may name JavaScript modules as strategies: they are code that runs in this process. */
  readonly allowStrategyModules: boolean;
  readonly runDir: string;
  readonly home: string;
  /** How long running streams may go on after SIGTERM. */
  readonly drainLimitMs: number;
  /** How long a draining gateway keeps answering 503 although nothing runs any more, so that balancers notice. */
  readonly drainDelayMs: number;
  readonly configPollMs: number;
  readonly requestHeadersTimeoutMs: number;
  readonly requestBodyTimeoutMs: number;
  /** A folder with a file per variable, over the environment; what changes there is taken over while running. */
  readonly secretsDirectory: string | undefined;
  /** The environment that `os.environ/NAME` of the configuration refers to. */
  readonly env: Readonly<Record<string, string | undefined>>;
}

/**
 * Reads the gateway's settings.
 * @throws SettingsError with every problem found.
 */
export function readGatewaySettings(env: Readonly<Record<string, string | undefined>>): GatewaySettings {
  const read = readSettings(environmentSchema, env);
  const home = resolve(read.POINTSMAN_HOME);
  const configured = read.CONFIG_PATH ?? read.LITELLM_CONFIG_PATH;
  // What config-sync published there, or a file that somebody has put there.
  const inHome = [join(home, 'config', 'config.yaml'), join(home, 'config.yaml')].find((path) => existsSync(path));
  const configPath = resolve(configured ?? inHome ?? '/app/config/config.yaml');
  return {
    telemetry: read,
    host: read.HOST,
    port: read.PORT,
    configPath,
    degradedModePath: read.DEGRADED_MODE_PATH === undefined ? undefined : resolve(read.DEGRADED_MODE_PATH),
    database: databaseOf(read.DATABASE_URL),
    redisUrl: read.REDIS_URL,
    candidatesPath: read.LLM_CANDIDATES_PATH === undefined ? undefined : resolve(read.LLM_CANDIDATES_PATH),
    masterKey: read.LITELLM_MASTER_KEY,
    models: {
      modelsDir: resolve(read.MODELS_DIR), embedder: read.ROUTER_EMBEDDER, minilmDirectory: read.MINILM_DIR === undefined ? undefined : resolve(read.MINILM_DIR),
      maxBytes: read.MODEL_MAX_BYTES, prepareTimeoutMs: read.MODEL_PREPARE_TIMEOUT_S * 1000,
    },
    bandit: {
      // The folder of the published configuration is the name of the environment.
      environment: read.S3_KEY.split('/').at(-2) ?? 'prod',
      openStore: storeOf(read),
    },
    allowStrategyModules: read.ALLOW_CUSTOM_STRATEGY_MODULES,
    secretsDirectory: read.SECRETS_DIR === undefined ? undefined : resolve(read.SECRETS_DIR),
    runDir: resolve(read.RUN_DIR ?? (existsSync('/app/run') ? '/app/run' : join(home, 'run'))),
    home,
    drainLimitMs: read.SHUTDOWN_STREAM_TIMEOUT_S * 1000,
    drainDelayMs: read.SHUTDOWN_DELAY_S * 1000,
    configPollMs: read.CONFIG_POLL_INTERVAL_S * 1000,
    requestHeadersTimeoutMs: read.REQUEST_HEADERS_TIMEOUT_S * 1000,
    requestBodyTimeoutMs: read.REQUEST_BODY_TIMEOUT_S * 1000,
    env,
  };
}

function databaseOf(url: string | undefined): GatewaySettings['database'] {
  if (url === undefined || url === 'embedded') return { kind: 'embedded' };
  return url === 'none' ? { kind: 'none' } : { kind: 'postgres', url };
}

/** The SDK of a store is loaded when the first one is opened: a gateway that learns nothing online never loads it. */
function storeOf({ OBJECT_STORE_URL, S3_BUCKET, S3_ENDPOINT: endpoint }: { readonly OBJECT_STORE_URL?: string | undefined; readonly S3_BUCKET?: string | undefined; readonly S3_ENDPOINT?: string | undefined }): GatewaySettings['bandit']['openStore'] {
  const url = OBJECT_STORE_URL ?? (S3_BUCKET === undefined ? undefined : `s3://${S3_BUCKET}`);
  return url === undefined ? undefined : async () => (await import('@pointsman/object-store')).openObjectStore(url, endpoint === undefined ? {} : { endpoint });
}
