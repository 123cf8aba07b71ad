import { once } from 'node:events';
import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect, test } from 'vitest';
import { eventually } from './eventually.ts';
import { startSteadyLoad } from './steady-load.ts';

const CHUNK = 'data: {"choices":[{"index":0,"delta":{"content":"x"},"finish_reason":null}]}\n\n';
const FINISH = 'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n';
const DONE = 'data: [DONE]\n\n';

async function serve(answer: (request: { stream: boolean; index: number }, reply: Parameters<RequestListener>[1]) => void): Promise<AsyncDisposable & { url: string; connections: () => number }> {
  let connections = 0;
  let index = 0;
  const server: Server = createServer((request, response) => {
    let text = '';
    request.setEncoding('utf8').on('data', (chunk: string) => (text += chunk)).on('end', () => {
      answer({ stream: (JSON.parse(text) as { stream?: boolean }).stream === true, index }, response);
      index += 1;
    });
  }).on('connection', () => (connections += 1)).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    connections: () => connections,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

test('a load that gets whole answers reports no failure, mixes the kinds and keeps its connections', async () => {
  const kinds = { json: 0, stream: 0 };
  await using server = await serve(({ stream }, reply) => {
    kinds[stream ? 'stream' : 'json'] += 1;
    reply.end(stream ? CHUNK + FINISH + DONE : '{"choices":[{}]}');
  });
  const load = startSteadyLoad({ url: server.url, requestsPerSecond: 200, streamShare: 0.25 });
  await eventually(() => expect(load.succeeded()).toBeGreaterThanOrEqual(40));
  const report = await load.stop();
  expect(report.failures).toEqual([]);
  expect(report.succeeded).toBe(report.sent);
  expect(report.statuses.get(200)).toBe(report.sent);
  expect(kinds.stream).toBe(Math.floor(report.sent * 0.25));
  expect(server.connections()).toBeLessThan(report.sent);
});

test('a load ends by itself after its duration', async () => {
  await using server = await serve((_, reply) => reply.end('{"choices":[{}]}'));
  const report = await startSteadyLoad({ url: server.url, requestsPerSecond: 100, streamShare: 0, durationMs: 100 }).done;
  expect(report.sent).toBeGreaterThan(0);
  expect(report.failures).toEqual([]);
});

test('every way an answer can be less than whole is a failure with its reason', async () => {
  const answers: ((reply: Parameters<RequestListener>[1]) => void)[] = [
    (reply) => reply.end(CHUNK),
    (reply) => reply.end(`${CHUNK}data: {"error":{"message":"x"}}\n\n`),
    (reply) => reply.end(CHUNK + DONE),
    (reply) => void reply.writeHead(503).end('{"error":{"message":"draining"}}'),
    (reply) => reply.write(CHUNK, () => reply.destroy()),
    (reply) => reply.destroy(),
  ];
  await using server = await serve(({ index }, reply) => (answers[index] ?? ((last) => last.end(CHUNK + FINISH + DONE)))(reply));
  const load = startSteadyLoad({ url: server.url, requestsPerSecond: 100, streamShare: 1 });
  await eventually(() => expect(load.succeeded()).toBeGreaterThanOrEqual(2));
  const { failures, sent, succeeded } = await load.stop();
  expect(sent - succeeded).toBe(6);
  const reasons = failures.map(({ reason }) => reason).join('\n');
  expect(reasons).toMatch(/truncated: the stream ended after 1 frames/);
  expect(reasons).toMatch(/error frame/);
  expect(reasons).toMatch(/without a finish reason/);
  expect(reasons).toMatch(/status 503/);
  expect(failures.filter(({ reason }) => /SocketError|terminated|closed|aborted/i.test(reason))).toHaveLength(2);
  expect(failures.find(({ status }) => status === 503)?.body).toContain('draining');
});
