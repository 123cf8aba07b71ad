import { expect, test } from 'vitest';
import { callProvider, providerRequest } from './provider.conformance.ts';
import type { DeploymentSettings } from './provider.ts';
import { createProvider, providerIds, unservedProviderIds, type ProviderParts } from './registry.ts';
import { UpstreamPools } from './upstream-pools.ts';

const parts: ProviderParts = { pools: new UpstreamPools(), env: {} };
const settings = (provider: string, overrides: Partial<DeploymentSettings> = {}): DeploymentSettings => ({ provider, model: 'm', apiKey: 'key-12345678', apiBase: undefined, apiVersion: undefined, params: {}, ...overrides });

test('every OpenAI-compatible provider, the native ones and the simulated one are served', () => {
  expect(providerIds).toEqual(expect.arrayContaining(['openai', 'azure', 'groq', 'anthropic', 'bedrock', 'gemini', 'vertex_ai', 'cohere', 'ollama', 'ollama_chat', 'simulated']));
  expect(providerIds).toHaveLength(105 + 6 + 1 + 7);
  expect(unservedProviderIds).toHaveLength(17);
});

test('a provider that nobody serves is refused by name, with the list of such', async () => {
  await expect(createProvider(settings('watsonx'), parts)).rejects.toMatchObject({ kind: 'not_supported', code: 'provider_not_supported', message: expect.stringMatching(/watsonx.*databricks/s) as unknown });
});

test('a provider that nobody knows is refused with what works instead', async () => {
  await expect(createProvider(settings('my_llm'), parts)).rejects.toMatchObject({ code: 'provider_not_supported', message: expect.stringMatching(/my_llm is not known.*hosted_vllm/s) as unknown });
});

test('a deployment without its key is created, says what to set, and answers every call with it', async () => {
  const provider = await createProvider(settings('groq', { apiKey: undefined }), parts);
  expect(provider.problems).toEqual(['Set GROQ_API_KEY (or api_key): groq needs an API key.']);
  const sink = await callProvider(provider, providerRequest({ model: 'x', messages: [] }));
  expect(sink.error).toMatchObject({ fault: 'auth', message: 'Set GROQ_API_KEY (or api_key): groq needs an API key.' });
});

test('a deployment with a mock reply calls nobody', async () => {
  const provider = await createProvider(settings('openai', { apiKey: undefined, params: { mock_response: 'Hello' } }), parts);
  const sink = await callProvider(provider, providerRequest({ model: 'x', messages: [{ role: 'user', content: 'Hi' }] }));
  expect(sink.json).toMatchObject({ choices: [{ message: { content: 'Hello' } }] });
});

test.each(['simulated', 'anthropic', 'azure_text', 'ollama_chat'])('%s is loaded when it is named', async (id) => {
  const provider = await createProvider(settings(id, { apiBase: 'http://127.0.0.1:9' }), parts);
  expect(provider.formats.has('chat')).toBe(true);
  provider.close();
});
