import { chatChunks, createGate, eventually, sse, startScriptedUpstream, startSteadyLoad, type ScriptedUpstream } from '@pointsman/testing';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { deployment, MASTER_KEY, question, startGatewayUnderTest, type GatewayUnderTest } from './gateway-under-test.ts';
import { startShippedNginx, type ShippedNginx } from './shipped-nginx.ts';

let provider: ScriptedUpstream;
let gateways: GatewayUnderTest[];
let nginx: ShippedNginx;

beforeAll(async () => {
  provider = await startScriptedUpstream();
  const config = {
    model_list: [
      deployment('scripted', provider, 'scripted'),
      { model_name: 'auto', litellm_params: { model: 'simulated/swift', simulated_ttft_ms: 20, simulated_tokens_per_s: 500 } },
    ],
    general_settings: { max_request_size_mb: 32 },
  };
  gateways = await Promise.all([1, 2, 3].map(() => startGatewayUnderTest({ config, env: { LOG_LEVEL: 'debug' } })));
  nginx = await startShippedNginx({ gateways });
}, 120_000);

afterAll(async () => {
  await nginx[Symbol.asyncDispose]();
  await Promise.all(gateways.map((gateway) => gateway[Symbol.asyncDispose]()));
  await provider.close();
});

const ask = (body: object, headers: Readonly<Record<string, string>> = {}): Promise<Response> => fetch(`${nginx.url}/v1/chat/completions`, {
  method: 'POST', headers: { 'content-type': 'application/json', authorization: `Bearer ${MASTER_KEY}`, ...headers }, body: JSON.stringify({ ...question, ...body }),
});

/** Reads until the text holds the word. */
async function readUntilWord(reader: ReadableStreamDefaultReader<Uint8Array>, word: string): Promise<string> {
  let text = '';
  while (!text.includes(word)) {
    const { value, done } = await reader.read();
    if (done) throw new Error(`the stream ended before "${word}": ${text}`);
    text += Buffer.from(value).toString('utf8');
  }
  return text;
}

async function rest(reader: ReadableStreamDefaultReader<Uint8Array>): Promise<{ readonly text: string; readonly isCut: boolean }> {
  let text = '';
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return { text, isCut: !text.includes('[DONE]') };
      text += Buffer.from(value).toString('utf8');
    }
  } catch {
    return { text, isCut: true };
  }
}

test('a chunk is through nginx before the provider has sent the next one', async () => {
  const words = ['one', 'two', 'three'];
  const gates = words.map(() => createGate());
  const [head, ...chunks] = chatChunks(words);
  const frame = (chunk: object | undefined): string => `data: ${JSON.stringify(chunk)}\n\n`;
  provider.use({ reply: { headers: { 'content-type': 'text/event-stream' }, framing: 'chunked', steps: [frame(head), ...words.flatMap((_, index) => [frame(chunks[index]), { until: gates[index]?.opened ?? Promise.resolve() }]), frame(chunks.at(-1)), 'data: [DONE]\n\n'] } });
  const reply = await ask({ model: 'scripted', stream: true });
  expect(reply.status).toBe(200);
  const reader = (reply.body ?? new ReadableStream<Uint8Array>()).getReader();
  for (const [index, word] of words.entries()) {
    expect(await readUntilWord(reader, `"${word}"`)).toContain(word);
    gates[index]?.open();
  }
  expect((await rest(reader)).text).toContain('[DONE]');
});

// Our own streams cannot show it: they say `x-accel-buffering: no`, and nginx passes chunks on as they come, whatever `proxy_buffering` is. A reply that says its length, or
// ends with its connection, waits for a full buffer (4 or 8 KB) where nginx gathers; so does what gateways pass through untouched.
test.each(['chunked', 'content-length', 'close'] as const)('nginx gathers nothing: of a reply framed by %s the first bytes are through while the rest is held back', async (framing) => {
  const gate = createGate();
  provider.use({ reply: { headers: { 'content-type': 'application/octet-stream' }, framing, steps: ['one', { until: gate.opened }, 'two'] } });
  await using alone = await startShippedNginx({ gateways: [provider] });
  const reply = await fetch(`${alone.url}/v1/files/file-1/content`, { signal: AbortSignal.timeout(20_000) });
  const reader = (reply.body ?? new ReadableStream<Uint8Array>()).getReader();
  expect(await readUntilWord(reader, 'one')).toBe('one');
  gate.open();
  expect((await rest(reader)).text).toBe('two');
});

test('one trace id stands in nginx\'s log, in the gateway\'s log and in the header that the provider gets', async () => {
  provider.use({ reply: sse(chatChunks(['hi'])) });
  const given = '0af7651916cd43dd8448eb211c80319c';
  for (const traceparent of [`00-${given}-b7ad6b7169203331-01`, undefined, 'not-a-traceparent']) {
    const callsBefore = provider.calls.length;
    const reply = await ask({ model: 'scripted', stream: true }, traceparent === undefined ? {} : { traceparent });
    await reply.text();
    const traceId = /^00-([0-9a-f]{32})-/.exec(provider.calls[callsBefore]?.headers['traceparent'] ?? '')?.[1];
    expect(traceId).toBeDefined();
    if (traceparent?.startsWith('00-') === true) expect(traceId).toBe(given);
    expect(reply.headers.get('traceparent')).toContain(traceId);
    await eventually(async () => {
      expect((await nginx.accessLog()).filter((line) => line['trace_id'] === traceId)).toEqual([expect.objectContaining({ status: 200, path: '/v1/chat/completions', service: 'nginx', request_id: reply.headers.get('x-request-id') })]);
      expect(gateways.flatMap((gateway) => gateway.logs()).filter((line) => line['trace_id'] === traceId && line['msg'] === 'request ended')).toHaveLength(1);
    });
  }
});

