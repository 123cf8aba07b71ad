import { describeProviderConformance } from '../provider.conformance.ts';
import { UpstreamPools } from '../upstream-pools.ts';
import { bedrockFixtures } from './fixtures/bedrock-fixtures.ts';
import { createAiSdkProvider } from './index.ts';

const pools = new UpstreamPools();
const model = 'us.anthropic.claude-sonnet-4-5-20250929-v1:0';
const keys = { aws_access_key_id: 'AKIATESTTESTTESTTEST', aws_secret_access_key: 'test-secret', aws_session_token: 'test-session', aws_region_name: 'eu-central-1' };

describeProviderConformance({
  name: 'bedrock',
  createProvider: (baseUrl) => createAiSdkProvider({ provider: 'bedrock', model: `converse/${model}`, apiKey: undefined, apiBase: undefined, apiVersion: undefined, params: { ...keys, aws_bedrock_runtime_endpoint: baseUrl } }, { pools, env: {} }),
  fixtures: bedrockFixtures({ model, headers: { authorization: /^AWS4-HMAC-SHA256 Credential=AKIATESTTESTTESTTEST\/\d{8}\/eu-central-1\/bedrock\/aws4_request, SignedHeaders=[\w;-]*host[\w;-]*, Signature=[0-9a-f]{64}$/, 'x-amz-security-token': 'test-session' } }),
});
