import { randomBytes } from 'node:crypto';
import { request as httpRequest } from 'node:http';
import { gzipSync } from 'node:zlib';
import type { OtlpPartialSuccess, ReceivedSpan } from '@pointsman/telemetry';
import { eventually } from '@pointsman/testing';
import { expect, test } from 'vitest';
import { post, requestSpan, traces } from './exporter.fixture.ts';
import { MAX_BODY_BYTES } from './read-otlp-body.ts';
import { startOtlpReceiver, type OtlpReceiver, type OtlpRequest } from './receive-otlp.ts';

interface Received extends AsyncDisposable {
  readonly receiver: OtlpReceiver;
  readonly spans: ReceivedSpan[];
  readonly requests: OtlpRequest[];
  readonly answers: string[];
}

async function receive(onSpans?: () => OtlpPartialSuccess | undefined): Promise<Received> {
  const [spans, requests, answers]: [ReceivedSpan[], OtlpRequest[], string[]] = [[], [], []];
  const receiver = await startOtlpReceiver({
    port: 0, host: '127.0.0.1', onRequest: (request) => requests.push(request), onAnswer: (signal, outcome) => answers.push(`${signal} ${outcome}`),
    onSpans: onSpans ?? ((found) => {
      spans.push(...found);
      return undefined;
    }),
  });
  return { receiver, spans, requests, answers, [Symbol.asyncDispose]: () => receiver.close() };
}

const body = traces(requestSpan({ requestId: 'r1' }));
const PROTOBUF = { 'content-type': 'application/x-protobuf' };

test('spans in JSON are taken, plain and packed, and passed on as they came', async () => {
  await using received = await receive();
  const { url } = received.receiver;
  const packed = new Uint8Array(gzipSync(body));
  for (const [sent, headers] of [[body, {}], [packed, { 'content-encoding': 'gzip' }], [body, { 'content-type': 'application/json; charset=utf-8' }]] as const) {
    const response = await post(url, sent, headers);
    expect([response.status, response.headers.get('content-type'), await response.text()]).toEqual([200, 'application/json', '{}']);
  }
  expect(received.spans.map(({ attributes }) => attributes.get('llm.request_id'))).toEqual(['r1', 'r1', 'r1']);
  expect(received.requests[1]).toMatchObject({ signal: 'traces', contentType: 'application/json', contentEncoding: 'gzip' });
  expect(received.requests[1]?.body.equals(packed)).toBe(true);
});

test('an empty protobuf request is a request; the reply is protobuf too', async () => {
  await using received = await receive();
  const response = await post(received.receiver.url, '', PROTOBUF);
  expect([response.status, response.headers.get('content-type'), await response.text()]).toEqual([200, 'application/x-protobuf', '']);
});

test('metrics and logs are taken unread', async () => {
  await using received = await receive();
  for (const signal of ['metrics', 'logs']) expect((await post(received.receiver.url, 'whatever', PROTOBUF, `/v1/${signal}`)).status).toBe(200);
  expect(received.requests.map(({ signal }) => signal)).toEqual(['metrics', 'logs']);
});

test('what is refused for good the sender is told in the reply', async () => {
  await using received = await receive(() => ({ rejected: 2, message: 'too large' }));
  const response = await post(received.receiver.url, body);
  expect([response.status, await response.json()]).toEqual([200, { partialSuccess: { rejectedSpans: '2', errorMessage: 'too large' } }]);
});

test.each([
  ['what is not OTLP', 400, '{"resourceSpans": 1}', {}],
  ['what is not protobuf', 400, '\n\u007fcut', PROTOBUF],
  ['what is not gzip', 400, body, { 'content-encoding': 'gzip' }],
  ['an encoding that nobody knows', 415, body, { 'content-encoding': 'br' }],
  ['a type that nobody knows', 415, body, { 'content-type': 'text/plain' }],
  ['too much', 413, 'x'.repeat(MAX_BODY_BYTES + 1), {}],
  ['too much when unpacked', 413, new Uint8Array(gzipSync(Buffer.alloc(MAX_BODY_BYTES + 1))), { 'content-encoding': 'gzip' }],
] as const)('%s is refused with %d, not to be sent again, and not passed on', async (_, status, sent, headers) => {
  await using received = await receive();
  // A server may close the connection before it has read a body that it refuses.
  const response = await post(received.receiver.url, sent, headers).catch((error: unknown) => {
    if (status === 413) return undefined;
    throw error;
  });
  if (response !== undefined) {
    expect(response.status).toBe(status);
    expect(response.headers.get('retry-after')).toBeNull();
  }
  expect(received.requests).toEqual([]);
  expect(received.answers).toEqual(['traces refused']);
  expect((await post(received.receiver.url, body)).status).toBe(200);
});

test('a spool that cannot take spans is 503 with retry-after: the sender comes again', async () => {
  await using received = await receive(() => {
    throw new Error('ENOSPC');
  });
  const response = await post(received.receiver.url, body);
  expect([response.status, response.headers.get('retry-after')]).toEqual([503, '1']);
  expect(received.requests).toEqual([]);
});

test('senders beyond a number at once are told to come again', async () => {
  await using received = await receive();
  const slow = Array.from({ length: 8 }, () => {
    const sent = httpRequest(`${received.receiver.url}/v1/traces`, { method: 'POST', headers: { 'content-type': 'application/json', 'content-length': body.length } });
    sent.on('error', () => undefined);
    sent.write(body.slice(0, 10));
    return sent;
  });
  await eventually(async () => expect((await post(received.receiver.url, body)).status).toBe(429));
  for (const sent of slow) sent.destroy();
  await eventually(async () => expect((await post(received.receiver.url, body)).status).toBe(200));
});

test('other paths and methods are 404 and 405', async () => {
  await using received = await receive();
  expect((await post(received.receiver.url, body, {}, '/v1/__proto__')).status).toBe(404);
  expect((await fetch(`${received.receiver.url}/v1/traces`)).status).toBe(405);
});

test('noise is refused, whatever it is', async () => {
  await using received = await receive();
  for (let round = 0; round < 50; round += 1) expect([200, 400]).toContain((await post(received.receiver.url, new Uint8Array(randomBytes(200)), PROTOBUF)).status);
});
