import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { eventually, json, startScriptedUpstream, type ScriptedUpstream } from '@pointsman/testing';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { deployment, MASTER_KEY, question, startGatewayUnderTest, type GatewayUnderTest } from './gateway-under-test.ts';
import { playProvider, PROVIDER_KEY } from './played-providers.ts';
import { readStream } from './streamed-reply.ts';

const WRONG_KEY = 'sk-wrong-key-0123456789-wxyz';
const failing = json({ error: { message: 'boom', type: 'server_error', param: null, code: null } }, { status: 500 });

let upstream: ScriptedUpstream;
let gateway: GatewayUnderTest;

beforeAll(async () => {
  const play = playProvider('openai');
  upstream = await startScriptedUpstream({ reply: play, scripts: { broken: failing, 'limited': json({ error: { message: 'slow down' } }, { status: 429, headers: { 'retry-after': '23' } }), 'silent': { before: [{ end: 'stall' }], steps: [] } } });
  gateway = await startGatewayUnderTest({
    config: {
      model_list: [
        deployment('gpt', upstream, 'good', { params: { input_cost_per_token: 0.001, output_cost_per_token: 0.01, rpm: 600 }, id: 'gpt-deployment' }),
        deployment('vendor/gpt', upstream, 'good'),
        deployment('broken', upstream, 'broken'), deployment('limited', upstream, 'limited'), deployment('silent', upstream, 'silent'),
        // Three entries, so that a retry finds another deployment and need not wait.
        ...['broken', 'broken', 'good'].map((model, order) => deployment('third-time-lucky', upstream, model, { params: { order: order + 1 } })),
        deployment('tagged', upstream, 'free-model', { params: { tags: ['free'] } }), deployment('tagged', upstream, 'paid-model', { params: { tags: ['paid'] } }),
      ],
      router_settings: { num_retries: 0, disable_cooldowns: true, breaker: { failures: 1000 }, retry_budget_ratio: 10, enable_tag_filtering: true, model_group_alias: { 'gpt-alias': 'gpt' } },
    },
  });
}, 60_000);

afterAll(async () => {
  await gateway[Symbol.asyncDispose]();
  await upstream.close();
});

const bearer = { authorization: `Bearer ${MASTER_KEY}` };

async function send(path: string, { method = 'POST', headers = bearer, body }: { readonly method?: string; readonly headers?: Readonly<Record<string, string>>; readonly body?: unknown } = {}): Promise<{ readonly status: number; readonly headers: Headers; readonly body: Readonly<Record<string, unknown>> }> {
  const reply = await fetch(`${gateway.url}${path}`, {
    method, headers: { 'content-type': 'application/json', ...headers }, ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
  });
  return { status: reply.status, headers: reply.headers, body: await reply.json() as Readonly<Record<string, unknown>> };
}

const chat = (body: object) => send('/v1/chat/completions', { body: { model: 'gpt', ...question, ...body } });
const callsSince = (before: number) => upstream.calls.slice(before);

