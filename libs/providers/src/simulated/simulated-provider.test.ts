import { ManualClock } from '@pointsman/timing';
import type { JsonObject } from '@pointsman/schemas';
import type { SseEvent } from '@pointsman/wire-formats';
import { expect, test } from 'vitest';
import { z } from 'zod';
import type { ProviderError } from '../provider-error.ts';
import type { Provider, ProviderCall, ProviderRequest, ReplySink } from '../provider.ts';
import { createMockReplyProvider, createSimulatedProvider, SIMULATED_MODELS } from './index.ts';
import { jsonBySchema } from './json-by-schema.ts';

/** Timers that fire when the test says so, in order of their time. */
class ManualTimers {
  readonly clock = new ManualClock();
  #queue: { at: number; run: () => void }[] = [];
  readonly after = (ms: number, run: () => void): (() => void) => {
    const entry = { at: this.clock.monotonic() + ms, run };
    this.#queue.push(entry);
    return () => {
      this.#queue = this.#queue.filter((other) => other !== entry);
    };
  };
  get pending(): number {
    return this.#queue.length;
  }
  /** Lets so much time pass; everything due runs at its own time. */
  pass(ms: number): void {
    const end = this.clock.monotonic() + ms;
    for (;;) {
      const due = this.#queue.filter(({ at }) => at <= end).sort((a, b) => a.at - b.at)[0];
      if (due === undefined) break;
      this.#queue = this.#queue.filter((other) => other !== due);
      this.clock.advance(due.at - this.clock.monotonic());
      due.run();
    }
    this.clock.advance(end - this.clock.monotonic());
  }
}

interface Heard extends ReplySink {
  readonly events: SseEvent[];
  readonly order: string[];
  json: JsonObject | undefined;
  error: ProviderError | undefined;
}

function listen(): Heard {
  return {
    events: [], order: [], json: undefined, error: undefined,
    onStart() { this.order.push('start'); },
    onJson({ value }) { this.json = value; this.order.push('json'); },
    onEvents(events) { this.events.push(...events); this.order.push('events'); },
    onEnd() { this.order.push('end'); },
    onError(error) { this.error = error; this.order.push('error'); },
  };
}

function ask(body: JsonObject, more: Partial<ProviderRequest> = {}): ProviderRequest {
  return { format: 'chat', body, rawBody: undefined, stream: body['stream'] === true, headers: {}, headersTimeoutMs: 60_000, idleTimeoutMs: 60_000, ...more };
}

const hello: JsonObject = { model: 'x', messages: [{ role: 'user', content: 'Which trains go from Bern to Milan on Sunday?' }] };

async function simulated(model: string, params: JsonObject, timers: ManualTimers): Promise<Provider> {
  return createSimulatedProvider({ provider: 'simulated', model, apiKey: undefined, apiBase: undefined, apiVersion: undefined, params }, timers);
}

async function run(body: JsonObject, { model = 'steady', params = {}, more = {} }: { model?: string; params?: JsonObject; more?: Partial<ProviderRequest> } = {}): Promise<Heard> {
  const timers = new ManualTimers();
  const heard = listen();
  (await simulated(model, params, timers)).start(ask(body, more), heard);
  expect(heard.order).toEqual([]);
  timers.pass(120_000);
  return heard;
}

interface ReplyMessage { content: string | null; tool_calls?: { function: { name: string; arguments: string } }[] }
function firstChoice(heard: Heard): { message: ReplyMessage; finish_reason: string } {
  return (heard.json as unknown as { choices: [{ message: ReplyMessage; finish_reason: string }] }).choices[0];
}
interface Chunk { choices: { index: number; delta: { content?: string; tool_calls?: { function: { name?: string; arguments: string } }[] }; finish_reason: string | null }[]; usage?: { completion_tokens: number } | null }
function chunks(heard: Heard): Chunk[] {
  return heard.events.filter(({ data }) => data !== '[DONE]').map(({ data }) => JSON.parse(data) as Chunk);
}

test('the same conversation gets the same answer, and every model says who it is', async () => {
  for (const model of SIMULATED_MODELS.keys()) {
    const once = firstChoice(await run(hello, { model })).message.content;
    expect(firstChoice(await run(hello, { model })).message.content).toBe(once);
    expect(once).toContain(`simulated/${model}`);
    expect(once).toContain('Which trains');
  }
});

