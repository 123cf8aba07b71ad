import { describeProviderConformance } from '../provider.conformance.ts';
import { UpstreamPools } from '../upstream-pools.ts';
import { anthropicFixtures, anthropicJsonSchema } from './fixtures/anthropic-fixtures.ts';
import { createAiSdkProvider } from './index.ts';

const pools = new UpstreamPools();

describeProviderConformance({
  name: 'anthropic',
  createProvider: (baseUrl) => createAiSdkProvider({ provider: 'anthropic', model: 'claude-sonnet-4-5', apiKey: 'sk-ant-test-key', apiBase: baseUrl, apiVersion: undefined, params: {} }, { pools, env: {} }),
  fixtures: [...anthropicFixtures({ path: '/v1/messages', model: 'claude-sonnet-4-5', headers: { 'x-api-key': 'sk-ant-test-key', 'anthropic-version': '2023-06-01', authorization: undefined } }), anthropicJsonSchema('/v1/messages')],
});
