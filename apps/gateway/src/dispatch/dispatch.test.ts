import { eventually } from '@pointsman/testing';
import type { ProviderFault } from '@pointsman/providers';
import { RetryBudget } from '@pointsman/resilience';
import type { Strategy } from '@pointsman/routing';
import { ManualClock } from '@pointsman/timing';
import type { JsonObject } from '@pointsman/schemas';
import { expect, test } from 'vitest';
import {
  chatConfig, chatReply, chunk, dataOf, entry, FakeProvider, startFakeGateway, usageChunk, type Behaviour, type FakeCall, type FakeGateway,
} from '../fake-gateway.fixture.ts';

const answers: Behaviour = (call) => call.json(chatReply('hello'));
const streams: Behaviour = (call) => call.accept().events(chunk({ role: 'assistant', content: '' }), chunk({ content: 'hel' })).events(chunk({ content: 'lo' }), chunk({}, 'stop')).events(usageChunk(5, 2), '[DONE]').end();
const fails = (fault: ProviderFault, options: { readonly retryAfterMs?: number; readonly upstreamStatus?: number; readonly message?: string } = {}): Behaviour => (call) => call.fail(fault, options);
const silent: Behaviour = (call) => void call.accept();
const says = (...content: readonly string[]): Behaviour => (call) => void call.accept().events(...content.map((text) => chunk({ content: text })));

/** What holds after every request, however it ended: each permit settled once, each attempt begun and ended, nothing still running. */
async function expectSettled(gateway: FakeGateway): Promise<void> {
  await eventually(() => expect(gateway.context.gate.running).toBe(0));
  for (const [id, breaker] of gateway.snapshot.breakers) {
    for (const settlement of breaker.settlements) expect(settlement, `permits of ${id}`).toHaveLength(1);
  }
  for (const { name } of gateway.snapshot.listed) {
    const plan = await Promise.resolve(gateway.snapshot.plan(name)).catch(() => undefined);
    for (const { candidate } of plan?.deployments ?? []) expect(candidate.stats.inFlight, candidate.id).toBe(0);
  }
  expect(gateway.settled).toHaveLength(gateway.metrics.outcomes.filter(({ record }) => record !== undefined).length);
  expect(gateway.metrics.streamsRunning).toBe(0);
  for (const span of gateway.spans) {
    expect(span.ends, span.name).toBe(1);
    for (const child of span.children) expect(child.ends, child.name).toBe(1);
  }
  for (const { record, durationMs } of gateway.metrics.outcomes) {
    if (record === undefined) continue;
    expect(record.upstreamMs).toBeGreaterThanOrEqual(0);
    expect(record.upstreamMs).toBeLessThanOrEqual(durationMs + 1e-6);
  }
}

function only(provider: FakeProvider): FakeCall {
  const [call] = provider.calls;
  if (call === undefined || provider.calls.length !== 1) throw new Error(`one call was expected, ${String(provider.calls.length)} were made`);
  return call;
}

async function codeOf(reply: Response): Promise<string> {
  return ((await reply.json()) as { error: { code: string } }).error.code;
}

test('a JSON reply is passed on under the name that was asked for, paid for, and counted once', async () => {
  const a = new FakeProvider(answers);
  await using gateway = await startFakeGateway(chatConfig(['a']), { providers: { a } });
  const reply = await gateway.chat();
  expect(reply.status).toBe(200);
  expect(await reply.json()).toEqual(chatReply('hello', { model: 'chat' }));
  expect(reply.headers.get('x-litellm-model-id')).toBe('a');
  expect(reply.headers.get('x-litellm-model-group')).toBe('chat');
  expect(reply.headers.get('x-litellm-response-cost')).toBe('25');
  expect(reply.headers.get('x-router-strategy')).toBe('in-order');
  expect(reply.headers.get('x-router-selected-model')).toBe('openai/gpt-4o');
  expect(Number(reply.headers.get('x-litellm-overhead-duration-ms'))).toBeGreaterThanOrEqual(0);
  await expectSettled(gateway);
  expect(gateway.settled).toEqual([{ totalTokens: 7, costUsd: 25 }]);
  expect(gateway.record()).toMatchObject({ costUsd: 25, usageEstimated: false, retries: 0, fallbacks: 0, error: undefined });
  expect(gateway.attempts).toEqual(['a ok']);
  expect(gateway.snapshot.breakers.get('a')?.settlements).toEqual([['succeeded']]);
});

