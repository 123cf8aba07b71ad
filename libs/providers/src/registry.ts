import { AppError } from '@pointsman/errors';
import type { Clock } from '@pointsman/timing';
import type { Environment } from './openai-wire/address.ts';
import { providerCatalog, PROVIDER_ALIASES } from './provider-catalog.ts';
import type { DeploymentSettings, Provider } from './provider.ts';
import type { UpstreamPools } from './upstream-pools.ts';

export interface ProviderParts {
  readonly pools: UpstreamPools;
  /** Where keys, regions and base URLs are looked up that a deployment does not name. */
  readonly env: Environment;
  readonly clock?: Clock;
}

type CreateProvider = (settings: DeploymentSettings, parts: ProviderParts) => Promise<Provider> | Provider;

/** What is loaded only when a configuration names it: reading a configuration loads no SDK. */
interface ProviderDefinition {
  readonly load: () => Promise<CreateProvider>;
}

const openAiWire: ProviderDefinition = { load: async () => (await import('./openai-wire/adapter.ts')).createOpenAiWireProvider };
const aiSdk: ProviderDefinition = { load: async () => (await import('./ai-sdk/index.ts')).createAiSdkProvider };
const simulated: ProviderDefinition = { load: async () => (await import('./simulated/index.ts')).createSimulatedProvider };
const mockReply: ProviderDefinition = {
  load: async () => {
    const { createMockReplyProvider } = await import('./simulated/index.ts');
    return (settings, parts) => createMockReplyProvider(String(settings.params['mock_response']), parts.clock === undefined ? {} : { clock: parts.clock });
  },
};

const definitions: ReadonlyMap<string, ProviderDefinition> = new Map([
  ...providerCatalog.entries.flatMap((entry) => {
    const definition = entry.kind === 'openai' ? openAiWire : entry.servedBy === 'ai-sdk' ? aiSdk : undefined;
    return definition === undefined ? [] : [[entry.id, definition] as const];
  }),
  ['simulated', simulated] as const,
]);

/** Every provider id that a configuration may name, aliases included, in alphabetical order. */
export const providerIds: readonly string[] = [...definitions.keys(), ...[...PROVIDER_ALIASES].filter(([, id]) => definitions.has(id)).map(([alias]) => alias)].sort();

/** Providers that are known by name but that no adapter serves. */
export const unservedProviderIds: readonly string[] = providerCatalog.entries.filter((entry) => !definitions.has(entry.id)).map((entry) => entry.id);

/**
 * Makes one deployment ready to be called. A missing key or base URL does not throw: see `Provider.problems`.
 * @throws AppError `not_supported` / `provider_not_supported` for a provider that no adapter serves, with the nearest things to do.
 */
export async function createProvider(settings: DeploymentSettings, parts: ProviderParts): Promise<Provider> {
  // LiteLLM's `mock_response` in a deployment: a fixed text instead of any call.
  if (typeof settings.params['mock_response'] === 'string') return (await mockReply.load())(settings, parts);
  const id = PROVIDER_ALIASES.get(settings.provider) ?? settings.provider;
  const definition = definitions.get(id);
  if (definition === undefined) throw notSupported(settings.provider);
  const create = await definition.load();
  return create(id === settings.provider ? settings : { ...settings, provider: id }, parts);
}

function notSupported(provider: string): AppError {
  const known = unservedProviderIds.includes(provider);
  const message = known
    ? `The provider ${provider} has an API of its own that this gateway does not speak. Not served: ${unservedProviderIds.join(', ')}.`
    : `The provider ${provider} is not known. A server with an OpenAI-compatible API works as openai_like or hosted_vllm with api_base.`;
  return new AppError('not_supported', 'provider_not_supported', message, { details: { provider } });
}
