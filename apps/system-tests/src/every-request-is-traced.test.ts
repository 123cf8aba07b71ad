import { randomBytes } from 'node:crypto';
import { chatChunks, eventually, json, sse, startScriptedUpstream, type Script, type ScriptedUpstream } from '@pointsman/testing';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { MASTER_KEY, startGatewayUnderTest, sumOfSeries, type GatewayUnderTest } from './gateway-under-test.ts';
import { startOtlpReceiver, type OtlpReceiver, type ReceivedSpan } from './otlp-receiver.ts';

/** Prompt, reply, provider's words and keys hold one each: none may be found in a span, a log line or a metric. */
const CANARIES = { prompt: 'canary-prompt-81f2', reply: 'canary-reply-81f2', providerWords: 'canary-error-81f2', providerKey: 'sk-canary-provider-81f2', masterKey: MASTER_KEY } as const;
const USAGE = { prompt_tokens: 12, completion_tokens: 5, total_tokens: 17 };
const PRICES = { input_cost_per_token: 0.001, output_cost_per_token: 0.01 };
/** 12 × 0.001 + 5 × 0.01 USD. */
const COST = 0.062;
const question = { messages: [{ role: 'user', content: CANARIES.prompt }] };

const chunks = chatChunks([CANARIES.reply, ' and more']);
const streamed = sse([...chunks, { ...chunks[0], choices: [], usage: USAGE }]);
const whole = json({ id: 'chatcmpl-1', object: 'chat.completion', created: 1, model: 'up-2026', choices: [{ index: 0, message: { role: 'assistant', content: CANARIES.reply }, finish_reason: 'stop' }], usage: USAGE });
const failure = json({ error: { message: `${CANARIES.providerWords} ${CANARIES.prompt}`, type: 'server_error' } }, { status: 500 });
const embedding = json({ object: 'list', data: [{ object: 'embedding', index: 0, embedding: [1, 2] }], model: 'up', usage: { prompt_tokens: 12, total_tokens: 12 } });

let receiver: OtlpReceiver;
let upstream: ScriptedUpstream;
let gateway: GatewayUnderTest;

beforeAll(async () => {
  receiver = await startOtlpReceiver();
  upstream = await startScriptedUpstream({
    reply: ({ path, json: body }): Script => {
      const { model = '', stream } = body as { readonly model?: string; readonly stream?: boolean };
      if (model === 'broken') return failure;
      if (model === 'breaks-midway') return sse(chunks.slice(0, 2), { done: false, end: 'reset' });
      if (model === 'stalls-midway') return sse(chunks.slice(0, 2), { done: false, end: 'stall' });
      return path.endsWith('/embeddings') ? embedding : stream === true ? streamed : whole;
    },
  });
  const entry = (group: string, model: string, id = `${group}-id`) => ({ model_name: group, litellm_params: { model: `hosted_vllm/${model}`, api_base: `${upstream.url}/v1`, api_key: CANARIES.providerKey, ...PRICES }, model_info: { id } });
  gateway = await startGatewayUnderTest({
    config: {
      model_list: [
        entry('good', 'up'), entry('broken', 'broken'), entry('covered', 'broken'), entry('breaks-midway', 'breaks-midway'), entry('stalls-midway', 'stalls-midway'),
        { ...entry('retried', 'broken', 'retried-1'), litellm_params: { ...entry('', 'broken').litellm_params, order: 1 } }, { ...entry('retried', 'up', 'retried-2'), litellm_params: { ...entry('', 'up').litellm_params, order: 2 } },
        entry('tripped', 'broken'),
      ],
      router_settings: { num_retries: 1, disable_cooldowns: true, breaker: { failures: 40, half_open_after_s: 600 }, retry_budget_ratio: 10, fallbacks: [{ covered: ['good'] }] },
    },
    env: { OTEL_EXPORTER_OTLP_ENDPOINT: receiver.endpoint, OTEL_SERVICE_NAME: 'traced-gateway', POD_NAME: 'pod-7', LOG_LEVEL: 'debug' },
  });
}, 60_000);

