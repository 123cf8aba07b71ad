import { describeProviderConformance } from '../provider.conformance.ts';
import type { DeploymentSettings, Provider } from '../provider.ts';
import { UpstreamPools } from '../upstream-pools.ts';
import { createOpenAiWireProvider } from './adapter.ts';
import { openAiFixtures, type FixtureVariant } from './fixtures/openai-fixtures.ts';

const pools = new UpstreamPools();
const key = 'sk-conformance-key';
const bearer = { authorization: `Bearer ${key}` };

interface Variant extends Omit<FixtureVariant, 'clientModel'> {
  readonly provider: string;
  readonly settings?: Partial<DeploymentSettings>;
  readonly basePath?: string;
}

const variants: readonly Variant[] = [
  { provider: 'openai', providerModel: 'gpt-4o-mini', path: '/v1/chat/completions', basePath: '/v1', headers: bearer },
  { provider: 'groq', providerModel: 'llama-3.3-70b-versatile', path: '/openai/v1/chat/completions', basePath: '/openai/v1', headers: bearer },
  { provider: 'mistral', providerModel: 'mistral-large-latest', path: '/v1/chat/completions', basePath: '/v1', headers: bearer, asksForUsage: false },
  { provider: 'deepseek', providerModel: 'deepseek-chat', path: '/beta/chat/completions', basePath: '/beta', headers: bearer },
  { provider: 'openrouter', providerModel: 'meta/llama', path: '/api/v1/chat/completions', basePath: '/api/v1', headers: bearer },
  { provider: 'xai', providerModel: 'grok-4', path: '/v1/chat/completions', basePath: '/v1', headers: bearer },
  { provider: 'azure', providerModel: 'my gpt', path: '/openai/deployments/my%20gpt/chat/completions?api-version=2024-10-21', headers: { 'api-key': key } },
  { provider: 'hosted_vllm', providerModel: 'qwen/qwen3', path: '/v1/chat/completions', basePath: '/v1', headers: bearer },
];

for (const variant of variants) {
  const { provider, settings, basePath = '', ...fixture } = variant;
  describeProviderConformance({
    name: provider,
    createProvider: (baseUrl): Provider => createOpenAiWireProvider({ provider, model: fixture.providerModel, apiKey: key, apiBase: `${baseUrl}${basePath}`, apiVersion: undefined, params: {}, ...settings }, { pools, env: {} }),
    fixtures: openAiFixtures({ ...fixture, clientModel: 'fast' }),
  });
}
