import { connect } from 'node:net';
import { readProcessTree, startScriptedUpstream, type ScriptedUpstream } from '@pointsman/testing';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { deployment, MASTER_KEY, startGatewayUnderTest, type GatewayUnderTest } from './gateway-under-test.ts';
import { playedDeployment, playProvider } from './played-providers.ts';

/** Stands in every prompt and in every wrong key here: no log line may hold it. */
const CANARY = 'canary-4d1f-secret-words';
const WRONG_KEY = `sk-${CANARY}-0123456789`;
const MEGABYTE = 1_048_576;
const messages = [{ role: 'user', content: CANARY }];

let upstream: ScriptedUpstream;
let gemini: ScriptedUpstream;
let gateway: GatewayUnderTest;

beforeAll(async () => {
  upstream = await startScriptedUpstream({ reply: playProvider('openai') });
  gemini = await startScriptedUpstream({ reply: playProvider('gemini') });
  gateway = await startGatewayUnderTest({
    config: {
      model_list: [
        deployment('gpt', upstream, 'gpt'), deployment('any/*', upstream, '*'),
        playedDeployment('gemini', 'gemini/*', '*', gemini.url),
      ],
    },
    env: { LOG_LEVEL: 'debug', REQUEST_HEADERS_TIMEOUT_S: '0.6', REQUEST_BODY_TIMEOUT_S: '1.2' },
  });
}, 60_000);

afterAll(async () => {
  await gateway[Symbol.asyncDispose]();
  await upstream.close();
  await gemini.close();
});

// Whatever was sent, the next honest request is answered, nothing is called a failure of ours, and nobody's words are in the log.
afterEach(async () => {
  const reply = await gateway.post('/v1/chat/completions', { model: 'gpt', messages });
  expect(reply.status, await reply.text()).toBe(200);
  expect(({} as Record<string, unknown>)['polluted']).toBeUndefined();
  expect(gateway.logs().filter(({ level }) => level === 'error' || level === 'fatal')).toEqual([]);
  expect(JSON.stringify(gateway.logs())).not.toContain(CANARY);
  expect(JSON.stringify(gateway.logs())).not.toContain(MASTER_KEY);
});

interface Reply {
  readonly status: number;
  readonly headers: string;
  readonly body: string;
}

const HEAD = ['host: gateway', 'connection: close', `authorization: Bearer ${MASTER_KEY}`, 'content-type: application/json'];

function head(line: string, ...more: readonly string[]): string {
  return `${line} HTTP/1.1\r\n${[...HEAD, ...more].join('\r\n')}\r\n\r\n`;
}

/** Sends bytes as they are and reads to the end of the connection; a server that stops reading is not an error of the test. */
async function raw(pieces: Iterable<string | Uint8Array>, { limitMs = 15_000 } = {}): Promise<Reply> {
  const { hostname, port } = new URL(gateway.url);
  const socket = connect({ host: hostname, port: Number(port) });
  const chunks: Buffer[] = [];
  const { promise: closed, resolve } = Promise.withResolvers<void>();
  socket.on('data', (chunk: Buffer) => chunks.push(chunk));
  socket.on('error', () => undefined);
  socket.on('close', () => resolve());
  const timer = setTimeout(() => socket.destroy(), limitMs);
  for (const piece of pieces) {
    if (socket.destroyed || chunks.length > 0) break;
    if (!socket.write(piece)) await Promise.race([closed, new Promise((drained) => socket.once('drain', drained)), new Promise((answered) => socket.once('data', answered))]);
  }
  await closed;
  clearTimeout(timer);
  return parseReply(Buffer.concat(chunks).toString('latin1'));
}

function parseReply(text: string): Reply {
  const end = text.indexOf('\r\n\r\n');
  return { status: Number(/^HTTP\/1\.1 (\d+)/.exec(text)?.[1] ?? 0), headers: text.slice(0, end === -1 ? undefined : end).toLowerCase(), body: end === -1 ? '' : text.slice(end + 4) };
}

async function send(path: string, body: string | Uint8Array, headers: Readonly<Record<string, string>> = {}): Promise<Reply> {
  const reply = await fetch(`${gateway.url}${path}`, { method: 'POST', headers: { authorization: `Bearer ${MASTER_KEY}`, 'content-type': 'application/json', ...headers }, body: Buffer.from(body) });
  return { status: reply.status, headers: [...reply.headers].map((pair) => pair.join(': ')).join('\r\n'), body: await reply.text() };
}

