import { createGate, json, sse, startScriptedUpstream, type Script, type ScriptedUpstream } from '@pointsman/testing';
import type { JsonObject } from '@pointsman/schemas';
import { afterAll, describe, expect, test } from 'vitest';
import { callProvider, providerRequest, RecordingSink } from '../provider.conformance.ts';
import type { DeploymentSettings, Provider, ProviderRequest } from '../provider.ts';
import { UpstreamPools } from '../upstream-pools.ts';
import { createOpenAiWireProvider, type OpenAiWireParts } from './adapter.ts';

const pools = new UpstreamPools();
afterAll(() => pools.close());

const chat: JsonObject = { model: 'fast', messages: [{ role: 'user', content: 'Hi' }] };
const streamed: JsonObject = { ...chat, stream: true };
const answer = json({ choices: [{ index: 0, message: { role: 'assistant', content: 'x' }, finish_reason: 'stop' }] });
const chunk = { choices: [{ index: 0, delta: { content: 'x' }, finish_reason: null }] };

function provide(upstream: ScriptedUpstream, settings: Partial<DeploymentSettings> = {}, parts: Partial<OpenAiWireParts> = {}): Provider {
  return createOpenAiWireProvider({ provider: 'openai', model: 'gpt-4o', apiKey: 'sk-test-12345678', apiBase: `${upstream.url}/v1`, apiVersion: undefined, params: {}, ...settings }, { pools, env: {}, ...parts });
}

interface Exchange {
  readonly sink: RecordingSink;
  readonly upstream: ScriptedUpstream;
}

async function exchange(reply: Script, body: JsonObject, settings: Partial<DeploymentSettings> = {}, overrides: Partial<ProviderRequest> = {}, parts: Partial<OpenAiWireParts> = {}): Promise<Exchange> {
  await using upstream = await startScriptedUpstream({ reply });
  const provider = provide(upstream, settings, parts);
  const sink = await callProvider(provider, providerRequest(body, overrides));
  provider.close();
  return { sink, upstream };
}