describe('routes and their aliases', () => {
  const ROUTES: readonly (readonly [string, object])[] = [
    ['/v1/chat/completions', { model: 'gpt', ...question }], ['/chat/completions', { model: 'gpt', ...question }],
    ['/engines/gpt/chat/completions', question], ['/openai/deployments/gpt/chat/completions?api-version=2024-10-21', question],
    ['/openai/deployments/vendor/gpt/chat/completions', question], ['/openai/deployments/gpt/completions', { prompt: 'Hello' }], ['/openai/deployments/gpt/embeddings', { input: 'Hello' }],
    ['/v1/completions', { model: 'gpt', prompt: 'Hello' }], ['/completions', { model: 'gpt', prompt: 'Hello' }],
    ['/v1/embeddings', { model: 'gpt', input: 'Hello' }], ['/embeddings', { model: 'gpt', input: 'Hello' }],
    ['/v1/responses', { model: 'gpt', input: 'Hello' }], ['/responses', { model: 'gpt', input: 'Hello' }],
    ['/v1/messages', { model: 'gpt', max_tokens: 10, ...question }], ['/v1/messages/count_tokens', { model: 'gpt', ...question }],
  ];

  test.each(ROUTES)('POST %s answers', async (path, body) => {
    const { status, body: reply } = await send(path, { body });
    expect(status, JSON.stringify(reply)).toBe(200);
  });

  test('a model in the path wins over the one in the body', async () => {
    expect((await send('/openai/deployments/vendor/gpt/chat/completions', { body: { model: 'nope', ...question } })).body).toMatchObject({ model: 'vendor/gpt' });
  });

  test('an alias of a group serves under its own name', async () => {
    const { headers, body } = await chat({ model: 'gpt-alias' });
    expect(body['model']).toBe('gpt-alias');
    expect(headers.get('x-litellm-model-group')).toBe('gpt');
  });

  test.each(['/v1/models', '/models'])('GET %s lists the groups', async (path) => {
    expect((await send(path, { method: 'GET' })).body).toMatchObject({ object: 'list', data: expect.arrayContaining([expect.objectContaining({ id: 'gpt', object: 'model' }), expect.objectContaining({ id: 'gpt-alias' })]) });
  });

  test.each(['/model/info', '/v1/model/info'])('GET %s tells each deployment with its prices and without its key', async (path) => {
    const { status, body } = await send(path, { method: 'GET' });
    expect(status).toBe(200);
    const entries = body['data'] as readonly { readonly model_name: string; readonly litellm_params: object; readonly model_info: object }[];
    expect(entries.find(({ model_name: name }) => name === 'gpt')).toMatchObject({
      litellm_params: { model: 'hosted_vllm/good', api_base: `${upstream.url}/v1`, rpm: 600 },
      model_info: { id: 'gpt-deployment', db_model: false, input_cost_per_token: 0.001, output_cost_per_token: 0.01 },
    });
    expect(JSON.stringify(body)).not.toContain('sk-of-the-provider');
    expect((await send(path, { method: 'GET', headers: {} })).status).toBe(401);
  });

  test('health routes answer as probes expect', async () => {
    for (const path of ['/health/liveliness', '/health/liveness']) expect(await (await fetch(`${gateway.url}${path}`)).json()).toBe("I'm alive!");
    expect(await (await fetch(`${gateway.url}/health/readiness`)).json()).toMatchObject({ status: 'healthy' });
    expect((await send('/health', { method: 'GET' })).body).toMatchObject({ healthy_count: expect.any(Number), healthy_endpoints: expect.any(Array), unhealthy_endpoints: [] });
  });
});

describe('the key is taken from the header that LiteLLM takes first', () => {
  const RIGHT: readonly (readonly [string, Readonly<Record<string, string>>])[] = [
    ['Authorization', { authorization: `Bearer ${MASTER_KEY}` }], ['authorization with a small bearer', { authorization: `bearer ${MASTER_KEY}` }],
    ['x-litellm-api-key', { 'x-litellm-api-key': MASTER_KEY }], ['x-litellm-api-key with Bearer', { 'x-litellm-api-key': `Bearer ${MASTER_KEY}` }],
    ['api-key', { 'api-key': MASTER_KEY }], ['x-api-key', { 'x-api-key': MASTER_KEY }], ['x-goog-api-key', { 'x-goog-api-key': MASTER_KEY }], ['Ocp-Apim-Subscription-Key', { 'ocp-apim-subscription-key': MASTER_KEY }],
    ['x-litellm-api-key before Authorization', { 'x-litellm-api-key': MASTER_KEY, authorization: `Bearer ${WRONG_KEY}` }],
    ['Authorization before api-key', { authorization: `Bearer ${MASTER_KEY}`, 'api-key': WRONG_KEY }],
    ['api-key before x-api-key', { 'api-key': MASTER_KEY, 'x-api-key': WRONG_KEY }], ['x-api-key before x-goog-api-key', { 'x-api-key': MASTER_KEY, 'x-goog-api-key': WRONG_KEY }],
  ];
  test.each(RIGHT)('%s', async (_name, headers) => {
    expect((await send('/v1/chat/completions', { headers, body: { model: 'gpt', ...question } })).status).toBe(200);
    const swapped = Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, value.includes(MASTER_KEY) ? value.replace(MASTER_KEY, WRONG_KEY) : value.replace(WRONG_KEY, MASTER_KEY)]));
    expect((await send('/v1/chat/completions', { headers: swapped, body: { model: 'gpt', ...question } })).status).toBe(401);
  });

  test('litellm_key_header_name renames it, and the provider still gets its own key only', async () => {
    await using renamed = await startGatewayUnderTest({ config: { model_list: [deployment('gpt', upstream, 'good')], general_settings: { litellm_key_header_name: 'X-Company-Key' } } });
    const ask = (headers: Readonly<Record<string, string>>) => fetch(`${renamed.url}/v1/chat/completions`, { method: 'POST', headers: { 'content-type': 'application/json', ...headers }, body: JSON.stringify({ model: 'gpt', ...question }) });
    expect((await ask({ 'x-company-key': MASTER_KEY, authorization: `Bearer ${WRONG_KEY}` })).status).toBe(200);
    expect((await ask({ 'x-company-key': WRONG_KEY, authorization: `Bearer ${MASTER_KEY}` })).status).toBe(401);
    expect(JSON.stringify(upstream.calls.at(-1)?.headers)).not.toContain(MASTER_KEY);
  });
});

