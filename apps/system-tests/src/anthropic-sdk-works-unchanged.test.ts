import Anthropic, { APIConnectionTimeoutError, APIError, APIUserAbortError, AuthenticationError, BadRequestError, InternalServerError, NotFoundError, RateLimitError } from '@anthropic-ai/sdk';
import { eventually } from '@pointsman/testing';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { allOf } from './all-of.ts';
import { MASTER_KEY } from './gateway-under-test.ts';
import { startPlayedGateway, type PlayedGateway } from './played-gateway.ts';
import {
  AFTER_TOOLS, GREETING, GREETING_TEXT, OF_AN_IMAGE, PIXEL, PLAYED_KINDS, PROVIDER_KEY, SIGNATURE, THOUGHT, TOOL_INPUTS, USED,
  type ProviderKind,
} from './played-providers.ts';

const KINDS: readonly ProviderKind[] = [...PLAYED_KINDS, 'simulated'];
const SYSTEM = 'Be brief, like a stationmaster.';
const hello = { max_tokens: 200, system: SYSTEM, messages: [{ role: 'user' as const, content: 'Hello!' }] };
const TOOL = { name: 'get_weather', description: 'The weather of a city', input_schema: { type: 'object' as const, properties: { city: { type: 'string' } }, required: ['city'] } };

let played: PlayedGateway;
let upstreams: PlayedGateway['upstreams'];
let gateway: PlayedGateway['gateway'];
let anthropic: Anthropic;

beforeAll(async () => {
  played = await startPlayedGateway();
  ({ gateway, upstreams } = played);
  anthropic = new Anthropic({ apiKey: MASTER_KEY, baseURL: gateway.url, maxRetries: 0 });
}, 60_000);

afterAll(async () => {
  await played.close();
});

async function failureOf(work: PromiseLike<unknown>): Promise<unknown> {
  try {
    await work;
  } catch (error) {
    return error;
  }
  throw new Error('it should have failed');
}

function textIn({ content }: { readonly content: readonly Anthropic.ContentBlock[] }): string {
  return content.map((block) => (block.type === 'text' ? block.text : '')).join('');
}

/** The order of events that the Messages API promises: https://docs.anthropic.com/en/api/messages-streaming#event-types */
function expectProperOrder(events: readonly Anthropic.RawMessageStreamEvent[]): void {
  const types = events.map(({ type }) => type);
  expect(types[0]).toBe('message_start');
  expect(types.at(-1)).toBe('message_stop');
  expect(types.at(-2)).toBe('message_delta');
  expect(types.filter((type) => type === 'message_start' || type === 'message_stop')).toHaveLength(2);
  let open: number | undefined;
  let next = 0;
  for (const event of events) {
    if (event.type === 'content_block_start') {
      expect(open).toBeUndefined();
      expect(event.index).toBe(next);
      open = event.index;
      next += 1;
    } else if (event.type === 'content_block_delta') expect(event.index).toBe(open);
    else if (event.type === 'content_block_stop') {
      expect(event.index).toBe(open);
      open = undefined;
    }
  }
  expect(open).toBeUndefined();
}

