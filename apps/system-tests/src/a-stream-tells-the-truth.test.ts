import { chatChunks, json, sse, startScriptedUpstream, type Script, type ScriptedUpstream } from '@pointsman/testing';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { deployment, question, startGatewayUnderTest, type GatewayUnderTest } from './gateway-under-test.ts';
import { choicesOf, readStream, type StreamedReply } from './streamed-reply.ts';

const WORDS = ['The ', 'quick ', 'fox'];
const WHOLE = WORDS.join('');
const chunks = chatChunks(WORDS);
const [role, ...words] = chunks.slice(0, -1);
if (role === undefined) throw new Error('no role chunk');
const stop = chunks.at(-1) ?? {};
/** What the client has when the provider breaks after two pieces of content. */
const partial = [role, ...words.slice(0, 2)];
const PARTIAL_TEXT = 'The quick ';
const usage = { id: 'chatcmpl-scripted', object: 'chat.completion.chunk', created: 1_700_000_000, model: 'scripted', choices: [], usage: { prompt_tokens: 5, completion_tokens: 3, total_tokens: 8 } };
const providerError = { error: { message: 'The engine fell over.', type: 'server_error', param: null, code: null } };
/** `stream_timeout` of every deployment here, in seconds. */
const STREAM_TIMEOUT_S = 0.7;

const whole = sse([...chunks, usage]);

/** The provider breaks after content has gone to the client. */
const BROKEN_AFTER_CONTENT: Readonly<Record<string, Script>> = {
  'fin-close-framed': sse(partial, { framing: 'close', done: false, end: 'fin' }),
  'rst-close-framed': sse(partial, { framing: 'close', done: false, end: 'reset' }),
  'fin-chunked': sse(partial, { done: false, end: 'fin' }),
  'rst-chunked': sse(partial, { done: false, end: 'reset' }),
  'chunked-and-ended-properly': sse(partial, { done: false }),
  'done-without-finish-reason': sse(partial),
  'error-object': sse([...partial, providerError], { done: false }),
  'error-object-then-done': sse([...partial, providerError]),
  'malformed-json': sse([...partial, '{"id":"chatcmpl-scripted","choices":[{"index":0,"delta":{"con'], { done: false }),
  'not-an-object': sse([...partial, '"text"', stop]),
  'stall': sse(partial, { done: false, end: 'stall' }),
};

/** The provider breaks before any content; with the status a client gets when nobody else can answer. */
const BROKEN_BEFORE_CONTENT: Readonly<Record<string, { readonly script: Script; readonly status: number }>> = {
  'close-framed-and-empty': { script: sse([], { framing: 'close', done: false, end: 'fin' }), status: 502 },
  'chunked-and-empty': { script: sse([], { done: false }), status: 502 },
  'only-done': { script: sse([]), status: 502 },
  'role-then-fin': { script: sse([role], { framing: 'close', done: false, end: 'fin' }), status: 502 },
  'role-then-rst': { script: sse([role], { done: false, end: 'reset' }), status: 502 },
  'reset-before-the-head': { script: { before: [{ end: 'reset' }], steps: [] }, status: 502 },
  'error-object-first': { script: sse([providerError]), status: 502 },
  'error-object-after-role': { script: sse([role, providerError]), status: 502 },
  'malformed-first': { script: sse(['{"choices":[{"in'], { done: false }), status: 502 },
  'html-page': { script: { headers: { 'content-type': 'text/html' }, steps: ['<html><title>Gateway</title></html>'] }, status: 502 },
  'json-instead-of-a-stream': { script: json({ hello: 'world' }), status: 502 },
  'stall-before-the-head': { script: { before: [{ end: 'stall' }], steps: [] }, status: 504 },
  'stall-after-the-head': { script: sse([], { done: false, end: 'stall' }), status: 504 },
  'stall-after-the-role': { script: sse([role], { done: false, end: 'stall' }), status: 504 },
  'http-500': { script: json(providerError, { status: 500 }), status: 500 },
  'http-503': { script: json(providerError, { status: 503 }), status: 503 },
};

