import { startPostgres, type RunningPostgres } from '@pointsman/testing';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { connectDatabase } from './connect-database.ts';
import type { ConnectedDatabase } from './database.ts';
import type { ModelDeployment } from './model-deployments.ts';

const { signal } = new AbortController();
let postgres: RunningPostgres;
let database: ConnectedDatabase;
beforeAll(async () => {
  postgres = await startPostgres();
  database = connectDatabase({ url: await postgres.createDatabase(), applicationName: 'test' });
  await database.migrate(signal);
});
afterAll(async () => {
  await database.close();
  await postgres[Symbol.asyncDispose]();
});

test('deployments come back as they were written, newest first, of one model', async () => {
  const row = (change: Partial<ModelDeployment>): ModelDeployment => ({
    model: 'knn', version: 'v2', digest: 'a'.repeat(64), environment: 'prod', percent: 5, action: 'start', actor: 'ada', reason: "it's \"new\"", from: 'v1', to: 'v1', at: '2026-11-23T10:00:00.000Z', ...change,
  });
  const rows = [row({}), row({ action: 'promote', percent: 100, to: 'v2', at: '2026-11-23T11:00:00.000Z' }), row({ action: 'rollback', version: 'v3', percent: 0, digest: null, from: null, to: null, at: '2026-11-23T11:30:00.000Z' })];
  for (const each of rows) await database.modelDeployments.add(each);
  await database.modelDeployments.add(row({ model: 'svm' }));
  expect(await database.modelDeployments.list('knn', 10)).toEqual(rows.toReversed());
  expect(await database.modelDeployments.list('knn', 1)).toEqual([rows[2]]);
  expect(await database.modelDeployments.list('nobody', 10)).toEqual([]);
});

test('a share outside 0 to 100 percent is refused', async () => {
  await expect(database.modelDeployments.add({ model: 'knn', version: 'v2', digest: null, environment: 'prod', percent: 101, action: 'stage', actor: 'a', reason: '', from: null, to: null, at: '2026-11-23T10:00:00.000Z' })).rejects.toThrow();
});