test('the provider gets the client\'s exact bytes and the trace of this attempt', async () => {
  const a = new FakeProvider(answers);
  await using gateway = await startFakeGateway(chatConfig(['a']), { providers: { a } });
  const text = '{"model":"chat",  "messages":[{"role":"user","content":"hi"}], "x_unknown":1.0}';
  await gateway.post('/v1/chat/completions', text);
  expect(only(a).request.rawBody?.toString()).toBe(text);
  expect(only(a).request.headers['traceparent']).toMatch(/^00-/);
});

test('a stream is passed on as it comes and ends as the provider ended it', async () => {
  const a = new FakeProvider(streams);
  await using gateway = await startFakeGateway(chatConfig(['a']), { providers: { a } });
  const reply = await gateway.chat({ stream: true });
  expect(reply.headers.get('content-type')).toBe('text/event-stream; charset=utf-8');
  const data = dataOf(await reply.text());
  expect(data.map((item) => (item as { choices?: { delta: JsonObject; finish_reason: string | null }[] }).choices?.[0]?.delta['content'])).toEqual(['', 'hel', 'lo', undefined, undefined]);
  expect(data.at(-1)).toBe('[DONE]');
  await expectSettled(gateway);
  expect(gateway.record()).toMatchObject({ costUsd: 25, finishReason: 'stop', usageEstimated: false });
  expect(gateway.record().ttftMs).toBeGreaterThanOrEqual(gateway.record().upstreamMs - 1);
});

test('a retry goes to the next deployment of the group, and the client sees one answer', async () => {
  const [a, b] = [new FakeProvider(fails('server_error', { upstreamStatus: 500 })), new FakeProvider(answers)];
  await using gateway = await startFakeGateway(chatConfig(['a', 'b']), { providers: { a, b } });
  const reply = await gateway.chat();
  expect(reply.status).toBe(200);
  expect(reply.headers.get('x-litellm-model-id')).toBe('b');
  expect(reply.headers.get('x-litellm-attempted-retries')).toBe('1');
  await expectSettled(gateway);
  expect(gateway.attempts).toEqual(['a server_error', 'b ok']);
  expect(gateway.retries).toEqual(['chat server_error']);
  expect(gateway.snapshot.breakers.get('a')?.settlements).toEqual([['failed']]);
});

test('a stream that breaks before its first content moves on, and nothing of it is seen', async () => {
  const a = new FakeProvider((call) => call.accept().events(chunk({ role: 'assistant', content: '' })).fail('truncated'));
  const b = new FakeProvider(streams);
  await using gateway = await startFakeGateway(chatConfig(['a', 'b']), { providers: { a, b } });
  const data = dataOf(await (await gateway.chat({ stream: true })).text());
  expect(data.filter((item) => JSON.stringify(item).includes('"role"'))).toHaveLength(1);
  expect(data.at(-1)).toBe('[DONE]');
  await expectSettled(gateway);
  expect(gateway.settled).toEqual([{ totalTokens: 7, costUsd: 25 }]); // the broken one produced nothing
});

test('a group of one is asked again, at most num_retries times', async () => {
  const a = new FakeProvider(fails('overloaded', { upstreamStatus: 503 }));
  await using gateway = await startFakeGateway(chatConfig(['a'], 'router_settings: { num_retries: 3 }\n'), { providers: { a } });
  const reply = await gateway.chat();
  expect(reply.status).toBe(503);
  expect(a.calls).toHaveLength(4);
  await expectSettled(gateway);
  expect(gateway.record().retries).toBe(3);
});

test('the client\'s num_retries wins', async () => {
  const a = new FakeProvider(fails('overloaded', { upstreamStatus: 503 }));
  await using gateway = await startFakeGateway(chatConfig(['a']), { providers: { a } });
  await gateway.chat({ num_retries: 0 });
  expect(a.calls).toHaveLength(1);
});

test.each<[ProviderFault, string]>([
  ['auth', 'AuthenticationErrorRetries'], ['timeout', 'TimeoutErrorRetries'], ['rate_limited', 'RateLimitErrorRetries'], ['server_error', 'InternalServerErrorRetries'],
])('retry_policy says how often %s is tried again', async (fault, key) => {
  const a = new FakeProvider(fails(fault));
  await using gateway = await startFakeGateway(chatConfig(['a'], `router_settings: { num_retries: 3, disable_cooldowns: true, retry_policy: { ${key}: 1 } }\n`), { providers: { a } });
  await gateway.chat();
  expect(a.calls).toHaveLength(2);
  await expectSettled(gateway);
});