describe('the request', () => {
  test('travels byte for byte but for the model name', async () => {
    const raw = '{"seed":12345678901234567890, "temperature":1.0,"model":"fast","messages":[{"role":"user","content":"\\u00fc"}]}';
    const { upstream } = await exchange(answer, chat, {}, { body: JSON.parse(raw) as JsonObject, rawBody: Buffer.from(raw) });
    expect(upstream.calls[0]?.body).toBe(raw.replace('"fast"', '"gpt-4o"'));
  });

  test('asks for usage in front of the client\'s own bytes', async () => {
    const raw = '{"model":"fast","stream":true,"messages":[],"seed":12345678901234567890}';
    const { upstream } = await exchange(sse([chunk]), streamed, {}, { body: JSON.parse(raw) as JsonObject, rawBody: Buffer.from(raw), stream: true });
    expect(upstream.calls[0]?.body).toBe('{"stream_options":{"include_usage":true},"model":"gpt-4o","stream":true,"messages":[],"seed":12345678901234567890}');
  });

  test.each([
    [{ include_usage: false, include_obfuscation: false }, { include_usage: true, include_obfuscation: false }],
    [{ include_usage: true }, { include_usage: true }],
    [null, { include_usage: true }],
  ])('with stream_options %j asks with %j', async (given, sent) => {
    const { upstream } = await exchange(sse([chunk]), { ...streamed, stream_options: given });
    expect(upstream.calls[0]?.json).toMatchObject({ stream_options: sent, stream: true });
  });

  test('asks for no usage without a stream', async () => {
    const { upstream } = await exchange(answer, chat);
    expect(upstream.calls[0]?.json).not.toHaveProperty('stream_options');
  });

  test('is serialised when only the parsed body is there', async () => {
    const { upstream } = await exchange(sse([chunk]), streamed, {}, { rawBody: undefined });
    expect(upstream.calls[0]?.json).toEqual({ ...streamed, model: 'gpt-4o', stream_options: { include_usage: true } });
  });

  test('carries trace headers, the organisation and the operator\'s own headers, whose framing is ignored', async () => {
    const { upstream } = await exchange(answer, chat, { params: { organization: 'org-1', project: 'proj-1', extra_headers: { 'X-Team': 'blue', 'Content-Length': '1', 'bad header': 'x', 'X-Line': 'a\r\nb: c' } } }, { headers: { traceparent: '00-aa-bb-01' } });
    expect(upstream.calls[0]?.headers).toMatchObject({ traceparent: '00-aa-bb-01', 'openai-organization': 'org-1', 'openai-project': 'proj-1', 'x-team': 'blue', 'content-length': String(upstream.calls[0]?.body.length) });
    expect(upstream.calls[0]?.headers).not.toHaveProperty('x-line');
    expect(upstream.calls[0]?.headers).not.toHaveProperty('b');
  });

  test('of a wildcard deployment keeps the name that the gateway put in, without the provider\'s prefix', async () => {
    const { upstream } = await exchange(answer, { ...chat, model: 'openai/gpt-4.1' }, { model: '*' });
    expect(upstream.calls[0]?.json).toMatchObject({ model: 'gpt-4.1' });
  });

  test('gets all quirks of its provider, and the client\'s body none', async () => {
    const body: JsonObject = { ...chat, seed: 1, tool_choice: 'required', max_completion_tokens: 5, stream: true, stream_options: { include_usage: true }, messages: [{ role: 'user', name: 'bob', content: [{ type: 'text', text: 'Hi' }] }, { role: 'assistant', content: '' }] };
    const before = structuredClone(body);
    const { upstream } = await exchange(sse([chunk]), body, { provider: 'mistral', model: 'mistral-small' });
    expect(upstream.calls[0]?.json).toEqual({ model: 'mistral-small', messages: [{ role: 'user', content: 'Hi' }], random_seed: 1, tool_choice: 'any', max_tokens: 5, stream: true });
    expect(body).toEqual(before);
  });

  test('drops parameters only when the operator said so', async () => {
    const kept = await exchange(answer, { ...chat, temperature: 0.1, max_tokens: 9 }, { model: 'o3' });
    expect(kept.upstream.calls[0]?.json).toMatchObject({ temperature: 0.1, max_completion_tokens: 9 });
    const dropped = await exchange(answer, { ...chat, temperature: 0.1 }, { model: 'o3', params: { drop_params: true } });
    expect(dropped.upstream.calls[0]?.json).not.toHaveProperty('temperature');
  });

  test('in a format that the provider does not serve is refused without a call', async () => {
    const { sink, upstream } = await exchange(answer, chat, { provider: 'groq' }, { format: 'responses' });
    expect(sink.error).toMatchObject({ fault: 'bad_request', code: 'format_not_supported' });
    expect(upstream.calls).toHaveLength(0);
  });

  test.each([['completions', '/v1/completions'], ['embeddings', '/v1/embeddings'], ['responses', '/v1/responses']] as const)('for %s goes to %s', async (format, path) => {
    const { sink, upstream } = await exchange(json({ object: 'list', data: [] }), { model: 'fast', input: 'x' }, {}, { format });
    expect(sink.json).toEqual({ object: 'list', data: [] });
    expect(upstream.calls[0]).toMatchObject({ path, json: { model: 'gpt-4o', input: 'x' } });
  });
});

