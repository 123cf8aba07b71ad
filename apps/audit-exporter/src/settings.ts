import { createPrivateKey, type KeyObject } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { resolve } from 'node:path';
import { parseObjectStoreUrl, type ServerSideEncryption } from '@pointsman/object-store';
import { parseRedisUrl } from '@pointsman/redis';
import { readSettings, setting, SettingsError, telemetryVariables, type SettingsProblem } from '@pointsman/service';
import { z } from 'zod';

const environmentSchema = z.object({
  ...telemetryVariables,
  AUDIT_BUCKET_URL: setting.text().optional(),
  OBJECT_STORE_URL: setting.text().optional(),
  S3_BUCKET: setting.text().optional(),
  S3_ENDPOINT: setting.url().optional(),
  AUDIT_EXPORT_INTERVAL: setting.durationMs({ min: 100, max: 31 * 86_400_000 }).default(86_400_000),
  AUDIT_EXPORT_ONCE_TIMEOUT: setting.durationMs({ min: 100, max: 86_400_000 }).default(600_000),
  AUDIT_RETENTION_DAYS: setting.integer({ min: 1, max: 36_500 }).optional(),
  AUDIT_SSE: setting.oneOf(['AES256', 'aws:kms', 'off']).default('AES256'),
  AUDIT_SIGNING_KEY: setting.text().optional(),
  AUDIT_PART_ROWS: setting.integer({ min: 1, max: 10_000 }).default(10_000),
  AUDIT_LOCK_TTL: setting.durationMs({ min: 100, max: 3_600_000 }).default(30_000),
  DATABASE_URL: setting.text().refine((url) => /^(?:postgres(?:ql)?:\/\/.+|embedded|none)$/.test(url), { error: 'must be postgres://…, embedded or none' }).default('embedded'),
  POINTSMAN_HOME: setting.text().default('.pointsman'),
  REDIS_URL: setting.text().optional(),
  HEALTH_PORT: setting.port().default(8083),
  HEALTH_HOST: setting.text().optional(),
});

export type DatabasePlace = { readonly kind: 'postgres'; readonly url: string } | { readonly kind: 'embedded'; readonly home: string } | { readonly kind: 'none' };

/** Everything the exporter takes from its environment, checked and resolved. Credentials of the store are found by the AWS SDK. */
export interface AuditExporterSettings {
  readonly telemetry: z.output<typeof environmentSchema>;
  readonly storeUrl: string;
  readonly storeEndpoint: string | undefined;
  readonly sse: ServerSideEncryption | undefined;
  readonly retentionDays: number | undefined;
  /** An Ed25519 private key. */
  readonly signingKey: KeyObject | undefined;
  readonly database: DatabasePlace;
  readonly redisUrl: string | undefined;
  readonly intervalMs: number;
  /** How long `--once` tries. */
  readonly onceTimeoutMs: number;
  /** Most rows of one file. */
  readonly partRows: number;
  /** How long the lock outlives an exporter that was killed. */
  readonly lockTtlMs: number;
  readonly podName: string;
  readonly healthPort: number;
  /** All interfaces when undefined. */
  readonly healthHost: string | undefined;
}

/** Reads the settings. @throws SettingsError with every problem found, never with a value. */
export function readAuditExporterSettings(env: Readonly<Record<string, string | undefined>>): AuditExporterSettings {
  const problems: SettingsProblem[] = [];
  const signingKey = readSigningKey(valueOf(env, 'AUDIT_SIGNING_KEY'), problems);
  problems.push(...problemsBetweenVariables(env));
  let read: z.output<typeof environmentSchema>;
  try {
    read = readSettings(environmentSchema, env);
  } catch (error) {
    if (error instanceof SettingsError) throw new SettingsError([...error.problems, ...problems]);
    throw error;
  }
  if (problems.length > 0) throw new SettingsError(problems);
  return {
    telemetry: read,
    storeUrl: read.AUDIT_BUCKET_URL ?? read.OBJECT_STORE_URL ?? `s3://${read.S3_BUCKET ?? ''}`,
    storeEndpoint: read.S3_ENDPOINT,
    sse: read.AUDIT_SSE === 'off' ? undefined : read.AUDIT_SSE,
    retentionDays: read.AUDIT_RETENTION_DAYS,
    signingKey,
    database: read.DATABASE_URL === 'none' ? { kind: 'none' } : read.DATABASE_URL === 'embedded' ? { kind: 'embedded', home: resolve(read.POINTSMAN_HOME) } : { kind: 'postgres', url: read.DATABASE_URL },
    redisUrl: read.REDIS_URL,
    intervalMs: read.AUDIT_EXPORT_INTERVAL,
    onceTimeoutMs: read.AUDIT_EXPORT_ONCE_TIMEOUT,
    partRows: read.AUDIT_PART_ROWS,
    lockTtlMs: Math.ceil(read.AUDIT_LOCK_TTL),
    podName: read.POD_NAME ?? hostname(),
    healthPort: read.HEALTH_PORT,
    healthHost: read.HEALTH_HOST,
  };
}

function valueOf(env: Readonly<Record<string, string | undefined>>, name: string): string | undefined {
  const value = env[name]?.trim();
  return value === '' ? undefined : value;
}

function readSigningKey(path: string | undefined, problems: SettingsProblem[]): KeyObject | undefined {
  if (path === undefined) return undefined;
  let pem: string;
  try {
    pem = readFileSync(path, 'utf8');
  } catch {
    problems.push({ variable: 'AUDIT_SIGNING_KEY', problem: 'must be the path of a file that can be read' });
    return undefined;
  }
  try {
    const key = createPrivateKey(pem);
    if (key.asymmetricKeyType === 'ed25519') return key;
  } catch {
    // Said below; the reason of the parser may hold parts of the key.
  }
  problems.push({ variable: 'AUDIT_SIGNING_KEY', problem: 'must be a PEM file with an Ed25519 private key, such as openssl genpkey -algorithm ed25519 makes' });
  return undefined;
}

function problemsBetweenVariables(env: Readonly<Record<string, string | undefined>>): readonly SettingsProblem[] {
  const problems: SettingsProblem[] = [];
  const variable = ['AUDIT_BUCKET_URL', 'OBJECT_STORE_URL', 'S3_BUCKET'].find((name) => valueOf(env, name) !== undefined);
  const value = variable === undefined ? undefined : valueOf(env, variable);
  if (variable === undefined || value === undefined) problems.push({ variable: 'AUDIT_BUCKET_URL', problem: 'is required, or OBJECT_STORE_URL or S3_BUCKET' });
  else {
    problems.push(...problemOf(variable, () => {
      const place = parseObjectStoreUrl(variable === 'S3_BUCKET' ? `s3://${value}` : value);
      if (place.kind === 'directory' && valueOf(env, 'AUDIT_RETENTION_DAYS') !== undefined) problems.push({ variable: 'AUDIT_RETENTION_DAYS', problem: 'needs a bucket with Object Lock: a folder cannot keep anybody from deleting' });
    }));
  }
  const redis = valueOf(env, 'REDIS_URL');
  if (redis !== undefined) problems.push(...problemOf('REDIS_URL', () => parseRedisUrl(redis)));
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