test('model_group_retry_policy wins over retry_policy for its group', async () => {
  const a = new FakeProvider(fails('server_error'));
  await using gateway = await startFakeGateway(chatConfig(['a'],
    'router_settings: { num_retries: 3, retry_policy: { InternalServerErrorRetries: 2 }, model_group_retry_policy: { chat: { InternalServerErrorRetries: 0 } } }\n'), { providers: { a } });
  await gateway.chat();
  expect(a.calls).toHaveLength(1);
});

test('a spent retry budget ends the retries of everybody, never a first try', async () => {
  const a = new FakeProvider(fails('server_error'));
  const retryBudget = new RetryBudget({ clock: new ManualClock(), ratio: 0, minimum: 1 });
  await using gateway = await startFakeGateway(chatConfig(['a'], 'router_settings: { num_retries: 3, disable_cooldowns: true }\n'), { providers: { a }, retryBudget });
  await gateway.chat();
  expect(a.calls).toHaveLength(2);
  await gateway.chat();
  expect(a.calls).toHaveLength(3);
  await expectSettled(gateway);
});

test('a fallback\'s first try is no retry: it needs no budget and no retries left', async () => {
  const [a, b] = [new FakeProvider(fails('server_error')), new FakeProvider(answers)];
  const retryBudget = new RetryBudget({ clock: new ManualClock(), ratio: 0, minimum: 0 });
  await using gateway = await startFakeGateway(`${chatConfig(['a'])}${entry('spare', 'b')}router_settings: { num_retries: 0, fallbacks: [{ chat: [spare] }] }\n`, { providers: { a, b }, retryBudget });
  const reply = await gateway.chat();
  expect(reply.status).toBe(200);
  expect(reply.headers.get('x-litellm-model-group')).toBe('spare');
  expect(reply.headers.get('x-litellm-attempted-fallbacks')).toBe('1');
  expect(((await reply.json()) as JsonObject)['model']).toBe('spare');
  expect(gateway.fallbacks).toEqual(['chat > spare']);
  await expectSettled(gateway);
});

const THREE = `${chatConfig(['a'])}${entry('second', 'b')}${entry('third', 'c')}`;

test('fallbacks are tried in their order, each once, and the last error is the one that is told', async () => {
  const a = new FakeProvider(fails('server_error'));
  const b = new FakeProvider(fails('unreachable'));
  const c = new FakeProvider(fails('rate_limited', { upstreamStatus: 429, retryAfterMs: 30_000 }));
  await using gateway = await startFakeGateway(`${THREE}router_settings: { num_retries: 0, fallbacks: [{ chat: [second, chat, third, second] }] }\n`, { providers: { a, b, c } });
  const reply = await gateway.chat();
  expect(reply.status).toBe(429);
  expect(reply.headers.get('retry-after')).toBe('30');
  expect(gateway.fallbacks).toEqual(['chat > second', 'second > third']);
  expect([a, b, c].map(({ calls }) => calls.length)).toEqual([1, 1, 1]);
  await expectSettled(gateway);
});

test('max_fallbacks bounds the walk', async () => {
  const provider = new FakeProvider(fails('server_error'));
  await using gateway = await startFakeGateway(`${THREE}router_settings: { num_retries: 0, max_fallbacks: 1, fallbacks: [{ chat: [second, third] }] }\n`, { providers: { a: provider, b: provider, c: provider } });
  await gateway.chat();
  expect(gateway.fallbacks).toEqual(['chat > second']);
});

test('default_fallbacks serve a group that names none', async () => {
  const [a, b] = [new FakeProvider(fails('server_error')), new FakeProvider(answers)];
  await using gateway = await startFakeGateway(`${THREE}router_settings: { num_retries: 0, default_fallbacks: [second] }\n`, { providers: { a, b } });
  expect((await gateway.chat()).status).toBe(200);
});

test.each<[ProviderFault, string]>([['context_window', 'context_window_fallbacks'], ['content_policy', 'content_policy_fallbacks']])(
  '%s is not retried: it goes to its own fallbacks, before the general ones', async (fault, key) => {
    const [a, b, c] = [new FakeProvider(fails(fault, { upstreamStatus: 400 })), new FakeProvider(answers), new FakeProvider(answers)];
    await using gateway = await startFakeGateway(`${THREE}router_settings: { num_retries: 2, fallbacks: [{ chat: [second] }], ${key}: [{ chat: [third] }] }\n`, { providers: { a, b, c } });
    expect((await gateway.chat()).status).toBe(200);
    expect([a, b, c].map(({ calls }) => calls.length)).toEqual([1, 0, 1]);
    expect(gateway.snapshot.breakers.get('a')?.settlements).toEqual([['abandoned']]); // not the deployment's fault
    await expectSettled(gateway);
  });