describe('errors have the status, type and words that LiteLLM clients match on', () => {
  test('no key, and a key that nobody has', async () => {
    const none = await send('/v1/chat/completions', { headers: {}, body: { model: 'gpt', ...question } });
    expect([none.status, none.body]).toEqual([401, { error: { message: 'Authentication Error, No api key passed in.', type: 'auth_error', param: 'None', code: '401' } }]);
    const wrong = await send('/v1/chat/completions', { headers: { authorization: `Bearer ${WRONG_KEY}` }, body: { model: 'gpt', ...question } });
    const { message, ...rest } = wrong.body['error'] as { readonly message: string };
    expect([wrong.status, rest]).toEqual([401, { type: 'token_not_found_in_db', param: 'key', code: '401' }]);
    expect(message).toContain('Authentication Error, Invalid proxy server token passed. Received API Key = sk-...wxyz, Key Hash (Token) =');
    expect(message).toContain(createHash('sha256').update(WRONG_KEY).digest('hex'));
    expect(message).not.toContain(WRONG_KEY);
  });

  const REFUSED: readonly (readonly [string, unknown, number, object])[] = [
    ['an unknown model', { model: 'zzz', ...question }, 400, { message: '/chat/completions: Invalid model name passed in model=zzz. Call `/v1/models` to view available models for your key.', type: 'invalid_request_error', code: '400' }],
    ['no model', question, 400, { message: expect.stringContaining('/chat/completions: Invalid model name passed in model=None.'), type: 'invalid_request_error' }],
    ['no messages', { model: 'gpt' }, 400, { message: expect.stringContaining("Missing required parameter: 'messages'"), type: 'invalid_request_error', param: 'messages' }],
    ['broken JSON', '{"model": "gpt", ', 400, { message: expect.stringMatching(/^Invalid JSON payload: /), param: 'request_body' }],
    ['an upstream failure', { model: 'broken', ...question }, 500, { message: expect.stringContaining('boom'), type: 'internal_server_error', code: expect.any(String) }],
    ['an upstream limit', { model: 'limited', ...question }, 429, { message: expect.stringContaining('slow down'), type: 'rate_limit_error' }],
    ['a deadline', { model: 'silent', ...question, timeout: 0.2 }, 504, { type: 'timeout_error' }],
  ];
  test.each(REFUSED)('%s', async (_name, body, status, error) => {
    const reply = await send('/v1/chat/completions', { body });
    expect(reply.status, JSON.stringify(reply.body)).toBe(status);
    expect(reply.body).toEqual({ error: { message: expect.any(String), type: expect.any(String), param: (reply.body['error'] as { param: unknown }).param, code: expect.any(String) } });
    expect(reply.body).toMatchObject({ error });
    expect(reply.headers.get('x-request-id')).toBe(reply.headers.get('x-litellm-call-id'));
    if (status === 429) expect(reply.headers.get('retry-after')).toBe('23');
  });

  test('a path and a method that are not there, and a model, get the same envelope', async () => {
    expect(await send('/v1/nothing/here', { body: {} })).toMatchObject({ status: 404, body: { error: { message: 'Not Found', code: 'not_found' } } });
    const method = await send('/v1/chat/completions', { method: 'GET' });
    expect(method).toMatchObject({ status: 405, body: { error: { code: 'method_not_allowed' } } });
    expect(method.headers.get('allow')).toBe('POST');
    expect(await send('/v1/models/nope', { method: 'GET' })).toMatchObject({ status: 404, body: { error: { message: 'The model `nope` does not exist or is not accessible' } } });
    expect(await send('/v1/threads', { body: {} })).toMatchObject({ status: 501, body: { error: { type: 'not_supported_error' } } });
  });
});

