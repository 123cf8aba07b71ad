import { once } from 'node:events';
import { createServer, request, type ClientRequest, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { AppError } from '@pointsman/errors';
import { eventually } from '@pointsman/testing';
import { expect, test } from 'vitest';
import { readBody } from './read-body.ts';

type Heard = readonly [AppError | undefined, Buffer | undefined];

/** One request over a real socket to a server that collects its body. */
async function send(maxBytes: number, headers: Readonly<Record<string, string | number>>, write: (client: ClientRequest) => void): Promise<AsyncDisposable & { readonly heard: Heard[]; readonly seen: IncomingMessage[] }> {
  const heard: Heard[] = [];
  const seen: IncomingMessage[] = [];
  const server = createServer((req, res) => {
    seen.push(req);
    readBody(req, maxBytes, (error, raw) => {
      heard.push([error, raw]);
      res.writeHead(200, { connection: 'close' }).end();
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const client = request({ port: (server.address() as AddressInfo).port, host: '127.0.0.1', method: 'POST', headers });
  client.on('error', () => undefined);
  client.on('response', (response) => response.resume());
  write(client);
  return {
    heard, seen,
    async [Symbol.asyncDispose]() {
      client.destroy();
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

test('a body in one piece and a body in many are the same bytes', async () => {
  const bytes = Buffer.from('{"model":"chat","content":"häßlich 🙂"}');
  await using whole = await send(1_000, { 'content-length': bytes.length }, (client) => client.end(bytes));
  await using chunked = await send(1_000, { 'transfer-encoding': 'chunked' }, (client) => {
    for (const byte of bytes) client.write(Buffer.from([byte]));
    client.end();
  });
  await eventually(() => whole.heard.length === 1 && chunked.heard.length === 1);
  expect(whole.heard).toEqual([[undefined, bytes]]);
  expect(chunked.heard).toEqual([[undefined, bytes]]);
});

test('no body is an empty one', async () => {
  await using sent = await send(1_000, {}, (client) => client.end());
  await eventually(() => expect(sent.heard).toEqual([[undefined, Buffer.alloc(0)]]));
});

test('a declared length over the limit is refused before a byte of the body has come', async () => {
  await using sent = await send(1_000, { 'content-length': 1_001 }, (client) => client.flushHeaders());
  await eventually(() => sent.heard.length === 1);
  expect(sent.heard[0]?.[0]).toMatchObject({ kind: 'payload_too_large', status: 413, param: 'request_body' });
});

test('a body of exactly the limit passes, one byte more does not', async () => {
  await using exact = await send(1_000, { 'transfer-encoding': 'chunked' }, (client) => client.end(Buffer.alloc(1_000)));
  await using over = await send(1_000, { 'transfer-encoding': 'chunked' }, (client) => client.end(Buffer.alloc(1_001)));
  await eventually(() => exact.heard.length === 1 && over.heard.length === 1);
  expect(exact.heard[0]?.[1]).toHaveLength(1_000);
  expect(over.heard[0]?.[0]).toMatchObject({ status: 413 });
});

test('a chunked body is refused at the limit, told once, and the rest is not kept', async () => {
  await using sent = await send(1_000, { 'transfer-encoding': 'chunked' }, (client) => {
    for (let piece = 0; piece < 5; piece += 1) client.write(Buffer.alloc(600));
    client.end();
  });
  await eventually(() => sent.seen[0]?.complete === true);
  expect(sent.heard).toHaveLength(1);
  expect(sent.heard[0]?.[0]).toMatchObject({ status: 413 });
});

test('a client that leaves in the middle of its body is told nothing and does no harm', async () => {
  await using sent = await send(1_000, { 'content-length': 100 }, (client) => {
    client.write('half');
  });
  await eventually(() => sent.seen.length === 1);
  sent.seen[0]?.socket.destroy();
  await eventually(() => sent.seen[0]?.destroyed === true);
  expect(sent.heard).toEqual([]);
});
