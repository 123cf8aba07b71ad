import { json, startScriptedUpstream } from '@pointsman/testing';
import { AwsV4Signer } from 'aws4fetch';
import { createVerify, generateKeyPairSync } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { callProvider, providerRequest } from '../provider.conformance.ts';
import { UpstreamPools } from '../upstream-pools.ts';
import { anthropicReply, awsParams, bedrockReply, geminiReply, nativeDeployment } from './fixtures/native-deployment.ts';
import { requests, weatherTool } from './fixtures/requests.ts';
import { aiSdkProviderIds, createAiSdkProvider } from './index.ts';

const pools = new UpstreamPools();
const ask = providerRequest({ model: 'asked-for', messages: [{ role: 'user', content: 'hi' }] });

test('the signature to Bedrock covers the body as it was sent, changes after the SDK included', async () => {
  await using upstream = await startScriptedUpstream({ reply: json(bedrockReply([{ text: 'ok' }])) });
  const provider = await createAiSdkProvider(nativeDeployment('bedrock', 'anthropic.claude-sonnet-4-5-20250929-v1:0', undefined, { apiKey: undefined, params: awsParams(upstream.url) }), { pools, env: {} });
  await callProvider(provider, providerRequest({ ...requests.tools, tools: [{ ...weatherTool, cache_control: { type: 'ephemeral' } }] }));
  const call = upstream.calls[0];
  expect(call?.body).toContain('cachePoint');
  const signed = /SignedHeaders=([^,]+)/.exec(call?.headers['authorization'] ?? '')?.[1]?.split(';') ?? [];
  const headers = Object.fromEntries(signed.filter((name) => name !== 'host').map((name) => [name, call?.headers[name] ?? '']));
  const again = await new AwsV4Signer({ url: `${upstream.url}${call?.path ?? ''}`, method: 'POST', headers, body: call?.body ?? '', region: 'eu-central-1', service: 'bedrock', accessKeyId: 'AKIATESTTESTTESTTEST', secretAccessKey: 'test-secret', datetime: call?.headers['x-amz-date'] ?? '' }).sign();
  expect(call?.headers['authorization']).toBe(again.headers.get('authorization'));
  provider.close();
});

test('AWS_BEARER_TOKEN_BEDROCK goes as a bearer token', async () => {
  await using upstream = await startScriptedUpstream({ reply: json(bedrockReply([{ text: 'ok' }])) });
  const provider = await createAiSdkProvider(nativeDeployment('bedrock', 'amazon.nova-lite-v1:0', upstream.url, { apiKey: undefined }), { pools, env: { AWS_BEARER_TOKEN_BEDROCK: 'bedrock-token', AWS_REGION: 'us-east-1' } });
  await callProvider(provider, ask);
  expect(upstream.calls[0]?.headers['authorization']).toBe('Bearer bedrock-token');
  provider.close();
});

test('a service account signs in once and keeps its token; vertex_credentials may be a file', async () => {
  const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048, privateKeyEncoding: { type: 'pkcs8', format: 'pem' }, publicKeyEncoding: { type: 'spki', format: 'pem' } });
  await using tokens = await startScriptedUpstream({ reply: json({ access_token: 'ya29.test', expires_in: 3600, token_type: 'Bearer' }) });
  await using upstream = await startScriptedUpstream({ reply: json(geminiReply([{ text: 'ok' }])) });
  const folder = await mkdtemp(join(tmpdir(), 'credentials-'));
  const file = join(folder, 'key.json');
  await writeFile(file, JSON.stringify({ type: 'service_account', project_id: 'p-1', private_key: privateKey, client_email: 'a@p-1.iam.gserviceaccount.com', token_uri: `${tokens.url}/token` }));
  const provider = await createAiSdkProvider(nativeDeployment('vertex_ai', 'gemini-2.5-flash', upstream.url, { apiKey: undefined, params: { vertex_credentials: file } }), { pools, env: {} });
  expect(provider.problems).toBeUndefined();
  await callProvider(provider, ask);
  await callProvider(provider, ask);
  await expect(provider.passthrough?.headers()).resolves.toEqual({ authorization: 'Bearer ya29.test' });
  expect(tokens.calls).toHaveLength(1);
  expect(upstream.calls.map((call) => call.headers['authorization'])).toEqual(['Bearer ya29.test', 'Bearer ya29.test']);
  expect(upstream.calls[0]?.path).toBe('/v1beta1/projects/p-1/locations/us-central1/publishers/google/models/gemini-2.5-flash:generateContent');
  const [header = '', claims = '', signature = ''] = (new URLSearchParams(tokens.calls[0]?.body).get('assertion') ?? '').split('.');
  expect(createVerify('RSA-SHA256').update(`${header}.${claims}`).verify(publicKey, signature, 'base64url')).toBe(true);
  await rm(folder, { recursive: true });
  provider.close();
});

