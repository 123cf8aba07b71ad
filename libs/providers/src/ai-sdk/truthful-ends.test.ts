import { startScriptedUpstream } from '@pointsman/testing';
import { expect, test } from 'vitest';
import { callProvider, providerRequest, type ConformanceFixture } from '../provider.conformance.ts';
import { UpstreamPools } from '../upstream-pools.ts';
import { anthropicFixtures } from './fixtures/anthropic-fixtures.ts';
import { bedrockFixtures } from './fixtures/bedrock-fixtures.ts';
import { cohereFixtures } from './fixtures/cohere-fixtures.ts';
import { geminiFixtures } from './fixtures/gemini-fixtures.ts';
import { awsParams, nativeDeployment } from './fixtures/native-deployment.ts';
import { ollamaFixtures } from './fixtures/ollama-fixtures.ts';
import { createAiSdkProvider } from './index.ts';

const pools = new UpstreamPools();
const bedrockModel = 'anthropic.claude-sonnet-4-5-20250929-v1:0';
const providers: readonly (readonly [provider: string, model: string, fixtures: readonly ConformanceFixture[]])[] = [
  ['anthropic', 'claude-sonnet-4-5', anthropicFixtures({ path: '/v1/messages', headers: {} })],
  ['bedrock', bedrockModel, bedrockFixtures({ model: bedrockModel, headers: {} })],
  ['gemini', 'gemini-2.5-flash', geminiFixtures({ path: '', streamPath: '', headers: {} })],
  ['cohere', 'command-a-03-2025', cohereFixtures],
  ['ollama', 'llama3.2', ollamaFixtures],
];

/** A stream whose framing is complete: only the missing last word tells that the answer is not. */
async function streamOf(provider: string, model: string, fixtures: readonly ConformanceFixture[], share: number) {
  const fixture = fixtures.find((one) => one.case === 'stream');
  if (fixture === undefined) throw new Error('There is no stream fixture.');
  const bytes = Buffer.from(fixture.reply.body);
  await using upstream = await startScriptedUpstream({ reply: { headers: { 'content-type': 'text/event-stream' }, framing: 'chunked', steps: [bytes.subarray(0, Math.floor(bytes.length * share))] } });
  const settings = provider === 'bedrock' ? nativeDeployment(provider, model, undefined, { apiKey: undefined, params: awsParams(upstream.url) }) : nativeDeployment(provider, model, upstream.url);
  const native = await createAiSdkProvider(settings, { pools, env: {} });
  const sink = await callProvider(native, providerRequest(fixture.request));
  native.close();
  return sink;
}

test.each(providers)('%s: a stream that simply stops is truncated, never a stop', async (provider, model, fixtures) => {
  const sink = await streamOf(provider, model, fixtures, 0.6);
  expect(sink.error?.fault).toBe('truncated');
  expect(sink.ended).toBe(false);
  expect(sink.events.some((event) => event.data === '[DONE]' || event.data.includes('"finish_reason":"'))).toBe(false);
  expect(sink.events.length).toBeGreaterThan(1);
});

test.each(providers)('%s: a success without any event is a bad reply', async (provider, model, fixtures) => {
  const sink = await streamOf(provider, model, fixtures, 0);
  expect(sink.error?.fault).toBe('bad_reply');
  expect(sink.events).toEqual([]);
});
