import { AppError } from '@pointsman/errors';
import type { JsonObject } from '@pointsman/schemas';
import { expect, test } from 'vitest';
import { splitGatewayParameters } from './gateway-parameters.ts';

const CHAT: JsonObject = { model: 'chat', messages: [{ role: 'user', content: 'hi' }], temperature: 0.5, x_provider_only: { a: 1 } };

test('a body with nothing for the gateway comes back as the same object', () => {
  const split = splitGatewayParameters(CHAT);
  expect(split.body).toBe(CHAT);
  expect(split.parameters).toEqual({
    tags: undefined, fallbacks: undefined, disableFallbacks: false, numRetries: undefined, timeoutMs: undefined, mockResponse: undefined, clientSide: undefined,
  });
});

test('metadata that OpenAI takes stays in the body, and the body stays the same object', () => {
  const body = { ...CHAT, metadata: { team: 'blue' } };
  expect(splitGatewayParameters(body).body).toBe(body);
});

test('metadata with lists or objects is for the gateway and never reaches a provider', () => {
  const { body, parameters } = splitGatewayParameters({ ...CHAT, metadata: { tags: ['paid'], nested: { a: 1 } } });
  expect(body).toEqual(CHAT);
  expect(parameters.tags).toEqual(['paid']);
});

test('metadata: null travels on as the client sent it', () => {
  const body = { ...CHAT, metadata: null };
  expect(splitGatewayParameters(body).body).toBe(body);
});

test('every field for the gateway leaves the body, and what is for the provider stays', () => {
  const { body, parameters } = splitGatewayParameters({
    ...CHAT, tags: ['a', 'b'], fallbacks: ['x', { model: 'y', temperature: 1 }], num_retries: 3, timeout: 1.5, mock_response: 'hello', disable_fallbacks: true,
    cache: { 'no-cache': true }, guardrails: ['g'], litellm_metadata: {}, litellm_call_id: 'c', litellm_trace_id: 't', litellm_session_id: 's',
    mock_testing_fallbacks: true, 'no-log': true, enable_tag_filtering: true,
    drop_params: true, additional_drop_params: ['x'], custom_llm_provider: 'anthropic',
  });
  expect(body).toEqual(CHAT);
  expect(parameters).toEqual({
    tags: ['a', 'b'], fallbacks: ['x', 'y'], disableFallbacks: true, numRetries: 3, timeoutMs: 1_500, mockResponse: 'hello', clientSide: undefined,
    cache: { noCache: true, noStore: false, useCache: false, ttlMs: undefined, maxAgeMs: undefined, namespace: undefined },
  });
});

test('the client\'s body is never changed', () => {
  const body = { ...CHAT, tags: ['a'], api_base: 'http://x' };
  const before = structuredClone(body);
  splitGatewayParameters(body);
  expect(body).toEqual(before);
});

test('where keys and prompts would go is set apart, base_url as the api_base it is', () => {
  const { body, parameters } = splitGatewayParameters({ ...CHAT, base_url: 'http://elsewhere', api_key: 'sk-own', api_version: null });
  expect(body).toEqual(CHAT);
  expect([...parameters.clientSide ?? []]).toEqual([['api_base', 'http://elsewhere'], ['api_key', 'sk-own']]);
});

test('tags: the field wins over metadata, metadata over litellm_metadata', () => {
  expect(splitGatewayParameters({ tags: ['field'], metadata: { tags: ['meta'] } }).parameters.tags).toEqual(['field']);
  expect(splitGatewayParameters({ metadata: { tags: ['meta'] }, litellm_metadata: { tags: ['litellm'] } }).parameters.tags).toEqual(['meta']);
  expect(splitGatewayParameters({ litellm_metadata: { tags: ['litellm'] } }).parameters.tags).toEqual(['litellm']);
});

test('request_timeout is another name for timeout, which wins', () => {
  expect(splitGatewayParameters({ request_timeout: 2 }).parameters.timeoutMs).toBe(2_000);
  expect(splitGatewayParameters({ request_timeout: 2, timeout: 1 }).parameters.timeoutMs).toBe(1_000);
});

test('null means not set', () => {
  const { body, parameters } = splitGatewayParameters({ ...CHAT, tags: null, fallbacks: null, num_retries: null, timeout: null, mock_response: null });
  expect(body).toEqual(CHAT);
  expect(parameters).toMatchObject({ tags: undefined, fallbacks: undefined, numRetries: undefined, timeoutMs: undefined, mockResponse: undefined });
});

test.each<[JsonObject, string]>([
  [{ tags: 'a' }, 'tags'],
  [{ tags: [1] }, 'tags[0]'],
  [{ tags: ['ok', 'x'.repeat(257)] }, 'tags[1]'],
  [{ tags: Array.from({ length: 65 }, () => 'a') }, 'tags'],
  [{ fallbacks: [{ mode: 'x' }] }, 'fallbacks[0]'],
  [{ num_retries: -1 }, 'num_retries'],
  [{ num_retries: 21 }, 'num_retries'],
  [{ num_retries: '3' }, 'num_retries'],
  [{ timeout: 86_401 }, 'timeout'],
  [{ timeout: 'soon' }, 'timeout'],
  [{ mock_response: { a: 1 } }, 'mock_response'],
  [{ api_base: 5 }, 'api_base'],
  [{ metadata: 'text' }, 'metadata'],
  [{ metadata: [1] }, 'metadata'],
])('a value of the wrong type is refused by name: %j', (more, param) => {
  let thrown: unknown;
  try {
    splitGatewayParameters({ ...CHAT, ...more });
  } catch (error) {
    thrown = error;
  }
  expect(thrown).toBeInstanceOf(AppError);
  expect(thrown).toMatchObject({ kind: 'invalid_request', param });
});

test('a key called __proto__ makes no prototype', () => {
  const body = JSON.parse('{"model":"chat","tags":["a"],"__proto__":{"polluted":true}}') as JsonObject;
  const split = splitGatewayParameters(body);
  expect((split.body as { polluted?: unknown }).polluted).toBeUndefined();
  expect(({} as { polluted?: unknown }).polluted).toBeUndefined();
});
