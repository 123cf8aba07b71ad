import { AppError } from '@pointsman/errors';
import { createAnthropicWireProvider } from '../anthropic-wire/index.ts';
import { ProviderError } from '../provider-error.ts';
import type { DeploymentSettings, Provider } from '../provider.ts';
import type { UpstreamPools } from '../upstream-pools.ts';
import { AiSdkProvider } from './ai-sdk-provider.ts';
import { bothFormats } from './both-formats.ts';
import type { NativeDefinition } from './dialect.ts';
import { OriginPools } from './origin-pools.ts';
import { fetchRemoteFile, type FetchRemoteFile } from './remote-files.ts';
import { anthropic } from './sdks/anthropic.ts';
import { bedrock } from './sdks/bedrock.ts';
import { cohere } from './sdks/cohere.ts';
import { gemini } from './sdks/gemini.ts';
import { ollama } from './sdks/ollama.ts';
import { misconfigured } from './sdks/settings.ts';
import { vertexAi } from './sdks/vertex-ai.ts';
import { UpstreamFetch } from './upstream-fetch.ts';

const definitions: Readonly<Record<string, NativeDefinition>> = {
  anthropic, bedrock, bedrock_converse: bedrock, cohere, cohere_chat: cohere, gemini, ollama, ollama_chat: ollama, vertex_ai: vertexAi,
};

/** The provider ids of the configuration that are served by an SDK of their own. */
export const aiSdkProviderIds: readonly string[] = Object.keys(definitions);

export interface AiSdkParts {
  readonly pools: UpstreamPools;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** How files named by URL are fetched for providers that do not fetch them; the default refuses private addresses. */
  readonly fetchFile?: FetchRemoteFile;
}

/**
 * One deployment of a native provider. Loads the SDK of that provider and no other.
 * Settings that cannot work do not throw: they are listed in `problems`, and every call is answered with an `auth` error that names them.
 * @throws TypeError when the provider is none of `aiSdkProviderIds`.
 */
export async function createAiSdkProvider(settings: DeploymentSettings, parts: AiSdkParts): Promise<Provider> {
  const definition = Object.hasOwn(definitions, settings.provider) ? definitions[settings.provider] : undefined;
  if (definition === undefined) throw new TypeError(`${settings.provider} is not a provider with an SDK of its own.`);
  const pools = new OriginPools(parts.pools);
  try {
    const sdk = await loadProvider(definition, settings, parts, pools);
    return definition === anthropic ? bothFormats(sdk, createAnthropicWireProvider(settings, parts)) : sdk;
  } catch (error) {
    pools.close();
    // An SDK's own words may quote the settings, credentials included.
    return incompleteProvider(settings, error instanceof AppError ? error.message : `The deployment ${settings.provider}/${settings.model} could not be prepared: its settings or credentials are not usable.`, error);
  }
}

async function loadProvider(definition: NativeDefinition, settings: DeploymentSettings, parts: AiSdkParts, pools: OriginPools): Promise<Provider> {
  const parsed = definition.settings.safeParse(settings.params);
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    throw misconfigured(settings, `has a wrong ${issue?.path.join('.') ?? 'setting'}: ${issue?.message ?? 'invalid'}`);
  }
  const upstream = new UpstreamFetch(pools);
  const models = await definition.load(parsed.data, settings, { fetch: upstream.fetch, env: parts.env });
  return new AiSdkProvider({ deployment: settings, models, upstream, pools, fetchFile: parts.fetchFile ?? fetchRemoteFile });
}

function incompleteProvider(settings: DeploymentSettings, problem: string, cause: unknown): Provider {
  return {
    id: settings.provider,
    formats: new Set(['chat']),
    problems: [problem],
    passthrough: undefined,
    start(_request, sink) {
      let cancelled = false;
      queueMicrotask(() => {
        if (!cancelled) sink.onError(new ProviderError('auth', settings.provider, problem, { cause }));
      });
      return { cancel: () => { cancelled = true; }, pause: () => undefined, resume: () => undefined };
    },
    close: () => undefined,
  };
}