/** A refusal in the envelope of OpenAI or of Anthropic, with a short message that names what is wrong. */
function expectRefusal(reply: Reply, status: number, { names, shape = 'openai' }: { readonly names?: string | RegExp; readonly shape?: 'openai' | 'anthropic' } = {}): void {
  expect(reply.status, `${reply.headers}\n${reply.body.slice(0, 500)}`).toBe(status);
  const body = JSON.parse(reply.body) as { readonly type?: string; readonly error: { readonly message: string; readonly code?: unknown; readonly param?: unknown } };
  expect(body).toMatchObject(shape === 'openai' ? { error: { message: expect.any(String), type: expect.any(String), code: expect.any(String) } } : { type: 'error', error: { type: expect.any(String), message: expect.any(String) } });
  if (shape === 'openai') expect(body.type).toBeUndefined();
  expect(body.error.message.length).toBeLessThan(1_000);
  expect(body.error.message).not.toContain(CANARY);
  if (typeof names === 'string') expect(body.error.message).toContain(names);
  else if (names !== undefined) expect(body.error.message).toMatch(names);
}

const ROUTES = [['/v1/chat/completions', 'openai'], ['/v1/messages', 'anthropic'], ['/v1/embeddings', 'openai'], ['/v1/responses', 'openai'], ['/v1/completions', 'openai'], ['/v1/messages/count_tokens', 'anthropic'], ['/v1/route', 'openai']] as const;

describe('a body that is no JSON object of a known shape', () => {
  const chatText = JSON.stringify({ model: 'gpt', messages });
  const BODIES: Readonly<Record<string, readonly [string | Uint8Array, RegExp]>> = {
    'empty': ['', /empty/],
    'spaces': ['   ', /JSON/],
    'cut': [chatText.slice(0, -3), /JSON/],
    'words': [CANARY, /JSON/],
    'with a comma too many': [chatText.replace('}]', '},]'), /JSON/],
    'two objects': [chatText + chatText, /JSON/],
    'null': ['null', /object/],
    'a list': ['[]', /object/],
    'a text': [`"${CANARY}"`, /object/],
    'a number': ['7', /object/],
    'invalid UTF-8': [Buffer.concat([Buffer.from('{"model":"gpt","messages":[{"role":"user","content":"'), Buffer.from([0xc3, 0x28, 0xff]), Buffer.from('"}]}')]), /UTF-8/],
    'NUL bytes': [Buffer.alloc(512), /JSON/],
    '100,000 levels of lists': [`{"model":"gpt","messages":${'['.repeat(100_000)}${']'.repeat(100_000)}}`, /deep/],
    '100,000 levels of objects': [`{"model":"gpt","messages":${'{"a":'.repeat(100_000)}1${'}'.repeat(100_000)}}`, /deep/],
    '100,000 levels that never end': [`{"model":"gpt","messages":${'['.repeat(100_000)}`, /JSON/],
    '__proto__': [`{"model":"gpt","messages":[],"__proto__":{"polluted":1}}`, /__proto__/],
    '__proto__ escaped': [`{"model":"gpt","messages":[],"\\u005f_proto\\u005f_":{"polluted":1}}`, /__proto__/],
    '__proto__ deep inside': [`{"model":"gpt","messages":[{"role":"user","content":[{"type":"text","text":"x","__proto__":{"polluted":1}}]}]}`, /__proto__/],
  };
  describe.each(Object.entries(BODIES))('%s', (_name, [body, says]) => {
    test.each(ROUTES)('on %s', async (path, shape) => {
      const reply = await send(path, body);
      expectRefusal(reply, 400, { names: says, shape });
      if (shape === 'openai') expect(JSON.parse(reply.body)).toMatchObject({ error: { param: 'request_body' } });
    });
  });

  test('a key named constructor is data like any other', async () => {
    const odd = await send('/v1/chat/completions', `{"model":"gpt","messages":[{"role":"user","content":"x"}],"constructor":{"prototype":{"polluted":1}},"toString":1,"hasOwnProperty":2}`);
    expect(odd.status).toBe(200);
    expect(upstream.calls.at(-1)?.body).toContain('"constructor":{"prototype":{"polluted":1}}');
  });
});

