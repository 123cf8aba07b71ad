import { json, sse, startScriptedUpstream } from '@pointsman/testing';
import { expect, test } from 'vitest';
import { callProvider, providerRequest } from '../provider.conformance.ts';
import type { DeploymentSettings } from '../provider.ts';
import { UpstreamPools } from '../upstream-pools.ts';
import { createAnthropicWireProvider } from './adapter.ts';

const pools = new UpstreamPools();
const body = { model: 'asked-for', max_tokens: 10, messages: [{ role: 'user', content: 'hi' }] };
const message = { id: 'msg_1', type: 'message', role: 'assistant', model: 'm', content: [], stop_reason: 'end_turn', usage: { input_tokens: 1, output_tokens: 1 } };

function deployment(overrides: Partial<DeploymentSettings>): DeploymentSettings {
  return { provider: 'anthropic', model: 'claude-sonnet-4-5', apiKey: 'sk-ant-test-key', apiBase: undefined, apiVersion: undefined, params: {}, ...overrides };
}

test("the client's beta features travel with the deployment's own", async () => {
  await using upstream = await startScriptedUpstream({ reply: json(message) });
  const provider = createAnthropicWireProvider(deployment({ apiBase: upstream.url, params: { extra_headers: { 'Anthropic-Beta': 'own-1', 'x-team': 'blue' } } }), { pools, env: {} });
  await callProvider(provider, providerRequest(body, { format: 'messages', headers: { 'anthropic-beta': 'theirs-2', traceparent: '00-abc-def-01' } }));
  expect(upstream.calls[0]?.headers).toMatchObject({ 'anthropic-beta': 'own-1,theirs-2', 'x-team': 'blue', traceparent: '00-abc-def-01', 'anthropic-version': '2023-06-01' });
  provider.close();
});

test('ANTHROPIC_AUTH_TOKEN goes as a bearer token, and no x-api-key beside it', async () => {
  await using upstream = await startScriptedUpstream({ reply: json(message) });
  const provider = createAnthropicWireProvider(deployment({ apiKey: undefined, apiBase: upstream.url }), { pools, env: { ANTHROPIC_AUTH_TOKEN: 'token-1' } });
  await callProvider(provider, providerRequest(body, { format: 'messages' }));
  expect(upstream.calls[0]?.headers['authorization']).toBe('Bearer token-1');
  expect(upstream.calls[0]?.headers).not.toHaveProperty('x-api-key');
  provider.close();
});

test('a host that speaks the same format is called below its own path', async () => {
  await using upstream = await startScriptedUpstream({ reply: json(message) });
  const provider = createAnthropicWireProvider(deployment({ provider: 'minimax', model: 'MiniMax-M2', apiKey: 'mm-key-123', apiBase: `${upstream.url}/anthropic` }), { pools, env: { ANTHROPIC_AUTH_TOKEN: 'not-for-minimax' } });
  await callProvider(provider, providerRequest(body, { format: 'messages' }));
  expect(upstream.calls[0]?.path).toBe('/anthropic/v1/messages');
  expect(upstream.calls[0]?.headers['x-api-key']).toBe('mm-key-123');
  provider.close();
});

test('events keep their names', async () => {
  await using upstream = await startScriptedUpstream({ reply: { ...sse([], { done: false }), steps: ['event: message_start\ndata: {"type":"message_start"}\n\nevent: message_stop\ndata: {"type":"message_stop"}\n\n'] } });
  const provider = createAnthropicWireProvider(deployment({ apiBase: upstream.url }), { pools, env: {} });
  const sink = await callProvider(provider, providerRequest({ ...body, stream: true }, { format: 'messages' }));
  expect(sink.events.map((event) => event.event)).toEqual(['message_start', 'message_stop']);
  provider.close();
});

test('tokens are counted by the provider, of the fields that it takes', async () => {
  await using upstream = await startScriptedUpstream({ reply: json({ input_tokens: 42 }) });
  const provider = createAnthropicWireProvider(deployment({ apiBase: upstream.url }), { pools, env: {} });
  await expect(provider.countTokens?.({ ...body, temperature: 1, stream: true }, new AbortController().signal)).resolves.toBe(42);
  expect(upstream.calls[0]).toMatchObject({ path: '/v1/messages/count_tokens', json: { model: 'claude-sonnet-4-5', messages: body.messages } });
  expect(upstream.calls[0]?.json).not.toHaveProperty('max_tokens');
  provider.close();
});

test('a count that the provider refuses rejects with its fault', async () => {
  await using upstream = await startScriptedUpstream({ reply: json({ type: 'error', error: { type: 'authentication_error', message: 'invalid x-api-key sk-ant-test-key' } }, { status: 401 }) });
  const provider = createAnthropicWireProvider(deployment({ apiBase: upstream.url }), { pools, env: {} });
  await expect(provider.countTokens?.(body, new AbortController().signal)).rejects.toMatchObject({ fault: 'auth', message: expect.not.stringContaining('sk-ant-test-key') as string });
  provider.close();
});

test('an abandoned count closes its connection', async () => {
  await using upstream = await startScriptedUpstream({ reply: { before: [{ end: 'stall' }], steps: [] } });
  const provider = createAnthropicWireProvider(deployment({ apiBase: upstream.url }), { pools, env: {} });
  const abort = new AbortController();
  const counting = provider.countTokens?.(body, abort.signal);
  await expect.poll(() => upstream.calls.length).toBe(1);
  abort.abort(new Error('gone'));
  await expect(counting).rejects.toThrow('gone');
  await expect.poll(() => upstream.calls[0]?.aborted).toBe(true);
  provider.close();
});

test('a deployment without a key says which setting is missing', () => {
  expect(() => createAnthropicWireProvider(deployment({ apiKey: undefined }), { pools, env: {} })).toThrow(/ANTHROPIC_API_KEY/);
});