test('a bad request is the caller\'s: no retry, no fallback, the provider\'s own words', async () => {
  const [a, b] = [new FakeProvider(fails('bad_request', { upstreamStatus: 400, message: 'temperature must be at most 2' })), new FakeProvider(answers)];
  await using gateway = await startFakeGateway(`${THREE}router_settings: { fallbacks: [{ chat: [second] }] }\n`, { providers: { a, b } });
  const reply = await gateway.chat();
  expect(reply.status).toBe(400);
  expect(await reply.text()).toContain('temperature must be at most 2');
  expect([a.calls.length, b.calls.length]).toEqual([1, 0]);
  expect(gateway.snapshot.breakers.get('a')?.settlements).toEqual([['abandoned']]);
  await expectSettled(gateway);
});

test('a bad key of ours is never a 401 for the caller', async () => {
  const a = new FakeProvider(fails('auth', { upstreamStatus: 401 }));
  await using gateway = await startFakeGateway(chatConfig(['a'], 'router_settings: { num_retries: 0 }\n'), { providers: { a } });
  const reply = await gateway.chat();
  expect(reply.status).toBe(502);
  expect(await codeOf(reply)).toBe('provider_auth_error');
});

test('the request\'s own fallbacks win, and disable_fallbacks turns all of them off', async () => {
  const [a, b, c] = [new FakeProvider(fails('server_error')), new FakeProvider(answers), new FakeProvider(answers)];
  await using gateway = await startFakeGateway(`${THREE}router_settings: { num_retries: 0, disable_cooldowns: true, fallbacks: [{ chat: [second] }] }\n`, { providers: { a, b, c } });
  expect((await gateway.chat({ fallbacks: ['nowhere', 'third'] })).headers.get('x-litellm-model-group')).toBe('third');
  expect((await gateway.chat({ disable_fallbacks: true })).status).toBe(502);
  expect([b.calls.length, c.calls.length]).toEqual([0, 1]);
});

test('a fallback that has to be made ready first is waited for; one that cannot be made is passed over', async () => {
  const [a, c] = [new FakeProvider(fails('server_error')), new FakeProvider(answers)];
  await using gateway = await startFakeGateway(`${THREE}router_settings: { num_retries: 0, fallbacks: [{ chat: [second, third] }] }\n`, {
    providers: { a, c },
    slowPlans: { second: () => Promise.reject(new Error('no such provider')), third: (plans) => Promise.resolve(plans.get('third') as never) },
  });
  expect((await gateway.chat()).headers.get('x-litellm-model-group')).toBe('third');
  await expectSettled(gateway);
});

test('an open breaker is passed over, and when all are open the client is told when to come back', async () => {
  const [a, b] = [new FakeProvider(fails('server_error')), new FakeProvider(answers)];
  await using gateway = await startFakeGateway(chatConfig(['a', 'b'], 'router_settings: { disable_cooldowns: true }\n'), { providers: { a, b } });
  const open = (id: string): void => { for (let failure = 0; failure < 5; failure += 1) gateway.snapshot.breakers.get(id)?.tryAcquire()?.failed(); };
  open('a');
  expect((await gateway.chat()).headers.get('x-litellm-model-id')).toBe('b');
  expect(a.calls).toHaveLength(0);
  open('b');
  const refused = await gateway.chat();
  expect(refused.status).toBe(429);
  expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(50);
  expect(await codeOf(refused)).toBe('no_healthy_deployment');
  expect(b.calls).toHaveLength(1);
  await expectSettled(gateway);
});

test('a request that one provider cannot take goes to the next; the client hears of it only when nobody can', async () => {
  const embedder = new FakeProvider((call) => call.json({ object: 'list', data: [], usage: { prompt_tokens: 2, total_tokens: 2 } }), { formats: ['embeddings'] });
  const chatOnly = new FakeProvider(answers, { formats: ['chat'] });
  await using gateway = await startFakeGateway(chatConfig(['a', 'b']), { providers: { a: chatOnly, b: embedder } });
  expect((await gateway.post('/v1/embeddings', { model: 'chat', input: 'x' })).status).toBe(200);
  await using lonely = await startFakeGateway(chatConfig(['a']), { providers: { a: chatOnly } });
  const refused = await lonely.post('/v1/embeddings', { model: 'chat', input: 'x' });
  expect(refused.status).toBe(501);
  expect(chatOnly.calls).toHaveLength(0);
  await expectSettled(gateway);
  await expectSettled(lonely);
  expect(lonely.snapshot.breakers.get('a')?.settlements).toEqual([['abandoned']]);
});

