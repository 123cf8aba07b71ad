import type { OpenAiProviderFacts } from '../provider-catalog.ts';
import type { DeploymentSettings } from '../provider.ts';
import { firstSet, type Address, type Environment } from './address.ts';

export interface Credentials {
  /** Lower-case header names. */
  readonly headers: Readonly<Record<string, string>>;
  /** The secret in them, so that it can be masked wherever the provider quotes it. */
  readonly secret: string | undefined;
  /** What the operator has to do before a call can work. */
  readonly problem: string | undefined;
}

/** The headers that prove to the provider who calls, from `api_key` or the entry's environment variables. Never throws: a missing key is a problem of one deployment. */
export function resolveCredentials(facts: OpenAiProviderFacts, settings: DeploymentSettings, env: Environment, address: Address | undefined): Credentials {
  const bearerToken = facts.auth === 'azure' || facts.auth === 'azure_ai' ? textParam(settings, 'azure_ad_token') ?? (settings.apiKey === undefined ? firstSet(['AZURE_AD_TOKEN'], env) : undefined) : undefined;
  if (bearerToken !== undefined) return { headers: { authorization: `Bearer ${bearerToken}` }, secret: bearerToken, problem: unfitFor(bearerToken, 'azure_ad_token') };

  const usesEnvironment = facts.envKeyOnlyToOwnBase !== true || address?.isOwnBase !== false;
  const key = notEmpty(settings.apiKey) ?? (usesEnvironment ? firstSet(facts.apiKeyEnv, env) : undefined);
  if (key === undefined) {
    if (facts.keyOptional === true) return { headers: {}, secret: undefined, problem: undefined };
    const where = facts.apiKeyEnv.length === 0 || !usesEnvironment ? 'Set api_key' : `Set ${facts.apiKeyEnv.join(' or ')} (or api_key)`;
    return { headers: {}, secret: undefined, problem: `${where}: ${facts.id} needs an API key.` };
  }
  const problem = unfitFor(key, 'The API key');
  if (facts.auth === 'azure' || (facts.auth === 'azure_ai' && isAzureHost(address))) return { headers: { 'api-key': key }, secret: key, problem };
  if (facts.auth === 'snowflake') return { ...snowflakeCredentials(key), problem };
  if (facts.auth.startsWith('header:')) return { headers: { [facts.auth.slice('header:'.length)]: key }, secret: key, problem };
  return { headers: { authorization: `Bearer ${key}` }, secret: key, problem };
}

/** A programmatic access token is written `pat/…`; anything else is a key-pair JWT. */
function snowflakeCredentials(key: string): { readonly headers: Readonly<Record<string, string>>; readonly secret: string } {
  const isAccessToken = key.startsWith('pat/');
  const secret = isAccessToken ? key.slice('pat/'.length) : key;
  return { secret, headers: { authorization: `Bearer ${secret}`, 'x-snowflake-authorization-token-type': isAccessToken ? 'PROGRAMMATIC_ACCESS_TOKEN' : 'KEYPAIR_JWT' } };
}

function isAzureHost(address: Address | undefined): boolean {
  return address !== undefined && /\.(?:services\.ai|openai|cognitiveservices)\.azure\.com(?::\d+)?$/.test(address.origin);
}

/** A secret read from a file often brings a line break, which no header can carry. */
function unfitFor(secret: string, name: string): string | undefined {
  return /^[\x20-\x7e]+$/.test(secret) ? undefined : `${name} holds characters that no HTTP header can carry, such as a line break.`;
}

function textParam(settings: DeploymentSettings, name: string): string | undefined {
  const value = settings.params[name];
  return typeof value === 'string' && value !== '' ? value : undefined;
}

function notEmpty(value: string | undefined): string | undefined {
  return value === '' ? undefined : value;
}