afterAll(async () => {
  await gateway[Symbol.asyncDispose]();
  await upstream.close();
  await receiver[Symbol.asyncDispose]();
});

interface Traced {
  readonly reply: Response;
  readonly text: string;
  readonly traceId: string;
  readonly callerSpanId: string;
}

/** Sends a request under a trace of the caller's own and reads the reply to its end. */
async function ask(path: string, body: object, headers: Readonly<Record<string, string>> = {}): Promise<Traced> {
  const traceId = randomBytes(16).toString('hex');
  const callerSpanId = randomBytes(8).toString('hex');
  const reply = await gateway.post(path, body, { headers: { traceparent: `00-${traceId}-${callerSpanId}-01`, tracestate: 'vendor=1', ...headers } });
  return { reply, text: await reply.text().catch(() => ''), traceId, callerSpanId };
}

const chat = (model: string, more: object = {}) => ask('/v1/chat/completions', { model, ...question, num_retries: 0, ...more });

interface Trace {
  readonly request: ReceivedSpan;
  readonly decisions: readonly ReceivedSpan[];
  readonly attempts: readonly ReceivedSpan[];
}

/** The spans of one trace once all that are expected have come. */
async function traceOf({ traceId, callerSpanId }: Traced, { decisions, attempts }: { readonly decisions: number; readonly attempts: number }): Promise<Trace> {
  const spans = await eventually(() => {
    const found = receiver.spans.filter((span) => span.traceId === traceId);
    expect(found.map(({ name }) => name).sort()).toHaveLength(1 + decisions + attempts);
    return found;
  });
  const requests = spans.filter(({ parentSpanId }) => parentSpanId === callerSpanId);
  expect(requests).toHaveLength(1);
  const [request] = requests;
  if (request === undefined) throw new Error('no request span');
  const below = spans.filter((span) => span !== request);
  for (const span of below) {
    expect(span.parentSpanId).toBe(request.spanId);
    expect(span.startNs >= request.startNs && span.endNs <= request.endNs + 1_000_000n).toBe(true);
  }
  expect(request.kind).toBe(2);
  expect(request.endNs > request.startNs).toBe(true);
  const named = (name: string, kind: number) => below.filter((span) => span.name === name && span.kind === kind);
  const trace = { request, decisions: named('router.decide', 1), attempts: named('llm.attempt', 3) };
  expect([trace.decisions.length, trace.attempts.length]).toEqual([decisions, attempts]);
  return trace;
}

const decisionOf = (model: string) => ({
  'router.strategy': 'simple-shuffle', 'router.score': expect.any(Number), 'router.candidates': [`hosted_vllm/${model}`], 'router.scores': [expect.any(Number)], 'router.selected_model': `hosted_vllm/${model}`,
  'router.model_version': '', 'router.latency_ms': expect.any(Number), 'router.propensity': 1,
});
const usageOnRequest = { 'llm.usage.prompt_tokens': 12, 'llm.usage.completion_tokens': 5, 'llm.usage.total_tokens': 17, 'gen_ai.usage.input_tokens': 12, 'gen_ai.usage.output_tokens': 5 };

