import { isJsonObject, type JsonObject } from '@pointsman/schemas';
import type { AuthClient } from 'google-auth-library';
import { readFile } from 'node:fs/promises';
import { z } from 'zod';
import { ProviderError } from '../../provider-error.ts';
import type { DeploymentSettings } from '../../provider.ts';
import { defineNative } from '../dialect.ts';
import { anthropicDialect } from './anthropic-dialect.ts';
import { googleDialect } from './google-dialect.ts';
import { firstOf, misconfigured, optionalText } from './settings.ts';

const TOKEN_URL = 'https://oauth2.googleapis.com/token';
const SCOPE = 'https://www.googleapis.com/auth/cloud-platform';
const TOKEN_TIMEOUT_MS = 10_000;
const DEFAULT_LOCATION = 'us-central1';

export const vertexAi = defineNative({
  settings: z.looseObject({
    vertex_project: optionalText, vertex_location: optionalText, vertex_ai_project: optionalText, vertex_ai_location: optionalText,
    vertex_credentials: z.union([z.string().min(1), z.looseObject({})]).nullish(),
  }),
  async load(settings, deployment, { fetch, env }) {
    const credentials = await credentialsOf(settings.vertex_credentials ?? firstOf(env, 'VERTEXAI_CREDENTIALS', 'VERTEX_CREDENTIALS'), deployment);
    const project = settings.vertex_project ?? settings.vertex_ai_project ?? firstOf(env, 'VERTEXAI_PROJECT', 'GOOGLE_CLOUD_PROJECT') ?? textOf(credentials?.['project_id']);
    const location = settings.vertex_location ?? settings.vertex_ai_location ?? firstOf(env, 'VERTEXAI_LOCATION', 'VERTEX_LOCATION') ?? DEFAULT_LOCATION;
    if (project === undefined) throw misconfigured(deployment, 'has no vertex_project, and VERTEXAI_PROJECT is not set');
    if (!/^[a-z0-9-]+$/.test(location)) throw misconfigured(deployment, 'has a vertex_location that is not a location');
    if (!/^[\w.:-]+$/.test(project)) throw misconfigured(deployment, 'has a vertex_project that is not a project id');

    // One client for the deployment: it holds the access token until shortly before it expires.
    const authClient = await authClientOf(credentials, env);
    const getAccessToken = authClient.getAccessToken.bind(authClient);
    authClient.getAccessToken = () => getAccessToken().catch((cause: unknown) => {
      // google-auth's errors carry the request, and with it the signed assertion: only their kind is told.
      const refused = isJsonObject(cause) && cause['response'] !== undefined;
      throw new ProviderError(refused ? 'auth' : 'unreachable', deployment.provider, refused ? 'Google refused the credentials of this deployment.' : "Google's token endpoint could not be reached.");
    });
    const googleAuthOptions = { authClient };
    const root = deployment.apiBase?.replace(/\/+$/, '') ?? `https://${hostOf(location)}`;
    const baseOf = (version: string, publisher: string): string => (isBareOrigin(root) ? `${root}/${version}/projects/${project}/locations/${location}/publishers/${publisher}` : root);
    const common = {
      passthrough: { baseUrl: root, headers: async () => ({ authorization: `Bearer ${(await authClient.getAccessToken()).token ?? ''}` }) },
      secrets: [textOf(credentials?.['private_key'])].filter((one) => one !== undefined),
    };

    if (deployment.model.startsWith('claude')) {
      const { createGoogleVertexAnthropic } = await import('@ai-sdk/google-vertex/anthropic');
      const claude = createGoogleVertexAnthropic({ project, location, googleAuthOptions, fetch, baseURL: `${baseOf('v1', 'anthropic')}/models` });
      return { ...common, dialect: anthropicDialect, language: claude.languageModel(deployment.model), embedding: undefined };
    }
    const { createGoogleVertex } = await import('@ai-sdk/google-vertex');
    const vertex = createGoogleVertex({ project, location, googleAuthOptions, fetch, baseURL: baseOf('v1beta1', 'google') });
    return { ...common, dialect: googleDialect('googleVertex'), language: vertex.languageModel(deployment.model), embedding: vertex.embeddingModel(deployment.model) };
  },
});

async function authClientOf(credentials: JsonObject | undefined, env: Readonly<Record<string, string | undefined>>): Promise<AuthClient> {
  const { GoogleAuth, JWT } = await import('google-auth-library');
  const transporterOptions = { fetchImplementation: fetchToken(textOf(credentials?.['token_uri']), env) };
  if (credentials?.['type'] === 'service_account') {
    const [email, key, keyId] = [textOf(credentials['client_email']), textOf(credentials['private_key']), textOf(credentials['private_key_id'])];
    return new JWT({ scopes: [SCOPE], transporterOptions, ...(email === undefined ? {} : { email }), ...(key === undefined ? {} : { key }), ...(keyId === undefined ? {} : { keyId }) });
  }
  // Users' credentials, workload identity federation, the metadata server.
  return new GoogleAuth({ scopes: [SCOPE], clientOptions: { transporterOptions }, ...(credentials === undefined ? {} : { credentials }) }).getClient();
}

/** `vertex_credentials` is a path, JSON text or the object itself; undefined leaves Google's default credentials. */
async function credentialsOf(given: unknown, deployment: DeploymentSettings): Promise<JsonObject | undefined> {
  if (given === undefined || given === null) return undefined;
  if (isJsonObject(given)) return given;
  const text = String(given);
  try {
    const parsed: unknown = JSON.parse(text.trimStart().startsWith('{') ? text : await readFile(text, 'utf8'));
    if (isJsonObject(parsed)) return parsed;
  } catch {
    // Neither the path nor the text may show up in a message: either may be the secret.
  }
  throw misconfigured(deployment, 'has vertex_credentials that are neither JSON nor a readable JSON file');
}

/**
 * google-auth-library always asks Google's own token endpoint. The key file's `token_uri`, which Google's other libraries honour, names another one for
 * private clouds and tests; `GOOGLE_TOKEN_URI` does the same for default credentials.
 */
function fetchToken(tokenUri: string | undefined, env: Readonly<Record<string, string | undefined>>): typeof globalThis.fetch {
  const target = tokenUri ?? env['GOOGLE_TOKEN_URI'];
  return (input, init) => globalThis.fetch(target !== undefined && String(input) === TOKEN_URL ? target : input, { ...init, redirect: 'error', signal: AbortSignal.timeout(TOKEN_TIMEOUT_MS) });
}

function hostOf(location: string): string {
  if (location === 'global') return 'aiplatform.googleapis.com';
  if (location === 'eu' || location === 'us') return `aiplatform.${location}.rep.googleapis.com`;
  return `${location}-aiplatform.googleapis.com`;
}

function isBareOrigin(url: string): boolean {
  return URL.parse(url)?.pathname === '/';
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined;
}
