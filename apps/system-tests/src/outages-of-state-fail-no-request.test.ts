import { setTimeout as sleep } from 'node:timers/promises';
import { eventually, startSteadyLoad } from '@pointsman/testing';
import { expect, test } from 'vitest';
import { startBilledUpstream } from './billed-upstream.ts';
import { question, startGatewayUnderTest, type GatewayUnderTest } from './gateway-under-test.ts';
import { readUntil } from './read-until.ts';
import { createKey, startSharedState, untilDatabase } from './shared-state.ts';

/** Long enough that caches of seconds would be found out. */
const KILLED_MS = 30_000;
const FROZEN_MS = 12_000;

async function degraded(gateway: GatewayUnderTest, service: 'redis' | 'postgres'): Promise<number> {
  return gateway.metric('gateway_degraded_mode', { service });
}

/** Opens a stream and leaves after its third word. */
async function leaveMidway(gateway: GatewayUnderTest, key: string): Promise<void> {
  const leaving = new AbortController();
  const response = await gateway.post('/v1/chat/completions', { model: 'left-by-client', stream: true, ...question }, { headers: { authorization: `Bearer ${key}` }, signal: leaving.signal });
  expect(response.status).toBe(200);
  await readUntil(response, 'three');
  leaving.abort();
}

/** Asks for a stream that its provider cuts: an error frame, never a stop. */
async function getCut(gateway: GatewayUnderTest, key: string): Promise<void> {
  const response = await gateway.post('/v1/chat/completions', { model: 'cut-by-provider', stream: true, ...question }, { headers: { authorization: `Bearer ${key}` } });
  const text = await response.text();
  expect(text).toContain('three');
  expect(text).toContain('"error"');
  expect(text).not.toContain('[DONE]');
}

test('Redis and PostgreSQL killed and frozen under load: no known key is refused, the gauges follow, and the ledger agrees with the provider to the cent', async () => {
  await using state = await startSharedState();
  await using provider = await startBilledUpstream();
  await using gateway = await startGatewayUnderTest({ config: { model_list: provider.modelList, router_settings: { num_retries: 0, disable_cooldowns: true, breaker: { failures: 1000 } } }, env: state.env });
  await untilDatabase(gateway);
  // With limits, so that Redis is asked every time; high ones, so that none is met.
  const key = await createKey(gateway, { rpm_limit: 1_000_000, tpm_limit: 1_000_000_000, max_budget: 1_000_000 });
  const authorization = `Bearer ${key}`;
  const load = startSteadyLoad({ url: gateway.url, requestsPerSecond: 100, headers: { authorization }, body: () => ({ model: 'whole', ...question }) });
  await eventually(() => load.succeeded() > 100);

  /** While it is away, streams are also cut at both ends, and a key nobody has seen stays out. */
  const whileAway = async (service: 'redis' | 'postgres', ms: number): Promise<void> => {
    const since = performance.now();
    await eventually(async () => expect(await degraded(gateway, service)).toBe(1), { timeoutMs: 20_000 });
    for (let round = 0; round < 3; round += 1) {
      await leaveMidway(gateway, key);
      await getCut(gateway, key);
    }
    const unknown = await gateway.post('/v1/chat/completions', { model: 'whole', ...question }, { headers: { authorization: 'Bearer sk-nobody-knows-this-key-0001' } });
    expect(unknown.status).toBe(401);
    expect((await gateway.get('/health/readiness')).status).toBe(200);
    await sleep(Math.max(0, ms - (performance.now() - since)));
  };
  const backAgain = async (service: 'redis' | 'postgres'): Promise<void> => eventually(async () => expect(await degraded(gateway, service)).toBe(0), { timeoutMs: 60_000 });

  await state.redis.kill();
  await whileAway('redis', KILLED_MS);
  await state.redis.restart();
  await backAgain('redis');

  await state.postgres.kill();
  await whileAway('postgres', KILLED_MS);
  await state.postgres.restart();
  await backAgain('postgres');

  state.redis.freeze();
  await whileAway('redis', FROZEN_MS);
  state.redis.thaw();
  await backAgain('redis');

  state.postgres.freeze();
  await whileAway('postgres', FROZEN_MS);
  state.postgres.thaw();
  await backAgain('postgres');

  const report = await load.stop();
  expect(report.failures).toEqual([]);
  expect(report.sent).toBeGreaterThan(5_000);
  await eventually(async () => {
    const [[total, rows, distinct] = []] = await state.postgres.sql('select sum(spend), count(*), count(distinct id) from pointsman.spend_logs');
    expect(Number(rows)).toBe(provider.upstream.calls.length);
    expect(distinct).toBe(rows);
    expect(Number(total)).toBeCloseTo(provider.servedUsd(), 6);
  }, { timeoutMs: 60_000 });
  // One line for each change and service, not one for each request.
  const noise = gateway.logs().filter(({ level }) => level === 'warn' || level === 'error');
  expect(noise.length, JSON.stringify(noise.slice(0, 40), null, 1)).toBeLessThan(60);
}, 300_000);