test('a better model answers at more length and takes longer to begin', async () => {
  const models = [...SIMULATED_MODELS];
  const lengths = await Promise.all(models.map(async ([model]) => firstChoice(await run(hello, { model })).message.content?.length ?? 0));
  expect(lengths).toEqual([...lengths].sort((a, b) => a - b));
  expect(new Set(lengths).size).toBe(4);
  const firstTokens = models.map(([, { ttftMs }]) => ttftMs);
  expect(firstTokens).toEqual([...firstTokens].sort((a, b) => a - b));
});

test('a stream brings the whole answer token by token, then the reason, usage when asked for, and [DONE]', async () => {
  const whole = firstChoice(await run(hello)).message.content;
  const heard = await run({ ...hello, stream: true, stream_options: { include_usage: true } });
  const all = chunks(heard);
  expect(all.map((chunk) => chunk.choices[0]?.delta.content ?? '').join('')).toBe(whole);
  expect(all.length).toBeGreaterThan(20);
  expect(all.at(-2)?.choices[0]?.finish_reason).toBe('stop');
  expect(all.at(-1)?.choices).toEqual([]);
  expect(all.at(-1)?.usage?.completion_tokens).toBe(all.filter((chunk) => (chunk.choices[0]?.delta.content ?? '') !== '').length);
  expect(heard.events.at(-1)?.data).toBe('[DONE]');
  expect(heard.order.at(0)).toBe('start');
  expect(heard.order.at(-1)).toBe('end');
  const plain = chunks(await run({ ...hello, stream: true }));
  expect(plain.every((chunk) => !('usage' in chunk))).toBe(true);
});

test('tokens come at the configured pace', async () => {
  const timers = new ManualTimers();
  const heard = listen();
  (await simulated('swift', { simulated_ttft_ms: 100, simulated_tokens_per_s: '10' }, timers)).start(ask({ ...hello, stream: true }), heard);
  timers.pass(99);
  expect(heard.order).toEqual([]);
  timers.pass(1);
  expect(chunks(heard)).toHaveLength(2);
  timers.pass(299);
  expect(chunks(heard)).toHaveLength(4);
  timers.pass(1);
  expect(chunks(heard)).toHaveLength(5);
});

test('a late timer catches up with what was due', async () => {
  const timers = new ManualTimers();
  const heard = listen();
  const call = (await simulated('oracle', { simulated_ttft_ms: 0, simulated_tokens_per_s: 100_000 }, timers)).start(ask({ ...hello, stream: true }), heard);
  timers.pass(0);
  timers.clock.advance(60_000);
  timers.pass(0);
  expect(heard.events.at(-1)?.data).toBe('[DONE]');
  expect(call).toBeDefined();
});

test('a cancelled call says nothing more and leaves no timer', async () => {
  const timers = new ManualTimers();
  const heard = listen();
  const call = (await simulated('steady', {}, timers)).start(ask({ ...hello, stream: true }), heard);
  timers.pass(200);
  const before = heard.order.length;
  expect(before).toBeGreaterThan(1);
  call.cancel();
  expect(timers.pending).toBe(0);
  timers.pass(60_000);
  expect(heard.order).toHaveLength(before);
  call.resume();
  call.cancel();
  expect(timers.pending).toBe(0);
});

test('a paused call sends nothing until it is resumed, then goes on at its pace and loses nothing', async () => {
  const whole = firstChoice(await run(hello)).message.content;
  const timers = new ManualTimers();
  const heard = listen();
  const sink: ReplySink = {
    ...heard,
    // Pausing from inside a callback is what a socket with a full buffer does.
    onEvents: (events) => {
      heard.onEvents(events);
      if (heard.order.filter((what) => what === 'events').length === 3) call.pause();
    },
    onStart: (start) => heard.onStart(start), onEnd: () => heard.onEnd(),
  };
  const call: ProviderCall = (await simulated('steady', {}, timers)).start(ask({ ...hello, stream: true }), sink);
  timers.pass(60_000);
  const before = heard.events.length;
  expect(heard.order.filter((what) => what === 'events')).toHaveLength(3);
  call.resume();
  timers.pass(8);
  expect(heard.events.length - before).toBeLessThan(4);
  timers.pass(60_000);
  expect(chunks(heard).map((chunk) => chunk.choices[0]?.delta.content ?? '').join('')).toBe(whole);
  expect(heard.order.at(-1)).toBe('end');
});

