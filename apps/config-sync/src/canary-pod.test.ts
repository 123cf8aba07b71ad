import { once } from 'node:events';
import { mkdir, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { configRevision } from '@pointsman/gateway-config';
import { eventually, spawnApp, startRedis, temporaryDirectory } from '@pointsman/testing';
import { expect, test } from 'vitest';
import { healthOf, metricOf, startPod } from './pod.fixture.ts';
import { heartbeatKeys } from './pod-heartbeats.ts';

const STABLE = 'model_list: [] # stable\n';
const CANARY = 'model_list: [] # canary\n';
const revisionOf = (text: string): string => configRevision({ files: [{ path: 'config.yaml', text }] });

test('the only pod takes the canary by its heartbeat, tells the gateway at its url, goes back with the release, and leaves the list at its end', async () => {
  await using redis = await startRedis();
  await using pod = await startPod({ spawnApp, temporaryDirectory });
  await using directory = await temporaryDirectory();
  await mkdir(join(directory.path, 'prod'));
  const put = (name: string, text: string): Promise<void> => writeFile(join(directory.path, 'prod', name), text);
  const release = (percent: number): Promise<void> => put('release.json', JSON.stringify({ stable: { config_key: 'prod/config.yaml' }, canary: { config_key: 'prod/canary.yaml', percent, started_at: '2026-01-01T00:00:00Z', started_by: 'ann' } }));
  await put('config.yaml', STABLE);
  await put('canary.yaml', CANARY);
  await release(1);

  const seen: string[] = [];
  let served: string | null = null;
  const gateway = createServer((request, response) => {
    seen.push(`${String(request.method)} ${String(request.url)} ${String(request.headers.authorization)}`);
    void (async () => {
      if (request.method === 'POST') served = await pod.published();
      response.end(JSON.stringify({ config_revision: served, applied_at: null, models: [] }));
    })();
  }).listen(0, '127.0.0.1');
  await once(gateway, 'listening');
  try {
    const sync = await pod.startConfigSync({
      OBJECT_STORE_URL: `file://${directory.path}`, REDIS_URL: redis.url, RELOAD_URL: `http://127.0.0.1:${String((gateway.address() as AddressInfo).port)}/config/reload`, LITELLM_MASTER_KEY: 'sk-the-master-key',
    });
    const { pods, statuses } = heartbeatKeys('prod/config.yaml');
    await eventually(async () => expect(await healthOf(sync)).toMatchObject({ status: 'ok', revision: revisionOf(CANARY) }));
    expect(served).toBe(revisionOf(CANARY));
    await eventually(async () => expect(JSON.parse(String(await redis.command('HGET', statuses, 'pod-1')))).toMatchObject({ pod: 'pod-1', revision: revisionOf(CANARY), canary: true }));

    // Redis goes away: the pod stays where it is.
    await redis.kill();
    await eventually(async () => expect(await metricOf(sync, 'gateway_degraded_mode{service="redis"}')).toBe(1));
    expect(await healthOf(sync)).toMatchObject({ status: 'ok' });
    await redis.restart();
    await eventually(async () => expect(await redis.command('ZRANGE', pods, '0', '-1')).toEqual(['pod-1']));

    await put('canary.yaml', 'model_lst: []\n');
    await eventually(async () => expect(await healthOf(sync)).toMatchObject({ status: 'ok', code: 200, revision: revisionOf(STABLE), rejected: { reason: expect.stringContaining('model_lst') as string } }));
    await release(0);
    await eventually(async () => expect(await healthOf(sync)).not.toHaveProperty('rejected'));
    expect(served).toBe(revisionOf(STABLE));
    expect(new Set(seen)).toEqual(new Set(['GET /health/config Bearer sk-the-master-key', 'POST /config/reload Bearer sk-the-master-key']));
    expect(sync.output()).not.toContain('sk-the-master-key');
    expect(await sync.stop()).toBe(0);
    expect(await redis.command('ZRANGE', pods, '0', '-1')).toEqual([]);
  } finally {
    gateway.closeAllConnections();
    gateway.close();
  }
}, 180_000);
