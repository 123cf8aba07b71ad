import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { eventually, startPostgres, startRedis, temporaryDirectory, type RunningPostgres, type RunningRedis } from '@pointsman/testing';
import { expect } from 'vitest';
import { MASTER_KEY, type GatewayUnderTest } from './gateway-under-test.ts';

/** What several replicas share: one PostgreSQL and one Redis, both real. */
export interface SharedState extends AsyncDisposable {
  readonly postgres: RunningPostgres;
  readonly redis: RunningRedis;
  /** For `startGatewayUnderTest({ env })`: breakers that try again soon, so that a test need not wait a minute. */
  readonly env: Readonly<Record<string, string>>;
}

export const QUICK_RECOVERY = 'breaker: { failures: 5, half_open_after_s: 2 }\n';

export async function startSharedState(degradedMode = QUICK_RECOVERY): Promise<SharedState> {
  const files = await temporaryDirectory();
  const degradedModePath = join(files.path, 'degraded-mode.yaml');
  await writeFile(degradedModePath, degradedMode);
  const [postgres, redis] = await Promise.all([startPostgres(), startRedis()]);
  return {
    postgres,
    redis,
    env: { DATABASE_URL: postgres.url, REDIS_URL: redis.url, DEGRADED_MODE_PATH: degradedModePath },
    [Symbol.asyncDispose]: async () => {
      await Promise.all([postgres[Symbol.asyncDispose](), redis[Symbol.asyncDispose]()]);
      await files[Symbol.asyncDispose]();
    },
  };
}

/** Makes a virtual key and returns it. */
export async function createKey(gateway: GatewayUnderTest, fields: object = {}): Promise<string> {
  const response = await gateway.post('/key/generate', fields);
  const body = await response.json() as { readonly key?: string };
  expect(response.status, JSON.stringify(body)).toBe(200);
  if (body.key === undefined) throw new Error('the reply has no key');
  return body.key;
}

/** The body of an admin route, with its status. */
export async function admin(gateway: GatewayUnderTest, path: string, body?: object): Promise<{ readonly status: number; readonly body: unknown }> {
  const response = body === undefined
    ? await fetch(`${gateway.url}${path}`, { headers: { authorization: `Bearer ${MASTER_KEY}` } })
    : await gateway.post(path, body);
  return { status: response.status, body: await response.json() };
}

/** Waits until a gateway has found its database. */
export async function untilDatabase(gateway: GatewayUnderTest): Promise<void> {
  await eventually(async () => expect((await admin(gateway, '/key/list')).status).toBe(200), { timeoutMs: 60_000 });
}
