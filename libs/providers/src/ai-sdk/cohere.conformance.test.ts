import { describeProviderConformance } from '../provider.conformance.ts';
import { UpstreamPools } from '../upstream-pools.ts';
import { cohereFixtures } from './fixtures/cohere-fixtures.ts';
import { createAiSdkProvider } from './index.ts';

const pools = new UpstreamPools();

describeProviderConformance({
  name: 'cohere',
  createProvider: (baseUrl) => createAiSdkProvider({ provider: 'cohere', model: 'command-a-03-2025', apiKey: 'co-test-key', apiBase: baseUrl, apiVersion: undefined, params: {} }, { pools, env: {} }),
  fixtures: cohereFixtures,
});
