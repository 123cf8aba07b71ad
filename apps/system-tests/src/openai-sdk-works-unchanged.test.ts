import { eventually } from '@pointsman/testing';
import OpenAI, { APIConnectionTimeoutError, APIUserAbortError, AuthenticationError, AzureOpenAI, BadRequestError, InternalServerError, NotFoundError, RateLimitError } from 'openai';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { allOf } from './all-of.ts';
import { MASTER_KEY } from './gateway-under-test.ts';
import { startPlayedGateway, type PlayedGateway } from './played-gateway.ts';
import {
  AFTER_TOOLS, GREETING_TEXT, OF_AN_IMAGE, PERSON, PIXEL, PLAYED_KINDS, playedDeployment, PROVIDER_KEY, TOOL_INPUTS, USED,
  type ProviderKind,
} from './played-providers.ts';

const KINDS: readonly ProviderKind[] = [...PLAYED_KINDS, 'simulated'];
const messages = [{ role: 'system' as const, content: 'Be brief.' }, { role: 'user' as const, content: 'Hello!' }];
const TOOL = { type: 'function' as const, function: { name: 'get_weather', description: 'The weather of a city', parameters: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] } } };
const PERSON_FORMAT = {
  type: 'json_schema' as const,
  json_schema: { name: 'person', strict: true, schema: { type: 'object', properties: { name: { type: 'string' }, age: { type: 'integer' } }, required: ['name', 'age'], additionalProperties: false } },
};

let played: PlayedGateway;
let upstreams: PlayedGateway['upstreams'];
let gateway: PlayedGateway['gateway'];
let openai: OpenAI;

beforeAll(async () => {
  played = await startPlayedGateway(({ openai: one, gemini: three }) => [
    playedDeployment('openai', 'openai-embedding', 'text-embedding-3-small', one.url),
    playedDeployment('gemini', 'gemini-embedding', 'gemini-embedding-001', three.url),
    playedDeployment('simulated', 'simulated-embedding', 'swift', ''),
    playedDeployment('openai', 'vendor/with-slash', 'gpt-4o', one.url),
  ]);
  ({ gateway, upstreams } = played);
  openai = new OpenAI({ apiKey: MASTER_KEY, baseURL: `${gateway.url}/v1`, maxRetries: 0 });
}, 60_000);

afterAll(async () => {
  await played.close();
});

function lastCall(kind: ProviderKind): Readonly<Record<string, unknown>> {
  return kind === 'simulated' ? {} : (upstreams[kind].calls.at(-1)?.json ?? {}) as Readonly<Record<string, unknown>>;
}

async function failureOf(work: PromiseLike<unknown>): Promise<unknown> {
  try {
    await work;
  } catch (error) {
    return error;
  }
  throw new Error('it should have failed');
}