describe('a reply', () => {
  test('is handed over with its exact text', async () => {
    const text = '{"choices": [], "n": 1.0}';
    const { sink } = await exchange(json(text), chat);
    expect(sink.text).toBe(text);
  });

  test('tells the headers that are worth telling', async () => {
    const { sink } = await exchange({ ...answer, headers: { 'content-type': 'application/json', 'X-Request-Id': 'req-1', 'x-ratelimit-remaining-requests': '59', 'set-cookie': 'a=b' } }, chat);
    expect(sink.headers).toEqual({ 'x-request-id': 'req-1', 'x-ratelimit-remaining-requests': '59' });
  });

  test('in JSON to a stream is handed over as JSON', async () => {
    const { sink } = await exchange(answer, streamed);
    expect(sink.order).toEqual(['start', 'json', 'end']);
  });

  test('that is an error under a success status is that error', async () => {
    expect((await exchange(json({ error: { message: 'slow down', code: 429 } }), chat)).sink.error?.fault).toBe('rate_limited');
    expect((await exchange(json({ error: 'went wrong' }), chat)).sink.error).toMatchObject({ fault: 'bad_reply', message: 'went wrong' });
    expect((await exchange(json({ object: 'error', message: 'maximum context length is 5', code: 400 }), chat)).sink.error?.fault).toBe('context_window');
  });

  test('with an empty error field is a reply', async () => {
    const { sink } = await exchange(json({ object: 'response', error: null, output: [] }), { model: 'fast', input: 'x' }, {}, { format: 'responses' });
    expect(sink.json).toMatchObject({ object: 'response' });
  });

  test('past the limit is refused and the connection given up', async () => {
    await using upstream = await startScriptedUpstream({ reply: { framing: 'chunked', headers: { 'content-type': 'application/json' }, steps: ['{"x":"', 'y'.repeat(2000), { end: 'stall' }] } });
    const provider = provide(upstream, {}, { maxReplyBytes: 1000 });
    const sink = await callProvider(provider, providerRequest(chat));
    expect(sink.error).toMatchObject({ fault: 'bad_reply', message: expect.stringContaining('1000 bytes') as unknown });
    await expect.poll(() => upstream.calls[0]?.aborted).toBe(true);
    provider.close();
  });

  test('that only its connection delimits and that broke off is truncated', async () => {
    for (const end of ['fin', 'reset'] as const) {
      const gate = createGate(); // a reset throws away what has not been read yet
      await using upstream = await startScriptedUpstream({ reply: { framing: 'close', headers: { 'content-type': 'application/json' }, steps: ['{"choices":[', { until: gate.opened }, { end }] } });
      const provider = provide(upstream);
      const sink = new RecordingSink();
      provider.start(providerRequest(chat), sink);
      await sink.when(() => sink.status !== undefined);
      gate.open();
      await sink.settled;
      expect(sink.error?.fault).toBe('truncated');
      provider.close();
    }
  });

  test('of an error is read to 64 KB and no further', async () => {
    await using upstream = await startScriptedUpstream({ reply: { status: 400, framing: 'chunked', steps: [`context length ${'x'.repeat(70_000)}`, { end: 'stall' }] } });
    const provider = provide(upstream);
    const sink = await callProvider(provider, providerRequest(chat));
    expect(sink.error).toMatchObject({ fault: 'context_window', upstreamStatus: 400 });
    await expect.poll(() => upstream.calls[0]?.aborted).toBe(true);
    provider.close();
  });

  test('of an error that breaks off is still that error', async () => {
    const { sink } = await exchange({ status: 429, framing: 'chunked', headers: { 'retry-after': '3' }, steps: ['{"error":{"mess', { end: 'fin' }] }, chat);
    expect(sink.error).toMatchObject({ fault: 'rate_limited', retryAfterMs: 3000 });
  });

  test('that quotes our key shows it to nobody', async () => {
    const { sink } = await exchange(json({ error: { message: 'bad key plain-secret-value' } }, { status: 401 }), chat, { apiKey: 'plain-secret-value' });
    expect(sink.error?.message).toBe('bad key ***');
    expect(JSON.stringify(sink.error)).not.toContain('plain-secret-value');
  });

  test('gets the reply quirks of its provider', async () => {
    const { sink } = await exchange(json({ choices: [{ index: 0, message: { role: 'assistant', content: null, tool_calls: [{ id: 'a', type: 'function', function: { name: 'f', arguments: '{}' } }] }, finish_reason: 'stop' }] }), chat, { provider: 'xai', model: 'grok-4' });
    expect(sink.json).toMatchObject({ choices: [{ finish_reason: 'tool_calls' }] });
    expect(sink.text).toBeUndefined();
  });
});