const choiceChunk = (index: number, delta: object, finish: string | null = null): object => ({ id: 'chatcmpl-scripted', object: 'chat.completion.chunk', created: 1, model: 'scripted', choices: [{ index, delta, finish_reason: finish }] });
const CURIOUS = 'Grüße 👩‍👩‍👧‍👦 日本語 — ok';

const SCRIPTS: Readonly<Record<string, Script>> = {
  whole,
  'no-done': sse(chunks, { done: false }),
  'no-done-close-framed': sse(chunks, { framing: 'close', done: false }),
  'no-done-last-chunk-missing': sse(chunks, { done: false, end: 'reset' }),
  'content-after-done': { ...whole, steps: [...whole.steps, `data: ${JSON.stringify(words[0])}\n\n`, 'data: [DONE]\n\n'] },
  'one-choice-unfinished': sse([choiceChunk(0, { role: 'assistant', content: 'a' }), choiceChunk(1, { role: 'assistant', content: 'b' }), choiceChunk(0, {}, 'stop')]),
  'both-choices-finished': sse([choiceChunk(0, { role: 'assistant', content: 'a' }), choiceChunk(1, { role: 'assistant', content: 'b' }), choiceChunk(0, {}, 'stop'), choiceChunk(1, {}, 'length')]),
  'length': sse(chatChunks(WORDS, { finishReason: 'length' })),
  ...Object.fromEntries([1, 2, 3, 5, 7].map((size) => [`cut-every-${String(size)}`, sse([...chatChunks([CURIOUS, CURIOUS])], { cut: size })])),
  ...BROKEN_AFTER_CONTENT,
  ...Object.fromEntries(Object.entries(BROKEN_BEFORE_CONTENT).map(([name, { script }]) => [name, script])),
};

/** Events with a type of their own, as Anthropic's and the Responses streams have them. */
function typedSse(events: readonly { readonly type: string }[], end?: 'fin' | 'reset' | 'stall'): Script {
  return { ...sse([], { done: false }), steps: [...events.map((event) => `event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`), ...(end === undefined ? [] : [{ end }])] };
}

const anthropicBegin = [
  { type: 'message_start', message: { id: 'msg_1', type: 'message', role: 'assistant', model: 'native', content: [], stop_reason: null, stop_sequence: null, usage: { input_tokens: 5, output_tokens: 1 } } },
  { type: 'content_block_start', index: 0, content_block: { type: 'text', text: '' } },
];
const anthropicWords = WORDS.map((text) => ({ type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text } }));
const anthropicEnd = [
  { type: 'content_block_stop', index: 0 }, { type: 'message_delta', delta: { stop_reason: 'end_turn', stop_sequence: null }, usage: { output_tokens: 3 } }, { type: 'message_stop' },
];
const anthropicError = { type: 'error', error: { type: 'overloaded_error', message: 'Overloaded' } };
const response = { id: 'resp_1', object: 'response', created_at: 1, status: 'in_progress', model: 'native', output: [] };
const responsesBegin = [
  { type: 'response.created', sequence_number: 0, response }, { type: 'response.in_progress', sequence_number: 1, response },
  { type: 'response.output_item.added', sequence_number: 2, output_index: 0, item: { id: 'msg_1', type: 'message', status: 'in_progress', role: 'assistant', content: [] } },
];
const responsesWords = WORDS.map((delta, index) => ({ type: 'response.output_text.delta', sequence_number: 3 + index, item_id: 'msg_1', output_index: 0, content_index: 0, delta }));
const responsesEnd = [{ type: 'response.completed', sequence_number: 6, response: { ...response, status: 'completed', usage: { input_tokens: 5, output_tokens: 3, total_tokens: 8 } } }];
const responsesError = { type: 'error', code: 'server_error', message: 'The engine fell over.', param: null, sequence_number: 5 };

/** The streams of providers that speak the client's format themselves: begin, words, end, and how they say that they failed. */
const NATIVE = {
  anthropic: { format: 'messages', begin: anthropicBegin, words: anthropicWords, end: anthropicEnd, error: anthropicError },
  openai: { format: 'responses', begin: responsesBegin, words: responsesWords, end: responsesEnd, error: responsesError },
} as const;