test('past the deadline the call is cancelled and the client gets 504', async () => {
  const a = new FakeProvider(silent);
  await using gateway = await startFakeGateway(chatConfig(['a']), { providers: { a } });
  const reply = await gateway.chat({ timeout: 0.05 });
  expect(reply.status).toBe(504);
  expect(await codeOf(reply)).toBe('request_timeout');
  expect(only(a).cancels).toBe(1);
  expect(gateway.attempts).toEqual(['a timeout']);
  // A deadline that the client chose this short says nothing about the deployment: one client must not open a breaker for all.
  expect(gateway.snapshot.breakers.get('a')?.settlements).toEqual([['abandoned']]);
  await expectSettled(gateway);
});

test('the deadline bounds the wait for the first content, not the length of a stream', async () => {
  const a = new FakeProvider(says('one'));
  await using gateway = await startFakeGateway(chatConfig(['a']), { providers: { a } });
  const reply = await gateway.chat({ stream: true, timeout: 0.05 });
  await new Promise((resolve) => { setTimeout(resolve, 80); }); // past the deadline
  only(a).events(chunk({ content: 'two' }), chunk({}, 'stop'), '[DONE]').end();
  expect(dataOf(await reply.text()).at(-1)).toBe('[DONE]');
  await expectSettled(gateway);
});

test('a decision that comes after the deadline starts no call', async () => {
  const a = new FakeProvider(answers);
  let decide = (): void => undefined;
  const late: Strategy = {
    name: 'late',
    decide: ({ candidates }) => new Promise((resolve) => {
      decide = () => resolve({ order: candidates, scores: candidates.map(() => 1), strategy: 'late', modelVersion: '', propensity: 1 });
    }),
  };
  await using gateway = await startFakeGateway(chatConfig(['a', 'b']), { providers: { a, b: a }, strategy: late });
  expect((await gateway.chat({ timeout: 0 })).status).toBe(504);
  decide();
  await expectSettled(gateway);
  expect(a.calls).toHaveLength(0);
});

test('a retry that would wait past the deadline is not waited for', async () => {
  const a = new FakeProvider(fails('rate_limited', { upstreamStatus: 429, retryAfterMs: 5_000 }));
  await using gateway = await startFakeGateway(chatConfig(['a']), { providers: { a } });
  const reply = await gateway.chat({ timeout: 3 });
  expect(reply.status).toBe(429);
  expect(reply.headers.get('retry-after')).toBe('5');
  expect(a.calls).toHaveLength(1);
});

test('a client that leaves during a wait for a retry ends the request: no further call', async () => {
  const a = new FakeProvider(fails('rate_limited', { retryAfterMs: 7_000 }));
  await using gateway = await startFakeGateway(chatConfig(['a']), { providers: { a } });
  const client = new AbortController();
  const reply = gateway.chat({}, { signal: client.signal });
  await eventually(() => gateway.retries.length === 1);
  client.abort();
  await expect(reply).rejects.toThrow();
  await expectSettled(gateway);
  expect(a.calls).toHaveLength(1);
  expect(gateway.record().clientGone).toBe(true);
});

test('a client that leaves cancels the provider\'s call, and pays for what was streamed', async () => {
  const a = new FakeProvider(says('one', 'two', 'three'));
  await using gateway = await startFakeGateway(chatConfig(['a']), { providers: { a } });
  const client = new AbortController();
  const reply = await gateway.chat({ stream: true }, { signal: client.signal });
  await reply.body?.getReader().read();
  client.abort();
  await eventually(() => expect(only(a).cancels).toBe(1));
  await expectSettled(gateway);
  expect(gateway.attempts).toEqual(['a abandoned']);
  expect(gateway.snapshot.breakers.get('a')?.settlements).toEqual([['abandoned']]);
  expect(gateway.record()).toMatchObject({ clientGone: true, usageEstimated: true, usage: { promptTokens: 8, completionTokens: 4 }, costUsd: 48 });
});