test('max_tokens cuts the answer and says length; stop cuts before the sequence and says stop', async () => {
  const cut = await run({ ...hello, max_tokens: 5 });
  expect(firstChoice(cut).finish_reason).toBe('length');
  expect((cut.json?.['usage'] as JsonObject)['completion_tokens']).toBe(5);
  expect(firstChoice(await run({ ...hello, max_tokens: 50, max_completion_tokens: 3 })).message.content).toBe('simulated/');
  const stopped = firstChoice(await run({ ...hello, stop: ['zzz', 'here'] }));
  expect(stopped).toMatchObject({ finish_reason: 'stop', message: { content: 'simulated/steady ' } });
});

const weather = {
  type: 'function',
  function: { name: 'get_weather', parameters: { type: 'object', properties: { city: { type: 'string' }, unit: { enum: ['celsius', 'fahrenheit'] }, days: { type: 'integer', minimum: 1, maximum: 7 } }, required: ['city', 'unit'] } },
};

test('a required tool is called with arguments that fit its schema and the prompt', async () => {
  const heard = await run({ messages: [{ role: 'user', content: 'How warm is it in Lugano in fahrenheit, 3 days?' }], tools: [weather], tool_choice: 'required' });
  const choice = firstChoice(heard);
  expect(choice.finish_reason).toBe('tool_calls');
  expect(choice.message.content).toBeNull();
  const call = choice.message.tool_calls?.[0]?.function;
  expect(call?.name).toBe('get_weather');
  expect(JSON.parse(call?.arguments ?? '')).toEqual({ city: 'Lugano', unit: 'fahrenheit', days: 3 });
});

test('a tool is called when the prompt asks for it, not otherwise, and not again after its result', async () => {
  const asks = { role: 'user', content: 'Get the weather of Lugano' };
  const streamed = chunks(await run({ messages: [asks], tools: [weather], stream: true }));
  const calls = streamed.flatMap((chunk) => chunk.choices[0]?.delta.tool_calls ?? []);
  expect(calls[0]?.function).toEqual({ name: 'get_weather', arguments: '' });
  expect(JSON.parse(calls.map((call) => call.function.arguments).join(''))).toMatchObject({ city: 'Lugano' });
  expect(streamed.at(-1)?.choices[0]?.finish_reason).toBe('tool_calls');
  expect(firstChoice(await run({ ...hello, tools: [weather] })).finish_reason).toBe('stop');
  expect(firstChoice(await run({ messages: [asks], tools: [weather], tool_choice: 'none' })).finish_reason).toBe('stop');
  const after = await run({ messages: [asks, { role: 'assistant', content: null, tool_calls: [] }, { role: 'tool', tool_call_id: 'c', content: '21 degrees' }], tools: [weather] });
  expect(firstChoice(after).message.content).toContain('21 degrees');
});

test('a JSON schema is satisfied, references, unions and limits included', async () => {
  const schema = z.strictObject({
    title: z.string().min(12).max(14),
    kind: z.enum(['small', 'large']),
    count: z.int().min(3).max(9),
    ratio: z.number().gt(0).lt(1),
    tags: z.array(z.string()).min(2).max(3),
    when: z.iso.date(),
    who: z.union([z.strictObject({ email: z.email() }), z.null()]),
    done: z.boolean(),
    version: z.literal(2),
  });
  const heard = await run({ ...hello, response_format: { type: 'json_schema', json_schema: { name: 'x', strict: true, schema: z.toJSONSchema(schema) as unknown as JsonObject } } });
  schema.parse(JSON.parse(firstChoice(heard).message.content ?? ''));
  const recursive = { $ref: '#/$defs/node', $defs: { node: { type: 'object', properties: { name: { type: 'string' }, next: { anyOf: [{ $ref: '#/$defs/node' }, { type: 'null' }] } }, required: ['name', 'next'] } } };
  expect(JSON.stringify(jsonBySchema(recursive, 'Go on')).length).toBeLessThan(2_000);
});

test('a schema with a field called __proto__ pollutes nothing', () => {
  const value = jsonBySchema(JSON.parse('{"type":"object","properties":{"__proto__":{"type":"object","properties":{"polluted":{"type":"string"}}}}}') as JsonObject, 'Hi There');
  expect(Object.hasOwn(value as object, '__proto__')).toBe(true);
  expect('polluted' in {}).toBe(false);
});

