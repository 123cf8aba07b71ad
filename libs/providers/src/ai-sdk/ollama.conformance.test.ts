import { describeProviderConformance } from '../provider.conformance.ts';
import { UpstreamPools } from '../upstream-pools.ts';
import { ollamaFixtures } from './fixtures/ollama-fixtures.ts';
import { createAiSdkProvider } from './index.ts';

const pools = new UpstreamPools();

describeProviderConformance({
  name: 'ollama',
  createProvider: (baseUrl) => createAiSdkProvider({ provider: 'ollama', model: 'llama3.2', apiKey: undefined, apiBase: baseUrl, apiVersion: undefined, params: {} }, { pools, env: {} }),
  fixtures: ollamaFixtures,
  without: { 'usage-details': 'Ollama reports neither cached nor reasoning tokens', 'usage-details-stream': 'Ollama reports neither cached nor reasoning tokens' },
});