test('a client that left before its request could start costs no call', async () => {
  const a = new FakeProvider(answers);
  let admit = (): void => undefined;
  const waiting = new Promise<void>((resolve) => { admit = resolve; });
  let asked = false;
  const settledWith: unknown[] = [];
  await using gateway = await startFakeGateway(chatConfig(['a']), {
    providers: { a },
    limits: { admit: () => { asked = true; return waiting.then(() => ({ headers: undefined, settle: (used) => void settledWith.push(used) })); } },
  });
  const client = new AbortController();
  const reply = gateway.chat({ stream: true }, { signal: client.signal });
  await eventually(() => asked);
  client.abort();
  await expect(reply).rejects.toThrow();
  await eventually(() => expect(gateway.context.gate.running).toBe(0));
  admit();
  await eventually(() => expect(settledWith).toEqual([{ totalTokens: 0, costUsd: 0 }]));
  expect(a.calls).toHaveLength(0);
  expect(gateway.metrics.streamsRunning).toBe(0);
});

test('a stream that breaks after content ends with one error frame and no [DONE], and what was streamed is paid for', async () => {
  const a = new FakeProvider((call) => call.accept().events(chunk({ content: 'hel' })).fail('truncated'));
  const b = new FakeProvider(streams);
  await using gateway = await startFakeGateway(chatConfig(['a', 'b']), { providers: { a, b } });
  const data = dataOf(await (await gateway.chat({ stream: true })).text());
  expect(data).toHaveLength(2);
  expect(data[1]).toMatchObject({ error: { code: 'provider_truncated' } });
  expect(b.calls).toHaveLength(0);
  await expectSettled(gateway);
  expect(gateway.record()).toMatchObject({ usageEstimated: true, costUsd: 18 });
  expect(gateway.snapshot.breakers.get('a')?.settlements).toEqual([['failed']]);
});

test('the end of a drain gives a running stream one error frame and a waiting request 503', async () => {
  const a = new FakeProvider((call) => { if (call.request.stream) says('one')(call, 0); });
  await using gateway = await startFakeGateway(chatConfig(['a']), { providers: { a } });
  const stream = await gateway.chat({ stream: true });
  const waiting = gateway.chat();
  await eventually(() => a.calls.length === 2);
  expect(await gateway.context.gate.drain(0)).toBe(2);
  expect(dataOf(await stream.text()).at(-1)).toMatchObject({ error: { code: 'gateway_draining' } });
  const refused = await waiting;
  expect(refused.status).toBe(503);
  expect(refused.headers.get('connection')).toBe('close');
  expect(refused.headers.get('retry-after')).toBe('1');
  expect(a.calls.map(({ cancels }) => cancels)).toEqual([1, 1]);
  expect(gateway.snapshot.breakers.get('a')?.settlements).toEqual([['abandoned'], ['abandoned']]);
  await expectSettled(gateway);
});

const CONTINUE = 'router_settings: { num_retries: 2, stream_recovery: continue, disable_cooldowns: true }\n';

test('stream_recovery: continue: another deployment goes on, and the client sees one whole answer', async () => {
  const a = new FakeProvider((call) => call.accept().events(chunk({ role: 'assistant', content: '' }), chunk({ content: 'Once ' }), chunk({ content: 'upon' })).fail('truncated'));
  const b = new FakeProvider((call) => call.accept().events({ ...chunk({ role: 'assistant', content: '' }), id: 'other' }, { ...chunk({ content: ' a time' }), id: 'other' }, chunk({}, 'stop'), usageChunk(9, 3), '[DONE]').end());
  await using gateway = await startFakeGateway(chatConfig(['a', 'b'], CONTINUE), { providers: { a, b } });
  const data = dataOf(await (await gateway.chat({ stream: true })).text());
  const chunks = data.slice(0, -1) as { id: string; model: string; choices: { delta: { content?: string; role?: string } }[] }[];
  expect(chunks.map(({ choices }) => choices[0]?.delta.content ?? '').join('')).toBe('Once upon a time');
  expect(new Set(chunks.map(({ id }) => id))).toEqual(new Set(['chatcmpl-1']));
  expect(new Set(chunks.map(({ model }) => model))).toEqual(new Set(['chat']));
  expect(chunks.filter(({ choices }) => choices[0]?.delta.role !== undefined)).toHaveLength(1);
  expect(data.at(-1)).toBe('[DONE]');
  expect((only(b).request.body['messages'] as JsonObject[]).at(-1)).toEqual({ role: 'assistant', content: 'Once upon' });
  await expectSettled(gateway);
  // Both parts are paid for: "Once upon" and its prompt of eight tokens as counted, then nine and three as reported.
  expect(gateway.record()).toMatchObject({ recovered: true, usageEstimated: true, costUsd: 28 + 39, usage: { promptTokens: 17, completionTokens: 5, totalTokens: 22 }, error: undefined });
});