describe.each(KINDS)('through a provider of the kind %s', (kind) => {
  const model = `${kind}-model`;
  const played = kind !== 'simulated';

  test('a message has text, a stop reason, usage, and the name that was asked for', async () => {
    const { data, response, request_id: requestId } = await anthropic.messages.create({ model, ...hello }).withResponse();
    expect(data).toMatchObject({ type: 'message', role: 'assistant', model, stop_reason: 'end_turn', stop_sequence: null });
    expect(data.id).toMatch(/^[\w-]+$/);
    if (played) {
      expect(textIn(data)).toBe(GREETING_TEXT);
      expect(data.usage).toMatchObject({ input_tokens: USED.prompt, output_tokens: USED.completion });
      expect(JSON.stringify(upstreams[kind].calls.at(-1)?.json)).toContain(SYSTEM);
    } else expect(textIn(data)).toContain('simulated/swift');
    expect(response.headers.get('x-litellm-model-group')).toBe(model);
    expect(requestId ?? response.headers.get('x-request-id')).toBe(response.headers.get('x-litellm-call-id'));
  });

  test('a streamed message sends every event in its place', async () => {
    const events = await allOf(await anthropic.messages.create({ model, ...hello, stream: true }));
    expectProperOrder(events);
    const pieces = events.flatMap((event) => (event.type === 'content_block_delta' && event.delta.type === 'text_delta' ? [event.delta.text] : []));
    if (played) expect(pieces.filter((piece) => piece !== '')).toEqual(GREETING);
    expect(events[0]).toMatchObject({ message: { model, role: 'assistant', content: [] } });
    const end = events.find((event) => event.type === 'message_delta');
    expect(end?.delta.stop_reason).toBe('end_turn');
    expect(end?.usage.output_tokens).toEqual(played ? USED.completion : expect.any(Number));
  });

  test('the stream helper gathers the whole message', async () => {
    const whole = await anthropic.messages.create({ model, ...hello });
    const stream = anthropic.messages.stream({ model, ...hello });
    const heard: string[] = [];
    stream.on('text', (piece) => heard.push(piece));
    const final = await stream.finalMessage();
    expect(textIn(final)).toBe(textIn(whole));
    expect(heard.join('')).toBe(textIn(whole));
    expect(final).toMatchObject({ model, stop_reason: 'end_turn', usage: { output_tokens: whole.usage.output_tokens } });
  });

  test.each([false, true])('tools go round (streamed: %s)', async (isStreamed) => {
    const asked = { model, max_tokens: 200, tools: [TOOL], tool_choice: { type: 'auto' as const }, messages: [{ role: 'user' as const, content: 'What is the weather in Paris and in Rome?' }] };
    const first = isStreamed ? await anthropic.messages.stream(asked).finalMessage() : await anthropic.messages.create(asked);
    expect(first.stop_reason).toBe('tool_use');
    const uses = first.content.filter((block) => block.type === 'tool_use');
    expect(uses.length).toBeGreaterThan(0);
    expect(uses.map(({ name }) => name)).toEqual(uses.map(() => 'get_weather'));
    expect(new Set(uses.map(({ id }) => id)).size).toBe(uses.length);
    if (played) expect(uses.map(({ input }) => input)).toEqual(TOOL_INPUTS);
    else expect(uses[0]?.input).toMatchObject({ city: expect.any(String) });
    const second = await anthropic.messages.create({
      ...asked,
      messages: [...asked.messages, { role: 'assistant', content: uses.map(({ id, name, input }) => ({ type: 'tool_use' as const, id, name, input })) },
        { role: 'user', content: uses.map(({ id }) => ({ type: 'tool_result' as const, tool_use_id: id, content: '18 degrees' })) }],
    });
    expect(second.stop_reason).toBe('end_turn');
    if (played) expect(textIn(second)).toBe(AFTER_TOOLS);
    else expect(textIn(second)).toContain('18 degrees');
  });

  test('an image in the question reaches the provider', async () => {
    const said = textIn(await anthropic.messages.create({
      model, max_tokens: 100,
      messages: [{ role: 'user', content: [{ type: 'text', text: 'What is this?' }, { type: 'image', source: { type: 'base64', media_type: 'image/png', data: PIXEL } }] }],
    }));
    if (played) {
      expect(said).toBe(OF_AN_IMAGE);
      expect(JSON.stringify(upstreams[kind].calls.at(-1)?.json)).toContain(PIXEL);
    } else expect(said).toContain('one image');
  });

  test('tokens are counted: by the provider that counts, else estimated', async () => {
    const { data, response } = await anthropic.messages.countTokens({ model, system: SYSTEM, messages: hello.messages }).withResponse();
    if (kind === 'anthropic') expect(data.input_tokens).toBe(321);
    else {
      expect(data.input_tokens).toBeGreaterThan(5);
      expect(data.input_tokens).toBeLessThan(100);
      expect(response.headers.get('x-pointsman-token-count')).toBe('estimated');
    }
  });

  test('a client that aborts stops the stream, and the provider call with it', async () => {
    const stream = anthropic.messages.stream({ model: played ? `${kind}-stalls-midway` : model, ...hello });
    const failed = failureOf(stream.done());
    stream.once('text', () => stream.abort());
    expect(await failed).toBeInstanceOf(APIUserAbortError);
    if (played) await eventually(() => expect(upstreams[kind].calls.at(-1)?.aborted).toBe(true));
    expect((await anthropic.messages.create({ model, ...hello })).stop_reason).toBe('end_turn');
  });
});

