import type { JsonObject } from '@pointsman/schemas';
import { json, startScriptedUpstream } from '@pointsman/testing';
import { expect, test } from 'vitest';
import { callProvider, providerRequest } from '../provider.conformance.ts';
import { UpstreamPools } from '../upstream-pools.ts';
import { awsParams, nativeDeployment } from './fixtures/native-deployment.ts';
import { createAiSdkProvider } from './index.ts';

const parts = { pools: new UpstreamPools(), env: {} };
const request = (body: JsonObject) => providerRequest({ model: 'asked-for', input: ['one', 'two'], ...body }, { format: 'embeddings' });
const list = (model: string, tokens: number): JsonObject => ({ object: 'list', model, data: [{ object: 'embedding', index: 0, embedding: [0.5, 1] }, { object: 'embedding', index: 1, embedding: [0.25, 2] }], usage: { prompt_tokens: tokens, total_tokens: tokens } });

test('Gemini embeds a batch', async () => {
  await using upstream = await startScriptedUpstream({ reply: json({ embeddings: [{ values: [0.5, 1] }, { values: [0.25, 2] }] }) });
  const provider = await createAiSdkProvider(nativeDeployment('gemini', 'gemini-embedding-001', upstream.url), parts);
  const sink = await callProvider(provider, request({ dimensions: 2, task_type: 'RETRIEVAL_QUERY' }));
  expect(sink.json).toEqual(list('gemini-embedding-001', 0));
  expect(upstream.calls[0]).toMatchObject({ path: '/v1beta/models/gemini-embedding-001:batchEmbedContents', json: { requests: [{ outputDimensionality: 2, taskType: 'RETRIEVAL_QUERY' }, {}] } });
  provider.close();
});

test("Cohere embeds documents unless told otherwise, as LiteLLM's default is", async () => {
  await using upstream = await startScriptedUpstream({ reply: json({ id: 'e', embeddings: { float: [[0.5, 1], [0.25, 2]] }, meta: { billed_units: { input_tokens: 2 } } }) });
  const provider = await createAiSdkProvider(nativeDeployment('cohere', 'embed-v4.0', upstream.url), parts);
  expect((await callProvider(provider, request({}))).json).toEqual(list('embed-v4.0', 2));
  expect(upstream.calls[0]).toMatchObject({ path: '/v2/embed', json: { texts: ['one', 'two'], input_type: 'search_document' } });
  await callProvider(provider, request({ input_type: 'search_query' }));
  expect(upstream.calls[1]?.json).toMatchObject({ input_type: 'search_query' });
  provider.close();
});

test('Bedrock Titan, which takes one text per call, still answers the whole batch in order', async () => {
  await using upstream = await startScriptedUpstream({ reply: (call) => json((call.json as JsonObject)['inputText'] === 'one' ? { embedding: [0.5, 1], inputTextTokenCount: 3 } : { embedding: [0.25, 2], inputTextTokenCount: 4 }) });
  const provider = await createAiSdkProvider(nativeDeployment('bedrock', 'amazon.titan-embed-text-v2:0', undefined, { apiKey: undefined, params: awsParams(upstream.url) }), parts);
  expect((await callProvider(provider, request({}))).json).toEqual(list('amazon.titan-embed-text-v2:0', 7));
  expect(upstream.calls).toHaveLength(2);
  provider.close();
});

test('Ollama embeds, and base64 is 32-bit floats', async () => {
  await using upstream = await startScriptedUpstream({ reply: json({ model: 'nomic-embed-text', embeddings: [[0.5, 1], [0.25, 2]], prompt_eval_count: 6 }) });
  const provider = await createAiSdkProvider(nativeDeployment('ollama', 'nomic-embed-text', upstream.url), parts);
  const sink = await callProvider(provider, request({ encoding_format: 'base64' }));
  expect(sink.json).toMatchObject({ data: [{ embedding: Buffer.from(new Float32Array([0.5, 1]).buffer).toString('base64') }, {}], usage: { prompt_tokens: 6 } });
  expect(upstream.calls[0]).toMatchObject({ path: '/api/embed', json: { model: 'nomic-embed-text', input: ['one', 'two'] } });
  provider.close();
});

test('token ids are refused by name', async () => {
  const provider = await createAiSdkProvider(nativeDeployment('cohere', 'embed-v4.0', 'http://127.0.0.1:9'), parts);
  const sink = await callProvider(provider, request({ input: [1, 2, 3] }));
  expect(sink.error).toMatchObject({ fault: 'bad_request', param: 'input[0]' });
  provider.close();
});

test('a failing embeddings call is that fault', async () => {
  await using upstream = await startScriptedUpstream({ reply: json({ message: 'invalid api token' }, { status: 401 }) });
  const provider = await createAiSdkProvider(nativeDeployment('cohere', 'embed-v4.0', upstream.url), parts);
  expect((await callProvider(provider, request({}))).error?.fault).toBe('auth');
  provider.close();
});
