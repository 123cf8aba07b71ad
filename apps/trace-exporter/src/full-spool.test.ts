import { eventually, spawnApp, startObjectStore, temporaryDirectory } from '@pointsman/testing';
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { metricOf, post, requestSpan, rowsOf, traces } from './exporter.fixture.ts';

test('with the store away and the spool full the oldest rows give way and are counted; back again, everything that is left is written', async () => {
  await using store = await startObjectStore();
  await using directory = await temporaryDirectory();
  store.fail({ status: 503 });
  const maxBytes = 256 * 1024;
  await using app = await spawnApp('trace-exporter', {
    env: {
      ...store.env, TRACES_BUCKET_URL: `s3://${store.bucket}`, OTLP_PORT: '0', HEALTH_PORT: '0', HEALTH_HOST: '127.0.0.1', SPOOL_DIR: directory.path,
      SPOOL_MAX_BYTES: String(maxBytes), FLUSH_INTERVAL: '100ms', JOIN_WINDOW: '0',
    },
  });
  const healthUrl = String(app.logs().find(({ msg }) => msg === 'listening')?.['health_url']);
  const dropped = (): Promise<number> => metricOf(healthUrl, 'trace_rows_dropped_total{reason="spool_full"}');
  expect(await dropped()).toBe(0);
  let sent = 0;
  const send = async (): Promise<void> => {
    const spans = Array.from({ length: 20 }, (_, index) => requestSpan({ requestId: `r-${String(sent + index).padStart(6, '0')}` }));
    expect((await post(app.url, traces(...spans))).status).toBe(200);
    sent += spans.length;
  };
  while (await dropped() < 200) {
    await send();
    const files = await readdir(join(directory.path, 'traces'));
    const sizes = await Promise.all(files.map(async (file) => (await stat(join(directory.path, 'traces', file)).catch(() => ({ size: 0 }))).size));
    expect(sizes.reduce((sum, size) => sum + size, 0)).toBeLessThanOrEqual(maxBytes);
  }
  await eventually(async () => expect(await (await fetch(`${healthUrl}/health/trace-exporter`)).json()).toMatchObject({ status: 'degraded', spool: { max_bytes: maxBytes } }));
  expect(await metricOf(healthUrl, 'gateway_degraded_mode{service="s3"}')).toBe(1);
  store.heal();
  await eventually(async () => expect(await metricOf(healthUrl, 'trace_spool_rows')).toBe(0));
  const lost = await dropped();
  const written = (await rowsOf(store)).map(({ request_id: id }) => id);
  expect(written.length + lost).toBe(sent);
  expect(new Set(written).size).toBe(written.length);
  // Those that are left are the newest; besides, perhaps, the object that was under way when its file gave way, and arrived all the same.
  const objects = (await Promise.all(store.keys().map((key) => rowsOf({ keys: () => [key], get: (name) => store.get(name) })))).map((found) => found.map(({ request_id: id }) => id)).sort();
  const newest = objects.slice(1).flat().sort();
  expect(newest.length).toBeGreaterThan(0);
  expect(newest).toEqual(Array.from({ length: newest.length }, (_, index) => `r-${String(sent - newest.length + index).padStart(6, '0')}`));
  expect(await (await fetch(`${healthUrl}/health/trace-exporter`)).json()).toMatchObject({ status: 'ok', consecutive_failures: 0 });
  expect(await metricOf(healthUrl, 'trace_exporter_rows_total{outcome="written"}')).toBe(written.length);
}, 120_000);
