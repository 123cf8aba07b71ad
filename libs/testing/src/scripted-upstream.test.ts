import { connect } from 'node:net';
import { request } from 'undici';
import { describe, expect, test } from 'vitest';
import { chatChunks, createGate, cutEvery, json, sse, startScriptedUpstream } from './scripted-upstream.ts';

async function post(url: string, body: unknown): Promise<{ status: number; text: string }> {
  const reply = await request(`${url}/v1/chat/completions?x=1`, { method: 'POST', headers: { 'content-type': 'application/json', 'x-a': 'b' }, body: JSON.stringify(body) });
  return { status: reply.statusCode, text: await reply.body.text() };
}

/** Everything that a plain socket reads until the server closes, or the code of the error that ended it. */
function readRaw(port: number, path = '/'): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>();
  let text = '';
  const socket = connect(port, '127.0.0.1', () => socket.write(`GET ${path} HTTP/1.1\r\nhost: x\r\n\r\n`));
  socket.setEncoding('utf8');
  socket.on('data', (piece: string) => {
    text += piece;
  });
  socket.once('error', (error: NodeJS.ErrnoException) => resolve(`${text}<${error.code ?? ''}>`));
  socket.once('end', () => resolve(text));
  return promise;
}

test('a call is recorded with everything that was sent', async () => {
  await using upstream = await startScriptedUpstream({ reply: json({ ok: true }, { status: 201 }) });
  expect(await post(upstream.url, { model: 'm', text: 'ü' })).toEqual({ status: 201, text: '{"ok":true}' });
  expect(upstream.calls).toMatchObject([{ method: 'POST', path: '/v1/chat/completions?x=1', body: '{"model":"m","text":"ü"}', json: { model: 'm', text: 'ü' }, aborted: false, finished: true, bytesSent: 11 }]);
  expect(upstream.calls[0]?.headers['x-a']).toBe('b');
});

describe('the script is chosen', () => {
  test('by the model of the body, else the default, else a 500 that says so', async () => {
    await using upstream = await startScriptedUpstream({ scripts: { slow: json('slow'), broken: json('broken', { status: 503 }) }, reply: json('other') });
    expect((await post(upstream.url, { model: 'slow' })).text).toBe('slow');
    expect((await post(upstream.url, { model: 'broken' })).status).toBe(503);
    expect((await post(upstream.url, { model: '__proto__' })).text).toBe('other');
    upstream.use({});
    expect(await post(upstream.url, { model: 'x' })).toMatchObject({ status: 500, text: expect.stringContaining('no script for model x') as unknown });
  });

  test('from a sequence whose last one repeats', async () => {
    await using upstream = await startScriptedUpstream({ reply: [json('1'), json('2')] });
    const texts: string[] = [];
    for (let call = 0; call < 3; call += 1) texts.push((await post(upstream.url, {})).text);
    expect(texts).toEqual(['1', '2', '2']);
  });

  test('by a function of the call', async () => {
    await using upstream = await startScriptedUpstream({ reply: (call) => json(call.path) });
    expect((await post(upstream.url, {})).text).toBe('/v1/chat/completions?x=1');
  });
});

describe('the bytes on the wire', () => {
  test('of chunked framing', async () => {
    await using upstream = await startScriptedUpstream({ reply: { framing: 'chunked', headers: { connection: 'close', 'x-two': ['a', 'b'] }, steps: ['ab', 'c', { end: 'fin' }] } });
    expect(await readRaw(upstream.port)).toBe('HTTP/1.1 200 Scripted\r\nconnection: close\r\nx-two: a\r\nx-two: b\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n');
  });
  test('of close framing', async () => {
    await using upstream = await startScriptedUpstream({ reply: { framing: 'close', steps: ['ab'] } });
    expect(await readRaw(upstream.port)).toBe('HTTP/1.1 200 Scripted\r\nconnection: close\r\n\r\nab');
  });
  test('of no framing at all', async () => {
    await using upstream = await startScriptedUpstream({ reply: { framing: 'raw', steps: ['garbage'] } });
    expect(await readRaw(upstream.port)).toBe('garbage');
  });
  test('of a reset', async () => {
    await using upstream = await startScriptedUpstream({ reply: { steps: [], before: [{ end: 'reset' }] } });
    expect(await readRaw(upstream.port)).toBe('<ECONNRESET>');
  });
  test('of a length that promises more than comes', async () => {
    await using upstream = await startScriptedUpstream({ reply: { headers: { 'Content-Length': '9' }, steps: ['ab', { end: 'fin' }] } });
    expect(await readRaw(upstream.port)).toBe('HTTP/1.1 200 Scripted\r\nContent-Length: 9\r\n\r\nab');
  });
});

test('a gate holds a reply until the test opens it', async () => {
  const gate = createGate();
  await using upstream = await startScriptedUpstream({ reply: { framing: 'chunked', steps: ['a', { until: gate.opened }, 'b'] } });
  const reply = post(upstream.url, {});
  await expect.poll(() => upstream.calls[0]?.bytesSent).toBe(1);
  expect(upstream.calls[0]?.finished).toBe(false);
  gate.open();
  expect((await reply).text).toBe('ab');
});

test('a client that leaves shows as aborted, with the time', async () => {
  await using upstream = await startScriptedUpstream({ reply: sse(['x'], { end: 'stall' }) });
  const reply = await request(upstream.url, { method: 'POST', body: '{}' });
  reply.body.on('error', () => undefined).destroy();
  await expect.poll(() => upstream.calls[0]?.aborted).toBe(true);
  expect(upstream.calls[0]?.closedAt).toBeTypeOf('number');
});

test('requests of one connection and of several are told apart', async () => {
  await using upstream = await startScriptedUpstream({ reply: json('') });
  await readRawTwice(upstream.port);
  expect(upstream.calls.map((call) => call.connection)).toEqual([1, 1]);
});

async function readRawTwice(port: number): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const socket = connect(port, '127.0.0.1', () => socket.write('POST / HTTP/1.1\r\ncontent-length: 2\r\n\r\n{}POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n1\r\n{\r\n1\r\n}\r\n0\r\n\r\n'));
  let replies = 0;
  socket.on('data', (piece: Buffer) => {
    replies += piece.toString().split('HTTP/1.1').length - 1;
    if (replies === 2) socket.destroy();
  });
  socket.once('close', () => resolve());
  await promise;
}

test('events are cut wherever asked, also inside a character', () => {
  expect(cutEvery(1)('ü').map((piece) => piece.length)).toEqual([1, 1]);
  const steps = sse([{ a: 'ü' }], { cut: 3 }).steps as readonly Buffer[];
  expect(Buffer.concat(steps).toString()).toBe('data: {"a":"ü"}\n\ndata: [DONE]\n\n');
  expect(Math.max(...steps.map((piece) => piece.length))).toBe(3);
});

test('chat chunks are a role, the texts and a finish reason', () => {
  expect(chatChunks(['a', 'b'], { finishReason: 'length' })).toMatchObject([
    { choices: [{ delta: { role: 'assistant' } }] }, { choices: [{ delta: { content: 'a' } }] }, { choices: [{ delta: { content: 'b' } }] }, { choices: [{ delta: {}, finish_reason: 'length' }] },
  ]);
});

test('closing ends stalled replies and leaves nothing open', async () => {
  const upstream = await startScriptedUpstream({ reply: { steps: ['x', { end: 'stall' }] } });
  const reading = readRaw(upstream.port);
  await expect.poll(() => upstream.calls.length).toBe(1);
  await upstream.close();
  await reading;
  expect(upstream.openConnections).toBe(0);
});
