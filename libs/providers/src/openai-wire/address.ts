import type { OpenAiProviderFacts } from '../provider-catalog.ts';
import type { DeploymentSettings, WireFormat } from '../provider.ts';

export type Environment = Readonly<Record<string, string | undefined>>;

/** Where the calls of a deployment go and what the model is called there. */
export interface Address {
  /** Scheme, host and port. */
  readonly origin: string;
  /** What paths of the provider's API are appended to, without a slash at the end. */
  readonly baseUrl: string;
  /** Path and query per format. `modelName` is the model's name at the provider. */
  pathOf(format: WireFormat, modelName: string): string;
  /** The model's name in the body. */
  modelNameOf(model: string, format: WireFormat): string;
  /** Whether the base URL is the provider's own rather than one that the operator gave. */
  readonly isOwnBase: boolean;
}

const SUFFIXES: Readonly<Record<WireFormat, string>> = {
  chat: '/chat/completions',
  completions: '/completions',
  embeddings: '/embeddings',
  responses: '/responses',
  messages: '/messages',
};

/** The oldest stable version with `stream_options`, which truthful usage needs. */
const AZURE_API_VERSION = '2024-10-21';
const AZURE_AI_API_VERSION = '2024-05-01-preview';

/**
 * Works out a deployment's URLs: `api_base`, else the first set environment variable of the entry, else its base URL with placeholders filled.
 * Returns a sentence for the operator instead when something is missing or is not a URL.
 */
export function resolveAddress(facts: OpenAiProviderFacts, settings: DeploymentSettings, env: Environment): Address | string {
  const given = settings.apiBase ?? firstSet(facts.apiBaseEnv, env);
  const model = placeOfModel(facts, settings);
  const base = given ?? model.baseUrl ?? facts.baseUrl ?? undefined;
  if (base === undefined) return `Set api_base${facts.apiBaseEnv.length === 0 ? '' : ` or ${facts.apiBaseEnv[0]}`}: ${facts.id} has no address of its own.`;
  const filled = fillPlaceholders(base, facts, settings, env, model.region);
  if (filled.missing !== undefined) return `Set ${filled.missing}: the address of ${facts.id} needs it.`;
  let url: URL;
  try {
    url = new URL(filled.text);
  } catch {
    return `api_base of ${facts.id} is not a URL.`;
  }
  if (url.protocol !== 'https:' && url.protocol !== 'http:') return `api_base of ${facts.id} must begin with https:// or http://.`;
  const path = url.pathname.replace(/\/+$/, '').replace(/\/(?:chat\/completions|responses|embeddings)$/, '');
  const place = { origin: url.origin, path, query: url.search, host: url.hostname };
  const rules = addressRules(facts, settings, env, place, given === undefined);
  return {
    origin: url.origin,
    baseUrl: `${url.origin}${rules.basePath}`,
    isOwnBase: given === undefined,
    pathOf: rules.pathOf,
    modelNameOf: (name, format) => modelName(facts, name, format),
  };
}

interface Place {
  readonly origin: string;
  readonly path: string;
  readonly query: string;
  readonly host: string;
}

interface AddressRules {
  readonly basePath: string;
  readonly pathOf: (format: WireFormat, modelName: string) => string;
}

function addressRules(facts: OpenAiProviderFacts, settings: DeploymentSettings, env: Environment, place: Place, isOwnBase: boolean): AddressRules {
  switch (facts.address) {
    case 'azure': return azureRules(settings, env, place);
    case 'azure_ai': return azureAiRules(settings, place);
    case 'ragflow': return ragflowRules(settings, place);
    // An agent has its own host and another path than the shared inference service.
    case 'gradient_ai': return plainRules(place, isOwnBase ? facts.chatPath : `/api${facts.chatPath}`);
    default: return plainRules(place, facts.chatPath);
  }
}

function plainRules(place: Place, chatPath: string): AddressRules {
  const prefix = chatPath.replace(/\/(?:chat\/completions|responses)$/, '');
  // `https://host/v1` and `https://host` both work where the path brings its own /v1.
  const basePath = prefix !== '' && place.path.endsWith(prefix) ? place.path : `${place.path}${prefix}`;
  return { basePath, pathOf: (format) => `${basePath}${SUFFIXES[format]}${place.query}` };
}