describe('a field of the wrong type is named', () => {
  const CHAT: readonly (readonly [string, object])[] = [
    ['model', { model: 7 }], ['messages', { messages: CANARY }], ['messages', { messages: [] }], ['messages', { messages: null }], ['messages[0]', { messages: [7] }],
    ['messages[0].role', { messages: [{ role: 'wizard', content: 'x' }] }], ['messages[0].content', { messages: [{ role: 'user', content: 7 }] }], ['messages[0].content', { messages: [{ role: 'user' }] }],
    ['messages[1].content[0].type', { messages: [...messages, { role: 'user', content: [{ text: 'x' }] }] }], ['messages[0].tool_calls', { messages: [{ role: 'assistant', content: 'x', tool_calls: 'x' }] }],
    ['temperature', { temperature: 'hot' }], ['top_p', { top_p: [1] }], ['n', { n: 0 }], ['n', { n: 1e9 }], ['n', { n: 1.5 }], ['max_tokens', { max_tokens: -1 }], ['max_completion_tokens', { max_completion_tokens: 'x' }],
    ['stop', { stop: 7 }], ['stream', { stream: 'yes' }], ['stream_options', { stream_options: 'x' }], ['presence_penalty', { presence_penalty: {} }], ['frequency_penalty', { frequency_penalty: true }],
    ['logit_bias', { logit_bias: 'x' }], ['logprobs', { logprobs: 'x' }], ['top_logprobs', { top_logprobs: -1 }], ['seed', { seed: 1.5 }], ['user', { user: 7 }], ['response_format', { response_format: 'json' }],
    ['tools', { tools: {} }], ['tools[0].function.name', { tools: [{ type: 'function', function: {} }] }], ['tool_choice', { tool_choice: 7 }], ['parallel_tool_calls', { parallel_tool_calls: 'x' }],
    ['reasoning_effort', { reasoning_effort: 7 }], ['metadata', { metadata: 'x' }],
  ];
  test.each(CHAT)('chat: %s in %j', async (field, body) => {
    const reply = await send('/v1/chat/completions', JSON.stringify({ model: 'gpt', messages, ...body }));
    expectRefusal(reply, 400, { names: field });
    expect((JSON.parse(reply.body) as { error: { param: string } }).error.param).toBe(field);
  });

  const OTHERS: readonly (readonly [string, string, object])[] = [
    ['/v1/messages', 'max_tokens', { model: 'gpt', messages }], ['/v1/messages', 'max_tokens', { model: 'gpt', messages, max_tokens: 'many' }], ['/v1/messages', 'messages', { model: 'gpt', max_tokens: 5 }],
    ['/v1/messages', 'system', { model: 'gpt', messages, max_tokens: 5, system: 7 }], ['/v1/messages', 'messages[0].role', { model: 'gpt', max_tokens: 5, messages: [{ role: 'wizard', content: 'x' }] }],
    ['/v1/messages', 'model', { messages, max_tokens: 5 }], ['/v1/messages/count_tokens', 'messages', { model: 'gpt' }],
    ['/v1/embeddings', 'input', { model: 'gpt' }], ['/v1/embeddings', 'input', { model: 'gpt', input: {} }], ['/v1/responses', 'input', { model: 'gpt', input: 7 }], ['/v1/completions', 'prompt', { model: 'gpt', prompt: {} }],
    ['/v1/route', 'model', { messages }],
  ];
  test.each(OTHERS)('%s: %s', async (path, field, body) => {
    expectRefusal(await send(path, JSON.stringify(body)), 400, { names: field, shape: path.startsWith('/v1/messages') ? 'anthropic' : 'openai' });
  });

  test('the last of 20,000 tools, in a message of a few words', async () => {
    const tool = (index: number) => ({ type: 'function', function: { name: `tool_${String(index)}`, parameters: { type: 'object' } } });
    const tools: unknown[] = Array.from({ length: 20_000 }, (_, index) => tool(index));
    tools[19_999] = { type: 'function', function: { name: 7 } };
    expectRefusal(await send('/v1/chat/completions', JSON.stringify({ model: 'gpt', messages, tools })), 400, { names: 'tools[19999].function.name' });
  });

  test('all of 20,000 tools, without a message about each', async () => {
    expectRefusal(await send('/v1/chat/completions', JSON.stringify({ model: 'gpt', messages, tools: Array.from({ length: 20_000 }, () => ({ type: 7 })) })), 400, { names: 'tools[0].type' });
  });
});