function nativeScripts({ begin, words: said, end, error }: (typeof NATIVE)[keyof typeof NATIVE]): Readonly<Record<string, Script>> {
  return {
    'native-whole': typedSse([...begin, ...said, ...end]),
    'native-fin': typedSse([...begin, ...said.slice(0, 2)], 'fin'),
    'native-rst': typedSse([...begin, ...said.slice(0, 2)], 'reset'),
    'native-ended': typedSse([...begin, ...said.slice(0, 2)]),
    'native-error': typedSse([...begin, ...said.slice(0, 2), error]),
    'native-stall': typedSse([...begin, ...said.slice(0, 2)], 'stall'),
    'native-nothing': typedSse([]),
    'native-begun-only': typedSse(begin, 'fin'),
    'native-error-first': typedSse([...begin, error]),
  };
}

interface Route {
  readonly path: string;
  body(model: string): object;
  /** The routes whose end is not `[DONE]` name their last event here. */
  readonly ending: string;
}

const ROUTES: Readonly<Record<string, Route>> = {
  chat: { path: '/v1/chat/completions', body: (model) => ({ model, stream: true, ...question }), ending: 'stop' },
  messages: { path: '/v1/messages', body: (model) => ({ model, stream: true, max_tokens: 100, ...question }), ending: 'message_stop' },
  responses: { path: '/v1/responses', body: (model) => ({ model, stream: true, input: 'How do you do?' }), ending: 'response.completed' },
};

let upstream: ScriptedUpstream;
let gateway: GatewayUnderTest;

beforeAll(async () => {
  upstream = await startScriptedUpstream({ scripts: SCRIPTS });
  const params = { stream_timeout: STREAM_TIMEOUT_S };
  const names = Object.keys(SCRIPTS);
  gateway = await startGatewayUnderTest({
    config: {
      model_list: [
        ...names.map((name) => deployment(name, upstream, name, { params })),
        // The first of the group breaks, the second is whole.
        ...Object.keys(BROKEN_BEFORE_CONTENT).flatMap((name) => [
          deployment(`group-${name}`, upstream, name, { params: { ...params, order: 1 } }), deployment(`group-${name}`, upstream, 'whole', { params: { ...params, order: 2 } }),
        ]),
        ...Object.keys(BROKEN_BEFORE_CONTENT).map((name) => deployment(`covered-${name}`, upstream, name, { params })),
      ],
      router_settings: {
        num_retries: 1, disable_cooldowns: true, retry_budget_ratio: 10, breaker: { failures: 1000 },
        fallbacks: Object.keys(BROKEN_BEFORE_CONTENT).map((name) => ({ [`covered-${name}`]: ['whole'] })),
      },
    },
  });
}, 60_000);

afterAll(async () => {
  await gateway[Symbol.asyncDispose]();
  await upstream.close();
});

async function ask(route: Route, model: string, extra: object = {}): Promise<StreamedReply> {
  return readStream(await gateway.post(route.path, { ...route.body(model), ...extra }));
}

function expectWhole(reply: StreamedReply, route: Route): void {
  expect(reply.status).toBe(200);
  expect(reply.headers.get('content-type')).toMatch(/^text\/event-stream/);
  expect(reply.text).toBe(WHOLE);
  expect(reply.errors).toEqual([]);
  expect(reply.endings).toEqual([route.ending]);
  expect(reply.isDone).toBe(route === ROUTES['chat']);
}