describe('each request is a trace of the request, which says what was decided, and its attempts', () => {
  test.each([false, true])('a reply (streamed: %s)', async (stream) => {
    const traced = await chat('good', { stream });
    const { request, attempts } = await traceOf(traced, { decisions: 0, attempts: 1 });
    expect(request.name).toBe('/v1/chat/completions');
    expect(request.attributes).toMatchObject({
      ...decisionOf('up'), ...usageOnRequest,
      'http.route': '/v1/chat/completions', 'http.request.method': 'POST', 'http.response.status_code': 200, 'gen_ai.operation.name': 'chat', 'gen_ai.request.model': 'good', 'gen_ai.provider.name': 'hosted_vllm',
      'gen_ai.response.finish_reasons': ['stop'], 'llm.model': 'hosted_vllm/up', 'llm.provider': 'hosted_vllm', 'llm.model_group': 'good', 'llm.model_id': 'good-id', 'llm.stream': stream,
      'llm.request_id': traced.reply.headers.get('x-request-id'), 'llm.cost_usd': expect.closeTo(COST, 9), 'llm.attempts': 1,
    });
    expect(request.status).not.toBe(2);
    expect(request.attributes['llm.time_to_first_token_ms']).toEqual(stream ? expect.any(Number) : undefined);
    expect(attempts[0]?.attributes).toMatchObject({ 'llm.model': 'hosted_vllm/up', 'llm.provider': 'hosted_vllm', 'llm.model_id': 'good-id', 'llm.attempt.outcome': 'ok', 'gen_ai.usage.input_tokens': 12, 'gen_ai.usage.output_tokens': 5 });
  });

  test("the caller's trace is continued, told to the provider as a child of the attempt, and echoed", async () => {
    const traced = await chat('good');
    const { request, attempts } = await traceOf(traced, { decisions: 0, attempts: 1 });
    expect(traced.reply.headers.get('traceparent')).toBe(`00-${traced.traceId}-${request.spanId}-01`);
    const sent = upstream.calls.find((call) => call.headers['traceparent']?.includes(traced.traceId));
    expect(sent?.headers).toMatchObject({ traceparent: `00-${traced.traceId}-${attempts[0]?.spanId ?? ''}-01`, tracestate: 'vendor=1' });
  });

  test.each(['', 'garbage', '00-00000000000000000000000000000000-0000000000000000-01', `ff-${'a'.repeat(32)}-${'b'.repeat(16)}-01`])('a traceparent of %j begins a new trace', async (traceparent) => {
    const { reply } = await ask('/v1/chat/completions', { model: 'good', ...question }, { traceparent });
    const [, traceId] = /^00-([0-9a-f]{32})-[0-9a-f]{16}-01$/.exec(reply.headers.get('traceparent') ?? '') ?? [];
    await eventually(() => expect(receiver.spans.filter((span) => span.traceId === traceId).map(({ name }) => name).sort()).toEqual(['/v1/chat/completions', 'llm.attempt']));
    expect(receiver.spans.find((span) => span.traceId === traceId && span.kind === 2)?.parentSpanId).toBe('');
  });

  test.each([
    ['/v1/messages', { max_tokens: 10, ...question }, 'chat'], ['/v1/responses', { input: CANARIES.prompt }, 'chat'], ['/v1/completions', { prompt: CANARIES.prompt }, 'text_completion'], ['/v1/embeddings', { input: CANARIES.prompt }, 'embeddings'],
  ])('%s', async (path, body, operation) => {
    const traced = await ask(path, { model: 'good', ...body });
    expect(traced.reply.status, traced.text).toBe(200);
    const { request } = await traceOf(traced, { decisions: 0, attempts: 1 });
    expect(request.attributes).toMatchObject({ 'http.route': path, 'gen_ai.operation.name': operation, 'gen_ai.request.model': 'good', 'llm.usage.prompt_tokens': 12, ...decisionOf('up') });
  });

  test('a failure', async () => {
    const traced = await chat('broken');
    expect(traced.reply.status).toBe(500);
    const { request, attempts } = await traceOf(traced, { decisions: 0, attempts: 1 });
    expect(request.attributes).toMatchObject({ ...decisionOf('broken'), 'http.response.status_code': 500, 'error.type': 'provider_server_error', 'llm.provider': 'hosted_vllm' });
    expect(request.attributes['llm.usage.total_tokens']).toBeUndefined();
    expect(request.status).toBe(2);
    expect(attempts[0]).toMatchObject({ status: 2, attributes: { 'llm.attempt.outcome': 'server_error', 'error.type': 'provider_server_error' } });
  });

  test('a retry: one decision, two attempts', async () => {
    const { request, attempts } = await traceOf(await chat('retried', { num_retries: 1 }), { decisions: 0, attempts: 2 });
    expect(attempts.map(({ attributes }) => [attributes['llm.model_id'], attributes['llm.attempt.outcome']]).sort()).toEqual([['retried-1', 'server_error'], ['retried-2', 'ok']]);
    expect(request.attributes).toMatchObject({ 'llm.attempts': 2, 'llm.model_id': 'retried-2', ...usageOnRequest });
    expect(request.attributes['router.candidates']).toEqual(expect.arrayContaining(['hosted_vllm/broken', 'hosted_vllm/up']));
  });

  test('a fallback: two decisions, two attempts, and the request says who served', async () => {
    const { request, decisions, attempts } = await traceOf(await chat('covered'), { decisions: 2, attempts: 2 });
    expect(decisions.map(({ attributes }) => attributes['router.selected_model']).sort()).toEqual(['hosted_vllm/broken', 'hosted_vllm/up']);
    expect(attempts.map(({ attributes }) => attributes['llm.attempt.outcome']).sort()).toEqual(['ok', 'server_error']);
    expect(request.attributes).toMatchObject({ 'gen_ai.request.model': 'covered', 'llm.model_group': 'good', ...decisionOf('up'), ...usageOnRequest });
  });

  test('a stream that breaks after content: the request failed although its status was 200', async () => {
    const traced = await chat('breaks-midway', { stream: true });
    const { request, attempts } = await traceOf(traced, { decisions: 0, attempts: 1 });
    expect(request).toMatchObject({ status: 2, attributes: { 'http.response.status_code': 200, 'error.type': 'provider_truncated', 'llm.usage.completion_tokens': expect.any(Number) } });
    expect(attempts[0]?.attributes['llm.attempt.outcome']).toBe('truncated');
  });

  test('a client that leaves', async () => {
    const traceId = randomBytes(16).toString('hex');
    const callerSpanId = randomBytes(8).toString('hex');
    const leaving = new AbortController();
    const reply = await gateway.post('/v1/chat/completions', { model: 'stalls-midway', ...question, stream: true }, { headers: { traceparent: `00-${traceId}-${callerSpanId}-01` }, signal: leaving.signal });
    leaving.abort();
    const { request, attempts } = await traceOf({ reply, text: '', traceId, callerSpanId }, { decisions: 0, attempts: 1 });
    expect(request.attributes['error.type']).toBe('client_closed_request');
    expect(attempts[0]?.attributes['llm.attempt.outcome']).toBe('abandoned');
  });

  test.each([
    ['a wrong field', { model: 'good', ...question, temperature: 'hot' }, {}, 400, 'invalid_type'], ['an unknown model', { model: 'nope', ...question }, {}, 400, '400'],
    ['a wrong key', { model: 'good', ...question }, { authorization: 'Bearer sk-wrong-0123456789' }, 401, '401'],
  ])('a refusal: %s', async (_name, body, headers, status, code) => {
    const { request } = await traceOf(await ask('/v1/chat/completions', body, headers), { decisions: 0, attempts: 0 });
    expect(request.attributes).toMatchObject({ 'http.route': '/v1/chat/completions', 'http.response.status_code': status, 'error.type': code });
  });

  test('120 requests of every kind at once: not one is missing', async () => {
    const kinds: readonly (readonly [() => Promise<Traced>, number, number])[] = [
      [() => chat('good'), 0, 1], [() => chat('good', { stream: true }), 0, 1], [() => chat('retried', { num_retries: 1 }), 0, 2], [() => chat('covered'), 2, 2], [() => chat('nope'), 0, 0],
      [() => ask('/v1/embeddings', { model: 'good', input: 'x' }), 0, 1],
    ];
    const asked = await Promise.all(Array.from({ length: 120 }, async (_, index) => {
      const [send, decisions, attempts] = kinds[index % kinds.length] ?? [() => chat('good'), 0, 1];
      return { traced: await send(), decisions, attempts };
    }));
    await Promise.all(asked.map(({ traced, decisions, attempts }) => traceOf(traced, { decisions, attempts })));
    expect(await gateway.metric('telemetry_spans_dropped_total')).toBe(0);
  });

  test('the resource names service and pod', () => {
    expect(receiver.resources.at(-1)).toMatchObject({ 'service.name': 'traced-gateway', 'k8s.pod.name': 'pod-7' });
  });
});

