import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DEFAULT_DEGRADED_MODE, type DegradedMode } from '@pointsman/gateway-config';
import { startTelemetry } from '@pointsman/telemetry';
import { temporaryDirectory } from '@pointsman/testing';
import { expect, test } from 'vitest';
import { followDegradedMode } from './follow-degraded-mode.ts';

async function setUp(directory: string) {
  const path = join(directory, 'degraded-mode.yaml');
  const lines: string[] = [];
  const adopted: DegradedMode[] = [];
  const { logger } = startTelemetry({ serviceName: 'test', serviceVersion: '0', logLevel: 'info', processMetrics: false, writeLine: (line) => void lines.push(line) });
  const follower = followDegradedMode({ path, logger, onChange: (mode) => void adopted.push(mode) });
  await follower.check();
  const messages = (): unknown[] => lines.map((line) => (JSON.parse(line) as { msg: unknown }).msg);
  return { path, follower, adopted, lines, messages };
}

test('without a file the defaults hold, silently', async () => {
  await using directory = await temporaryDirectory();
  const { follower, messages } = await setUp(directory.path);
  expect(follower.current).toBe(DEFAULT_DEGRADED_MODE);
  expect(messages()).toEqual([]);
});

test('a new file counts when it is next looked at; a bad one changes nothing and is told once; mending it is told too', async () => {
  await using directory = await temporaryDirectory();
  const { path, follower, adopted, messages, lines } = await setUp(directory.path);
  const write = async (text: string): Promise<void> => {
    await writeFile(path, text);
    await follower.check();
    await follower.check();
  };
  await write('on_redis_down: { rate_limits: local }\n');
  expect(follower.current.rateLimitsWithoutRedis).toBe('local');
  await write('on_redis_down: { rate_limit: local }\n');
  expect(follower.current.rateLimitsWithoutRedis).toBe('local');
  expect(lines.at(-1)).toContain('rate_limit');
  await rm(path);
  await follower.check();
  await follower.check();
  expect(follower.current.rateLimitsWithoutRedis).toBe('local');
  await write('fallback_key_ttl_s: 60\n');
  expect(follower.current.fallbackKeyTtlMs).toBe(60_000);
  expect(messages()).toEqual(['degraded mode applied', 'degraded mode file rejected', 'degraded mode file rejected', 'degraded mode applied']);
  expect(adopted).toHaveLength(2);
});
