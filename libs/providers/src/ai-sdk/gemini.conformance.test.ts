import { describeProviderConformance } from '../provider.conformance.ts';
import { UpstreamPools } from '../upstream-pools.ts';
import { geminiFixtures } from './fixtures/gemini-fixtures.ts';
import { createAiSdkProvider } from './index.ts';

const pools = new UpstreamPools();

describeProviderConformance({
  name: 'gemini',
  createProvider: (baseUrl) => createAiSdkProvider({ provider: 'gemini', model: 'gemini-2.5-flash', apiKey: 'AIzaTestKey', apiBase: baseUrl, apiVersion: undefined, params: {} }, { pools, env: {} }),
  fixtures: geminiFixtures({ path: '/v1beta/models/gemini-2.5-flash:generateContent', streamPath: '/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse', headers: { 'x-goog-api-key': 'AIzaTestKey' } }),
});