test('a token endpoint that refuses is an auth fault without the key in it', async () => {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048, privateKeyEncoding: { type: 'pkcs8', format: 'pem' }, publicKeyEncoding: { type: 'spki', format: 'pem' } });
  await using tokens = await startScriptedUpstream({ reply: json({ error: 'invalid_grant', error_description: 'Invalid JWT Signature.' }, { status: 400 }) });
  const credentials = { type: 'service_account', project_id: 'p-1', private_key: privateKey, client_email: 'a@p-1.iam.gserviceaccount.com', token_uri: `${tokens.url}/token` };
  const provider = await createAiSdkProvider(nativeDeployment('vertex_ai', 'gemini-2.5-flash', 'http://127.0.0.1:9', { apiKey: undefined, params: { vertex_credentials: credentials } }), { pools, env: {} });
  const sink = await callProvider(provider, ask);
  expect(sink.error?.fault).toBe('auth');
  expect(sink.error?.message).not.toContain('PRIVATE KEY');
  provider.close();
});

test.each([
  ['anthropic', {}, /ANTHROPIC_API_KEY/],
  ['gemini', {}, /GEMINI_API_KEY/],
  ['cohere', {}, /COHERE_API_KEY/],
  ['bedrock', {}, /aws_region_name/],
  ['bedrock', { aws_region_name: 'evil.example/' }, /not a region/],
  ['vertex_ai', { vertex_credentials: '{"project_id": "' }, /vertex_credentials/],
] as const)('%s without what it needs serves an explanation instead of throwing', async (provider, params, words) => {
  const native = await createAiSdkProvider(nativeDeployment(provider, 'some-model', undefined, { apiKey: undefined, params }), { pools, env: {} });
  expect(native.problems?.[0]).toMatch(words);
  const sink = await callProvider(native, ask);
  expect(sink.error?.fault).toBe('auth');
  native.close();
});

test("Anthropic's chat and messages are one provider", async () => {
  await using upstream = await startScriptedUpstream({ reply: json(anthropicReply([{ type: 'text', text: 'ok' }])) });
  const provider = await createAiSdkProvider(nativeDeployment('anthropic', 'claude-sonnet-4-5', upstream.url), { pools, env: {} });
  expect([...provider.formats].sort()).toEqual(['chat', 'messages']);
  expect(provider.countTokens).toBeDefined();
  const body = { model: 'asked-for', max_tokens: 5, messages: [{ role: 'user', content: 'hi' }] };
  const sink = await callProvider(provider, providerRequest(body, { format: 'messages' }));
  expect(sink.json).toMatchObject({ type: 'message', content: [{ text: 'ok' }] });
  expect(upstream.calls[0]?.json).toEqual({ ...body, model: 'claude-sonnet-4-5' });
  provider.close();
  expect(pools.counts().filter(({ origin }) => origin === upstream.url)).toEqual([]);
});

test('every id has a definition', () => {
  expect(aiSdkProviderIds).toEqual(expect.arrayContaining(['anthropic', 'bedrock', 'gemini', 'vertex_ai', 'cohere', 'ollama', 'ollama_chat']));
});
