import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { expect, test } from 'vitest';
import { createGatewayReader } from './read-gateways.ts';

const { signal } = new AbortController();
const METRICS = 'gateway_requests_total{route="/v1/chat/completions",model="chat",provider="p",status="503"} 4\ngateway_failed_requests_total{route="/v1/chat/completions",model="chat",reason="upstream"} 4\ngateway_config_info{revision="0123456789ab"} 1\n';

type Page = string | number | ((request: IncomingMessage, response: ServerResponse) => void);

async function serve(pages: Readonly<Record<string, Page>>): Promise<AsyncDisposable & { readonly url: string; readonly port: number }> {
  const server = createServer((request, response) => {
    const page = pages[request.url ?? ''] ?? 404;
    if (typeof page === 'function') page(request, response);
    else if (typeof page === 'number') response.writeHead(page).end('{}');
    else response.end(page);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return {
    port, url: `http://127.0.0.1:${String(port)}`,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

test('every replica is read by itself; one that is gone, hangs or answers nonsense is unknown and stops nobody', async () => {
  await using good = await serve({ '/metrics': METRICS, '/health/readiness': '{"status":"healthy","config_revision":"0123456789ab"}' });
  await using hanging = await serve({ '/metrics': () => undefined, '/health/readiness': () => undefined });
  await using refusing = await serve({ '/metrics': 401 });
  const gone = 'http://127.0.0.1:1';
  const reader = createGatewayReader({ gateways: { kind: 'list', urls: [good.url, hanging.url, refusing.url, gone] }, timeoutMs: 1_500 });
  expect(await reader.read(signal)).toEqual([
    { replica: good.url, revision: '0123456789ab', isReady: true, counters: { startedAt: undefined, requests: 4, failed: 4 } },
    { replica: hanging.url, problem: 'no answer within 1.5 s' },
    { replica: refusing.url, problem: expect.stringContaining('/metrics answers 401') as string },
    { replica: gone, problem: expect.stringContaining('fetch failed') as string },
  ]);
});

test('a replica that drains is not ready, and one without metrics of its revision tells it by its readiness', async () => {
  await using draining = await serve({ '/metrics': METRICS, '/health/readiness': 503 });
  await using plain = await serve({ '/metrics': '', '/health/readiness': '{"config_revision":"ba9876543210"}' });
  const reader = createGatewayReader({ gateways: { kind: 'list', urls: [draining.url, plain.url] } });
  expect(await reader.read(signal)).toMatchObject([{ isReady: false, revision: '0123456789ab' }, { isReady: true, revision: 'ba9876543210' }]);
});

test('with the master key a replica tells its models and what it refused; a wrong key costs only that', async () => {
  const report = { config_revision: '0123456789ab', applied_at: '2026-11-23T10:00:00Z', models: [{ name: 'knn', version: 'v1', revision: 'v1-ab', applied_at: '2026-11-23T10:00:00Z' }], last_rejected: { at: '2026-11-23T11:00:00Z', revision: 'ffffffffffff', reason: 'model_list' } };
  await using gateway = await serve({
    '/metrics': METRICS, '/health/readiness': '{}',
    '/health/config': ({ headers }, response) => { response.writeHead(headers.authorization === 'Bearer sk-right' ? 200 : 401).end(JSON.stringify(report)); },
  });
  const gateways = { kind: 'list', urls: [gateway.url] } as const;
  expect(await createGatewayReader({ gateways, adminKey: 'sk-right' }).read(signal)).toMatchObject([{ models: report.models, appliedAt: report.applied_at, lastRejected: { revision: 'ffffffffffff', reason: 'model_list' } }]);
  const [reading] = await createGatewayReader({ gateways, adminKey: 'sk-wrong' }).read(signal);
  expect(reading).toMatchObject({ revision: '0123456789ab' });
  expect(reading).not.toHaveProperty('models');
});

test('a name is resolved for every look; while that fails, those known before are asked', async () => {
  await using gateway = await serve({ '/metrics': METRICS, '/health/readiness': '{}' });
  let addresses: readonly string[] | Error = ['127.0.0.1'];
  const reader = createGatewayReader({
    gateways: { kind: 'dns', host: 'gateways', port: gateway.port }, timeoutMs: 500,
    resolve: () => (addresses instanceof Error ? Promise.reject(addresses) : Promise.resolve(addresses)),
  });
  expect(await reader.read(signal)).toMatchObject([{ replica: gateway.url, revision: '0123456789ab' }]);
  addresses = ['127.0.0.1', '::1'];
  expect((await reader.read(signal)).map(({ replica }) => replica)).toEqual([gateway.url, `http://[::1]:${String(gateway.port)}`]);
  addresses = new Error('SERVFAIL');
  expect(await reader.read(signal)).toMatchObject([{ revision: '0123456789ab' }, {}]);
  addresses = [];
  expect(await reader.read(signal)).toEqual([{ replica: 'gateways', problem: 'has no address' }]);
});

test('a name is resolved by the system, and one that is none says so', async () => {
  await using gateway = await serve({ '/metrics': METRICS, '/health/readiness': '{}' });
  const readings = await createGatewayReader({ gateways: { kind: 'dns', host: 'localhost', port: gateway.port } }).read(signal);
  expect(readings).toContainEqual(expect.objectContaining({ replica: gateway.url, revision: '0123456789ab' }));
  expect(await createGatewayReader({ gateways: { kind: 'dns', host: 'nowhere.invalid', port: 1 } }).read(signal)).toEqual([{ replica: 'nowhere.invalid', problem: expect.stringContaining('cannot be resolved') as string }]);
});

test('a caller that stops is not kept waiting', async () => {
  await using hanging = await serve({ '/metrics': () => undefined });
  const controller = new AbortController();
  const read = createGatewayReader({ gateways: { kind: 'list', urls: [hanging.url] } }).read(controller.signal);
  controller.abort(new Error('enough'));
  await expect(read).rejects.toThrow('enough');
});
