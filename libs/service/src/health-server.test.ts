import { createMetrics, metric } from '@pointsman/telemetry';
import { afterEach, expect, test } from 'vitest';
import { startHealthServer, type HealthReport, type HealthServer } from './health-server.ts';

let server: HealthServer | undefined;
afterEach(async () => {
  await server?.close();
  server = undefined;
});

async function start(status: () => HealthReport) {
  const metrics = createMetrics({ processMetrics: false });
  metrics.counter(metric.SYNC_PASSES).labels('config-sync', 'published').inc();
  server = await startHealthServer({ port: 0, host: '127.0.0.1', path: '/health/config-sync', status, metrics });
  return server.url;
}

test.each([
  ['ok', 200],
  ['degraded', 200],
  ['starting', 503],
  ['failing', 503],
] as const)('the status %s answers %d with the whole report', async (status, code) => {
  const url = await start(() => ({ status, revision: 'r1', consecutive_failures: 2 }));
  for (const path of ['/health/config-sync', '/health/readiness', '/health/config-sync?verbose=1']) {
    const reply = await fetch(`${url}${path}`);
    expect(reply.status).toBe(code);
    expect(await reply.json()).toEqual({ status, revision: 'r1', consecutive_failures: 2 });
  }
});

test('the process is alive as long as it answers, whatever its status', async () => {
  const url = await start(() => ({ status: 'failing' }));
  expect((await fetch(`${url}/health/liveness`)).status).toBe(200);
});

test('metrics are served as Prometheus reads them', async () => {
  const url = await start(() => ({ status: 'ok' }));
  const reply = await fetch(`${url}/metrics`);
  expect(reply.headers.get('content-type')).toBe('text/plain; version=0.0.4; charset=utf-8');
  expect(await reply.text()).toContain('sync_passes_total{app="config-sync",outcome="published"} 1');
});

test('another path is 404, another method 405, a status that throws 500, and the server lives on', async () => {
  const url = await start(() => {
    throw new Error('broken');
  });
  expect((await fetch(`${url}/nothing`)).status).toBe(404);
  expect((await fetch(`${url}/metrics`, { method: 'POST', body: 'x' })).status).toBe(405);
  const reply = await fetch(`${url}/health/config-sync`);
  expect(reply.status).toBe(500);
  expect(await reply.text()).not.toContain('broken');
  expect((await fetch(`${url}/health/liveness`)).status).toBe(200);
});

test('a port that is taken is an error at the start', async () => {
  await start(() => ({ status: 'ok' }));
  await expect(startHealthServer({ port: server?.port ?? 0, host: '127.0.0.1', path: '/health/x', status: () => ({ status: 'ok' }), metrics: createMetrics({ processMetrics: false }) })).rejects.toThrow('EADDRINUSE');
});
