import { createGate, eventually, json, startScriptedUpstream, type Script, type ScriptChoice, type ScriptedUpstream } from '@pointsman/testing';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { deployment, question, startGatewayUnderTest, type GatewayUnderTest } from './gateway-under-test.ts';

const never = createGate();

function ok(text = 'fine'): Script {
  return json({ id: 'x', object: 'chat.completion', created: 1, model: 'upstream-name', choices: [{ index: 0, message: { role: 'assistant', content: text }, finish_reason: 'stop' }], usage: { prompt_tokens: 2, completion_tokens: 1, total_tokens: 3 } });
}

function refusal(status: number, error: object, headers: Readonly<Record<string, string>> = {}): Script {
  return json({ error: { message: 'no', type: 'some_error', param: null, code: null, ...error } }, { status, headers });
}

const dead = refusal(500, { message: 'boom', type: 'server_error' });
const hangs: Script = { before: [{ until: never.opened }], steps: [] };
const tooLong = refusal(400, { message: "This model's maximum context length is 10 tokens.", type: 'invalid_request_error', code: 'context_length_exceeded' });
const filtered = refusal(400, { message: 'The response was filtered due to the content management policy.', type: 'invalid_request_error', code: 'content_filter' });

interface Answer {
  readonly status: number;
  readonly headers: Headers;
  /** Text of the first choice. */
  readonly text: string | undefined;
  readonly model: string | undefined;
  readonly error: Readonly<Record<string, unknown>> | undefined;
}

async function ask(gateway: GatewayUnderTest, model: string, extra: object = {}, headers: Readonly<Record<string, string>> = {}): Promise<Answer> {
  const response = await gateway.post('/v1/chat/completions', { model, ...question, ...extra }, { headers });
  const body = await response.json() as { readonly choices?: readonly { readonly message: { readonly content: string } }[]; readonly model?: string; readonly error?: Readonly<Record<string, unknown>> };
  return { status: response.status, headers: response.headers, text: body.choices?.[0]?.message.content, model: body.model, error: body.error };
}

/** What every proxied reply tells, also one that reports a failure. */
function expectTold({ headers }: Answer, { group, selected, retries = 0, fallbacks = 0, strategy = 'simple-shuffle' }: { readonly group: string; readonly selected: string; readonly retries?: number; readonly fallbacks?: number; readonly strategy?: string }): void {
  expect(headers.get('x-request-id')).toMatch(/^[0-9a-f-]{36}$/);
  expect(headers.get('x-litellm-call-id')).toBe(headers.get('x-request-id'));
  expect(headers.get('x-litellm-model-id')).toMatch(/./);
  expect(headers.get('x-litellm-model-group')).toBe(group);
  expect(headers.get('x-litellm-attempted-retries')).toBe(String(retries));
  expect(headers.get('x-litellm-attempted-fallbacks')).toBe(String(fallbacks));
  expect(Number(headers.get('x-litellm-response-cost') ?? 'absent')).toBeGreaterThanOrEqual(0);
  expect(Number(headers.get('x-litellm-overhead-duration-ms') ?? 'absent')).toBeGreaterThanOrEqual(0);
  expect(headers.get('x-router-strategy')).toBe(strategy);
  expect(headers.get('x-router-selected-model')).toBe(selected);
  expect(headers.has('x-router-model-version')).toBe(true); // empty: this strategy has no model
  expect(headers.get('traceparent')).toMatch(/^00-[0-9a-f]{32}-[0-9a-f]{16}-0[01]$/);
}

function callsOf(upstream: ScriptedUpstream, model: string): number {
  return upstream.calls.filter(({ json: body }) => (body as { readonly model?: string }).model === model).length;
}

const ordered = (order: number, params: object = {}): { readonly params: object } => ({ params: { order, ...params } });

