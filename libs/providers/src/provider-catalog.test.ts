import { json, sse, startScriptedUpstream, type ScriptedUpstream } from '@pointsman/testing';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createOpenAiWireProvider } from './openai-wire/adapter.ts';
import { callProvider, providerRequest } from './provider.conformance.ts';
import { providerCatalog, type OpenAiProviderFacts } from './provider-catalog.ts';
import { UpstreamPools } from './upstream-pools.ts';

const openAiEntries = providerCatalog.entries.filter((entry): entry is OpenAiProviderFacts => entry.kind === 'openai');
const pools = new UpstreamPools();
let upstream: ScriptedUpstream;
beforeAll(async () => {
  upstream = await startScriptedUpstream({
    reply: (call) => ((call.json as { stream?: boolean }).stream === true ? sse([{ choices: [{ index: 0, delta: { content: 'x' }, finish_reason: 'stop' }] }]) : json({ choices: [{ index: 0, message: { role: 'assistant', content: 'x' }, finish_reason: 'stop' }], output: [] })),
  });
});
afterAll(async () => {
  await pools.close();
  await upstream.close();
});

test('the catalogue holds every provider once', () => {
  expect(openAiEntries).toHaveLength(105);
  expect(providerCatalog.entries).toHaveLength(128);
  expect(new Set(providerCatalog.entries.map((entry) => entry.id)).size).toBe(128);
});

test('a provider is found by its id and by its other names', () => {
  expect(providerCatalog.find('groq')?.id).toBe('groq');
  expect(providerCatalog.find('azure_text')?.id).toBe('azure');
  expect(providerCatalog.find('ollama_chat')?.id).toBe('ollama');
  expect(providerCatalog.find('__proto__')).toBeUndefined();
  expect(providerCatalog.find('nope')).toBeUndefined();
});

/** Where path, model name or credentials are not simply base path + chat path, the model as it is, and a bearer key. */
const SPECIAL: Readonly<Record<string, { readonly path?: string; readonly model?: string; readonly sentModel?: string; readonly headers?: Readonly<Record<string, string>> }>> = {
  azure: { path: '/openai/deployments/some-model/chat/completions?api-version=2024-10-21', headers: { 'api-key': 'the-key-1234' } },
  bedrock_mantle: { model: 'us-gov-west-1/some-model', sentModel: 'some-model' },
  clarifai: { model: 'openai.chat-completion.gpt-4', sentModel: 'https://clarifai.com/openai/chat-completion/models/gpt-4' },
  fireworks_ai: { sentModel: 'accounts/fireworks/models/some-model' },
  gradient_ai: { path: '/api/v1/chat/completions' }, // any other base than the shared one is an agent
  ragflow: { path: '/api/v1/chats_openai/42/chat/completions', model: 'chat/42/some-model', sentModel: 'some-model' },
  sarvam: { headers: { 'api-subscription-key': 'the-key-1234' } },
  snowflake: { headers: { authorization: 'Bearer the-key-1234', 'x-snowflake-authorization-token-type': 'KEYPAIR_JWT' } },
  github_copilot: { headers: { authorization: 'Bearer the-key-1234', 'editor-version': 'vscode/1.95.0', 'copilot-integration-id': 'vscode-chat' } },
  novita: { headers: { authorization: 'Bearer the-key-1234', 'x-novita-source': 'pointsman' } },
};

describe.each(openAiEntries.map((facts) => ({ id: facts.id, facts })))('$id', ({ id, facts }) => {
  const special = SPECIAL[id] ?? {};
  const basePath = facts.baseUrl === null ? '' : new URL(facts.baseUrl.replaceAll(/\{\w+\}/g, 'x')).pathname.replace(/\/$/, '');
  const apiBase = (): string => `${upstream.url}${basePath}`;
  const format = facts.formats.includes('chat') ? 'chat' : 'responses';

  test('sends its calls to the right path with the right key and model name', async () => {
    const provider = createOpenAiWireProvider({ provider: id, model: special.model ?? 'some-model', apiKey: 'the-key-1234', apiBase: apiBase(), apiVersion: undefined, params: {} }, { pools, env: {} });
    expect(provider.problems).toEqual([]);
    for (const stream of [false, true]) {
      const before = upstream.calls.length;
      const sink = await callProvider(provider, providerRequest({ model: 'client-name', messages: [{ role: 'user', content: 'Hi' }], ...(stream ? { stream } : {}) }, { format }));
      expect(sink.error).toBeUndefined();
      const call = upstream.calls[before];
      expect(call?.path).toBe(special.path ?? `${basePath}${facts.chatPath}`);
      expect(call?.headers).toMatchObject(special.headers ?? { authorization: 'Bearer the-key-1234' });
      expect(call?.headers['content-type']).toBe('application/json');
      expect(call?.json).toMatchObject({ model: special.sentModel ?? 'some-model' });
    }
    provider.close();
  });

  test('finds its key in the environment, or says which variable to set', () => {
    const settings = { provider: id, model: special.model ?? 'some-model', apiKey: undefined, apiBase: facts.baseUrl === null ? apiBase() : undefined, apiVersion: undefined, params: {} };
    const region = { CLOUDFLARE_ACCOUNT_ID: 'acc', SNOWFLAKE_ACCOUNT_ID: 'acc' };
    const without = createOpenAiWireProvider(settings, { pools, env: region });
    const [variable] = facts.apiKeyEnv;
    if (facts.keyOptional === true) expect(without.problems).toEqual([]);
    else expect(without.problems).toEqual([expect.stringContaining(variable ?? 'api_key')]);
    without.close();
    for (const name of facts.apiKeyEnv) {
      const provider = createOpenAiWireProvider(settings, { pools, env: { ...region, [name]: 'env-key-1234' } });
      expect(provider.problems).toEqual([]);
      expect(Object.values(provider.passthrough?.headers() ?? {}).join(' ')).toContain('env-key-1234');
      provider.close();
    }
  });
});

test('every quirk that nothing is done about says why', () => {
  for (const entry of openAiEntries) for (const [quirk, reason] of Object.entries(entry.leftOut)) expect(reason.length, `${entry.id} ${quirk}`).toBeGreaterThan(15);
});
