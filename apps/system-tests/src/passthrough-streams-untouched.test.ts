import { createHash, type Hash } from 'node:crypto';
import { once } from 'node:events';
import { createServer, request, type ClientRequest, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createGate, eventually, freePort, readProcessTree } from '@pointsman/testing';
import OpenAI, { toFile } from 'openai';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { deployment, MASTER_KEY, startGatewayUnderTest, type GatewayUnderTest } from './gateway-under-test.ts';

const MEGABYTE = 1_048_576;
const PROVIDER_KEY = 'sk-of-the-provider';
const bearer = { authorization: `Bearer ${MASTER_KEY}` };

/** What the provider saw of one request, filled while it arrives. */
interface Arrival {
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>;
  readonly digest: Hash;
  bytes: number;
  whole: boolean;
  /** The other side went away before the reply had ended. */
  aborted: boolean;
}

interface Provider {
  readonly url: string;
  readonly arrivals: Arrival[];
  last(): Arrival;
  close(): Promise<void>;
}

const FILE = Buffer.alloc(5 * MEGABYTE, 'file content ');
let gate = createGate();

function answer(arrival: Arrival, res: ServerResponse): void {
  const path = arrival.path.split('?')[0] ?? '';
  if (path.endsWith('/content')) {
    res.writeHead(200, { 'content-type': 'application/octet-stream', 'content-length': FILE.length, 'x-of-the-provider': 'kept', 'set-cookie': 'session=1', 'strict-transport-security': 'max-age=1' });
    res.end(FILE);
    return;
  }
  if (path.endsWith('/missing')) {
    res.writeHead(404, { 'content-type': 'application/json' });
    res.end('{"error":{"message":"No such File object","type":"invalid_request_error","param":"id","code":null}}');
    return;
  }
  res.writeHead(200, { 'content-type': 'application/json' });
  res.end(JSON.stringify({ id: 'thing-1', object: 'thing', text: 'heard', path, bytes: arrival.bytes, results: [], data: [{ url: 'https://images.example/1.png' }] }));
}

/** A provider that counts bytes as they arrive: the scripted one answers only whole requests. */
async function startProvider(): Promise<Provider> {
  const arrivals: Arrival[] = [];
  const server: Server = createServer((req: IncomingMessage, res: ServerResponse) => {
    const arrival: Arrival = { method: req.method ?? '', path: req.url ?? '', headers: req.headers, digest: createHash('sha256'), bytes: 0, whole: false, aborted: false };
    arrivals.push(arrival);
    res.on('close', () => (arrival.aborted = !res.writableFinished));
    req.on('error', () => undefined);
    req.on('data', (chunk: Buffer) => {
      arrival.bytes += chunk.length;
      arrival.digest.update(chunk);
    });
    req.on('end', () => {
      arrival.whole = true;
      if (!arrival.path.includes('/stream')) {
        answer(arrival, res);
        return;
      }
      res.writeHead(200, { 'content-type': 'text/event-stream' });
      res.write('data: one\n\n');
      void gate.opened.then(() => res.end('data: two\n\ndata: [DONE]\n\n'));
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${String((server.address() as AddressInfo).port)}`,
    arrivals,
    last: () => {
      const arrival = arrivals.at(-1);
      if (arrival === undefined) throw new Error('nothing arrived');
      return arrival;
    },
    close: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

let main: Provider;
let ears: Provider;
let gateway: GatewayUnderTest;

beforeAll(async () => {
  main = await startProvider();
  ears = await startProvider();
  gateway = await startGatewayUnderTest({
    config: {
      model_list: [
        { model_name: 'gpt', litellm_params: { model: 'openai/gpt-4o', api_base: `${main.url}/v1`, api_key: PROVIDER_KEY } },
        { ...deployment('whisper', ears, 'whisper'), model_info: { mode: 'audio_transcription' } },
        { model_name: 'claude', litellm_params: { model: 'anthropic/claude-sonnet-4-5', api_base: main.url, api_key: 'sk-ant-of-the-provider' } },
        { model_name: 'flash', litellm_params: { model: 'gemini/gemini-2.5-flash', api_base: main.url, api_key: 'AIza-of-the-provider' } },
        { model_name: 'away', litellm_params: { model: 'openai_like/away', api_base: `http://127.0.0.1:${String(await freePort())}/v1`, api_key: 'x' } },
        { model_name: 'made-up', litellm_params: { model: 'simulated/swift' } },
      ],
      general_settings: { litellm_key_header_name: 'X-Company-Key' },
    },
  });
}, 60_000);