describe('a request that is too large', () => {
  test.each(ROUTES)('33 MB declared on %s: refused before it is read', async (path, shape) => {
    expectRefusal(await raw([head(`POST ${path}`, `content-length: ${String(33 * MEGABYTE)}`), `{"model":"${CANARY}`]), 413, { names: 'max_request_size_mb', shape });
  });

  test('33 MB in chunks without a length: refused on the way', async () => {
    const piece = Buffer.alloc(MEGABYTE, 0x20);
    function* flood(): Generator<string | Uint8Array> {
      yield head('POST /v1/chat/completions', 'transfer-encoding: chunked');
      for (let sent = 0; sent < 40; sent += 1) {
        yield `${piece.length.toString(16)}\r\n`;
        yield piece;
        yield '\r\n';
      }
    }
    expectRefusal(await raw(flood()), 413, { names: 'max_request_size_mb' });
  });
});

describe('HTTP that is not what it should be', () => {
  const body = JSON.stringify({ model: 'gpt', messages });
  const smuggled = head('POST /v1/chat/completions', `content-length: ${String(body.length)}`) + body;
  const WIRES: Readonly<Record<string, readonly [readonly string[], number]>> = {
    'two content lengths': [[head('POST /v1/chat/completions', 'content-length: 5', `content-length: ${String(body.length)}`), body], 400],
    'two equal content lengths in one': [[head('POST /v1/chat/completions', `content-length: ${String(body.length)}, ${String(body.length)}`), body], 400],
    'content length and chunks': [[head('POST /v1/chat/completions', 'content-length: 5', 'transfer-encoding: chunked'), `0\r\n\r\n${smuggled}`], 400],
    'chunks and content length': [[head('POST /v1/chat/completions', 'transfer-encoding: chunked', 'content-length: 5'), `0\r\n\r\n${smuggled}`], 400],
    'a transfer encoding that is none': [[head('POST /v1/chat/completions', 'transfer-encoding: xchunked'), `0\r\n\r\n${smuggled}`], 400],
    'a negative content length': [[head('POST /v1/chat/completions', 'content-length: -5'), body], 400],
    'a chunk size that is none': [[head('POST /v1/chat/completions', 'transfer-encoding: chunked'), `zz\r\n${body}\r\n0\r\n\r\n`], 400],
    'a space before the colon': [[head('POST /v1/chat/completions', 'content-length : 5'), body], 400],
    'NUL in a header': [[head('POST /v1/chat/completions', 'x-request-id: a\0b', 'content-length: 0')], 400],
    'words instead of a request': [[`${CANARY} hello\r\n\r\n`], 400],
    'TLS': [['\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03'], 400],
    'one header of a megabyte': [[head('POST /v1/chat/completions', `x-large: ${'a'.repeat(MEGABYTE)}`, 'content-length: 0')], 431],
    '5,000 headers': [[head('POST /v1/chat/completions', ...Array.from({ length: 5_000 }, (_, index) => `x-${String(index)}: a`), 'content-length: 0')], 431],
    'headers that come too slowly': [['POST /v1/chat/completions HTTP/1.1\r\nhost: gateway\r\nx-slow: '], 408],
    'a body that comes too slowly': [[head('POST /v1/chat/completions', 'content-length: 500'), '{"model":'], 408],
  };
  test.each(Object.entries(WIRES))('%s', async (_name, [pieces, status]) => {
    const before = upstream.calls.length;
    const reply = await raw(pieces);
    expectRefusal(reply, status);
    // One reply on the wire: nothing behind the refused request was taken for another one.
    expect(reply.body.split('HTTP/1.1 ')).toHaveLength(1);
    expect(upstream.calls.length).toBe(before);
  });

  test('no host', async () => {
    expect((await raw(['POST /v1/chat/completions HTTP/1.1\r\nconnection: close\r\ncontent-length: 0\r\n\r\n'])).status).toBe(400);
  });

  test('paths and methods that are not there', async () => {
    for (const path of ['/v1/chat', '/V1/chat/completions/x', '/etc/passwd', '/%00', '/v1/../../etc/passwd', '/..%2f..%2fetc/passwd', '/.git/config', '/constructor', '/__proto__/x', `/${'a'.repeat(8_000)}`]) expectRefusal(await raw([head(`GET ${path}`)]), 404);
    expectRefusal(await raw([head('GET /%zz/x')]), 400, { names: 'percent' });
    for (const method of ['GET', 'PUT', 'DELETE', 'PATCH', 'TRACE']) {
      const reply = await raw([head(`${method} /v1/chat/completions`)]);
      expectRefusal(reply, 405);
      expect(reply.headers).toContain('allow: post');
    }
    expectRefusal(await raw([head('GET /v1/messages')]), 405, { shape: 'anthropic' });
    expect((await raw(['BREW /v1/chat/completions HTTP/1.1\r\nhost: x\r\n\r\n'])).status).toBe(400);
  });

  test.each([
    '/hosted_vllm/../admin', '/hosted_vllm/%2e%2e/admin', '/hosted_vllm/a/%2E%2E/%2e%2e/admin', '/hosted_vllm/..%2fadmin', '/hosted_vllm/a/..%5c..%5cadmin', '/hosted_vllm/%zz',
    '/v1/files/../admin', '/v1/files/%2e%2e/admin', '/v1/files/..%2f..%2fadmin', '/v1/files/..%5cadmin', '/files/a/../../admin',
  ])('the pass-through does not climb: %s', async (path) => {
    const before = upstream.calls.length;
    const { status, body: said } = await raw([head(`GET ${path}`)]);
    expect([400, 404], said).toContain(status);
    expect((JSON.parse(said) as { error: { message: string } }).error.message).not.toBe('');
    expect(upstream.calls.slice(before)).toEqual([]);
  });
});

