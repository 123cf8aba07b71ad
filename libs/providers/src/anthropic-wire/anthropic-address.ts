import { isJsonObject } from '@pointsman/schemas';
import type { DeploymentSettings } from '../provider.ts';
import { AppError } from '@pointsman/errors';

const DEFAULT_BASE = 'https://api.anthropic.com';
/** https://docs.anthropic.com/en/api/versioning */
export const ANTHROPIC_VERSION = '2023-06-01';

export interface AnthropicAddress {
  /** Without `/v1` and without a trailing slash. */
  readonly baseUrl: string;
  /** Credentials, version and the deployment's own beta features; lower-case names. */
  readonly headers: Readonly<Record<string, string>>;
  /** The credential, to be masked in messages. */
  readonly secret: string;
}

/**
 * Where a deployment of the Anthropic API is and how it is called. `api_base` may be given with or without `/v1` or `/v1/messages`.
 * A key of the form `sk-ant-oat…` and `ANTHROPIC_AUTH_TOKEN` go as bearer tokens, every other key as `x-api-key`.
 * @throws AppError `invalid_deployment` when there is no credential or the base is not a URL.
 */
export function anthropicAddress(deployment: DeploymentSettings, env: Readonly<Record<string, string | undefined>>): AnthropicAddress {
  const { provider, model, params } = deployment;
  const isAnthropic = provider === 'anthropic';
  const base = (deployment.apiBase ?? (isAnthropic ? set(env['ANTHROPIC_API_BASE']) ?? set(env['ANTHROPIC_BASE_URL']) : undefined) ?? DEFAULT_BASE).replace(/\/+$/, '').replace(/\/v1(?:\/messages)?$/, '');
  if (!URL.canParse(base)) throw new AppError('invalid_request', 'invalid_deployment', `The deployment ${provider}/${model} has an api_base that is not a URL.`);
  const extra = params['extra_headers'];
  const beta = isJsonObject(extra) ? Object.entries(extra).find(([name]) => name.toLowerCase() === 'anthropic-beta')?.[1] : undefined;
  const common = { 'anthropic-version': ANTHROPIC_VERSION, ...(typeof beta === 'string' ? { 'anthropic-beta': beta } : {}) };

  const key = deployment.apiKey ?? (isAnthropic ? set(env['ANTHROPIC_API_KEY']) : undefined);
  const token = deployment.apiKey === undefined && isAnthropic ? set(env['ANTHROPIC_AUTH_TOKEN']) : undefined;
  if (token !== undefined) return { baseUrl: base, headers: { authorization: `Bearer ${token}`, ...common }, secret: token };
  if (key === undefined) throw new AppError('invalid_request', 'invalid_deployment', `The deployment ${provider}/${model} has no api_key${isAnthropic ? ', and neither ANTHROPIC_API_KEY nor ANTHROPIC_AUTH_TOKEN is set' : ''}.`);
  if (key.startsWith('sk-ant-oat')) return { baseUrl: base, headers: { authorization: `Bearer ${key}`, ...common }, secret: key };
  return { baseUrl: base, headers: { 'x-api-key': key, ...common }, secret: key };
}

function set(value: string | undefined): string | undefined {
  return value === '' ? undefined : value;
}