describe('headers of a reply', () => {
  test('tell deployment, group, cost, overhead, tries and the routing decision', async () => {
    const { headers } = await chat({});
    expect(Object.fromEntries(headers)).toMatchObject({
      'x-litellm-model-id': 'gpt-deployment', 'x-litellm-model-group': 'gpt', 'x-litellm-attempted-retries': '0', 'x-litellm-attempted-fallbacks': '0',
      'x-router-strategy': 'simple-shuffle', 'x-router-selected-model': 'hosted_vllm/good', 'x-router-model-version': '', traceparent: expect.stringMatching(/^00-[0-9a-f]{32}-[0-9a-f]{16}-0[01]$/),
    });
    // 12 prompt tokens at 0.001 and 5 completion tokens at 0.01.
    expect(Number(headers.get('x-litellm-response-cost'))).toBeCloseTo(0.062, 9);
    expect(Number(headers.get('x-litellm-overhead-duration-ms'))).toBeGreaterThan(0);
    expect(headers.get('x-litellm-call-id')).toBe(headers.get('x-request-id'));
  });

  test('of a stream are sent before its cost is known', async () => {
    const reply = await gateway.post('/v1/chat/completions', { model: 'gpt', ...question, stream: true });
    expect(reply.headers.get('x-litellm-response-cost')).toBe('0');
    expect(reply.headers.get('content-type')).toContain('text/event-stream');
    expect(reply.headers.get('cache-control')).toBe('no-cache');
    expect(reply.headers.get('x-accel-buffering')).toBe('no');
    expect((await readStream(reply)).isDone).toBe(true);
  });

  test("carry the client's request id", async () => {
    const reply = await send('/v1/chat/completions', { headers: { ...bearer, 'x-request-id': 'req:from.client-1' }, body: { model: 'gpt', ...question } });
    expect(reply.headers.get('x-request-id')).toBe('req:from.client-1');
  });
});