describe('names and keys that a client chooses', () => {
  const NAMES = ['__proto__', 'constructor', 'toString', 'hasOwnProperty', '', ' ', 'gpt\0', 'gpt\r\nx-injected: 1', '../gpt', 'a'.repeat(100_000), '*', '$&', '\ud800'];
  test.each(NAMES.map((name) => [name.slice(0, 30), name]))('a model named %j', async (_shown, model) => {
    for (const [path, more, shape] of [['/v1/chat/completions', {}, 'openai'], ['/v1/messages', { max_tokens: 5 }, 'anthropic']] as const) {
      const reply = await send(path, JSON.stringify({ model, messages, ...more }));
      expectRefusal(reply, 400, { names: 'model', shape });
      expect(reply.headers).not.toContain('x-injected');
    }
  });

  test('names of models under /v1/models', async () => {
    for (const name of ['__proto__', 'constructor', '%00', 'a%0d%0ax-injected:%201']) {
      const reply = await raw([head(`GET /v1/models/${name}`)]);
      expectRefusal(reply, 404, { names: 'does not exist' });
      expect(reply.headers).not.toContain('x-injected');
    }
  });

  test.each([
    'any/x\r\nx-injected: 1', 'gemini/x\r\nx-injected: 1', 'gemini/../../admin', 'gemini/models/../../../admin', 'gemini/x?key=mine', 'gemini/x#', 'gemini/%2e%2e/admin', 'gemini/..\\admin', 'any/..', 'gemini/\0', 'any/\ud800',
  ])('a wildcard does not take %j for a model', async (model) => {
    const before = upstream.calls.length + gemini.calls.length;
    const reply = await send('/v1/chat/completions', JSON.stringify({ model, messages }));
    expectRefusal(reply, 400, { names: 'model' });
    expect(upstream.calls.length + gemini.calls.length).toBe(before);
    expect(reply.headers).not.toContain('x-injected');
  });

  test('a wildcard takes the names that models have', async () => {
    for (const name of ['gpt-4o', 'meta-llama/Llama-3.1-8B', 'claude@20260101', 'qwen2.5:7b', 'ft:gpt-4o:acme::a1', 'v1.0..beta', 'grüße 1']) {
      expect((await send('/v1/chat/completions', JSON.stringify({ model: `any/${name}`, messages }))).status).toBe(200);
      expect(upstream.calls.at(-1)?.json).toMatchObject({ model: name });
    }
  });

  test.each(['a b', '<script>', 'x'.repeat(200), 'a/b', '%0d%0aSet-Cookie:x', 'ünïcode'])('a request id of %j is replaced, not repeated', async (id) => {
    const reply = await raw([Buffer.from(head('POST /v1/chat/completions', `x-request-id: ${id}`, 'content-length: 2'), 'latin1'), '{}']);
    expectRefusal(reply, 400);
    expect(/x-request-id: (.*)/.exec(reply.headers)?.[1]).toMatch(/^[0-9a-f]{8}-[0-9a-f-]{27}$/);
  });

  test('a key of 10 KB, a wrong one, and none', async () => {
    const long = await send('/v1/chat/completions', JSON.stringify({ model: 'gpt', messages }), { authorization: `Bearer ${CANARY.repeat(420)}` });
    expectRefusal(long, 401, { names: 'longer than' });
    expectRefusal(await send('/v1/chat/completions', '{', { authorization: `Bearer ${WRONG_KEY}` }), 401);
    expectRefusal(await send('/v1/messages', '{', { authorization: `Bearer ${WRONG_KEY}` }), 401, { shape: 'anthropic' });
    expectRefusal(await send('/v1/chat/completions', '{', { authorization: 'Bearer ' }), 401);
    expectRefusal(await send('/v1/chat/completions', '{', { authorization: `Basic ${Buffer.from(CANARY).toString('base64')}` }), 401);
  });

  test.each(['api_base', 'base_url', 'api_key', 'api_version', 'organization', 'aws_region_name', 'vertex_project'])('%s is the operator\'s to choose', async (name) => {
    const before = upstream.calls.length;
    const value = name.endsWith('base') || name === 'base_url' ? 'http://127.0.0.1:9/v1' : 'x';
    expectRefusal(await send('/v1/chat/completions', JSON.stringify({ model: 'gpt', messages, [name]: value })), 400, { names: name === 'base_url' ? 'api_base' : name });
    expect(upstream.calls.length).toBe(before);
  });
});