afterAll(async () => {
  await gateway[Symbol.asyncDispose]();
  await main.close();
  await ears.close();
});

function upload(path: string, headers: Readonly<Record<string, string>>): { readonly outgoing: ClientRequest; readonly reply: Promise<{ readonly status: number; readonly body: string }> } {
  const outgoing = request(`${gateway.url}${path}`, { method: 'POST', headers: { ...bearer, ...headers } });
  const reply = once(outgoing, 'response').then(async ([incoming]: IncomingMessage[]) => {
    if (incoming === undefined) throw new Error('no reply');
    let body = '';
    for await (const chunk of incoming.setEncoding('utf8')) body += String(chunk);
    return { status: incoming.statusCode ?? 0, body };
  });
  reply.catch(() => undefined);
  return { outgoing, reply };
}

async function writeAll(outgoing: ClientRequest, chunk: Buffer): Promise<void> {
  if (!outgoing.write(chunk)) await once(outgoing, 'drain');
}

test('20 MB of audio reach the provider while they are being sent, byte for byte, and stay in nobody\'s memory', async () => {
  const chunk = Buffer.alloc(MEGABYTE, 'RIFF audio ');
  const start = Buffer.from('--b0undary\r\ncontent-disposition: form-data; name="file"; filename="a.wav"\r\ncontent-type: audio/wav\r\n\r\n');
  const end = Buffer.from('\r\n--b0undary\r\ncontent-disposition: form-data; name="model"\r\n\r\nwhisper\r\n--b0undary--\r\n');
  const expected = createHash('sha256').update(start);
  for (let sent = 0; sent < 20; sent += 1) expected.update(chunk);
  const digest = expected.update(end).digest('hex');
  const sendOne = async (): Promise<number> => {
    const before = ears.arrivals.length;
    const { outgoing, reply } = upload('/v1/audio/transcriptions', { 'content-type': 'multipart/form-data; boundary=b0undary' });
    await writeAll(outgoing, start);
    await writeAll(outgoing, chunk);
    await eventually(() => expect(ears.arrivals[before]?.bytes).toBeGreaterThan(MEGABYTE / 2));
    expect(ears.arrivals[before]?.whole).toBe(false);
    for (let sent = 1; sent < 20; sent += 1) await writeAll(outgoing, chunk);
    const resident = readProcessTree(gateway.pid).rssBytes;
    outgoing.end(end);
    const { status, body } = await reply;
    expect(status, body).toBe(200);
    expect(JSON.parse(body)).toMatchObject({ text: 'heard', path: '/v1/audio/transcriptions', bytes: start.length + 20 * MEGABYTE + end.length });
    const arrival = ears.last();
    expect(arrival.digest.digest('hex')).toBe(digest);
    expect(arrival.headers['content-type']).toBe('multipart/form-data; boundary=b0undary');
    return resident;
  };
  const first = await sendOne();
  const residents: number[] = [];
  // 300 MB go through; what a collector has not yet swept is some 100 MB at most.
  for (let index = 0; index < 15; index += 1) residents.push(await sendOne());
  expect((Math.max(...residents) - first) / MEGABYTE).toBeLessThan(160);
});

test('the OpenAI client uploads, lists and downloads files, makes images and moderates', async () => {
  const openai = new OpenAI({ apiKey: MASTER_KEY, baseURL: `${gateway.url}/v1`, maxRetries: 0 });
  expect(await openai.files.create({ file: await toFile(Buffer.from('{"a":1}\n'), 'batch.jsonl'), purpose: 'batch' })).toMatchObject({ id: 'thing-1' });
  expect(main.last()).toMatchObject({ method: 'POST', path: '/v1/files' });
  const content = await openai.files.content('file-1');
  expect(Buffer.from(await content.arrayBuffer()).equals(FILE)).toBe(true);
  expect(main.last()).toMatchObject({ method: 'GET', path: '/v1/files/file-1/content' });
  expect(content.headers.get('x-of-the-provider')).toBe('kept');
  expect(content.headers.get('set-cookie')).toBeNull();
  expect(content.headers.get('strict-transport-security')).toBeNull();
  expect(content.headers.get('x-request-id')).toMatch(/^[0-9a-f-]{36}$/);
  expect(await openai.images.generate({ model: 'any', prompt: 'a signal box' })).toMatchObject({ data: [{ url: 'https://images.example/1.png' }] });
  expect(await openai.moderations.create({ input: 'hello' })).toMatchObject({ id: 'thing-1' });
  await expect(openai.files.retrieve('missing')).rejects.toMatchObject({ status: 404, message: expect.stringContaining('No such File object') });
  expect(await (await gateway.post('/v1/rerank', { query: 'a', documents: ['b'] })).json()).toMatchObject({ path: '/v1/rerank', results: [] });
  expect(await (await gateway.get('/v1/batches?limit=3&after=b_1')).json()).toMatchObject({ path: '/v1/batches' });
  expect(main.last().path).toBe('/v1/batches?limit=3&after=b_1');
});

