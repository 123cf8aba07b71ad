import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { eventually } from '@pointsman/testing';
import { expect, test } from 'vitest';
import { createForwarder } from './forward-otlp.ts';
import type { OtlpRequest } from './receive-otlp.ts';

const request = (text: string): OtlpRequest => ({ signal: 'traces', body: Buffer.from(text), contentType: 'application/x-protobuf', contentEncoding: 'gzip' });

async function startCollector(answer: () => number) {
  const received: { readonly path: string; readonly headers: Record<string, unknown>; readonly body: string }[] = [];
  const server = createServer((req, res) => {
    let body = '';
    req.on('data', (chunk: Buffer) => (body += chunk.toString()));
    req.on('end', () => {
      const status = answer();
      if (status === 200) received.push({ path: req.url ?? '', headers: req.headers, body });
      if (status > 0) res.writeHead(status).end();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    endpoint: `http://127.0.0.1:${String((server.address() as AddressInfo).port)}/base/`, received,
    [Symbol.dispose]: () => {
      server.closeAllConnections();
      server.close();
    },
  };
}

test('passes requests on byte for byte, again after 503, not after 400', async () => {
  const statuses = [503, 200, 400, 200];
  using collector = await startCollector(() => statuses.shift() ?? 200);
  const outcomes: string[] = [];
  const forwarder = createForwarder({ endpoint: collector.endpoint, headers: { authorization: 'Bearer x' }, onOutcome: (_, outcome) => outcomes.push(outcome), random: () => 0 });
  forwarder.add(request('one'));
  await eventually(() => expect(outcomes).toEqual(['ok']));
  forwarder.add(request('two'));
  await eventually(() => expect(outcomes).toEqual(['ok', 'failed']));
  forwarder.add(request('three'));
  await forwarder.close(AbortSignal.timeout(10_000));
  expect(outcomes).toEqual(['ok', 'failed', 'ok']);
  expect(collector.received.map(({ body }) => body)).toEqual(['one', 'three']);
  expect(collector.received[0]).toMatchObject({ path: '/base/v1/traces', headers: { authorization: 'Bearer x', 'content-type': 'application/x-protobuf', 'content-encoding': 'gzip' } });
});

test('a collector that hangs costs what does not fit into the queue, and no time; a stop does not wait for it', async () => {
  using collector = await startCollector(() => 0);
  const outcomes: string[] = [];
  const forwarder = createForwarder({ endpoint: collector.endpoint, headers: {}, onOutcome: (_, outcome) => outcomes.push(outcome), maxQueuedBytes: 30 });
  for (let count = 0; count < 5; count += 1) forwarder.add(request('ten bytes!'));
  expect(outcomes).toEqual(['queue_full', 'queue_full']);
  expect(forwarder.queuedBytes).toBe(30);
  const stop = new AbortController();
  const closed = forwarder.close(stop.signal);
  stop.abort();
  await closed;
  expect(outcomes).toEqual(['queue_full', 'queue_full', 'failed', 'failed', 'failed']);
  expect(forwarder.queuedBytes).toBe(0);
});
