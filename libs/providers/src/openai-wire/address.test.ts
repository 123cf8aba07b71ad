import { describe, expect, test } from 'vitest';
import { providerCatalog, type OpenAiProviderFacts } from '../provider-catalog.ts';
import type { DeploymentSettings, WireFormat } from '../provider.ts';
import { resolveAddress, type Address, type Environment } from './address.ts';
import { resolveCredentials, type Credentials } from './credentials.ts';

interface Case {
  readonly provider: string;
  readonly settings?: Partial<DeploymentSettings>;
  readonly env?: Environment;
  readonly format?: WireFormat;
}

function factsOf(provider: string): OpenAiProviderFacts {
  const facts = providerCatalog.find(provider);
  if (facts?.kind !== 'openai') throw new Error(provider);
  return facts;
}

function settingsOf({ provider, settings }: Case): DeploymentSettings {
  return { provider, model: 'm', apiKey: undefined, apiBase: undefined, apiVersion: undefined, params: {}, ...settings };
}

function addressOf(one: Case): Address | string {
  return resolveAddress(factsOf(one.provider), settingsOf(one), one.env ?? {});
}

function urlOf(one: Case): string {
  const address = addressOf(one);
  if (typeof address === 'string') return address;
  const format = one.format ?? 'chat';
  return `${address.origin}${address.pathOf(format, address.modelNameOf(settingsOf(one).model, format))}`;
}

function credentialsOf(one: Case): Credentials {
  const address = addressOf(one);
  return resolveCredentials(factsOf(one.provider), settingsOf(one), one.env ?? {}, typeof address === 'string' ? undefined : address);
}

const services = 'https://x.services.ai.azure.com';
const azureBase = 'https://x.openai.azure.com';

