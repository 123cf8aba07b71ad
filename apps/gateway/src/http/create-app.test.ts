import { expect, test } from 'vitest';
import { chatConfig, chatReply, entry, FakeProvider, startFakeGateway, TEST_KEY, type FakeGateway } from '../fake-gateway.fixture.ts';

const CONFIG = `${chatConfig(['a'])}${entry('openai/gpt-4o', 'slashed')}`;
const AUTH = { authorization: `Bearer ${TEST_KEY}` };

function started(): Promise<FakeGateway> {
  const provider = new FakeProvider((call) => call.json(call.request.format === 'embeddings' ? { object: 'list', data: [], model: 'e' }
    : call.request.format === 'completions' ? { id: 'c', object: 'text_completion', model: 'm', choices: [{ index: 0, text: 'hi', finish_reason: 'stop' }] } : chatReply('hi')));
  return startFakeGateway(CONFIG, { providers: { a: provider, slashed: provider } });
}

const MESSAGES = [{ role: 'user', content: 'hi' }];

test.each<[string, object]>([
  ['/v1/chat/completions', { model: 'chat', messages: MESSAGES }],
  ['/chat/completions', { model: 'chat', messages: MESSAGES }],
  ['/v1/chat/completions?api-version=1', { model: 'chat', messages: MESSAGES }],
  ['/v1/messages', { model: 'chat', max_tokens: 5, messages: MESSAGES }],
  ['/anthropic/v1/messages', { model: 'chat', max_tokens: 5, messages: MESSAGES }],
  ['/v1/messages?beta=true', { model: 'chat', max_tokens: 5, messages: MESSAGES }],
  ['/v1/embeddings', { model: 'chat', input: 'hi' }],
  ['/embeddings', { model: 'chat', input: 'hi' }],
  ['/v1/responses', { model: 'chat', input: 'hi' }],
  ['/responses', { model: 'chat', input: 'hi' }],
  ['/v1/completions', { model: 'chat', prompt: 'hi' }],
  ['/completions', { model: 'chat', prompt: 'hi' }],
  ['/openai/deployments/chat/chat/completions?api-version=2024-06-01', { messages: MESSAGES }],
  ['/openai/deployments/chat/embeddings', { input: 'hi' }],
  ['/openai/deployments/chat/completions', { prompt: 'hi' }],
  ['/engines/chat/chat/completions', { messages: MESSAGES }],
  ['/openai/deployments/openai%2Fgpt-4o/chat/completions', { messages: MESSAGES }],
  ['/openai/deployments/openai/gpt-4o/chat/completions', { messages: MESSAGES }],
  ['/v1/messages/count_tokens', { model: 'chat', messages: MESSAGES }],
  ['/v1/route', { model: 'chat', messages: MESSAGES }],
])('POST %s is served', async (path, body) => {
  await using gateway = await started();
  const reply = await gateway.post(path, body);
  expect([reply.status, await reply.text()]).toEqual([200, expect.any(String)]);
});

test('the model in an Azure path wins over the body\'s', async () => {
  await using gateway = await started();
  const reply = await gateway.post('/openai/deployments/chat/chat/completions', { model: 'nobody', messages: MESSAGES });
  expect(reply.headers.get('x-litellm-model-group')).toBe('chat');
});

test.each(['/v1/models', '/models', '/v1/models/chat', '/v1/models/openai/gpt-4o', '/v1/models/openai%2Fgpt-4o', '/models/openai/gpt-4o', '/model/info', '/v1/model/info', '/health'])('GET %s is served to who has a key, and to nobody else', async (path) => {
  await using gateway = await started();
  expect((await fetch(gateway.url + path, { headers: AUTH })).status).toBe(200);
  expect((await fetch(gateway.url + path)).status).toBe(401);
});

test('a model id with slashes comes back as it was asked for', async () => {
  await using gateway = await started();
  for (const path of ['/v1/models/openai/gpt-4o', '/v1/models/openai%2Fgpt-4o']) {
    expect(await (await fetch(gateway.url + path, { headers: AUTH })).json()).toMatchObject({ id: 'openai/gpt-4o', object: 'model' });
  }
  expect((await fetch(`${gateway.url}/v1/models/openai/nope`, { headers: AUTH })).status).toBe(404);
});

test.each(['/health/liveliness', '/health/liveness', '/health/readiness', '/metrics', '/openapi.json', '/docs'])('GET %s needs no key', async (path) => {
  await using gateway = await started();
  expect((await fetch(gateway.url + path)).status).toBe(200);
});

test('readiness is 503 while draining, liveness is not: a draining pod must not be killed', async () => {
  await using gateway = await started();
  await gateway.context.gate.drain(0);
  expect((await fetch(`${gateway.url}/health/readiness`)).status).toBe(503);
  expect((await fetch(`${gateway.url}/health/liveliness`)).status).toBe(200);
});

test.each([
  ['GET', '/v1/chat/completions', 'POST'], ['PUT', '/chat/completions', 'POST'], ['GET', '/v1/embeddings', 'POST'],
  ['POST', '/v1/models', 'GET'], ['POST', '/health/readiness', 'GET'], ['PATCH', '/v1/route', 'POST'],
])('%s %s is 405 and names what is allowed', async (method, path, allow) => {
  await using gateway = await started();
  const reply = await fetch(gateway.url + path, { method, headers: AUTH });
  expect(reply.status).toBe(405);
  expect(reply.headers.get('allow')).toContain(allow);
  expect(await reply.json()).toMatchObject({ error: { type: 'invalid_request_error', code: 'method_not_allowed' } });
});

test('405 on an Anthropic route has Anthropic\'s shape', async () => {
  await using gateway = await started();
  const reply = await fetch(`${gateway.url}/v1/messages`, { method: 'DELETE', headers: AUTH });
  expect([reply.status, reply.headers.get('allow')]).toEqual([405, 'POST']);
  expect(await reply.json()).toMatchObject({ type: 'error', error: { type: 'invalid_request_error' } });
});

test.each(['/v1', '/v1/nope', '/v2/chat/completions', '/nope/v1/chat', '/v1/chat/completions/extra', '/__proto__/x'])('%s is 404 in the same envelope', async (path) => {
  await using gateway = await started();
  const reply = await fetch(gateway.url + path, { headers: AUTH });
  expect(reply.status).toBe(404);
  expect(await reply.json()).toMatchObject({ error: { message: expect.any(String) as string, type: 'invalid_request_error', code: 'not_found' } });
});

test('a path that is not valid percent-encoding is the caller\'s mistake', async () => {
  await using gateway = await started();
  const reply = await fetch(`${gateway.url}/v1/models/%E0%A4%A`, { headers: AUTH });
  expect(reply.status).toBe(400);
  expect(await reply.json()).toMatchObject({ error: { code: 'invalid_path' } });
});

test('what LiteLLM has and this gateway has not is said plainly', async () => {
  await using gateway = await started();
  const reply = await gateway.post('/v1/assistants', {});
  expect(reply.status).toBe(501);
  expect(await reply.json()).toMatchObject({ error: { code: 'not_supported' } });
});

test('errors of Anthropic\'s routes have Anthropic\'s shape, others OpenAI\'s', async () => {
  await using gateway = await started();
  expect(await (await gateway.post('/v1/messages', { max_tokens: 1, messages: MESSAGES })).json()).toMatchObject({ type: 'error', error: { type: 'invalid_request_error' } });
  expect(await (await gateway.post('/v1/chat/completions', { messages: MESSAGES })).json()).toMatchObject({ error: { type: 'invalid_request_error', param: 'model' } });
});