const SCRIPTS: Readonly<Record<string, ScriptChoice>> = {
  'fine': ok(), 'plan-b': ok('plan b'), 'plan-c': ok('plan c'),
  'busy-once': [refusal(429, {}, { 'retry-after': '1' }), ok()],
  'busy-for-long': refusal(429, {}, { 'retry-after': '600' }),
  'busy-past-deadline': refusal(429, {}, { 'retry-after': '5' }),
  'down-once': [dead, ok()],
  'dead-0': dead, 'dead-1': dead, 'dead-2': dead, 'dead-header': dead, 'dead-a': dead, 'dead-b': dead, 'dead-c': dead, 'dead-covered': dead, 'dead-chain': dead, 'dead-link': dead, 'dead-cycle': dead, 'dead-ordered': dead,
  'dead-uncovered': dead, 'dead-default': dead, 'dead-in-body': dead, 'dead-by-policy': dead, 'busy-by-policy': refusal(429, {}),
  'quota-1': refusal(429, {}, { 'retry-after': '20' }), 'quota-2': refusal(429, {}, { 'retry-after': '20' }),
  'bad-key': refusal(401, { message: 'Incorrect API key provided: sk-of-the-provider', code: 'invalid_api_key' }), 'bad-key-of-two': refusal(401, { code: 'invalid_api_key' }),
  'gone-model': refusal(404, { code: 'model_not_found' }),
  'strict': refusal(400, { message: 'temperature must be at most 2', type: 'invalid_request_error', param: 'temperature' }),
  'small': tooLong, 'small-uncovered': tooLong, 'prudish': filtered, 'prudish-uncovered': filtered,
  'hangs': hangs, 'hangs-by-header': hangs, 'hangs-by-config': hangs, 'hangs-streaming': hangs,
  'paid': ok('paid'), 'free': ok('free'), 'light': ok('light'), 'heavy': ok('heavy'), 'llama-3': ok('wild'), 'exact': ok('exact'),
};