describe.each(KINDS)('through a provider of the kind %s', (kind) => {
  const model = `${kind}-model`;
  const played = kind !== 'simulated';

  test('a chat completion has one choice, a reason, usage, and the name that was asked for', async () => {
    const { data, response, request_id: requestId } = await openai.chat.completions.create({ model, messages, temperature: 0.5, max_tokens: 200 }).withResponse();
    expect(data).toMatchObject({ object: 'chat.completion', model, choices: [{ index: 0, finish_reason: 'stop', message: { role: 'assistant' } }] });
    if (played) {
      expect(data.choices[0]?.message.content).toBe(GREETING_TEXT);
      expect(data.usage).toMatchObject({ prompt_tokens: USED.prompt, completion_tokens: USED.completion, total_tokens: USED.prompt + USED.completion });
    } else expect(data.choices[0]?.message.content).toContain('simulated/swift');
    expect(requestId).toBe(response.headers.get('x-litellm-call-id'));
    expect(response.headers.get('x-litellm-model-group')).toBe(model);
  });

  test('a streamed completion says the same in pieces, and ends with a reason', async () => {
    const whole = await openai.chat.completions.create({ model, messages });
    const stream = await openai.chat.completions.create({ model, messages, stream: true });
    let text = '';
    const reasons: string[] = [];
    for await (const chunk of stream) {
      expect(chunk).toMatchObject({ object: 'chat.completion.chunk', model });
      expect(chunk.usage ?? null).toBeNull();
      text += chunk.choices[0]?.delta.content ?? '';
      if (chunk.choices[0]?.finish_reason) reasons.push(chunk.choices[0].finish_reason);
    }
    expect(text).toBe(whole.choices[0]?.message.content);
    expect(reasons).toEqual(['stop']);
  });

  test('include_usage adds one last chunk with usage and no choice', async () => {
    const chunks = await allOf(await openai.chat.completions.create({ model, messages, stream: true, stream_options: { include_usage: true } }));
    const withUsage = chunks.filter(({ usage }) => usage !== null && usage !== undefined);
    expect(withUsage).toHaveLength(1);
    expect(chunks.at(-1)).toBe(withUsage[0]);
    expect(chunks.at(-1)?.choices).toEqual([]);
    expect(chunks.at(-1)?.usage?.total_tokens).toEqual(played ? USED.prompt + USED.completion : expect.any(Number));
  });

  test('the stream helper gathers the whole completion', async () => {
    const runner = openai.chat.completions.stream({ model, messages, stream_options: { include_usage: true } });
    const deltas: string[] = [];
    runner.on('content', (delta) => deltas.push(delta));
    const final = await runner.finalChatCompletion();
    expect(final.choices[0]?.finish_reason).toBe('stop');
    expect(deltas.join('')).toBe(final.choices[0]?.message.content);
    expect((await runner.totalUsage()).total_tokens).toBeGreaterThan(0);
  });

  test.each([false, true])('tools called in parallel go round (streamed: %s)', async (isStreamed) => {
    const asked = { model, messages: [{ role: 'user' as const, content: 'What is the weather in Paris and in Rome?' }], tools: [TOOL], tool_choice: 'auto' as const };
    const first = isStreamed ? await openai.chat.completions.stream(asked).finalChatCompletion() : await openai.chat.completions.create(asked);
    const choice = first.choices[0];
    expect(choice?.finish_reason).toBe('tool_calls');
    const calls = (choice?.message.tool_calls ?? []).filter((call) => call.type === 'function');
    expect(calls.length).toBeGreaterThan(0);
    expect(calls.map((call) => call.function.name)).toEqual(calls.map(() => 'get_weather'));
    expect(new Set(calls.map(({ id }) => id)).size).toBe(calls.length);
    const inputs = calls.map((call): unknown => JSON.parse(call.function.arguments));
    if (played) expect(inputs).toEqual(TOOL_INPUTS);
    else expect(inputs[0]).toMatchObject({ city: expect.any(String) });
    const second = await openai.chat.completions.create({
      ...asked,
      messages: [...asked.messages, { role: 'assistant', content: choice?.message.content ?? null, tool_calls: calls.map(({ id, type, function: { name, arguments: input } }) => ({ id, type, function: { name, arguments: input } })) },
        ...calls.map(({ id }) => ({ role: 'tool' as const, tool_call_id: id, content: '18 degrees' }))],
    });
    expect(second.choices[0]?.finish_reason).toBe('stop');
    if (played) expect(second.choices[0]?.message.content).toBe(AFTER_TOOLS);
    else expect(second.choices[0]?.message.content).toContain('18 degrees');
  });

  test('structured output parses into what the schema says', async () => {
    const completion = await openai.chat.completions.parse({ model, messages: [{ role: 'user', content: 'Who was the first programmer?' }], response_format: PERSON_FORMAT });
    const parsed: unknown = completion.choices[0]?.message.parsed;
    if (played) expect(parsed).toEqual(PERSON);
    else expect(parsed).toEqual({ name: expect.any(String), age: expect.any(Number) });
  });

  test('an image in the question reaches the provider', async () => {
    const completion = await openai.chat.completions.create({
      model, messages: [{ role: 'user', content: [{ type: 'text', text: 'What is this?' }, { type: 'image_url', image_url: { url: `data:image/png;base64,${PIXEL}` } }] }],
    });
    const said = completion.choices[0]?.message.content;
    if (played) {
      expect(said).toBe(OF_AN_IMAGE);
      expect(JSON.stringify(lastCall(kind))).toContain(PIXEL);
    } else expect(said).toContain('one image');
  });

  test('responses work, whole and streamed', async () => {
    const whole = await openai.responses.create({ model, instructions: 'Be brief.', input: 'Hello!' });
    expect(whole).toMatchObject({ object: 'response', status: 'completed', model });
    expect(whole.usage?.total_tokens).toEqual(played ? USED.prompt + USED.completion : expect.any(Number));
    if (played) expect(whole.output_text).toBe(GREETING_TEXT);
    else expect(whole.output_text).toContain('simulated/swift');

    const runner = openai.responses.stream({ model, instructions: 'Be brief.', input: 'Hello!' });
    let text = '';
    let ended = '';
    for await (const event of runner) {
      if (event.type === 'response.output_text.delta') text += event.delta;
      if (event.type === 'response.completed') ended = event.response.status ?? '';
    }
    expect(text).toBe(whole.output_text);
    expect(ended).toBe('completed');
    expect((await runner.finalResponse()).output_text).toBe(text);
  });

  test('the old completions work, whole and streamed', async () => {
    const whole = await openai.completions.create({ model, prompt: 'Hello!', max_tokens: 100 });
    expect(whole).toMatchObject({ object: 'text_completion', model, choices: [{ index: 0, finish_reason: 'stop' }] });
    const chunks = await allOf(await openai.completions.create({ model, prompt: 'Hello!', max_tokens: 100, stream: true }));
    expect(chunks.map((chunk) => chunk.choices[0]?.text ?? '').join('')).toBe(whole.choices[0]?.text);
    expect(whole.choices[0]?.text).not.toBe('');
  });

  test('a client that aborts stops the stream, and the provider call with it', async () => {
    const stream = await openai.chat.completions.create({ model: played ? `${kind}-stalls-midway` : model, messages, stream: true });
    let seen = 0;
    for await (const chunk of stream) {
      expect(chunk.object).toBe('chat.completion.chunk');
      seen += 1;
      if ((chunk.choices[0]?.delta.content ?? '') !== '') break;
    }
    expect(seen).toBeGreaterThan(0);
    if (played) await eventually(() => expect(upstreams[kind].calls.at(-1)?.aborted).toBe(true));
    expect((await openai.chat.completions.create({ model, messages })).choices).toHaveLength(1);
  });
});