describe('an Anthropic provider gets what its own client sent', () => {
  const thinking = { model: 'anthropic-model', ...hello, max_tokens: 4_000, thinking: { type: 'enabled' as const, budget_tokens: 2_000 } };

  test('thinking comes back with its signature, whole and streamed', async () => {
    const expected = [{ type: 'thinking', thinking: THOUGHT, signature: SIGNATURE }, { type: 'text', text: GREETING_TEXT }];
    expect((await anthropic.messages.create(thinking)).content).toMatchObject(expected);
    expect((await anthropic.messages.stream(thinking).finalMessage()).content).toMatchObject(expected);
    expect(upstreams.anthropic.calls.at(-1)?.json).toMatchObject({ model: 'claude-sonnet-4-5', thinking: { type: 'enabled', budget_tokens: 2_000 } });
  });

  test('cache_control, metadata and unknown fields travel on; the key is the provider\'s', async () => {
    await anthropic.messages.create({
      ...hello, model: 'anthropic-model', metadata: { user_id: 'u-1' }, system: [{ type: 'text', text: SYSTEM, cache_control: { type: 'ephemeral' } }], ...{ brand_new_parameter: { deep: true } },
    });
    const call = upstreams.anthropic.calls.at(-1);
    expect(call?.path).toBe('/v1/messages');
    expect(call?.json).toMatchObject({ metadata: { user_id: 'u-1' }, system: [{ cache_control: { type: 'ephemeral' } }], brand_new_parameter: { deep: true } });
    expect(call?.headers).toMatchObject({ 'x-api-key': PROVIDER_KEY, 'anthropic-version': '2023-06-01' });
    expect(JSON.stringify(call)).not.toContain(MASTER_KEY);
  });

  test('beta features of the client are asked for', async () => {
    await anthropic.beta.messages.create({ ...hello, model: 'anthropic-model', betas: ['context-1m-2025-08-07', 'files-api-2025-04-14'] });
    expect(upstreams.anthropic.calls.at(-1)?.headers['anthropic-beta']?.split(/, ?/)).toEqual(['context-1m-2025-08-07', 'files-api-2025-04-14']);
  });
});

describe('errors become the SDK\'s own classes', () => {
  test('a wrong key', async () => {
    const error = await failureOf(new Anthropic({ apiKey: 'sk-not-a-key-of-this-gateway', baseURL: gateway.url, maxRetries: 0 }).messages.create({ model: 'anthropic-model', ...hello }));
    expect(error).toBeInstanceOf(AuthenticationError);
    expect(error).toMatchObject({ status: 401, error: { type: 'error', error: { type: 'authentication_error' } } });
  });

  test('a model that nobody configured, and a body that is wrong: the message names the field', async () => {
    const unknown = await failureOf(anthropic.messages.create({ model: 'nope', ...hello }));
    expect(unknown).toBeInstanceOf(BadRequestError);
    expect(unknown).toMatchObject({ error: { type: 'error', error: { type: 'invalid_request_error', message: expect.stringContaining('nope') } } });
    const wrong = await failureOf(anthropic.post('/v1/messages', { body: { model: 'anthropic-model', messages: hello.messages, max_tokens: 'many' } }));
    expect(wrong).toBeInstanceOf(BadRequestError);
    expect((wrong as Error).message).toContain('max_tokens');
  });

  test.each(PLAYED_KINDS)('what a provider of the kind %s refuses', async (kind) => {
    const refused = (status: number) => failureOf(anthropic.messages.create({ model: `${kind}-fails-${String(status)}`, ...hello }));
    const bad = await refused(400);
    expect(bad).toBeInstanceOf(BadRequestError);
    expect((bad as Error).message).toContain('temperature: must be lower');
    // The caller's own key was right.
    expect(await refused(401)).toMatchObject({ status: 502, error: { error: { type: 'api_error' } } });
    expect(await refused(404)).toBeInstanceOf(NotFoundError);
    const limited = await refused(429);
    expect(limited).toBeInstanceOf(RateLimitError);
    expect(limited).toMatchObject({ error: { type: 'error', error: { type: 'rate_limit_error' } } });
    expect((limited as RateLimitError).headers.get('retry-after')).toBe('17');
    expect(await refused(500)).toBeInstanceOf(InternalServerError);
    const busy = await refused(503);
    expect(busy).toBeInstanceOf(APIError);
    expect(busy).toMatchObject({ error: { error: { type: 'overloaded_error' } } });
    for (const error of [bad, limited, busy]) expect(JSON.stringify((error as RateLimitError).error)).not.toContain(PROVIDER_KEY);
  });

  test.each(PLAYED_KINDS)('a provider of the kind %s that does not answer in the client\'s time', async (kind) => {
    expect(await failureOf(anthropic.messages.create({ model: `${kind}-stalls`, ...hello }, { timeout: 200 }))).toBeInstanceOf(APIConnectionTimeoutError);
    await eventually(() => expect(upstreams[kind].calls.at(-1)?.aborted).toBe(true));
  });
});