describe('what a body says to the gateway', () => {
  test('never reaches the provider; what is for the provider does', async () => {
    const before = upstream.calls.length;
    const { status } = await chat({
      model: 'tagged', metadata: { tags: ['free'], spend_logs_metadata: { team: { deep: true } }, trace_user_id: 'u' }, litellm_metadata: { x: 1 }, num_retries: 1, timeout: 30, fallbacks: ['vendor/gpt'],
      cache: { 'no-cache': true }, guardrails: ['g'], litellm_trace_id: 't', litellm_session_id: 's', 'no-log': true, seed: 3,
    });
    expect(status).toBe(200);
    expect(callsSince(before).map((call) => Object.keys(call.json as object).sort())).toEqual([['messages', 'model', 'seed']]);
  });

  test('OpenAI metadata of strings is the provider\'s', async () => {
    await chat({ metadata: { ticket: '42' } });
    expect(upstream.calls.at(-1)?.json).toMatchObject({ metadata: { ticket: '42' } });
  });

  test.each([[{ metadata: { tags: ['paid'] } }, 'paid-model'], [{ tags: ['free'] }, 'free-model']])('tags choose deployments: %j', async (body, model) => {
    expect((await chat({ model: 'tagged', ...body })).headers.get('x-router-selected-model')).toBe(`hosted_vllm/${model}`);
  });

  test('tags in a header do the same', async () => {
    const { headers } = await send('/v1/chat/completions', { headers: { ...bearer, 'x-litellm-tags': 'paid, other' }, body: { model: 'tagged', ...question } });
    expect(headers.get('x-router-selected-model')).toBe('hosted_vllm/paid-model');
  });

  test('num_retries in body and header says how often another deployment is tried', async () => {
    const before = upstream.calls.length;
    expect((await chat({ model: 'third-time-lucky', num_retries: 0 })).status).toBe(500);
    expect(callsSince(before)).toHaveLength(1);
    const lucky = await chat({ model: 'third-time-lucky', num_retries: 2 });
    expect(lucky.status).toBe(200);
    expect(lucky.headers.get('x-litellm-attempted-retries')).toBe('2');
    const byHeader = await send('/v1/chat/completions', { headers: { ...bearer, 'x-litellm-num-retries': '2' }, body: { model: 'third-time-lucky', ...question, num_retries: 0 } });
    expect(byHeader.status).toBe(200);
  });

  test('timeout in body and header ends the request, and the provider call with it', async () => {
    for (const ask of [chat({ model: 'silent', timeout: 0.15 }), send('/v1/chat/completions', { headers: { ...bearer, 'x-litellm-timeout': '0.15' }, body: { model: 'silent', ...question } })]) expect((await ask).status).toBe(504);
    await eventually(() => expect(upstream.calls.filter(({ json: body, aborted }) => (body as { model?: string }).model === 'silent' && !aborted)).toEqual([]));
  });

  test('fallbacks names the groups to try; disable_fallbacks forbids them', async () => {
    const { status, headers, body } = await chat({ model: 'broken', fallbacks: ['limited', { model: 'vendor/gpt' }] });
    expect(status).toBe(200);
    expect(body['model']).toBe('vendor/gpt');
    expect(headers.get('x-litellm-attempted-fallbacks')).toBe('2');
    expect(headers.get('x-litellm-model-group')).toBe('vendor/gpt');
    expect((await chat({ model: 'broken', fallbacks: ['gpt'], disable_fallbacks: true })).status).toBe(500);
  });

  test.each([['timeout', 'soon'], ['timeout', -1], ['num_retries', 'many'], ['fallbacks', 'gpt'], ['tags', 'a'], ['mock_response', 7]])('%s: %j is refused by name', async (name, value) => {
    expect(await chat({ [name]: value })).toMatchObject({ status: 400, body: { error: { param: name, message: expect.stringContaining(name) } } });
  });
});