for (const [format, route] of Object.entries(ROUTES)) {
  describe(`a ${format} stream`, () => {
    test.concurrent('that is whole arrives whole', async () => {
      expectWhole(await ask(route, 'whole'), route);
    });

    test.concurrent.each(Object.keys(BROKEN_AFTER_CONTENT))('that breaks after content ends with one error, never with an invented end: %s', async (fault) => {
      const reply = await ask(route, fault);
      expect(reply.status).toBe(200);
      expect(reply.text).toBe(PARTIAL_TEXT);
      expect(reply.errors).toHaveLength(1);
      expect(reply.frames.at(-1)).toBe(reply.errors[0]);
      expect(reply.endings).toEqual([]);
      expect(reply.isDone).toBe(false);
      if (format === 'messages') expect(reply.errors[0]).toMatchObject({ event: 'error', json: { type: 'error', error: { type: expect.any(String), message: expect.any(String) } } });
      if (format === 'chat') expect(reply.errors[0]?.json?.['error']).toMatchObject({ message: expect.any(String), type: expect.any(String), code: expect.any(String), param: null });
      if (format === 'responses') expect(['error', 'response.failed']).toContain(reply.errors[0]?.event);
    });

    test.concurrent.each(['no-done', 'no-done-close-framed', 'no-done-last-chunk-missing'])('with a finish reason but without [DONE] ends normally: %s', async (name) => {
      expectWhole(await ask(route, name), route);
    });

    test.concurrent('ends at [DONE], whatever the provider sends after it', async () => {
      expectWhole(await ask(route, 'content-after-done'), route);
    });

    test.concurrent.each(Object.keys(BROKEN_BEFORE_CONTENT))('that breaks before content is answered by the next deployment of the group: %s', async (fault) => {
      const reply = await ask(route, `group-${fault}`);
      expectWhole(reply, route);
      expect(reply.headers.get('x-litellm-attempted-retries')).toBe('1');
      expect(reply.headers.get('x-router-selected-model')).toBe('hosted_vllm/whole');
    });

    test.concurrent.each(Object.keys(BROKEN_BEFORE_CONTENT))('that breaks before content is answered by the fallback group: %s', async (fault) => {
      const reply = await ask(route, `covered-${fault}`, { num_retries: 0 });
      expectWhole(reply, route);
      expect(reply.headers.get('x-litellm-model-group')).toBe('whole');
      expect(reply.headers.get('x-litellm-attempted-fallbacks')).toBe('1');
    });

    test.concurrent.each(Object.entries(BROKEN_BEFORE_CONTENT))('that nobody can begin is a real HTTP error, not a 200: %s', async (fault, { status }) => {
      const response = await gateway.post(route.path, { ...route.body(fault), num_retries: 0 });
      expect(response.status).toBe(status);
      expect(response.headers.get('content-type')).toMatch(/^application\/json/);
      const body = await response.json() as { readonly error: object; readonly type?: string };
      expect(body.error).toMatchObject({ message: expect.any(String), type: expect.any(String) });
      expect(body.type).toBe(format === 'messages' ? 'error' : undefined);
    });

    test.concurrent.each([1, 2, 3, 5, 7])('whose bytes are cut every %i bytes keeps its characters whole', async (size) => {
      const reply = await ask(route, `cut-every-${String(size)}`);
      expect(reply.text).toBe(`${CURIOUS}${CURIOUS}`);
      expect(reply.raw).not.toContain('\ufffd');
      expect(reply.endings).toEqual([route.ending]);
    });
  });
}