test('a continuation that breaks too is continued with everything so far; when nobody can go on, one error frame ends it', async () => {
  const a = new FakeProvider((call) => call.accept().events(chunk({ content: 'one ' })).fail('truncated'));
  const b = new FakeProvider((call) => call.accept().events(chunk({ content: 'two ' })).fail('truncated'));
  const c = new FakeProvider((call) => call.fail('unreachable'));
  await using gateway = await startFakeGateway(chatConfig(['a', 'b', 'c'], CONTINUE), { providers: { a, b, c } });
  const data = dataOf(await (await gateway.chat({ stream: true })).text());
  expect((only(c).request.body['messages'] as JsonObject[]).at(-1)).toEqual({ role: 'assistant', content: 'one two ' });
  expect(data.filter((item) => (item as JsonObject)['error'] !== undefined)).toHaveLength(1);
  expect(data.at(-1)).toMatchObject({ error: { code: 'provider_unreachable' } });
  await expectSettled(gateway);
  expect(gateway.record().recovered).toBe(false);
});

test('a stream that ran past the deadline is continued all the same: the deadline is for the first content', async () => {
  const a = new FakeProvider(says('one '));
  const b = new FakeProvider((call) => call.accept().events(chunk({ content: 'two' }), chunk({}, 'stop'), '[DONE]').end());
  await using gateway = await startFakeGateway(chatConfig(['a', 'b'], CONTINUE), { providers: { a, b } });
  const reply = await gateway.chat({ stream: true, timeout: 0.05 });
  await new Promise((resolve) => { setTimeout(resolve, 80); }); // past the deadline
  only(a).fail('truncated');
  expect(dataOf(await reply.text()).at(-1)).toBe('[DONE]');
  expect(only(b).request.headersTimeoutMs).toBeGreaterThan(10);
});

test('a client that leaves while a stream is being continued cancels the continuing call', async () => {
  const a = new FakeProvider((call) => call.accept().events(chunk({ content: 'one ' })).fail('truncated'));
  const b = new FakeProvider(silent);
  await using gateway = await startFakeGateway(chatConfig(['a', 'b'], CONTINUE), { providers: { a, b } });
  const client = new AbortController();
  const reply = await gateway.chat({ stream: true }, { signal: client.signal });
  await eventually(() => b.calls.length === 1);
  client.abort();
  await expect(reply.text()).rejects.toThrow();
  await eventually(() => expect(only(b).cancels).toBe(1));
  await expectSettled(gateway);
  expect(gateway.attempts).toEqual(['a truncated', 'b abandoned']);
});

test('a client that reads slowly pauses its provider, and no text is lost', async () => {
  const pieces = 40;
  const text = 'x'.repeat(65_536);
  const a = new FakeProvider((call) => {
    call.accept();
    let sent = 0;
    const send = (): void => {
      while (sent < pieces) {
        const before = call.pauses;
        call.events(chunk({ content: text }));
        sent += 1;
        if (call.pauses > before) return;
      }
      call.events(chunk({}, 'stop'), '[DONE]').end();
    };
    call.resume = () => { call.resumes += 1; send(); };
    send();
  });
  await using gateway = await startFakeGateway(chatConfig(['a']), { providers: { a } });
  const reply = await gateway.chat({ stream: true });
  const data = dataOf(await reply.text()) as { choices?: { delta: { content?: string } }[] }[];
  expect(data.map((item) => item.choices?.[0]?.delta.content?.length ?? 0).reduce((sum, length) => sum + length, 0)).toBe(pieces * text.length);
  expect(only(a).pauses).toBeGreaterThan(0);
  expect(only(a).resumes).toBe(only(a).pauses);
  await expectSettled(gateway);
});

test('an event that arrives after the client has its answer changes nothing', async () => {
  const a = new FakeProvider(answers);
  await using gateway = await startFakeGateway(chatConfig(['a']), { providers: { a } });
  expect((await gateway.chat()).status).toBe(200);
  only(a).fail('server_error');
  only(a).json(chatReply('again'));
  await expectSettled(gateway);
  expect(gateway.attempts).toEqual(['a ok']);
});