const PROVIDER_PATHS: readonly (readonly [string, string, Readonly<Record<string, string>>])[] = [
  ['/openai/assistants/a1', '/v1/assistants/a1', { authorization: `Bearer ${PROVIDER_KEY}` }],
  ['/openai/v1/assistants/a1', '/v1/assistants/a1', { authorization: `Bearer ${PROVIDER_KEY}` }],
  ['/anthropic/v1/models?limit=1', '/v1/models?limit=1', { 'x-api-key': 'sk-ant-of-the-provider', 'anthropic-version': '2023-06-01' }],
  ['/gemini/v1beta/models/gemini-2.5-flash:countTokens', '/v1beta/models/gemini-2.5-flash:countTokens', { 'x-goog-api-key': 'AIza-of-the-provider' }],
  ['/gemini/models', '/v1beta/models', { 'x-goog-api-key': 'AIza-of-the-provider' }],
];
test.each(PROVIDER_PATHS)('%s goes to the provider as %s with its own credentials', async (path, expected, headers) => {
  expect((await gateway.post(path, { a: 1 })).status).toBe(200);
  expect(main.last()).toMatchObject({ method: 'POST', path: expected, headers });
});

test("the caller's key never reaches a provider, whichever header it came in; nor do cookies", async () => {
  const carriers: readonly Readonly<Record<string, string>>[] = [
    { authorization: `Bearer ${MASTER_KEY}` }, { 'x-litellm-api-key': MASTER_KEY }, { 'api-key': MASTER_KEY }, { 'x-api-key': MASTER_KEY }, { 'x-goog-api-key': MASTER_KEY },
    { 'ocp-apim-subscription-key': MASTER_KEY }, { 'x-company-key': MASTER_KEY }, { 'x-company-key': `Bearer ${MASTER_KEY}`, authorization: 'Bearer sk-another-secret', cookie: 'session=secret' },
  ];
  for (const headers of carriers) {
    const reply = await fetch(`${gateway.url}/v1/moderations`, { method: 'POST', headers: { 'content-type': 'application/json', ...headers }, body: '{"input":"x"}' });
    expect(reply.status, await reply.text()).toBe(200);
    const sent = JSON.stringify(main.last().headers);
    expect(sent).not.toContain(MASTER_KEY);
    expect(sent).not.toMatch(/another-secret|session=secret/);
    expect(main.last().headers['authorization']).toBe(`Bearer ${PROVIDER_KEY}`);
  }
});

test('a model named in header or query chooses the provider, else the mode of a model does, else OpenAI', async () => {
  const heard = ears.arrivals.length;
  await fetch(`${gateway.url}/v1/audio/speech`, { method: 'POST', headers: bearer, body: 'x' });
  expect(ears.arrivals.length).toBe(heard + 1);
  await fetch(`${gateway.url}/v1/audio/speech`, { method: 'POST', headers: { ...bearer, 'x-litellm-model': 'gpt' }, body: 'x' });
  expect(ears.arrivals.length).toBe(heard + 1);
  expect(main.last().path).toBe('/v1/audio/speech');
  expect(main.last().headers['x-litellm-model']).toBeUndefined();
  await fetch(`${gateway.url}/v1/files?model=whisper`, { headers: bearer });
  expect(ears.arrivals.length).toBe(heard + 2);
  const unknown = await fetch(`${gateway.url}/v1/files?model=nope`, { headers: bearer });
  expect([unknown.status, await unknown.json()]).toEqual([400, { error: { message: expect.stringContaining('model=nope'), type: 'invalid_request_error', param: 'model', code: '400' } }]);
  expect((await fetch(`${gateway.url}/v1/files?model=made-up`, { headers: bearer })).status).toBe(501);
});