describe('failures move on', () => {
  let upstream: ScriptedUpstream;
  let gateway: GatewayUnderTest;

  beforeAll(async () => {
    upstream = await startScriptedUpstream({ scripts: SCRIPTS });
    const alone = (name: string, params: object = {}): object => deployment(name, upstream, name, { params });
    gateway = await startGatewayUnderTest({
      config: {
        model_list: [
          ...Object.keys(SCRIPTS).filter((name) => name !== 'llama-3' && name !== 'exact').map((name) => alone(name, name === 'hangs-by-config' ? { timeout: 0.5 } : {})),
          ...['dead-a', 'dead-b', 'dead-c'].map((name, index) => deployment('all-dead', upstream, name, ordered(index + 1))),
          deployment('refused-first', { url: 'http://127.0.0.1:1' }, 'nobody-there', ordered(1)), deployment('refused-first', upstream, 'fine', ordered(2)),
          ...['quota-1', 'quota-2'].map((name) => deployment('quota', upstream, name)),
          deployment('two-keys', upstream, 'bad-key-of-two', ordered(1)), deployment('two-keys', upstream, 'fine', ordered(2)),
          deployment('moved', upstream, 'gone-model', ordered(1)), deployment('moved', upstream, 'fine', ordered(2)),
          deployment('in-order', upstream, 'dead-ordered', ordered(2)), deployment('in-order', upstream, 'fine', ordered(1)),
          deployment('tagged', upstream, 'paid', { params: { tags: ['paid'] } }), deployment('tagged', upstream, 'free', { params: { tags: ['free', 'default'] } }),
          deployment('weighted', upstream, 'light', { params: { weight: 1 } }), deployment('weighted', upstream, 'heavy', { params: { weight: 3 } }),
          deployment('wild/*', upstream, '*'), deployment('wild/exact', upstream, 'exact'),
        ],
        router_settings: {
          num_retries: 2, retry_budget_ratio: 10, breaker: { failures: 1000 }, cooldown_time: 60, enable_tag_filtering: true,
          fallbacks: [{ 'dead-covered': ['plan-b'] }, { 'dead-chain': ['dead-link', 'plan-c'] }, { 'dead-cycle': ['dead-cycle', 'dead-link', 'dead-cycle'] }],
          model_group_retry_policy: { 'dead-by-policy': { InternalServerErrorRetries: 1 }, 'busy-by-policy': { RateLimitErrorRetries: 0 } },
          context_window_fallbacks: [{ small: ['plan-b'] }],
          content_policy_fallbacks: [{ prudish: ['plan-c'] }],
          model_group_alias: { nickname: 'fine', secret: { model: 'fine', hidden: true } },
        },
      },
    });
  }, 60_000);

  afterAll(async () => {
    await gateway[Symbol.asyncDispose]();
    await upstream.close();
  });

  describe('retries', () => {
    test('wait as long as retry-after says, when that is within the deadline', async () => {
      const began = performance.now();
      const answer = await ask(gateway, 'busy-once');
      expect(answer).toMatchObject({ status: 200, text: 'fine' });
      expect(performance.now() - began).toBeGreaterThan(950);
      expect(callsOf(upstream, 'busy-once')).toBe(2);
      expectTold(answer, { group: 'busy-once', selected: 'hosted_vllm/busy-once', retries: 1 });
      expect(await gateway.metric('gateway_retries_total', { model: 'busy-once', reason: 'rate_limited' })).toBe(1);
    });

    test.each([['busy-past-deadline', 5, { timeout: 2 }], ['busy-for-long', 600, {}]] as const)('are not made when the provider asks for too long a wait: the client hears how long (%s)', async (model, seconds, extra) => {
      const answer = await ask(gateway, model, extra);
      expect(answer.status).toBe(429);
      expect(answer.headers.get('retry-after')).toBe(String(seconds));
      expect(callsOf(upstream, model)).toBe(1);
      expectTold(answer, { group: model, selected: `hosted_vllm/${model}` });
    });

    test('help over a single failure', async () => {
      const answer = await ask(gateway, 'down-once');
      expect(answer.status).toBe(200);
      expectTold(answer, { group: 'down-once', selected: 'hosted_vllm/down-once', retries: 1 });
    });

    test.each([['dead-0', { num_retries: 0 }, {}, 1], ['dead-1', { num_retries: 1 }, {}, 2], ['dead-header', { num_retries: 2 }, { 'x-litellm-num-retries': '1' }, 2], ['dead-2', {}, {}, 3]] as const)('are as many as num_retries says: %s', async (model, extra, headers, calls) => {
      const answer = await ask(gateway, model, extra, headers);
      expect(answer.status).toBe(500);
      expect(answer.error).toMatchObject({ code: 'provider_server_error', type: 'internal_server_error' });
      expect(callsOf(upstream, model)).toBe(calls);
      expectTold(answer, { group: model, selected: `hosted_vllm/${model}`, retries: calls - 1 });
    });

    test('ask each deployment of the group once before any is asked again', async () => {
      const answer = await ask(gateway, 'all-dead');
      expect(answer.status).toBe(500);
      for (const model of ['dead-a', 'dead-b', 'dead-c']) expect(callsOf(upstream, model)).toBe(1);
      expectTold(answer, { group: 'all-dead', selected: 'hosted_vllm/dead-c', retries: 2 });
    });

    test('follow retry_policy, and that of the group before it', async () => {
      expect((await ask(gateway, 'dead-by-policy')).status).toBe(500);
      expect(callsOf(upstream, 'dead-by-policy')).toBe(2);
      expect((await ask(gateway, 'busy-by-policy')).status).toBe(429);
      expect(callsOf(upstream, 'busy-by-policy')).toBe(1);
    });

    test('move on from a server that refuses connections', async () => {
      const answer = await ask(gateway, 'refused-first');
      expect(answer.status).toBe(200);
      expectTold(answer, { group: 'refused-first', selected: 'hosted_vllm/fine', retries: 1 });
    });

    test('are not made for what is the fault of the request', async () => {
      const answer = await ask(gateway, 'strict', { fallbacks: ['plan-b'] });
      expect(answer.status).toBe(400);
      expect(answer.error).toMatchObject({ message: 'temperature must be at most 2', type: 'invalid_request_error', param: 'temperature' });
      expect(callsOf(upstream, 'strict')).toBe(1);
      expectTold(answer, { group: 'strict', selected: 'hosted_vllm/strict' });
    });
  });

  describe('refusals', () => {
    test('429 of every deployment is 429 with the retry-after of the provider, and nobody is asked again while they rest', async () => {
      const answer = await ask(gateway, 'quota');
      expect(answer.status).toBe(429);
      expect(answer.headers.get('retry-after')).toBe('20');
      const asked = callsOf(upstream, 'quota-1') + callsOf(upstream, 'quota-2');
      const next = await ask(gateway, 'quota');
      expect(next.status).toBe(429);
      expect(Number(next.headers.get('retry-after'))).toBeGreaterThan(0);
      expect(Number(next.headers.get('retry-after'))).toBeLessThanOrEqual(20);
      expect(callsOf(upstream, 'quota-1') + callsOf(upstream, 'quota-2')).toBe(asked);
    });

    test('401 from the provider is our fault, not the caller’s: 502 provider_auth_error at once, and the deployment rests', async () => {
      const answer = await ask(gateway, 'bad-key');
      expect(answer.status).toBe(502);
      expect(answer.error).toMatchObject({ type: 'provider_auth_error', code: 'provider_auth_error' });
      expect(JSON.stringify(answer.error)).not.toContain('sk-of-the-provider');
      expect(callsOf(upstream, 'bad-key')).toBe(1);
      expectTold(answer, { group: 'bad-key', selected: 'hosted_vllm/bad-key' });
      const health = await (await gateway.get('/health')).json() as { readonly unhealthy_endpoints: readonly { readonly model_name: string; readonly cooling_until?: string }[] };
      expect(health.unhealthy_endpoints.find(({ model_name: name }) => name === 'bad-key')?.cooling_until).toMatch(/^\d{4}-/);
      expect((await ask(gateway, 'bad-key')).status).toBe(429);
      expect(callsOf(upstream, 'bad-key')).toBe(1);
    });

    test.each([['two-keys', 'bad-key-of-two'], ['moved', 'gone-model']])('a deployment with a wrong key or model is passed over, then left out: %s', async (group, wrong) => {
      const first = await ask(gateway, group);
      expect(first.status).toBe(200);
      expectTold(first, { group, selected: 'hosted_vllm/fine', retries: 1 });
      for (let round = 0; round < 3; round += 1) expectTold(await ask(gateway, group), { group, selected: 'hosted_vllm/fine' });
      expect(callsOf(upstream, wrong)).toBe(1);
    });
  });

  describe('fallbacks', () => {
    test('answer with the name and the group that served', async () => {
      const answer = await ask(gateway, 'dead-covered', { num_retries: 0 });
      expect(answer).toMatchObject({ status: 200, text: 'plan b', model: 'plan-b' });
      expectTold(answer, { group: 'plan-b', selected: 'hosted_vllm/plan-b', fallbacks: 1 });
      expect(await gateway.metric('gateway_fallbacks_total', { from: 'dead-covered', to: 'plan-b' })).toBe(1);
    });

    test('are tried in turn', async () => {
      const answer = await ask(gateway, 'dead-chain', { num_retries: 0 });
      expect(answer).toMatchObject({ status: 200, text: 'plan c' });
      expectTold(answer, { group: 'plan-c', selected: 'hosted_vllm/plan-c', fallbacks: 2 });
    });

    test('never go round in circles', async () => {
      const answer = await ask(gateway, 'dead-cycle', { num_retries: 0 });
      expect(answer.status).toBe(500);
      expect(callsOf(upstream, 'dead-cycle')).toBe(1);
      expectTold(answer, { group: 'dead-link', selected: 'hosted_vllm/dead-link', fallbacks: 1 });
    });

    test('may be named by the request, which the provider never sees', async () => {
      const answer = await ask(gateway, 'dead-in-body', { num_retries: 0, fallbacks: [{ model: 'plan-b' }, 'plan-c'] });
      expect(answer).toMatchObject({ status: 200, text: 'plan b' });
      expectTold(answer, { group: 'plan-b', selected: 'hosted_vllm/plan-b', fallbacks: 1 });
      for (const { json: body } of upstream.calls) expect(Object.keys(body as object)).not.toContain('fallbacks');
    });

    test('may be switched off by the request', async () => {
      const answer = await ask(gateway, 'dead-covered', { num_retries: 0, disable_fallbacks: true });
      expect(answer.status).toBe(500);
      expectTold(answer, { group: 'dead-covered', selected: 'hosted_vllm/dead-covered' });
    });

    test('of context_window_fallbacks take a prompt that is too long, without a retry', async () => {
      const answer = await ask(gateway, 'small');
      expect(answer).toMatchObject({ status: 200, text: 'plan b' });
      expectTold(answer, { group: 'plan-b', selected: 'hosted_vllm/plan-b', fallbacks: 1 });
      expect(callsOf(upstream, 'small')).toBe(1);
      const uncovered = await ask(gateway, 'small-uncovered');
      expect(uncovered.status).toBe(400);
      expect(uncovered.error).toMatchObject({ code: 'context_length_exceeded', type: 'invalid_request_error' });
    });

    test('of content_policy_fallbacks take what a filter refused, without a retry', async () => {
      const answer = await ask(gateway, 'prudish');
      expect(answer).toMatchObject({ status: 200, text: 'plan c' });
      expectTold(answer, { group: 'plan-c', selected: 'hosted_vllm/plan-c', fallbacks: 1 });
      expect(callsOf(upstream, 'prudish')).toBe(1);
      const uncovered = await ask(gateway, 'prudish-uncovered');
      expect(uncovered.status).toBe(400);
      expect(uncovered.error).toMatchObject({ code: 'content_policy_violation' });
    });
  });

  describe('the deadline', () => {
    test.each([
      ['of the body', 'hangs', { timeout: 0.5 }, {}], ['of a header', 'hangs-by-header', {}, { 'x-litellm-timeout': '0.5' }],
      ['of a request that streams', 'hangs-streaming', { timeout: 0.5, stream: true }, {}],
    ] as const)('%s ends the wait with 504', async (_where, model, extra, headers) => {
      const answer = await ask(gateway, model, extra, headers);
      expect(answer.status).toBe(504);
      expect(answer.error).toMatchObject({ type: 'timeout_error' });
      expectTold(answer, { group: model, selected: `hosted_vllm/${model}` });
      await eventually(() => upstream.calls.filter(({ json: body }) => (body as { model?: string }).model === model).every(({ aborted }) => aborted));
    });

    test('of one deployment ends that call, and the retry has a time of its own', async () => {
      const answer = await ask(gateway, 'hangs-by-config', { num_retries: 1 });
      expect(answer.status).toBe(504);
      expect(callsOf(upstream, 'hangs-by-config')).toBe(2);
      expectTold(answer, { group: 'hangs-by-config', selected: 'hosted_vllm/hangs-by-config', retries: 1 });
    });
  });

  describe('the choice', () => {
    test('follows tags of the body, of metadata and of a header, and the default where there is none', async () => {
      const paid = { group: 'tagged', selected: 'hosted_vllm/paid' };
      expectTold(await ask(gateway, 'tagged', { tags: ['paid'] }), paid);
      expectTold(await ask(gateway, 'tagged', { metadata: { tags: ['paid'] } }), paid);
      expectTold(await ask(gateway, 'tagged', {}, { 'x-litellm-tags': 'paid' }), paid);
      for (let round = 0; round < 5; round += 1) expectTold(await ask(gateway, 'tagged'), { group: 'tagged', selected: 'hosted_vllm/free' });
      for (const { json: body } of upstream.calls) expect(Object.keys(body as object)).not.toContain('tags');
    });

    test('follows order before anything else', async () => {
      for (let round = 0; round < 10; round += 1) expectTold(await ask(gateway, 'in-order'), { group: 'in-order', selected: 'hosted_vllm/fine' });
      expect(callsOf(upstream, 'dead-ordered')).toBe(0);
    });

    test('follows weights', async () => {
      const ROUNDS = 200;
      for (let round = 0; round < ROUNDS; round += 20) await Promise.all(Array.from({ length: 20 }, () => ask(gateway, 'weighted')));
      // 150 are expected at weight 3 of 4, with a standard deviation of 6.1: six of them either way.
      expect(callsOf(upstream, 'heavy')).toBeGreaterThan(113);
      expect(callsOf(upstream, 'heavy')).toBeLessThan(187);
      expect(callsOf(upstream, 'heavy') + callsOf(upstream, 'light')).toBe(ROUNDS);
    });

    test('follows aliases, of which the hidden one is not listed', async () => {
      for (const alias of ['nickname', 'secret']) {
        const answer = await ask(gateway, alias);
        expect(answer).toMatchObject({ status: 200, text: 'fine', model: alias });
        expectTold(answer, { group: 'fine', selected: 'hosted_vllm/fine' });
      }
      const { data } = await (await gateway.get('/v1/models')).json() as { readonly data: readonly { readonly id: string }[] };
      const names = data.map(({ id }) => id);
      expect(names).toContain('nickname');
      expect(names).not.toContain('secret');
    });

    test('fills in wildcards, and an exact name comes first', async () => {
      const wild = await ask(gateway, 'wild/llama-3');
      expect(wild).toMatchObject({ status: 200, text: 'wild', model: 'wild/llama-3' });
      expectTold(wild, { group: 'wild/*', selected: 'hosted_vllm/llama-3' });
      expectTold(await ask(gateway, 'wild/exact'), { group: 'wild/exact', selected: 'hosted_vllm/exact' });
      expect((await ask(gateway, 'tame/llama-3')).status).toBe(400);
    });
  });
});