describe.each(Object.entries(NATIVE))('a stream of %s in its own format', (provider, native) => {
  const route: Route = ROUTES[native.format] ?? { path: '', body: () => ({}), ending: '' };
  let natives: ScriptedUpstream;
  let own: GatewayUnderTest;

  beforeAll(async () => {
    natives = await startScriptedUpstream({ scripts: nativeScripts(native) });
    const entry = (group: string, model: string, order: number): object => ({
      model_name: group, litellm_params: { model: `${provider}/${model}`, api_base: provider === 'anthropic' ? natives.url : `${natives.url}/v1`, api_key: 'sk-of-the-provider', stream_timeout: STREAM_TIMEOUT_S, order },
    });
    own = await startGatewayUnderTest({
      config: {
        model_list: Object.keys(nativeScripts(native)).flatMap((name) => [entry(name, name, 1), entry(`group-${name}`, name, 1), entry(`group-${name}`, 'native-whole', 2)]),
        router_settings: { num_retries: 1, disable_cooldowns: true, breaker: { failures: 1000 } },
      },
    });
  }, 60_000);

  afterAll(async () => {
    await own[Symbol.asyncDispose]();
    await natives.close();
  });

  const askNative = async (model: string): Promise<StreamedReply> => readStream(await own.post(route.path, { ...route.body(model), num_retries: 1 }));

  test('arrives whole', async () => {
    expectWhole(await askNative('native-whole'), route);
  });

  test.each(['native-fin', 'native-rst', 'native-ended', 'native-error', 'native-stall'])('ends with one error when it breaks after content: %s', async (fault) => {
    const reply = await askNative(fault);
    expect(reply.text).toBe(PARTIAL_TEXT);
    expect(reply.errors).toHaveLength(1);
    expect(reply.frames.at(-1)).toBe(reply.errors[0]);
    expect(reply.endings).toEqual([]);
    expect(reply.errors[0]?.event).toBe('error');
  });

  if (provider === 'anthropic') {
    test('tells a chat client the truth too, whole or broken', async () => {
      const chat = ROUTES['chat'] ?? route;
      const askChat = async (model: string): Promise<StreamedReply> => readStream(await own.post(chat.path, { ...chat.body(model), num_retries: 1 }));
      expectWhole(await askChat('native-whole'), chat);
      for (const fault of ['native-fin', 'native-rst', 'native-ended', 'native-error', 'native-stall']) {
        const reply = await askChat(fault);
        const { text, endings, isDone } = reply;
        expect({ fault, text, endings, isDone, errors: reply.errors.length }).toEqual({ fault, text: PARTIAL_TEXT, endings: [], isDone: false, errors: 1 });
      }
      for (const fault of ['native-nothing', 'native-begun-only', 'native-error-first']) expectWhole(await askChat(`group-${fault}`), chat);
    });
  }

  test.each(['native-nothing', 'native-begun-only', 'native-error-first'])('is begun anew by the next deployment when it breaks before content: %s', async (fault) => {
    expectWhole(await askNative(`group-${fault}`), route);
  });
});

describe('a chat stream', () => {
  const chat = ROUTES['chat'] ?? { path: '', body: () => ({}), ending: '' };

  test('has no usage chunk that nobody asked for, although the provider was asked for it', async () => {
    const before = upstream.calls.length;
    const reply = await ask(chat, 'whole');
    expect(upstream.calls[before]?.json).toMatchObject({ stream_options: { include_usage: true } });
    expect(reply.raw).not.toContain('prompt_tokens');
    expect(reply.frames.every(({ json: chunk }) => chunk === undefined || choicesOf(chunk).length === 1)).toBe(true);
  });

  test('has the usage chunk that was asked for, after the last choice and before [DONE]', async () => {
    const reply = await ask(chat, 'whole', { stream_options: { include_usage: true } });
    expect(reply.frames.at(-2)?.json).toMatchObject({ choices: [], usage: { prompt_tokens: 5, completion_tokens: 3 } });
    expect(reply.frames.at(-1)?.data).toBe('[DONE]');
  });

  test('keeps the finish reason that the provider sent', async () => {
    expect((await ask(chat, 'length')).endings).toEqual(['length']);
  });

  test('of two choices of which one never finishes ends with an error', async () => {
    const reply = await ask(chat, 'one-choice-unfinished', { n: 2 });
    expect(reply.endings).toEqual(['stop']);
    expect(reply.errors).toHaveLength(1);
    expect(reply.isDone).toBe(false);
  });

  test('of two choices that both finish ends normally', async () => {
    const reply = await ask(chat, 'both-choices-finished', { n: 2 });
    expect(reply.endings).toEqual(['stop', 'length']);
    expect(reply.errors).toEqual([]);
    expect(reply.isDone).toBe(true);
  });

  test('names the model that the client asked for in every chunk', async () => {
    const reply = await ask(chat, 'whole');
    expect(new Set(reply.frames.flatMap(({ json: chunk }) => (chunk === undefined ? [] : [chunk['model']])))).toEqual(new Set(['whole']));
  });
});