function azureRules(settings: DeploymentSettings, env: Environment, place: Place): AddressRules {
  const version = settings.apiVersion ?? env['AZURE_API_VERSION'] ?? AZURE_API_VERSION;
  if (place.path.endsWith('/openai/v1')) return { basePath: place.path, pathOf: (format) => `${place.path}${SUFFIXES[format]}${place.query}` };
  const resource = place.path.replace(/\/openai(?:\/deployments\/[^/]+)?$/, '');
  const unversioned = version === 'v1' || version === 'latest' || version === 'preview';
  const fixed = /\/openai\/deployments\/[^/]+$/.test(place.path) ? place.path : undefined;
  return {
    basePath: `${resource}/openai`,
    pathOf: (format, name) => {
      // The Responses API has no deployment in its path; the versionless surface has served it from the start.
      if (unversioned || format === 'responses') return `${resource}/openai/v1${SUFFIXES[format]}${version === 'preview' ? '?api-version=preview' : ''}`;
      return `${fixed ?? `${resource}/openai/deployments/${encodeURIComponent(name)}`}${SUFFIXES[format]}?api-version=${encodeURIComponent(version)}`;
    },
  };
}

function azureAiRules(settings: DeploymentSettings, place: Place): AddressRules {
  if (!place.host.endsWith('.services.ai.azure.com')) return plainRules(place, '/v1/chat/completions');
  const query = `?api-version=${encodeURIComponent(settings.apiVersion ?? AZURE_AI_API_VERSION)}`;
  const basePath = place.path.endsWith('/models') ? place.path : `${place.path}/models`;
  return { basePath, pathOf: (format) => `${basePath}${SUFFIXES[format]}${place.query === '' ? query : place.query}` };
}

/** RAGFlow names a chat or an agent in the path: the model is `chat/{id}/{model}` or `agent/{id}/{model}`. */
function ragflowRules(settings: DeploymentSettings, place: Place): AddressRules {
  const match = /^(chat|agent)\/([^/]+)\//.exec(settings.model);
  if (match === null) return plainRules(place, '/chat/completions');
  const root = place.path.replace(/(?:\/api)?\/v1$/, '');
  const basePath = `${root}/api/v1/${match[1] ?? 'chat'}s_openai/${encodeURIComponent(match[2] ?? '')}`;
  return { basePath, pathOf: (format) => `${basePath}${SUFFIXES[format]}` };
}

/** What the model's name says about where the model is. */
function placeOfModel(facts: OpenAiProviderFacts, { model }: DeploymentSettings): { readonly baseUrl?: string; readonly region?: string } {
  // Eight characters name a dedicated deployment, which has a host of its own.
  if (facts.address === 'baseten' && /^[a-z0-9]{8}$/.test(model)) return { baseUrl: `https://model-${model}.api.baseten.co/environments/production/sync/v1` };
  if (facts.address === 'bedrock_mantle') {
    const region = /^([a-z]{2}(?:-[a-z]+)+-\d)\//.exec(model)?.[1];
    if (region !== undefined) return { region };
  }
  return {};
}

function modelName(facts: OpenAiProviderFacts, model: string, format: WireFormat): string {
  switch (facts.address) {
    case 'bedrock_mantle': return model.replace(/^[a-z]{2}(?:-[a-z]+)+-\d\//, '');
    case 'ragflow': return model.replace(/^(?:chat|agent)\/[^/]+\//, '');
    case 'fireworks_ai': return model.startsWith('accounts/') || format === 'embeddings' ? model : `accounts/fireworks/models/${model}`;
    case 'clarifai': {
      const [user, app, ...rest] = model.split('.');
      return model.startsWith('http') || user === undefined || app === undefined || rest.length === 0 ? model : `https://clarifai.com/${user}/${app}/models/${rest.join('.')}`;
    }
    default: return model;
  }
}

function fillPlaceholders(text: string, facts: OpenAiProviderFacts, settings: DeploymentSettings, env: Environment, region: string | undefined): { readonly text: string; readonly missing?: string } {
  let missing: string | undefined;
  const filled = text.replaceAll(/\{([A-Za-z_]+)\}/g, (whole, name: string) => {
    const source = facts.placeholders?.[name];
    if (source === undefined) return whole;
    const parameter = source.params.map((param) => settings.params[param]).find((value) => typeof value === 'string' && value !== '');
    const value = (name === 'region' ? region : undefined) ?? (typeof parameter === 'string' ? parameter : undefined) ?? firstSet(source.env, env) ?? source.default;
    // A host name part: anything else would move the request to another host.
    if (value === undefined || !/^[\w.-]+$/.test(value)) missing ??= source.env[0] ?? name;
    return value ?? whole;
  });
  return missing === undefined ? { text: filled } : { text: filled, missing };
}

/** The value of the first variable that is set and not empty. */
export function firstSet(names: readonly string[], env: Environment): string | undefined {
  for (const name of names) {
    const value = env[name];
    if (value !== undefined && value !== '') return value;
  }
  return undefined;
}