test('thousands of broken requests cost no memory that stays, and honest ones are answered all the while', async () => {
  const words = ['{', '}', '[', ']', '"', ':', ',', 'null', '1e999', '"model"', '"messages"', '"gpt"', '\\u0000', 'true', `"${CANARY}"`, '"role"', '{"a":[{}]}', '-', '\u2028'];
  let seed = 7;
  const next = (below: number): number => {
    seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0;
    return Math.floor((seed / 2 ** 32) * below);
  };
  const garbage = (): string => Array.from({ length: 1 + next(40) }, () => words[next(words.length)]).join('');
  const statuses = new Map<number, number>();
  const count = (status: number): void => void statuses.set(status, (statuses.get(status) ?? 0) + 1);
  const throwAt = async (times: number): Promise<void> => {
    const one = async (index: number): Promise<void> => {
      const route = ROUTES[index % ROUTES.length]?.[0] ?? '';
      if (index % 5 === 0) count((await raw([Buffer.from(Array.from({ length: 64 }, () => next(256)))], { limitMs: 5_000 })).status);
      else if (index % 5 === 1) count((await raw([head(`POST ${route}`, 'content-length: 900'), garbage().slice(0, 50), Buffer.alloc(0)], { limitMs: 20 })).status === 0 ? 0 : 1);
      else count((await send(route, index % 5 === 2 ? Buffer.alloc(200_000, 0x5b) : garbage())).status);
    };
    for (let done = 0; done < times; done += 50) await Promise.all(Array.from({ length: 50 }, (_, index) => one(done + index)));
  };
  await throwAt(1_000);
  const before = readProcessTree(gateway.pid).rssBytes;
  await throwAt(2_000);
  const grown = readProcessTree(gateway.pid).rssBytes - before;
  expect([...statuses.keys()].filter((status) => status >= 500)).toEqual([]);
  expect(statuses.get(400) ?? 0).toBeGreaterThan(1_500);
  expect(statuses.get(200)).toBeUndefined();
  expect(grown / MEGABYTE).toBeLessThan(100);
  expect(await gateway.metric('gateway_inflight_requests')).toBe(0);
  expect(await gateway.metric('active_llm_streams')).toBe(0);
}, 60_000);
