export { ProviderError, countsAgainstDeployment, type ProviderFault } from './provider-error.ts';
export type { DeploymentSettings, Provider, ProviderCall, ProviderRequest, ReplySink, WireFormat } from './provider.ts';
export { createProvider, providerIds, unservedProviderIds, type ProviderParts } from './registry.ts';
export { providerCatalog, type NativeProviderFacts, type OpenAiProviderFacts, type ProviderCatalog, type ProviderFacts } from './provider-catalog.ts';
export { UpstreamPools, type UpstreamDispatcher, type UpstreamLease, type UpstreamPoolCounts, type UpstreamPoolOptions, type UpstreamTls } from './upstream-pools.ts';
export { createMockReplyProvider } from './simulated/mock-reply.ts';