test('the log holds no query: keys are sent there too', async () => {
  await (await fetch(`${nginx.url}/v1/models?key=sk-in-the-query`, { headers: { authorization: `Bearer ${MASTER_KEY}` } })).text();
  await eventually(async () => expect((await nginx.accessLog()).some((line) => line['path'] === '/v1/models')).toBe(true));
  expect(JSON.stringify(await nginx.accessLog())).not.toContain('sk-in-the-query');
});

test('metrics and reloads are not for clients, and a body that is too large is refused with an error that SDKs understand', async () => {
  for (const path of ['/metrics', '/config/reload']) expect((await fetch(`${nginx.url}${path}`)).status).toBe(404);
  const tooLarge = await ask({ model: 'auto', messages: [{ role: 'user', content: 'x'.repeat(32 * 1024 * 1024 + 1_000) }] });
  expect(tooLarge.status).toBe(413);
  expect(await tooLarge.json()).toMatchObject({ error: { type: 'invalid_request_error', code: 'request_too_large' } });
});

test('a client that leaves nginx stops the provider call', async () => {
  const [head, first] = chatChunks(['one']);
  provider.use({ reply: sse([head ?? {}, first ?? {}], { done: false, end: 'stall' }) });
  const client = new AbortController();
  const callsBefore = provider.calls.length;
  const reply = await fetch(`${nginx.url}/v1/chat/completions`, { method: 'POST', signal: client.signal, headers: { 'content-type': 'application/json', authorization: `Bearer ${MASTER_KEY}` }, body: JSON.stringify({ ...question, model: 'scripted', stream: true }) });
  await readUntilWord((reply.body ?? new ReadableStream<Uint8Array>()).getReader(), '"one"');
  client.abort();
  await eventually(() => expect(provider.calls[callsBefore]?.aborted).toBe(true));
});

test('kill -9 of one of three gateways under load: only what it was serving is affected', async () => {
  const gate = createGate();
  const [head, first, last] = chatChunks(['one']);
  provider.use({ reply: { headers: { 'content-type': 'text/event-stream' }, framing: 'chunked', steps: [`data: ${JSON.stringify(head)}\n\n`, `data: ${JSON.stringify(first)}\n\n`, { until: gate.opened }, `data: ${JSON.stringify(last)}\n\n`, 'data: [DONE]\n\n'] } });
  const streams = await Promise.all(Array.from({ length: 6 }, async () => {
    const reader = ((await ask({ model: 'scripted', stream: true })).body ?? new ReadableStream<Uint8Array>()).getReader();
    await readUntilWord(reader, '"one"');
    return reader;
  }));
  const open = await Promise.all(gateways.map((gateway) => gateway.metric('active_llm_streams')));
  // least_conn: everybody has the same.
  expect(open).toEqual([2, 2, 2]);

  const began = performance.now();
  const load = startSteadyLoad({ url: nginx.url, requestsPerSecond: 80, headers: { authorization: `Bearer ${MASTER_KEY}` } });
  await eventually(() => {
    expect(load.succeeded()).toBeGreaterThan(60);
  });
  const victim = gateways[0];
  if (victim === undefined) throw new Error('there is no gateway');
  victim.signal('SIGKILL');
  await victim.ended;
  const deadAtMs = performance.now() - began;
  const before = load.succeeded();
  // Long enough for nginx to try the dead one again: after fail_timeout, 5 s.
  await eventually(() => {
    expect(load.succeeded()).toBeGreaterThan(before + 800);
  }, { timeoutMs: 60_000 });
  const { failures } = await load.stop();
  // What was sent after its death never met it, and nothing that others served noticed.
  expect(failures.filter(({ sentAtMs }) => sentAtMs > deadAtMs)).toEqual([]);
  expect(failures.length).toBeLessThan(60);
  gate.open();
  const ends = await Promise.all(streams.map(rest));
  expect(ends.filter(({ isCut }) => isCut)).toHaveLength(2);
  expect(ends.filter(({ isCut }) => !isCut).every(({ text }) => text.includes('[DONE]'))).toBe(true);
}, 120_000);

test('with every gateway gone nginx answers with an error that SDKs understand', async () => {
  for (const gateway of gateways) {
    gateway.signal('SIGKILL');
    await gateway.ended;
  }
  const reply = await ask({ model: 'auto' });
  expect(reply.status).toBe(503);
  expect(reply.headers.get('retry-after')).toBe('1');
  expect(await reply.json()).toMatchObject({ error: { code: 'gateway_unreachable', type: 'server_error' } });
});