describe('the URL', () => {
  const rows: readonly (readonly [string, Case, string])[] = [
    ['of the catalogue', { provider: 'groq' }, 'https://api.groq.com/openai/v1/chat/completions'],
    ['of embeddings', { provider: 'openai', format: 'embeddings' }, 'https://api.openai.com/v1/embeddings'],
    ['of completions', { provider: 'openai', format: 'completions' }, 'https://api.openai.com/v1/completions'],
    ['of responses', { provider: 'openai', format: 'responses' }, 'https://api.openai.com/v1/responses'],
    ['of a provider with responses only', { provider: 'manus', format: 'responses' }, 'https://api.manus.im/v1/responses'],
    ['of messages where they are served', { provider: 'meta', format: 'messages' }, 'https://api.meta.ai/v1/messages'],
    ['of a path that brings its own version', { provider: 'gradient_ai' }, 'https://inference.do-ai.run/v1/chat/completions'],
    ['of an agent', { provider: 'gradient_ai', env: { GRADIENT_AI_AGENT_ENDPOINT: 'https://a.agents.do-ai.run' } }, 'https://a.agents.do-ai.run/api/v1/chat/completions'],
    ['from api_base', { provider: 'openai', settings: { apiBase: 'http://vllm:8000/v1/' } }, 'http://vllm:8000/v1/chat/completions'],
    ['from api_base with the whole path', { provider: 'openai', settings: { apiBase: 'http://vllm:8000/v1/chat/completions' } }, 'http://vllm:8000/v1/chat/completions'],
    ['from api_base with the version twice', { provider: 'heroku', settings: { apiBase: 'https://us.inference.heroku.com/v1' } }, 'https://us.inference.heroku.com/v1/chat/completions'],
    ['from the environment', { provider: 'groq', env: { GROQ_API_BASE: 'https://proxy.example/g' } }, 'https://proxy.example/g/chat/completions'],
    ['from api_base before the environment', { provider: 'groq', settings: { apiBase: 'https://a.example' }, env: { GROQ_API_BASE: 'https://b.example' } }, 'https://a.example/chat/completions'],
    ['with an account from the environment', { provider: 'cloudflare', env: { CLOUDFLARE_ACCOUNT_ID: 'acc' } }, 'https://api.cloudflare.com/client/v4/accounts/acc/ai/v1/chat/completions'],
    ['with an account from the parameters', { provider: 'snowflake', settings: { params: { account_id: 'org-acc' } } }, 'https://org-acc.snowflakecomputing.com/api/v2/cortex/v1/chat/completions'],
    ['in the default region', { provider: 'bedrock_mantle' }, 'https://bedrock-mantle.us-east-1.api.aws/v1/chat/completions'],
    ['in a configured region', { provider: 'bedrock_mantle', settings: { params: { aws_region_name: 'eu-west-1' } } }, 'https://bedrock-mantle.eu-west-1.api.aws/v1/chat/completions'],
    ['in the region that the model names', { provider: 'bedrock_mantle', settings: { model: 'us-gov-west-1/openai.gpt-oss-20b', params: { aws_region_name: 'eu-west-1' } } }, 'https://bedrock-mantle.us-gov-west-1.api.aws/v1/chat/completions'],
    ['of a shared model', { provider: 'baseten', settings: { model: 'deepseek-ai/V3' } }, 'https://inference.baseten.co/v1/chat/completions'],
    ['of a dedicated deployment', { provider: 'baseten', settings: { model: 'abcd1234' } }, 'https://model-abcd1234.api.baseten.co/environments/production/sync/v1/chat/completions'],
    ['of an agent by id', { provider: 'ragflow', settings: { apiBase: 'http://rag:9380/v1', model: 'agent/7/x' } }, 'http://rag:9380/api/v1/agents_openai/7/chat/completions'],
    ['of Azure', { provider: 'azure', settings: { apiBase: azureBase, model: 'dep' } }, `${azureBase}/openai/deployments/dep/chat/completions?api-version=2024-10-21`],
    ['of Azure with a version', { provider: 'azure', settings: { apiBase: azureBase, model: 'dep', apiVersion: '2025-04-01-preview' } }, `${azureBase}/openai/deployments/dep/chat/completions?api-version=2025-04-01-preview`],
    ['of Azure with a version from the environment', { provider: 'azure', settings: { apiBase: azureBase, model: 'dep' }, env: { AZURE_API_VERSION: '2024-06-01' } }, `${azureBase}/openai/deployments/dep/chat/completions?api-version=2024-06-01`],
    ['of Azure with the deployment in api_base', { provider: 'azure', settings: { apiBase: `${azureBase}/openai/deployments/other`, model: 'dep' } }, `${azureBase}/openai/deployments/other/chat/completions?api-version=2024-10-21`],
    ['of Azure responses', { provider: 'azure', settings: { apiBase: azureBase, model: 'dep' }, format: 'responses' }, `${azureBase}/openai/v1/responses`],
    ['of Azure without versions', { provider: 'azure', settings: { apiBase: `${azureBase}/openai/v1/`, model: 'dep' } }, `${azureBase}/openai/v1/chat/completions`],
    ['of Azure in preview', { provider: 'azure', settings: { apiBase: azureBase, model: 'dep', apiVersion: 'preview' } }, `${azureBase}/openai/v1/chat/completions?api-version=preview`],
    ['of a deployment with odd letters', { provider: 'azure', settings: { apiBase: azureBase, model: 'a/b?c' } }, `${azureBase}/openai/deployments/a%2Fb%3Fc/chat/completions?api-version=2024-10-21`],
    ['of Azure AI', { provider: 'azure_ai', settings: { apiBase: services } }, `${services}/models/chat/completions?api-version=2024-05-01-preview`],
    ['of Azure AI with the path', { provider: 'azure_ai', settings: { apiBase: `${services}/models/chat/completions?api-version=2` } }, `${services}/models/chat/completions?api-version=2`],
    ['of an Azure AI serverless endpoint', { provider: 'azure_ai', settings: { apiBase: 'https://x.eastus2.models.ai.azure.com' } }, 'https://x.eastus2.models.ai.azure.com/v1/chat/completions'],
  ];
  test.each(rows)('%s', (_name, one, url) => {
    expect(urlOf(one)).toBe(url);
  });
});

