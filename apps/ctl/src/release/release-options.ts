import { readFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { AppError } from '@pointsman/errors';
import { createGatewayReader, createPrometheusReader, parseGateways, type GatewayReader } from '@pointsman/rollout';
import { Option, type Command } from 'commander';
import { readingFile } from '../check-config.ts';
import type { CommandContext } from '../command-context.ts';

export interface StoreOptions {
  readonly store?: string;
  readonly key: string;
}
export interface ReplicaOptions {
  readonly gateways?: string;
  readonly apiKeyFile?: string;
}
export interface PrometheusOptions {
  readonly prometheus?: string;
  readonly prometheusMatch?: string;
}
export interface ActorOptions {
  readonly actor?: string;
  readonly database?: string;
  readonly audit: 'require' | 'best-effort';
}

export function withStore(command: Command): Command {
  return command
    .option('--store <url>', 'the object store, s3://bucket/prefix or file:///dir; else OBJECT_STORE_URL, with S3_ENDPOINT and AWS_* as config-sync has them')
    .option('--key <key>', 'S3_KEY of config-sync: its folder is the environment', 'prod/config.yaml');
}

export function withReplicas(command: Command): Command {
  return command
    .option('--gateways <urls>', 'every replica by itself: http://10.0.0.7:4000,… or a headless service: dns://gateway-headless:4000')
    .option('--api-key-file <file>', 'the file with the master key, which lets replicas tell what they refused; else LITELLM_MASTER_KEY');
}

export function withPrometheus(command: Command): Command {
  return command
    .addOption(new Option('--prometheus <url>', 'ask a Prometheus that scrapes the gateways, instead of them').conflicts('gateways'))
    .option('--prometheus-match <matchers>', 'label matchers for the gateways of this environment: namespace="prod"');
}

export function withActor(command: Command): Command {
  return command
    .option('--actor <name>', 'who does it, for the release and the audit log; else $USER@host')
    .option('--database <url>', 'the database of the audit log, postgres://… or "embedded"; else DATABASE_URL')
    .addOption(new Option('--audit <mode>', 'whether nothing begins without the audit log').choices(['require', 'best-effort']).default('require'));
}

/** The reader that the options name; undefined without any. @throws AppError `invalid_request`, `not_found` */
export async function readerOf({ gateways, apiKeyFile, prometheus, prometheusMatch }: ReplicaOptions & PrometheusOptions, env: CommandContext['env']): Promise<GatewayReader | undefined> {
  if (prometheus !== undefined) return createPrometheusReader({ url: prometheus, ...(prometheusMatch === undefined ? {} : { match: prometheusMatch }) });
  if (gateways === undefined) return undefined;
  return createGatewayReader({ gateways: parseGateways(gateways), adminKey: await adminKeyOf(apiKeyFile, env) });
}

async function adminKeyOf(file: string | undefined, env: CommandContext['env']): Promise<string | undefined> {
  const key = file === undefined ? env['LITELLM_MASTER_KEY'] : (await readingFile(file, readFile(file, 'utf8'))).trim();
  if (key === undefined || key === '') return undefined;
  if (!/^[\x21-\x7e]{1,512}$/.test(key)) throw new AppError('invalid_request', 'invalid_api_key', `${file === undefined ? 'LITELLM_MASTER_KEY' : file} holds no key`);
  return key;
}

/** @throws AppError `invalid_request` for a name that no log should hold. */
export function actorOf(actor: string | undefined, env: CommandContext['env']): string {
  const name = actor ?? `${env['USER'] ?? env['LOGNAME'] ?? 'unknown'}@${hostname()}`;
  if (name.length > 200 || !/^[^\p{Cc}\p{Cf}]+$/u.test(name)) throw new AppError('invalid_request', 'invalid_actor', '--actor expects a name of up to 200 characters on one line');
  return name;
}

export function checkConfigKey(key: string): void {
  if (!key.endsWith('.yaml') && !key.endsWith('.yml')) throw new AppError('invalid_request', 'invalid_key', '--key expects the key of the configuration, such as prod/config.yaml');
}
