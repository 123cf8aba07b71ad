import { json, startScriptedUpstream } from '@pointsman/testing';
import { expect, test } from 'vitest';
import { callProvider, providerRequest } from '../provider.conformance.ts';
import { UpstreamPools } from '../upstream-pools.ts';
import { anthropicReply, awsParams, bedrockReply, nativeDeployment } from './fixtures/native-deployment.ts';
import { PIXEL } from './fixtures/sse-bytes.ts';
import { createAiSdkProvider } from './index.ts';

const pools = new UpstreamPools();
const image = (url: string) => providerRequest({ model: 'asked-for', messages: [{ role: 'user', content: [{ type: 'image_url', image_url: { url } }] }] });
const bedrock = (endpoint: string) => nativeDeployment('bedrock', 'anthropic.claude-sonnet-4-5-20250929-v1:0', undefined, { apiKey: undefined, params: awsParams(endpoint) });

test('Anthropic is told the address of an image, nothing is fetched', async () => {
  await using upstream = await startScriptedUpstream({ reply: json(anthropicReply([{ type: 'text', text: 'ok' }])) });
  const provider = await createAiSdkProvider(nativeDeployment('anthropic', 'claude-sonnet-4-5', upstream.url), { pools, env: {}, fetchFile: () => Promise.reject(new Error('not to be called')) });
  await callProvider(provider, image('https://example.com/cat'));
  expect(upstream.calls[0]?.json).toMatchObject({ messages: [{ content: [{ type: 'image', source: { type: 'url', url: 'https://example.com/cat' } }] }] });
  provider.close();
});

test('Bedrock, which fetches nothing, gets the bytes', async () => {
  await using upstream = await startScriptedUpstream({ reply: json(bedrockReply([{ text: 'ok' }])) });
  const provider = await createAiSdkProvider(bedrock(upstream.url), { pools, env: {}, fetchFile: () => Promise.resolve({ bytes: Buffer.from(PIXEL, 'base64'), mediaType: 'image/png' }) });
  await callProvider(provider, image('https://example.com/cat'));
  expect(upstream.calls[0]?.json).toMatchObject({ messages: [{ content: [{ image: { format: 'png', source: { bytes: PIXEL } } }] }] });
  provider.close();
});

test.each(['http://169.254.169.254/latest/meta-data/', 'http://127.0.0.1:4000/key/list', 'http://localhost/x', 'http://[::1]/x', 'http://10.0.0.8/x.png'])('the gateway does not fetch %s for a client', async (url) => {
  await using upstream = await startScriptedUpstream({ reply: json(bedrockReply([{ text: 'ok' }])) });
  const provider = await createAiSdkProvider(bedrock(upstream.url), { pools, env: {} });
  const sink = await callProvider(provider, image(url));
  expect(sink.error).toMatchObject({ fault: 'bad_request', param: 'messages' });
  expect(upstream.calls).toHaveLength(0);
  provider.close();
});

test('a file: address is refused', async () => {
  const provider = await createAiSdkProvider(bedrock('http://127.0.0.1:9'), { pools, env: {} });
  expect((await callProvider(provider, image('file:///etc/passwd'))).error).toMatchObject({ fault: 'bad_request', param: 'messages[0].content[0].image_url.url' });
  provider.close();
});