describe('what is missing is said in one sentence', () => {
  test.each([
    ['a base', { provider: 'azure' }, /^Set api_base or AZURE_API_BASE/],
    ['a base without a variable', { provider: 'custom_openai' }, /^Set api_base:/],
    ['an account', { provider: 'cloudflare' }, /^Set CLOUDFLARE_ACCOUNT_ID/],
    ['an account that is no host name', { provider: 'snowflake', env: { SNOWFLAKE_ACCOUNT_ID: 'evil.example/' } }, /^Set SNOWFLAKE_ACCOUNT_ID/],
    ['a URL', { provider: 'openai', settings: { apiBase: 'not a url' } }, /is not a URL/],
    ['a scheme that is HTTP', { provider: 'openai', settings: { apiBase: 'file:///etc/passwd' } }, /must begin with https/],
  ] as const)('%s', (_name, one, sentence) => {
    expect(urlOf(one as Case)).toMatch(sentence);
  });
});

describe('the credentials', () => {
  const rows: readonly (readonly [string, Case, Readonly<Record<string, string>>])[] = [
    ['api_key goes before the environment', { provider: 'groq', settings: { apiKey: 'k' }, env: { GROQ_API_KEY: 'e' } }, { authorization: 'Bearer k' }],
    ['an empty variable is not set', { provider: 'together_ai', env: { TOGETHER_API_KEY: '', TOGETHER_AI_TOKEN: 'e' } }, { authorization: 'Bearer e' }],
    ['Azure key', { provider: 'azure', settings: { apiBase: azureBase, apiKey: 'k' } }, { 'api-key': 'k' }],
    ['Azure token', { provider: 'azure', settings: { apiBase: azureBase, params: { azure_ad_token: 't' } } }, { authorization: 'Bearer t' }],
    ['Azure token from the environment', { provider: 'azure', settings: { apiBase: azureBase }, env: { AZURE_AD_TOKEN: 't' } }, { authorization: 'Bearer t' }],
    ['Azure AI on an Azure host', { provider: 'azure_ai', settings: { apiBase: services, apiKey: 'k' } }, { 'api-key': 'k' }],
    ['Azure AI elsewhere', { provider: 'azure_ai', settings: { apiBase: 'https://x.models.ai.azure.com', apiKey: 'k' } }, { authorization: 'Bearer k' }],
    ['Snowflake access token', { provider: 'snowflake', settings: { apiKey: 'pat/t', params: { account_id: 'a' } } }, { authorization: 'Bearer t', 'x-snowflake-authorization-token-type': 'PROGRAMMATIC_ACCESS_TOKEN' }],
    ['no key where none is needed', { provider: 'hosted_vllm', settings: { apiBase: 'http://v' } }, {}],
    ['a key all the same', { provider: 'hosted_vllm', settings: { apiBase: 'http://v', apiKey: 'k' } }, { authorization: 'Bearer k' }],
    ['a key of the environment stays away from a base of the operator', { provider: 'nadir', settings: { apiBase: 'http://else' }, env: { NADIR_API_KEY: 'e' } }, {}],
    ['a key of the environment for its own base', { provider: 'nadir', env: { NADIR_API_KEY: 'e' } }, { authorization: 'Bearer e' }],
  ];
  test.each(rows)('%s', (_name, one, headers) => {
    expect(credentialsOf(one).headers).toEqual(headers);
  });

  test('a key with a line break is a problem, not a crash', () => {
    expect(credentialsOf({ provider: 'groq', settings: { apiKey: 'k\n' } }).problem).toMatch(/line break/);
  });
});
