export { ProviderError, countsAgainstDeployment, type ProviderFault } from './provider-error.ts';
export type { DeploymentSettings, Provider, ProviderCall, ProviderRequest, ReplySink, WireFormat } from './provider.ts';
