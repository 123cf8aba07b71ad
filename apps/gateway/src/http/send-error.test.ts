import { once } from 'node:events';
import { createServer, request, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { AppError } from '@pointsman/errors';
import { expect, test } from 'vitest';
import { sendError, type SendErrorOptions } from './send-error.ts';

const broke = new AppError('upstream_failed', 'provider_unreachable', 'It broke.', { param: 'model' });

async function replyOf(answer: (res: ServerResponse) => void, init: RequestInit = {}): Promise<{ status: number; headers: Headers; text: string }> {
  const server = createServer((_req, res) => answer(res));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const reply = await fetch(`http://127.0.0.1:${String((server.address() as AddressInfo).port)}`, init);
  const text = await reply.text();
  server.closeAllConnections();
  server.close();
  return { status: reply.status, headers: reply.headers, text };
}

const OPENAI: SendErrorOptions = { shape: 'openai', requestId: 'req-1', traceparent: '00-a-b-01' };

test('an error is OpenAI\'s envelope with its status, and names the request', async () => {
  const { status, headers, text } = await replyOf((res) => sendError(res, broke, OPENAI));
  expect(status).toBe(502);
  expect(JSON.parse(text)).toEqual({ error: { message: 'It broke.', type: 'upstream_error', param: 'model', code: 'provider_unreachable' } });
  expect(headers.get('x-request-id')).toBe('req-1');
  expect(headers.get('x-litellm-call-id')).toBe('req-1');
  expect(headers.get('traceparent')).toBe('00-a-b-01');
  expect(headers.get('content-type')).toBe('application/json');
});

test('on Anthropic\'s routes it is Anthropic\'s', async () => {
  const { text } = await replyOf((res) => sendError(res, broke, { shape: 'anthropic', requestId: 'req-1' }));
  expect(JSON.parse(text)).toEqual({ type: 'error', error: { type: 'api_error', message: 'It broke.' }, request_id: 'req-1' });
});

test.each([[1, '1'], [1_000, '1'], [1_001, '2'], [30_000, '30']])('retry-after is whole seconds, at least one: %d ms', async (retryAfterMs, seconds) => {
  const { headers } = await replyOf((res) => sendError(res, new AppError('rate_limited', 'limit', 'Slow down.', { retryAfterMs }), OPENAI));
  expect(headers.get('retry-after')).toBe(seconds);
});

test('more headers go out with it', async () => {
  const { headers } = await replyOf((res) => sendError(res, broke, { ...OPENAI, extra: ['allow', 'POST'] }));
  expect(headers.get('allow')).toBe('POST');
});

test('while draining the connection ends with the reply, otherwise it is kept', async () => {
  const draining = await replyOf((res) => sendError(res, new AppError('unavailable', 'gateway_draining', 'Bye.'), OPENAI));
  expect(draining.headers.get('connection')).toBe('close');
  const kept = await replyOf((res) => sendError(res, broke, OPENAI));
  expect(kept.headers.get('connection')).toBe('keep-alive');
});

test('the rest of a refused body is not read: the connection ends', async () => {
  const server = createServer((_req, res) => sendError(res, broke, OPENAI));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const client = request({ port: (server.address() as AddressInfo).port, host: '127.0.0.1', method: 'POST', headers: { 'content-length': 1_000_000 } });
  client.on('error', () => undefined);
  client.flushHeaders();
  const [reply] = (await once(client, 'response')) as [{ headers: Record<string, string>; resume: () => void }];
  expect(reply.headers['connection']).toBe('close');
  reply.resume();
  client.destroy();
  server.closeAllConnections();
  server.close();
});

test('after the head has gone out nothing more is written', async () => {
  const { status, text } = await replyOf((res) => {
    res.writeHead(200);
    res.write('begun');
    sendError(res, broke, OPENAI);
    res.end();
  });
  expect([status, text]).toEqual([200, 'begun']);
});

test('an error for a client that is gone is dropped', async () => {
  const server = createServer((_req, res) => {
    res.destroy();
    sendError(res, broke, OPENAI);
    done(res.headersSent);
  });
  let done: (headersSent: boolean) => void = () => undefined;
  const sent = new Promise<boolean>((resolve) => { done = resolve; });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  await expect(fetch(`http://127.0.0.1:${String((server.address() as AddressInfo).port)}`)).rejects.toThrow();
  expect(await sent).toBe(false);
  server.close();
});
