import { hostname } from 'node:os';
import { resolve } from 'node:path';
import { parseObjectStoreUrl } from '@pointsman/object-store';
import { readSettings, setting, SettingsError, telemetryVariables, type SettingsProblem } from '@pointsman/service';
import { z } from 'zod';

const MIB = 1024 * 1024;
const LOCAL_HOSTS: ReadonlySet<string> = new Set(['localhost', '127.0.0.1', '[::1]', '0.0.0.0', '[::]']);

const environmentSchema = z.object({
  ...telemetryVariables,
  OTLP_PORT: setting.port().default(4318),
  OTLP_HOST: setting.text().default('127.0.0.1'),
  TRACES_BUCKET_URL: setting.text().optional(),
  OBJECT_STORE_URL: setting.text().optional(),
  S3_BUCKET: setting.text().optional(),
  S3_ENDPOINT: setting.url().optional(),
  FLUSH_INTERVAL: setting.durationMs({ min: 50, max: 3_600_000 }).default(60_000),
  JOIN_WINDOW: setting.durationMs({ min: 0, max: 86_400_000 }).default(600_000),
  SPOOL_DIR: setting.text().default('/app/spool'),
  SPOOL_MAX_BYTES: setting.integer({ min: 64 * 1024, max: 2 ** 40 }).default(512 * MIB),
  FORWARD_OTLP_ENDPOINT: setting.url().optional(),
  FORWARD_OTLP_HEADERS: setting.pairs().optional(),
  HEALTH_PORT: setting.port().default(8084),
  HEALTH_HOST: setting.text().optional(),
});

/** Everything trace-exporter takes from its environment, checked and resolved. Credentials of the store are found by the AWS SDK. */
export interface TraceExporterSettings {
  readonly telemetry: z.output<typeof environmentSchema>;
  /** 0 picks a free port. */
  readonly otlpPort: number;
  /** The pod alone by default: the receiver asks nobody who they are. */
  readonly otlpHost: string;
  readonly storeUrl: string;
  readonly storeEndpoint: string | undefined;
  /** Rows of so many milliseconds become one object. */
  readonly flushIntervalMs: number;
  /** How long rows wait for feedback before they are written. */
  readonly joinWindowMs: number;
  /** Of this pod alone. */
  readonly spoolDir: string;
  readonly spoolMaxBytes: number;
  readonly forward: { readonly endpoint: string; readonly headers: Readonly<Record<string, string>> } | undefined;
  readonly podName: string;
  readonly healthPort: number;
  /** All interfaces when undefined. */
  readonly healthHost: string | undefined;
}

/** Reads the settings. @throws SettingsError with every problem found, never with a value. */
export function readTraceExporterSettings(env: Readonly<Record<string, string | undefined>>): TraceExporterSettings {
  const problems = problemsBetweenVariables(env);
  let read: z.output<typeof environmentSchema>;
  try {
    read = readSettings(environmentSchema, env);
  } catch (error) {
    if (error instanceof SettingsError) throw new SettingsError([...error.problems, ...problems]);
    throw error;
  }
  if (problems.length > 0) throw new SettingsError(problems);
  const { FORWARD_OTLP_ENDPOINT: endpoint } = read;
  return {
    telemetry: read,
    otlpPort: read.OTLP_PORT,
    otlpHost: read.OTLP_HOST,
    storeUrl: read.TRACES_BUCKET_URL ?? read.OBJECT_STORE_URL ?? `s3://${read.S3_BUCKET ?? ''}`,
    storeEndpoint: read.S3_ENDPOINT,
    flushIntervalMs: read.FLUSH_INTERVAL,
    joinWindowMs: read.JOIN_WINDOW,
    spoolDir: resolve(read.SPOOL_DIR),
    spoolMaxBytes: read.SPOOL_MAX_BYTES,
    forward: endpoint === undefined ? undefined : { endpoint, headers: read.FORWARD_OTLP_HEADERS ?? {} },
    podName: read.POD_NAME ?? hostname(),
    healthPort: read.HEALTH_PORT,
    healthHost: read.HEALTH_HOST,
  };
}

function problemsBetweenVariables(env: Readonly<Record<string, string | undefined>>): readonly SettingsProblem[] {
  const value = (name: string): string | undefined => (env[name]?.trim() === '' ? undefined : env[name]?.trim());
  const problems: SettingsProblem[] = [];
  const variable = ['TRACES_BUCKET_URL', 'OBJECT_STORE_URL', 'S3_BUCKET'].find((name) => value(name) !== undefined);
  if (variable === undefined) {
    problems.push({ variable: 'TRACES_BUCKET_URL', problem: 'is required, or OBJECT_STORE_URL, or S3_BUCKET' });
  } else {
    try {
      parseObjectStoreUrl(variable === 'S3_BUCKET' ? `s3://${value(variable) ?? ''}` : value(variable) ?? '');
    } catch (error) {
      // The parser's messages hold nothing of what it was given.
      problems.push({ variable, problem: error instanceof Error ? error.message : 'cannot be read' });
    }
  }
  const forward = value('FORWARD_OTLP_ENDPOINT');
  if (forward !== undefined && URL.canParse(forward)) {
    const { hostname: host, port } = new URL(forward);
    if (LOCAL_HOSTS.has(host) && port === (value('OTLP_PORT') ?? '4318')) problems.push({ variable: 'FORWARD_OTLP_ENDPOINT', problem: 'is this receiver itself' });
  }
  return problems;
}