describe('mock_response', () => {
  test('answers at once, whole and as a stream, without a call and without cost', async () => {
    const before = upstream.calls.length;
    const whole = await chat({ mock_response: 'Written down beforehand.' });
    expect(whole.body).toMatchObject({ model: 'gpt', choices: [{ message: { content: 'Written down beforehand.' }, finish_reason: 'stop' }], usage: { prompt_tokens: 10, completion_tokens: 20, total_tokens: 30 } });
    expect(whole.headers.get('x-litellm-response-cost')).toBe('0');
    expect(whole.headers.get('x-litellm-model-id')).toBe('gpt-deployment');
    const stream = await readStream(await gateway.post('/v1/chat/completions', { model: 'gpt', ...question, stream: true, mock_response: 'Piece by piece.' }));
    expect([stream.text, stream.endings, stream.isDone]).toEqual(['Piece by piece.', ['stop'], true]);
    const translated = await send('/v1/messages', { body: { model: 'gpt', max_tokens: 10, ...question, mock_response: 'For Anthropic too.' } });
    expect(translated.body).toMatchObject({ type: 'message', content: [{ type: 'text', text: 'For Anthropic too.' }] });
    expect(callsSince(before)).toEqual([]);
  });

  test('can order a failure, which nobody takes for one of the deployment', async () => {
    await using strict = await startGatewayUnderTest({ config: { model_list: [deployment('gpt', upstream, 'good')], router_settings: { num_retries: 0, breaker: { failures: 2, half_open_after_s: 600 }, allowed_fails: 1 } } });
    const ask = (mock?: string) => strict.post('/v1/chat/completions', { model: 'gpt', ...question, ...(mock === undefined ? {} : { mock_response: mock }) });
    for (let index = 0; index < 5; index += 1) {
      expect((await ask('litellm.RateLimitError')).status).toBe(429);
      expect((await ask('litellm.InternalServerError')).status).toBe(500);
    }
    expect((await ask()).status).toBe(200);
  });

  test('of a deployment answers for it', async () => {
    await using mocked = await startGatewayUnderTest({ config: { model_list: [{ model_name: 'fixed', litellm_params: { model: 'openai/gpt-4o', api_key: PROVIDER_KEY, mock_response: 'From the file.' } }] } });
    expect(await (await mocked.post('/v1/chat/completions', { model: 'fixed', ...question })).json()).toMatchObject({ choices: [{ message: { content: 'From the file.' } }] });
  });
});

describe('configuration files of LiteLLM', () => {
  const fixtures = join(import.meta.dirname, '..', '..', '..', 'libs', 'gateway-config', 'src', '__fixtures__', 'litellm');
  const VARIABLES = 'OPENAI_API_KEY OPENAI_API_KEY_2 GROQ_API_KEY OPENROUTER_API_KEY AZURE_EASTUS_KEY ANTHROPIC_API_KEY COHERE_API_KEY BEDROCK_ROLE GCP_PROJECT GEMINI_API_KEY MISTRAL_API_KEY AZURE_EU_KEY ELEVENLABS_KEY';
  const env = Object.fromEntries(VARIABLES.split(' ').map((name) => [name, `sk-of-${name.toLowerCase()}`]));
  const start = async (name: string) => startGatewayUnderTest({ config: await readFile(join(fixtures, `${name}.yaml`), 'utf8'), env });

  const SERVED: readonly (readonly [string, readonly string[], readonly string[]])[] = [
    ['load-balancing-with-weights', ['chat'], ['router_settings.retry_policy.DefaultRetries']],
    ['redis-cache', ['embed'], ['litellm_settings.cache_params.host', 'router_settings.redis_host']],
    ['tag-routing', ['chat'], ['model_list[1].litellm_params.tag_regex']],
    ['guardrails-and-mcp', [], ['guardrails', 'mcp_servers', 'search_tools']],
    ['database-and-budgets', [], ['general_settings.database_url', 'litellm_settings.max_budget']],
    ['wildcards', ['openai/*'], []],
  ];
  test.each(SERVED)('%s starts a gateway that names what it does not act on', async (name, models, warned) => {
    await using started = await start(name);
    expect((await fetch(`${started.url}/health/readiness`)).status, started.output()).toBe(200);
    const warnings = started.logs().filter(({ msg }) => msg === 'config warning').map(({ path }) => path);
    expect(warnings).toEqual(expect.arrayContaining([...warned]));
    if (warned.length === 0) expect(warnings).toEqual([]);
    const listed = await (await started.get('/v1/models')).json() as { readonly data: readonly { readonly id: string }[] };
    expect(listed.data.map(({ id }) => id)).toEqual(expect.arrayContaining([...models]));
    expect(started.output()).not.toContain('sk-of-');
  });

  test('a misspelt one is refused with the nearest name, and the gateway says that it is not ready', async () => {
    await using started = await start('misspelt-section');
    expect((await fetch(`${started.url}/health/readiness`)).status).toBe(503);
    const rejected = started.logs().find(({ msg }) => msg === 'config rejected');
    expect(JSON.stringify(rejected)).toMatch(/model_lists.*model_list/);
    const { status } = await started.post('/v1/chat/completions', { model: 'gpt', ...question });
    expect(status).toBe(503);
  });
});