test('default_fallbacks take what no other fallback covers', async () => {
  await using upstream = await startScriptedUpstream({ scripts: SCRIPTS });
  await using gateway = await startGatewayUnderTest({
    config: {
      model_list: ['dead-default', 'dead-covered', 'plan-b', 'plan-c'].map((name) => deployment(name, upstream, name)),
      router_settings: { num_retries: 0, default_fallbacks: ['plan-c'], fallbacks: [{ 'dead-covered': ['plan-b'] }] },
    },
  });
  const answer = await ask(gateway, 'dead-default');
  expect(answer).toMatchObject({ status: 200, text: 'plan c' });
  expectTold(answer, { group: 'plan-c', selected: 'hosted_vllm/plan-c', fallbacks: 1 });
  expect(await ask(gateway, 'dead-covered')).toMatchObject({ status: 200, text: 'plan b' });
});

test('the breaker opens after five failures, lets one probe through, and closes when that succeeds', async () => {
  const probes = [createGate(), createGate()] as const;
  await using upstream = await startScriptedUpstream({ scripts: { frail: [dead, dead, dead, dead, dead, { ...dead, before: [{ until: probes[0].opened }] }, { ...ok(), before: [{ until: probes[1].opened }] }, ok()] } });
  await using gateway = await startGatewayUnderTest({
    config: { model_list: [deployment('frail', upstream, 'frail', { id: 'the-frail-one' })], router_settings: { num_retries: 0, disable_cooldowns: true, breaker: { failures: 5, half_open_after_s: 1 } } },
  });
  const state = (): Promise<number> => gateway.metric('circuit_breaker_state', { target: 'the-frail-one' });
  for (let failure = 0; failure < 5; failure += 1) expect((await ask(gateway, 'frail')).status).toBe(500);
  expect(await state()).toBe(2);
  const refused = await ask(gateway, 'frail');
  expect(refused.status).toBe(429);
  expect(refused.error).toMatchObject({ code: 'no_healthy_deployment' });
  expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0);
  expect(upstream.calls).toHaveLength(5);

  for (const [index, probe] of probes.entries()) {
    // Until one of these is let through; those that are refused come back at once, the probe waits for its gate.
    const asked: Promise<Answer>[] = [];
    await eventually(() => {
      asked.push(ask(gateway, 'frail'));
      return upstream.calls.length === 6 + index;
    });
    expect(await state()).toBe(1);
    const meanwhile = await Promise.all(Array.from({ length: 10 }, () => ask(gateway, 'frail')));
    expect(meanwhile.map(({ status }) => status)).toEqual(Array.from({ length: 10 }, () => 429));
    expect(upstream.calls).toHaveLength(6 + index);
    probe.open();
    const statuses = (await Promise.all(asked)).map(({ status }) => status);
    expect(statuses.filter((status) => status !== 429)).toEqual([index === 0 ? 500 : 200]);
    expect(await state()).toBe(index === 0 ? 2 : 0);
  }
  expect(await ask(gateway, 'frail')).toMatchObject({ status: 200, text: 'fine' });
}, 60_000);

test('a group that is down is not hammered: retries add a fifth and ten at most', async () => {
  await using upstream = await startScriptedUpstream({ reply: dead });
  await using gateway = await startGatewayUnderTest({
    config: { model_list: [deployment('down', upstream, 'a'), deployment('down', upstream, 'b')], router_settings: { num_retries: 2, disable_cooldowns: true, breaker: { failures: 100_000 } } },
  });
  const REQUESTS = 300;
  for (let sent = 0; sent < REQUESTS; sent += 50) {
    const answers = await Promise.all(Array.from({ length: 50 }, () => ask(gateway, 'down')));
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([500]));
  }
  expect(upstream.calls.length).toBeGreaterThan(REQUESTS);
  expect(upstream.calls.length).toBeLessThanOrEqual(REQUESTS * 1.2 + 10);
  expect(await gateway.metric('gateway_retries_total', { model: 'down' })).toBe(upstream.calls.length - REQUESTS);
});