test.each(['openai', 'gemini', 'simulated'] as const)('embeddings of %s come as floats and as base64, which the SDK asks for by itself', async (kind) => {
  const model = `${kind}-embedding`;
  const floats = await openai.embeddings.create({ model, input: ['one', 'two'], encoding_format: 'float' });
  expect(floats).toMatchObject({ object: 'list', model, data: [{ object: 'embedding', index: 0 }, { object: 'embedding', index: 1 }] });
  const unasked = await openai.embeddings.create({ model, input: ['one', 'two'] });
  expect(unasked.data.map(({ embedding }) => embedding.length)).toEqual(floats.data.map(({ embedding }) => embedding.length));
  unasked.data.forEach(({ embedding }, row) => embedding.forEach((value, column) => expect(value).toBeCloseTo(floats.data[row]?.embedding[column] ?? Number.NaN, 5)));
  const raw = await openai.post<{ data: { embedding: string }[] }>('/embeddings', { body: { model, input: 'one', encoding_format: 'base64' } });
  expect(raw.data[0]?.embedding).toMatch(/^[A-Za-z0-9+/]+=*$/);
  if (kind !== 'simulated') expect(floats.data.map(({ embedding }) => embedding)).toEqual([[0.5, 1, -2], [1.5, 1, -2]]);
});

test.each(['openai', 'simulated'])('n asks %s for that many choices, whole and streamed', async (kind) => {
  const whole = await openai.chat.completions.create({ model: `${kind}-model`, messages, n: 3 });
  expect(whole.choices.map(({ index, finish_reason: reason }) => [index, reason])).toEqual([[0, 'stop'], [1, 'stop'], [2, 'stop']]);
  const final = await openai.chat.completions.stream({ model: `${kind}-model`, messages, n: 3 }).finalChatCompletion();
  expect(final.choices.map(({ finish_reason: reason }) => reason)).toEqual(['stop', 'stop', 'stop']);
});

test.each(['anthropic', 'gemini'])('n with %s, which answers with one choice, is refused by name instead of answered with fewer', async (kind) => {
  const error = await failureOf(openai.chat.completions.create({ model: `${kind}-model`, messages, n: 2 }));
  expect(error).toBeInstanceOf(BadRequestError);
  expect(error).toMatchObject({ status: 400, param: 'n' });
});

test('parameters that nobody here knows travel on to the provider', async () => {
  await openai.post('/chat/completions', { body: { model: 'openai-model', messages, brand_new_parameter: { deep: [1, 2.50, 'x'] }, seed: 7, user: 'u-1' } });
  expect(upstreams.openai.calls.at(-1)?.json).toMatchObject({ model: 'gpt-4o', brand_new_parameter: { deep: [1, 2.5, 'x'] }, seed: 7, user: 'u-1' });
  expect(upstreams.openai.calls.at(-1)?.headers['authorization']).toBe(`Bearer ${PROVIDER_KEY}`);
});

test('models are listed and found, slashes included; one that is not there is not found', async () => {
  const listed = await allOf(openai.models.list());
  expect(listed.map(({ id }) => id)).toEqual(expect.arrayContaining(['openai-model', 'simulated-model', 'vendor/with-slash']));
  expect(await openai.models.retrieve('openai-model')).toMatchObject({ id: 'openai-model', object: 'model', owned_by: expect.any(String), created: expect.any(Number) });
  expect((await openai.models.retrieve('vendor/with-slash')).id).toBe('vendor/with-slash');
  const missing = await failureOf(openai.models.retrieve('nope'));
  expect(missing).toBeInstanceOf(NotFoundError);
  expect(missing).toMatchObject({ status: 404, code: 'model_not_found' });
});

