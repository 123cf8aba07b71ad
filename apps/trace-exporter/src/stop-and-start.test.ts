import { execFile } from 'node:child_process';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { eventually, spawnApp, startObjectStore, temporaryDirectory } from '@pointsman/testing';
import { describe, expect, test } from 'vitest';
import { feedbackSpan, metricOf, post, requestSpan, rowsOf, traces } from './exporter.fixture.ts';

const main = join(import.meta.dirname, 'main.ts');

function run(args: readonly string[], env: Readonly<Record<string, string>>): Promise<{ readonly code: number; readonly output: string }> {
  return new Promise((resolve) => {
    execFile(process.execPath, [main, ...args], { env: { PATH: process.env['PATH'] ?? '', ...env } }, (error, stdout) => resolve({ code: typeof error?.code === 'number' ? error.code : 0, output: stdout }));
  });
}

test('a stop writes everything that is there, without waiting for feedback; what the store refuses is written by the next start', async () => {
  await using store = await startObjectStore();
  await using directory = await temporaryDirectory();
  const env = {
    ...store.env, OTLP_PORT: '0', HEALTH_PORT: '0', HEALTH_HOST: '127.0.0.1', SPOOL_DIR: directory.path, FLUSH_INTERVAL: '1h', JOIN_WINDOW: '1d', POD_NAME: 'pod-1',
  };
  const ids = async (): Promise<string[]> => (await rowsOf(store)).map(({ request_id: id, outcome }) => `${id} ${String(outcome.feedback_score ?? '')}`).sort();
  const first = await spawnApp('trace-exporter', { env });
  expect((await post(first.url, traces(requestSpan({ requestId: 'a' }), requestSpan({ requestId: 'b' })))).status).toBe(200);
  expect((await post(first.url, traces(feedbackSpan({ requestId: 'b' })))).status).toBe(200);
  expect(store.keys()).toEqual([]);
  expect(await first.stop()).toBe(0);
  expect(await ids()).toEqual(['a ', 'b 0.5']);
  expect(store.keys()).toHaveLength(1);

  const second = await spawnApp('trace-exporter', { env });
  expect((await post(second.url, traces(requestSpan({ requestId: 'c' })))).status).toBe(200);
  await second.stop('SIGKILL');
  store.fail({ reset: true });
  await using third = await spawnApp('trace-exporter', { env: { ...env, JOIN_WINDOW: '0', FLUSH_INTERVAL: '100ms' } });
  const healthUrl = String(third.logs().find(({ msg }) => msg === 'listening')?.['health_url']);
  expect(await metricOf(healthUrl, 'trace_spool_rows')).toBe(1);
  await eventually(async () => expect(await (await fetch(`${healthUrl}/health/trace-exporter`)).json()).toMatchObject({ status: 'degraded' }));
  store.heal();
  await eventually(async () => expect(await ids()).toEqual(['a ', 'b 0.5', 'c ']));
  await eventually(async () => expect(await metricOf(healthUrl, 'trace_spool_bytes')).toBe(0));
  expect((await readdir(join(directory.path, 'traces'))).filter((name) => !name.endsWith('.seen'))).toEqual([]);
  expect(await third.stop()).toBe(0);
}, 120_000);

describe('the command', () => {
  test('explains itself', async () => {
    expect(await run(['--help'], {})).toMatchObject({ code: 0, output: expect.stringContaining('TRACES_BUCKET_URL') as string });
  });

  test('ends with 78 and lists everything that is wrong', async () => {
    const { code, output } = await run([], { OTLP_PORT: 'x', FLUSH_INTERVAL: 'y' });
    expect(code).toBe(78);
    for (const variable of ['OTLP_PORT', 'FLUSH_INTERVAL', 'TRACES_BUCKET_URL']) expect(output).toContain(variable);
    expect((await run(['--once'], { TRACES_BUCKET_URL: 'file:///tmp/nowhere' })).code).toBe(78);
  });
});