test('an error tells what was tried: group, retries and fallbacks', async () => {
  const a = new FakeProvider(fails('server_error'));
  await using gateway = await startFakeGateway(chatConfig(['a'], 'router_settings: { num_retries: 1 }\n'), { providers: { a } });
  const { headers } = await gateway.chat();
  expect(headers.get('x-litellm-model-group')).toBe('chat');
  expect(headers.get('x-litellm-attempted-retries')).toBe('1');
  expect(headers.get('x-litellm-attempted-fallbacks')).toBe('0');
  expect(headers.get('x-request-id')).not.toBeNull();
  expect(headers.get('traceparent')).not.toBeNull();
});

test('a cooled-down group says when to come back, and falls back before it does', async () => {
  const [a, b] = [new FakeProvider(fails('auth', { upstreamStatus: 401 })), new FakeProvider(answers)];
  await using gateway = await startFakeGateway(`${THREE}router_settings: { num_retries: 0, cooldown_time: 60, fallbacks: [{ second: [chat] }] }\n`, { providers: { a, b } });
  expect((await gateway.chat()).status).toBe(502);
  const refused = await gateway.chat();
  expect(refused.status).toBe(429);
  expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(50);
  expect(a.calls).toHaveLength(1);
  await expectSettled(gateway);
});

test('a mock answers without calling anybody, costs nothing and tells the breaker nothing', async () => {
  const a = new FakeProvider(answers);
  await using gateway = await startFakeGateway(chatConfig(['a']), { providers: { a } });
  const reply = await gateway.chat({ mock_response: 'mocked' });
  expect(await reply.text()).toContain('mocked');
  expect(a.calls).toHaveLength(0);
  await expectSettled(gateway);
  expect(gateway.snapshot.breakers.get('a')?.settlements).toEqual([['abandoned']]);
  expect(gateway.record().costUsd).toBe(0);
});

test('a body that turns out to be broken inside a long string is the caller\'s mistake, whoever finds it, and leaves nothing behind', async () => {
  const a = new FakeProvider((call) => call.json({ ...chatReply('x'), messages: call.request.body['messages'] ?? null }));
  const start = a.start.bind(a);
  a.start = (request, sink) => {
    void request.body; // as an adapter that cannot forward the bytes does
    return start(request, sink);
  };
  await using gateway = await startFakeGateway(chatConfig(['a']), { providers: { a } });
  const reply = await gateway.post('/v1/chat/completions', `{"model":"chat","messages":[{"role":"user","content":"${'x'.repeat(10_000)}\n"}]}`);
  expect(reply.status).toBe(400);
  expect(await codeOf(reply)).toBe('invalid_json');
  expect(a.calls).toHaveLength(0);
  await expectSettled(gateway);
  expect(gateway.snapshot.breakers.get('a')?.settlements).toEqual([['abandoned']]);
});

test('a provider that takes such a body all the same is billed without its text', async () => {
  const a = new FakeProvider((call) => call.accept().events(chunk({ content: 'hi' }), chunk({}, 'stop'), '[DONE]').end());
  await using gateway = await startFakeGateway(chatConfig(['a']), { providers: { a } });
  const reply = await gateway.post('/v1/chat/completions', `{"model":"chat","stream":true,"messages":[{"role":"user","content":"${'x'.repeat(10_000)}\n"}]}`);
  expect(dataOf(await reply.text()).at(-1)).toBe('[DONE]');
  await expectSettled(gateway);
  expect(gateway.record()).toMatchObject({ usageEstimated: true, usage: { promptTokens: 0, completionTokens: 1 } });
});

test('a fallback that fails to be made after the client has left changes nothing any more', async () => {
  const a = new FakeProvider(fails('server_error'));
  let asked = false;
  let refuse = (): void => undefined;
  await using gateway = await startFakeGateway(`${THREE}router_settings: { num_retries: 0, fallbacks: [{ chat: [second] }] }\n`, {
    providers: { a },
    slowPlans: { second: () => { asked = true; return new Promise((_resolve, reject) => { refuse = () => reject(new Error('no such provider')); }); } },
  });
  const client = new AbortController();
  const reply = gateway.chat({}, { signal: client.signal });
  await eventually(() => asked);
  client.abort();
  await expect(reply).rejects.toThrow();
  await eventually(() => expect(gateway.context.gate.running).toBe(0));
  refuse();
  await new Promise(setImmediate);
  expect(gateway.fallbacks).toEqual([]);
  expect(gateway.record()).toMatchObject({ clientGone: true, error: undefined, fallbacks: 0 });
});