test('the Azure client works: deployment in the path, key in api-key', async () => {
  const azure = new AzureOpenAI({ apiKey: MASTER_KEY, endpoint: gateway.url, apiVersion: '2024-10-21', maxRetries: 0 });
  expect(await azure.chat.completions.create({ model: 'openai-model', messages })).toMatchObject({ model: 'openai-model', choices: [{ message: { content: GREETING_TEXT } }] });
  const chunks = await allOf(await azure.chat.completions.create({ model: 'anthropic-model', messages, stream: true }));
  expect(chunks.map((chunk) => chunk.choices[0]?.delta.content ?? '').join('')).toBe(GREETING_TEXT);
  expect((await azure.embeddings.create({ model: 'openai-embedding', input: 'one' })).data[0]?.embedding).toEqual([0.5, 1, -2]);
  const fixed = new AzureOpenAI({ apiKey: MASTER_KEY, endpoint: gateway.url, apiVersion: '2024-10-21', deployment: 'vendor/with-slash', maxRetries: 0 });
  expect((await fixed.chat.completions.create({ model: 'ignored', messages })).model).toBe('vendor/with-slash');
});

describe('errors become the SDK\'s own classes', () => {
  test('a wrong key', async () => {
    const error = await failureOf(new OpenAI({ apiKey: 'sk-not-a-key-of-this-gateway', baseURL: `${gateway.url}/v1`, maxRetries: 0 }).chat.completions.create({ model: 'openai-model', messages }));
    expect(error).toBeInstanceOf(AuthenticationError);
    expect(error).toMatchObject({ status: 401, code: '401', type: 'token_not_found_in_db' });
  });

  test('a model that nobody configured, a field of the wrong type, no messages', async () => {
    expect(await failureOf(openai.chat.completions.create({ model: 'nope', messages }))).toBeInstanceOf(BadRequestError);
    const wrong = await failureOf(openai.post('/chat/completions', { body: { model: 'openai-model', messages, temperature: 'hot' } }));
    expect(wrong).toBeInstanceOf(BadRequestError);
    expect(wrong).toMatchObject({ param: 'temperature', type: 'invalid_request_error' });
    expect(await failureOf(openai.post('/chat/completions', { body: { model: 'openai-model' } }))).toMatchObject({ status: 400, param: 'messages' });
  });

  test.each(PLAYED_KINDS)('what a provider of the kind %s refuses', async (kind) => {
    const refused = (status: number) => failureOf(openai.chat.completions.create({ model: `${kind}-fails-${String(status)}`, messages }));
    const bad = await refused(400);
    expect(bad).toBeInstanceOf(BadRequestError);
    expect((bad as Error).message).toContain('temperature: must be lower');
    const wrongProviderKey = await refused(401);
    // The caller's own key was right: a 401 would send it looking in the wrong place.
    expect(wrongProviderKey).toBeInstanceOf(InternalServerError);
    expect(wrongProviderKey).toMatchObject({ status: 502, type: 'provider_auth_error' });
    expect(await refused(404)).toBeInstanceOf(NotFoundError);
    const limited = await refused(429);
    expect(limited).toBeInstanceOf(RateLimitError);
    expect((limited as RateLimitError).headers.get('retry-after')).toBe('17');
    expect((limited as RateLimitError).headers.get('x-request-id')).toBe((limited as RateLimitError).requestID);
    expect(await refused(500)).toMatchObject({ status: 500 });
    expect(await refused(503)).toMatchObject({ status: 503 });
    expect(await refused(500)).toBeInstanceOf(InternalServerError);
    for (const error of [bad, wrongProviderKey, limited]) expect(JSON.stringify((error as RateLimitError).error)).not.toContain(PROVIDER_KEY);
  });

  test.each(PLAYED_KINDS)('a provider of the kind %s that does not answer: the deadline of the request, and the client\'s own timeout', async (kind) => {
    const late = await failureOf(openai.post('/chat/completions', { body: { model: `${kind}-stalls`, messages, timeout: 0.2 } }));
    expect(late).toBeInstanceOf(InternalServerError);
    expect(late).toMatchObject({ status: 504, type: 'timeout_error' });
    expect(await failureOf(openai.chat.completions.create({ model: `${kind}-stalls`, messages }, { timeout: 200 }))).toBeInstanceOf(APIConnectionTimeoutError);
    await eventually(() => expect(upstreams[kind].calls.filter(({ aborted }) => aborted).length).toBeGreaterThanOrEqual(2));
  });

  test('an abort of the caller', async () => {
    const abort = new AbortController();
    const before = upstreams.openai.calls.length;
    const asked = failureOf(openai.chat.completions.create({ model: 'openai-stalls', messages }, { signal: abort.signal }));
    await eventually(() => expect(upstreams.openai.calls.length).toBe(before + 1));
    abort.abort();
    expect(await asked).toBeInstanceOf(APIUserAbortError);
    await eventually(() => expect(upstreams.openai.calls.at(-1)?.aborted).toBe(true));
  });
});
