import type { IncomingHttpHeaders } from 'node:http';
import type { AddressInfo } from 'node:net';
import { pipeline } from 'node:stream/promises';
import express from 'express';
import { Pool } from 'undici';

/**
 * The least that an Express proxy can do: no parsing, no checks, bytes in and bytes out.
 * Arguments: the upstream's URL, and how replies are passed on: `stream` (undici writes into the response) or `pipeline` (node:stream).
 */
const [, , upstreamUrl = '', way = 'stream'] = process.argv;
const upstream = new Pool(upstreamUrl, { connections: 128, pipelining: 1 });
const app = express().disable('x-powered-by').disable('etag');

const endToEnd = ({ connection: _connection, 'keep-alive': _keepAlive, 'transfer-encoding': _transferEncoding, ...headers }: IncomingHttpHeaders): IncomingHttpHeaders => headers;

app.post('/v1/chat/completions', async (request, response) => {
  const { 'content-type': contentType = 'application/json', 'content-length': contentLength } = request.headers;
  const call = {
    method: 'POST',
    path: request.originalUrl,
    headers: { 'content-type': contentType, authorization: 'Bearer sk-upstream', ...(contentLength === undefined ? {} : { 'content-length': contentLength }) },
    body: request,
  } as const;
  if (way === 'stream') {
    await upstream.stream({ ...call, opaque: response }, ({ statusCode, headers }) => response.writeHead(statusCode, endToEnd(headers)));
    return;
  }
  const reply = await upstream.request(call);
  response.writeHead(reply.statusCode, endToEnd(reply.headers));
  // An error after the head can only cut the reply: `pipeline` destroys both sides.
  await pipeline(reply.body, response).catch(() => undefined);
});

const server = app.listen(0, '127.0.0.1', () => {
  const { port } = server.address() as AddressInfo;
  console.log(JSON.stringify({ msg: 'listening', url: `http://127.0.0.1:${port}` }));
});
process.on('SIGTERM', () => process.exit(0));