test('a provider\'s event stream passes event by event', async () => {
  gate = createGate();
  const reply = await gateway.post('/hosted_vllm/custom/stream', { stream: true });
  expect(reply.headers.get('content-type')).toBe('text/event-stream');
  const reader = reply.body?.pipeThrough(new TextDecoderStream()).getReader();
  expect((await reader?.read())?.value).toBe('data: one\n\n');
  gate.open();
  let rest = '';
  for (let part = await reader?.read(); part?.done === false; part = await reader?.read()) rest += part.value;
  expect(rest).toBe('data: two\n\ndata: [DONE]\n\n');
  expect(ears.last().path).toBe('/v1/custom/stream');
});

test('a client that leaves takes the provider call with it: in a stream, and in the middle of an upload', async () => {
  gate = createGate();
  const leaving = new AbortController();
  const reply = await gateway.post('/openai/custom/stream', {}, { signal: leaving.signal });
  expect(reply.status).toBe(200);
  const streaming = main.last();
  leaving.abort();
  await eventually(() => expect(streaming.aborted).toBe(true));

  const before = main.arrivals.length;
  const { outgoing } = upload('/v1/files', { 'content-type': 'application/octet-stream', 'content-length': String(50 * MEGABYTE) });
  outgoing.on('error', () => undefined);
  outgoing.write(Buffer.alloc(MEGABYTE));
  await eventually(() => expect(main.arrivals[before]?.bytes).toBeGreaterThan(0));
  outgoing.destroy();
  await eventually(() => expect(main.arrivals[before]?.aborted).toBe(true));
  expect(main.arrivals[before]?.whole).toBe(false);
  gate.open();
  await eventually(async () => expect(await gateway.metric('gateway_inflight_requests')).toBe(0));
});

test('a key is asked for before a byte is passed on', async () => {
  const before = main.arrivals.length + ears.arrivals.length;
  for (const path of ['/v1/files', '/v1/audio/transcriptions', '/openai/models', '/gemini/v1beta/models']) {
    for (const headers of [{}, { authorization: 'Bearer sk-wrong-0123456789' }]) {
      const reply = await fetch(`${gateway.url}${path}`, { method: 'POST', headers, body: 'x'.repeat(100_000) });
      expect(reply.status).toBe(401);
      expect(await reply.json()).toMatchObject({ error: { code: '401', type: expect.any(String) } });
    }
  }
  expect(main.arrivals.length + ears.arrivals.length).toBe(before);
  expect((await fetch(`${gateway.url}/not_a_provider/models`, { headers: bearer })).status).toBe(404);
});

test('a provider that is away is a 502 in the usual envelope', async () => {
  const reply = await gateway.post('/openai_like/anything', { a: 1 }, { headers: { 'x-request-id': 'away-1' } });
  expect([reply.status, reply.headers.get('x-request-id')]).toEqual([502, 'away-1']);
  expect(await reply.json()).toEqual({ error: { message: 'The provider could not be reached.', type: 'upstream_error', param: null, code: 'provider_unreachable' } });
});

test('every request is counted, by route, provider and status', async () => {
  const count = (route: string, provider: string, status: number) => gateway.metric('gateway_requests_total', { route, provider, status: String(status) });
  const before = await Promise.all([count('/v1/rerank', 'openai', 200), count('/{provider}/*', 'openai_like', 502), count('/v1/files', 'openai', 404)]);
  await (await gateway.post('/v1/rerank', {})).text();
  await (await gateway.post('/rerank', {})).text();
  await (await gateway.post('/openai_like/x', {})).text();
  await (await gateway.get('/v1/files/missing')).text();
  await eventually(async () => expect(await Promise.all([count('/v1/rerank', 'openai', 200), count('/{provider}/*', 'openai_like', 502), count('/v1/files', 'openai', 404)])).toEqual([(before[0] ?? 0) + 2, (before[1] ?? 0) + 1, (before[2] ?? 0) + 1]));
});

test('draining lets a passage end and refuses new ones', async () => {
  gate = createGate();
  await using draining = await startGatewayUnderTest({ config: { model_list: [deployment('gpt', main, 'gpt')] }, env: { SHUTDOWN_DELAY_S: '1' } });
  const running = await draining.post('/hosted_vllm/custom/stream', {});
  draining.signal('SIGTERM');
  await eventually(async () => expect((await fetch(`${draining.url}/health/readiness`)).status).toBe(503));
  const refused = await draining.post('/v1/files', {});
  expect([refused.status, refused.headers.get('connection')]).toEqual([503, 'close']);
  expect(await refused.json()).toMatchObject({ error: { code: 'gateway_draining' } });
  gate.open();
  expect(await running.text()).toBe('data: one\n\ndata: two\n\ndata: [DONE]\n\n');
  expect(await draining.ended).toBe(0);
});