describe('a stream', () => {
  test('is told apart from JSON without a content type', async () => {
    const { sink } = await exchange(sse([chunk], { headers: { 'content-type': 'text/plain' } }), streamed);
    expect(sink.events.map((event) => event.data)).toEqual([JSON.stringify(chunk), '[DONE]']);
    expect(sink.ended).toBe(true);
  });

  test('may end with [DONE] and no blank line', async () => {
    const { sink } = await exchange({ framing: 'chunked', headers: { 'content-type': 'text/event-stream; charset=utf-8' }, steps: ['data: {}\n\ndata: [DONE]'] }, streamed);
    expect(sink.events.map((event) => event.data)).toEqual(['{}', '[DONE]']);
    expect(sink.ended).toBe(true);
  });

  test('that ends in the middle of an event is truncated, also when only the connection delimits it', async () => {
    for (const framing of ['chunked', 'close'] as const) {
      const { sink } = await exchange({ framing, headers: { 'content-type': 'text/event-stream' }, steps: ['data: {}\n\ndata: {"choi'] }, streamed);
      expect(sink.events).toHaveLength(1);
      expect(sink.error?.fault).toBe('truncated');
    }
  });

  test('without any event ends, and the gateway judges it', async () => {
    const { sink } = await exchange({ framing: 'chunked', headers: { 'content-type': 'text/event-stream' }, steps: [] }, streamed);
    expect(sink.order).toEqual(['start', 'end']);
  });

  test('passes on what came before an error in the same bytes, and gives the connection up', async () => {
    await using upstream = await startScriptedUpstream({ reply: { framing: 'chunked', headers: { 'content-type': 'text/event-stream' }, steps: [`data: ${JSON.stringify(chunk)}\n\ndata: {"id":"x","choices":[],"error":{"code":503,"message":"gone"}}\n\ndata: {}\n\n`, { end: 'stall' }] } });
    const provider = provide(upstream);
    const sink = await callProvider(provider, providerRequest(streamed));
    expect(sink.order).toEqual(['start', 'events', 'error']);
    expect(sink.events).toHaveLength(1);
    expect(sink.error).toMatchObject({ fault: 'overloaded', message: 'gone' });
    await expect.poll(() => upstream.calls[0]?.aborted).toBe(true);
    provider.close();
  });

  test.each([
    ['an error field that is null', '{"choices":[],"error":null}'],
    ['talk about "error"', JSON.stringify({ choices: [{ delta: { content: 'say "error" : {"error":"x"}' } }] })],
    ['error as a value', '{"choices":[{"delta":{},"finish_reason":"error"}]}'],
    ['something that is not JSON', '{"error" oops'],
  ])('with %s is no error', async (_name, data) => {
    const { sink } = await exchange(sse([data]), streamed);
    expect(sink.error).toBeUndefined();
    expect(sink.events[0]?.data).toBe(data);
  });

  test('of responses fails with its error event and not with a null', async () => {
    const request = { model: 'fast', input: 'x', stream: true };
    const created = 'event: response.created\ndata: {"type":"response.created","response":{"error":null}}\n\n';
    const failed = 'event: error\ndata: {"type":"error","code":"rate_limit_exceeded","message":"slow","param":null}\n\n';
    const { sink } = await exchange({ framing: 'chunked', headers: { 'content-type': 'text/event-stream' }, steps: [created, failed] }, request, {}, { format: 'responses' });
    expect(sink.events).toEqual([{ event: 'response.created', data: '{"type":"response.created","response":{"error":null}}' }]);
    expect(sink.error).toMatchObject({ fault: 'rate_limited', message: 'slow' });
  });

  test('gets the reply quirks of its provider, event by event', async () => {
    const { sink } = await exchange(sse([{ choices: [{ index: 0, delta: { tool_calls: [{ index: 0 }] }, finish_reason: null }] }, { choices: [{ index: 0, delta: {}, finish_reason: 'stop' }] }]), streamed, { provider: 'xai', model: 'grok-4' });
    expect(JSON.parse(sink.events[1]?.data ?? '')).toMatchObject({ choices: [{ finish_reason: 'tool_calls' }] });
  });

  test('cancelled by the sink from inside an event is silent at once', async () => {
    await using upstream = await startScriptedUpstream({ reply: { framing: 'chunked', headers: { 'content-type': 'text/event-stream' }, steps: ['data: {}\n\n', { waitMs: 5 }, 'data: {}\n\n', { end: 'stall' }] } });
    const provider = provide(upstream);
    const sink = new RecordingSink();
    const record = sink.onEvents.bind(sink);
    const call = provider.start(providerRequest(streamed), sink);
    sink.onEvents = (events) => {
      record(events);
      call.cancel();
    };
    await expect.poll(() => upstream.calls[0]?.aborted).toBe(true);
    expect(sink.events).toHaveLength(1);
    expect(sink.order).toEqual(['start', 'events']);
    provider.close();
  });
});

test('pass-through goes to the API\'s root with the deployment\'s credentials', async () => {
  const provider = createOpenAiWireProvider({ provider: 'openai', model: 'gpt-4o', apiKey: 'sk-test-12345678', apiBase: undefined, apiVersion: undefined, params: {} }, { pools, env: {} });
  expect(provider.passthrough?.baseUrl).toBe('https://api.openai.com/v1');
  expect(await provider.passthrough?.headers()).toEqual({ authorization: 'Bearer sk-test-12345678' });
  provider.close();
});

test('a deployment that cannot work says so until it is cancelled', async () => {
  const provider = createOpenAiWireProvider({ provider: 'openai', model: 'm', apiKey: undefined, apiBase: undefined, apiVersion: undefined, params: {} }, { pools, env: {} });
  const silent = new RecordingSink();
  provider.start(providerRequest(chat), silent).cancel();
  const sink = await callProvider(provider, providerRequest(chat));
  expect(sink.error?.fault).toBe('auth');
  expect(silent.order).toEqual([]);
});
