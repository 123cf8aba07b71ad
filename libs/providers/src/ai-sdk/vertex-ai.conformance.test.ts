import { generateKeyPairSync } from 'node:crypto';
import { createServer } from 'node:http';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { afterAll } from 'vitest';
import { describeProviderConformance } from '../provider.conformance.ts';
import { UpstreamPools } from '../upstream-pools.ts';
import { anthropicFixtures, anthropicJsonTool } from './fixtures/anthropic-fixtures.ts';
import { geminiFixtures } from './fixtures/gemini-fixtures.ts';
import { createAiSdkProvider } from './index.ts';

const pools = new UpstreamPools();
const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048, privateKeyEncoding: { type: 'pkcs8', format: 'pem' }, publicKeyEncoding: { type: 'spki', format: 'pem' } });

const tokenServer = createServer((request, response) => {
  request.resume();
  response.setHeader('content-type', 'application/json');
  response.end(JSON.stringify({ access_token: 'ya29.test-token', expires_in: 3600, token_type: 'Bearer' }));
});
tokenServer.listen(0, '127.0.0.1');
await once(tokenServer, 'listening');
const tokenUri = `http://127.0.0.1:${(tokenServer.address() as AddressInfo).port}/token`;
afterAll(() => void tokenServer.close());

const credentials = JSON.stringify({ type: 'service_account', project_id: 'my-project', private_key_id: 'k1', private_key: privateKey, client_email: 'gateway@my-project.iam.gserviceaccount.com', token_uri: tokenUri });
const deployment = (model: string, baseUrl: string) => ({ provider: 'vertex_ai', model, apiKey: undefined, apiBase: baseUrl, apiVersion: undefined, params: { vertex_location: 'europe-west4', vertex_credentials: credentials } });
const headers = { authorization: 'Bearer ya29.test-token', 'x-goog-api-key': undefined };

const gemini = '/v1beta1/projects/my-project/locations/europe-west4/publishers/google/models/gemini-2.5-flash';
describeProviderConformance({
  name: 'vertex_ai (Gemini)',
  createProvider: (baseUrl) => createAiSdkProvider(deployment('gemini-2.5-flash', baseUrl), { pools, env: {} }),
  fixtures: geminiFixtures({ path: `${gemini}:generateContent`, streamPath: `${gemini}:streamGenerateContent?alt=sse`, headers }),
});

const claude = '/v1/projects/my-project/locations/europe-west4/publishers/anthropic/models/claude-sonnet-4-5@20250929';
describeProviderConformance({
  name: 'vertex_ai (Claude)',
  createProvider: (baseUrl) => createAiSdkProvider(deployment('claude-sonnet-4-5@20250929', baseUrl), { pools, env: {} }),
  fixtures: [
    ...anthropicFixtures({ path: `${claude}:rawPredict`, streamPath: `${claude}:streamRawPredict`, headers }).map((fixture) => ({ ...fixture, expectUpstream: { ...fixture.expectUpstream, absent: [...(fixture.expectUpstream.absent ?? []), 'model'] } })),
    anthropicJsonTool(`${claude}:rawPredict`),
  ],
});

