import { eventually, startPostgres, startRedisCluster, startRedisSentinel, startSteadyLoad } from '@pointsman/testing';
import { expect, test } from 'vitest';
import { startBilledUpstream } from './billed-upstream.ts';
import { question, startGatewayUnderTest } from './gateway-under-test.ts';
import { createKey, untilDatabase } from './shared-state.ts';

test.each([['Sentinel', startRedisSentinel], ['Cluster', startRedisCluster]] as const)('the master of a Redis %s dies under load: no request fails, and limits are exact again', async (_name, startServers) => {
  await using redis = await startServers();
  await using postgres = await startPostgres();
  await using provider = await startBilledUpstream();
  await using gateway = await startGatewayUnderTest({ config: { model_list: provider.modelList }, env: { DATABASE_URL: postgres.url, REDIS_URL: redis.url } });
  await untilDatabase(gateway);
  const key = await createKey(gateway, { rpm_limit: 1_000_000, tpm_limit: 1_000_000_000 });
  const load = startSteadyLoad({ url: gateway.url, requestsPerSecond: 100, headers: { authorization: `Bearer ${key}` }, body: () => ({ model: 'whole', ...question }) });
  await eventually(() => load.succeeded() > 100);
  await redis.killMaster();
  const before = load.succeeded();
  await eventually(async () => {
    expect(load.succeeded()).toBeGreaterThan(before + 500);
    expect(await gateway.metric('gateway_degraded_mode', { service: 'redis' })).toBe(0);
  }, { timeoutMs: 90_000 });
  const { failures } = await load.stop();
  expect(failures).toEqual([]);

  const limited = await createKey(gateway, { rpm_limit: 10 });
  const statuses = await Promise.all(Array.from({ length: 30 }, async () => {
    const response = await gateway.post('/v1/chat/completions', { model: 'whole', ...question }, { headers: { authorization: `Bearer ${limited}` } });
    await response.text();
    return response.status;
  }));
  expect(statuses.filter((status) => status === 200)).toHaveLength(10);
}, 240_000);