test('log lines of a request carry its trace and span', async () => {
  const refused = await ask('/v1/chat/completions', { model: 'good', ...question, temperature: 'hot' });
  const served = await chat('good');
  for (const traced of [refused, served]) {
    const { request } = await traceOf(traced, traced === served ? { decisions: 0, attempts: 1 } : { decisions: 0, attempts: 0 });
    const lines = await eventually(() => {
      const found = gateway.logs().filter((line) => line['trace_id'] === traced.traceId);
      expect(found.map(({ msg }) => msg)).toContain('request ended');
      return found;
    });
    for (const line of lines) expect(line).toMatchObject({ span_id: request.spanId, level: 'debug', service: 'traced-gateway', time: expect.stringMatching(/^\d{4}-\d\d-\d\dT.*Z$/) });
  }
});

describe('metrics', () => {
  let exposition = '';
  beforeEach(async () => {
    exposition = await (await fetch(`${gateway.url}/metrics`)).text();
  });
  const OWNED = [
    'gateway_requests_total', 'gateway_request_duration_seconds', 'gateway_overhead_seconds', 'gateway_time_to_first_token_seconds', 'gateway_tokens_total', 'gateway_spend_usd_total', 'active_llm_streams', 'active_streams_count',
    'router_decisions_total', 'router_decision_duration_seconds', 'router_decision_timeouts_total', 'circuit_breaker_state', 'gateway_config_info',
  ];

  test.each(OWNED)('%s is there, with its type and help', (name) => {
    expect(exposition).toMatch(new RegExp(`^# HELP ${name} .+$`, 'm'));
    expect(exposition).toMatch(new RegExp(`^# TYPE ${name} (counter|gauge|histogram)$`, 'm'));
  });

  test('count exactly what was asked', async () => {
    const route = '/v1/chat/completions';
    const measure = async (): Promise<Readonly<Record<string, number>>> => {
      const text = await (await fetch(`${gateway.url}/metrics`)).text();
      const sum = (name: string, labels: Readonly<Record<string, string>> = {}): number => sumOfSeries(text, name, labels);
      return {
        good: sum('gateway_requests_total', { route, model: 'good', provider: 'hosted_vllm', status: '200' }), failed: sum('gateway_requests_total', { route, model: 'broken', provider: 'hosted_vllm', status: '500' }),
        refused: sum('gateway_requests_total', { route, model: 'none', provider: 'none', status: '400' }), unknown: sum('gateway_requests_total', { route, model: 'none', provider: 'none', status: '401' }),
        durations: sum('gateway_request_duration_seconds_count', { route }), overheads: sum('gateway_overhead_seconds_count', { route }), firstTokens: sum('gateway_time_to_first_token_seconds_count', { model: 'good', provider: 'hosted_vllm' }),
        prompt: sum('gateway_tokens_total', { model: 'good', type: 'prompt' }), completion: sum('gateway_tokens_total', { model: 'good', type: 'completion' }), spend: sum('gateway_spend_usd_total', { model: 'good' }),
        decisionsUp: sum('router_decisions_total', { strategy: 'simple-shuffle', model_version: '', selected_model: 'hosted_vllm/up' }), decisionsBroken: sum('router_decisions_total', { selected_model: 'hosted_vllm/broken' }),
        decisionTimes: sum('router_decision_duration_seconds_count', { strategy: 'simple-shuffle' }), fallbacks: sum('gateway_fallbacks_total', { from: 'covered', to: 'good' }),
      };
    };
    const before = await measure();
    for (let index = 0; index < 3; index += 1) await chat('good');
    for (let index = 0; index < 2; index += 1) await chat('good', { stream: true });
    await chat('broken');
    await chat('covered');
    await chat('good', { temperature: 'hot' });
    await ask(route, { model: 'good', ...question }, { authorization: 'Bearer sk-wrong-0123456789' });
    const expected = {
      good: 6, failed: 1, refused: 1, unknown: 1, durations: 9, overheads: 7, firstTokens: 2, prompt: 72, completion: 30, spend: expect.closeTo(6 * COST, 6) as number,
      decisionsUp: 6, decisionsBroken: 2, decisionTimes: 8, fallbacks: 1,
    };
    await eventually(async () => {
      const after = await measure();
      expect(Object.fromEntries(Object.keys(after).map((name) => [name, (after[name] ?? 0) - (before[name] ?? 0)]))).toEqual(expected);
    });
  });

  test('streams are counted while they run, and no longer', async () => {
    const leaving = new AbortController();
    const running = await Promise.all([1, 2, 3].map(() => gateway.post('/v1/chat/completions', { model: 'stalls-midway', ...question, stream: true }, { signal: leaving.signal })));
    expect(running.map(({ status }) => status)).toEqual([200, 200, 200]);
    expect([await gateway.metric('active_llm_streams'), await gateway.metric('active_streams_count')]).toEqual([3, 3]);
    leaving.abort();
    await eventually(async () => expect([await gateway.metric('active_llm_streams'), await gateway.metric('active_streams_count'), await gateway.metric('gateway_inflight_requests')]).toEqual([0, 0, 0]));
  });

  test('an open breaker and the revision that serves are seen', async () => {
    for (let index = 0; index < 40; index += 1) await chat('tripped');
    await eventually(async () => expect(await gateway.metric('circuit_breaker_state', { target: 'tripped-id' })).toBe(2));
    const health = await (await gateway.get('/health/config')).json() as { readonly config_revision: string };
    expect(await gateway.metric('gateway_config_info', { revision: health.config_revision })).toBe(1);
  });
});