test('embeddings are unit vectors that are near for texts that share words, as numbers or base64', async () => {
  const near = await run({ input: ['red apples and pears', 'pears and red apples', 'quarterly tax filing'] }, { more: { format: 'embeddings' } });
  const vectors = (near.json?.['data'] as { embedding: number[] }[]).map(({ embedding }) => embedding);
  const dot = (a: number[] = [], b: number[] = []): number => a.reduce((sum, value, index) => sum + value * (b[index] ?? 0), 0);
  expect(dot(vectors[0], vectors[0])).toBeCloseTo(1);
  expect(dot(vectors[0], vectors[1])).toBeGreaterThan(0.95);
  expect(dot(vectors[0], vectors[2])).toBeLessThan(0.5);
  const packed = await run({ input: 'red apples and pears', encoding_format: 'base64', dimensions: 16 }, { more: { format: 'embeddings' } });
  expect(Buffer.from((packed.json?.['data'] as { embedding: string }[])[0]?.embedding ?? '', 'base64')).toHaveLength(64);
});

test('n choices come side by side', async () => {
  const heard = await run({ ...hello, n: 3, stream: true });
  const reasons = chunks(heard).flatMap(({ choices }) => choices.filter((choice) => choice.finish_reason !== null).map(({ index }) => index));
  expect(reasons.sort()).toEqual([0, 1, 2]);
});

test('simulated_error_rate fails that share of the calls, the way simulated_error says', async () => {
  const timers = new ManualTimers();
  const provider = await simulated('swift', { simulated_error_rate: 0.3, simulated_error: 'rate_limited' }, timers);
  const outcomes = Array.from({ length: 200 }, () => {
    const heard = listen();
    provider.start(ask(hello), heard);
    timers.pass(60_000);
    return heard.error?.fault ?? 'ok';
  });
  const failed = outcomes.filter((fault) => fault === 'rate_limited').length;
  expect(failed).toBeGreaterThan(40);
  expect(failed).toBeLessThan(80);
  const broken = await run({ ...hello, stream: true }, { params: { simulated_error_rate: 1, simulated_error: 'stream_error' } });
  expect(broken.error?.fault).toBe('stream_error');
  expect(chunks(broken).length).toBeGreaterThan(2);
  const cut = await run({ ...hello, stream: true }, { params: { simulated_error_rate: 1, simulated_error: 'truncated' } });
  expect(cut.order.at(-1)).toBe('end');
  expect(chunks(cut).every((chunk) => chunk.choices[0]?.finish_reason === null)).toBe(true);
});

test('a model that nobody simulates, another format and a call that takes too long are refused with the right fault', async () => {
  expect((await run(hello, { model: 'nope' })).error?.fault).toBe('not_found');
  expect((await run(hello, { more: { format: 'responses' } })).error?.fault).toBe('bad_request');
  expect((await run(hello, { more: { headersTimeoutMs: 100 } })).error?.fault).toBe('timeout');
  expect((await run({ ...hello, stream: true }, { params: { simulated_tokens_per_s: 1 }, more: { idleTimeoutMs: 500 } })).error?.fault).toBe('timeout');
});

test('bodies that make no sense are answered, not thrown at', async () => {
  for (const body of [{}, { messages: 'x' }, { messages: [null, 3, { role: 'user' }] }, { messages: [{ role: 'user', content: [{ type: 'image_url' }] }], tools: [null, {}], n: -1, max_tokens: 0, stop: 7 }] as JsonObject[]) {
    expect((await run(body)).order).toEqual(['start', 'json', 'end']);
  }
});

test('mock_response answers with its text, whole and streamed, and some texts order a failure', () => {
  const timers = new ManualTimers();
  const mock = (text: string, body: JsonObject): Heard => {
    const heard = listen();
    createMockReplyProvider(text, timers).start(ask(body), heard);
    timers.pass(0);
    return heard;
  };
  const whole = mock('It is sunny.', hello);
  expect(firstChoice(whole).message.content).toBe('It is sunny.');
  expect(whole.json?.['usage']).toEqual({ prompt_tokens: 10, completion_tokens: 20, total_tokens: 30 });
  const streamed = mock('It is sunny.', { ...hello, stream: true });
  expect(chunks(streamed).map((chunk) => chunk.choices[0]?.delta.content ?? '').join('')).toBe('It is sunny.');
  expect(streamed.events.at(-1)?.data).toBe('[DONE]');
  expect(mock('litellm.RateLimitError', hello).error?.fault).toBe('rate_limited');
  expect(mock('litellm.InternalServerError', hello).error?.fault).toBe('server_error');
  expect(mock('Exception: mock_streaming_error', { ...hello, stream: true }).order.at(-1)).toBe('error');
});