test('a decision that read the prompt has a span of its own, within the request\'s', async () => {
  const entry = (model: string) => ({ model_name: 'auto', litellm_params: { model: `hosted_vllm/${model}`, api_base: `${upstream.url}/v1`, api_key: 'k', ...PRICES } });
  await using learned = await startGatewayUnderTest({
    config: { model_list: [entry('up'), entry('other')], router_settings: { routing_strategy: 'llmrouter-hybrid' } },
    env: { OTEL_EXPORTER_OTLP_ENDPOINT: receiver.endpoint, POD_NAME: 'pod-8' },
  });
  const traceId = randomBytes(16).toString('hex');
  const callerSpanId = randomBytes(8).toString('hex');
  const reply = await learned.post('/v1/chat/completions', { model: 'auto', ...question }, { headers: { traceparent: `00-${traceId}-${callerSpanId}-01` } });
  const { request, decisions } = await traceOf({ reply, text: await reply.text(), traceId, callerSpanId }, { decisions: 1, attempts: 1 });
  const of = ({ attributes }: ReceivedSpan): unknown[] => ['strategy', 'selected_model', 'scores', 'propensity', 'latency_ms'].map((name) => attributes[`router.${name}`]);
  expect(decisions.map(of)).toEqual([of(request)]);
  expect(of(request)).not.toContain(undefined);
}, 60_000);

test('no word of a prompt, a reply or a provider, and no key, is in a span, a metric or a log line', async () => {
  const stream = await chat('good', { stream: true });
  expect(stream.text).toContain(CANARIES.reply);
  const failed = await chat('broken');
  expect(failed.text).toContain(CANARIES.providerWords);
  await traceOf(stream, { decisions: 0, attempts: 1 });
  await traceOf(failed, { decisions: 0, attempts: 1 });
  const places = { spans: receiver.bytes().toString('latin1'), metrics: await (await fetch(`${gateway.url}/metrics`)).text(), logs: gateway.output() + JSON.stringify(gateway.logs()) };
  for (const [place, text] of Object.entries(places)) {
    expect(text.length, place).toBeGreaterThan(1_000);
    for (const [canary, words] of Object.entries(CANARIES)) expect(text.includes(words), `${canary} in ${place}`).toBe(false);
  }
});
