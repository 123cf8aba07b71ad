import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { generateKeyPairSync } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { auditManifestSchema, readAuditPublicKey } from '@pointsman/audit';
import type { SyncHealth } from '@pointsman/schemas';
import { eventually, spawnApp, startObjectStore, startPostgres, startRedis, temporaryDirectory, type RunningPostgres } from '@pointsman/testing';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { exportedLines, openWriters, verified } from './export.fixture.ts';

let postgres: RunningPostgres;
beforeAll(async () => { postgres = await startPostgres(); });
afterAll(() => postgres[Symbol.asyncDispose]());

const quick = { HEALTH_PORT: '0', HEALTH_HOST: '127.0.0.1', AUDIT_EXPORT_INTERVAL: '200ms', POD_NAME: 'pod-1' };
const healthOf = async (app: { readonly url: string }): Promise<SyncHealth & { readonly code: number }> => {
  const response = await fetch(`${app.url}/health/audit-exporter`);
  return { ...(await response.json() as SyncHealth), code: response.status };
};
const metricOf = async (app: { readonly url: string }, sample: string): Promise<number | undefined> => {
  const line = (await (await fetch(`${app.url}/metrics`)).text()).split('\n').find((each) => each.startsWith(`${sample} `));
  return line === undefined ? undefined : Number(line.slice(sample.length + 1));
};

test('rows come to files of their days, encrypted, locked and signed, each once; late rows come to a later file of their day, with a new manifest', async () => {
  await using directory = await temporaryDirectory();
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  const keyFile = join(directory.path, 'signing.pem');
  await writeFile(keyFile, privateKey.export({ type: 'pkcs8', format: 'pem' }));
  const publicKeys = [readAuditPublicKey(String(publicKey.export({ type: 'spki', format: 'pem' })))];
  await using store = await startObjectStore({ buckets: [{ name: 'audit', objectLock: true }] });
  const url = await postgres.createDatabase();
  await using writers = await openWriters(url);
  const first = writers.lines(30, { at: '2026-11-22T23:59:59.990Z' });
  const late = writers.lines(3, { pod: 'gateway-1', at: '2026-11-22T12:00:00.000Z' });
  await writers.append([...first, String(late[0]), String(late[2])]);

  await using app = await spawnApp('audit-exporter', { env: { ...quick, ...store.env, DATABASE_URL: url, AUDIT_BUCKET_URL: 's3://audit/logs', AUDIT_RETENTION_DAYS: '30', AUDIT_SIGNING_KEY: keyFile, AUDIT_PART_ROWS: '10' } });
  const inBucket = { keys: () => store.keys('audit').map((key) => key.slice('logs/'.length)), get: (key: string) => store.get(`logs/${key}`, 'audit') };
  await eventually(async () => expect(await healthOf(app)).toMatchObject({ status: 'ok', code: 200, consecutive_failures: 0, revision: expect.stringMatching(/^[0-9a-f]{12}$/) as string }));
  expect(await exportedLines(inBucket)).toEqual([...first, String(late[0]), String(late[2])].sort());
  expect(new Set(inBucket.keys().map((key) => key.replace(/\d{8}T\d{9}Z/, 'T')))).toEqual(new Set([
    'audit-logs/2026/11/22/audit-T.jsonl', 'audit-logs/2026/11/22/manifest-1.json', 'audit-logs/2026/11/22/manifest-1.json.sig',
    'audit-logs/2026/11/23/audit-T.jsonl', 'audit-logs/2026/11/23/manifest-1.json', 'audit-logs/2026/11/23/manifest-1.json.sig',
  ]));
  const puts = store.requests.filter(({ method }) => method === 'PUT');
  for (const { headers } of puts) {
    expect(headers).toMatchObject({ 'x-amz-server-side-encryption': 'AES256', 'x-amz-object-lock-mode': 'COMPLIANCE', 'if-none-match': '*' });
    const days = (Date.parse(String(headers['x-amz-object-lock-retain-until-date'])) - Date.now()) / 86_400_000;
    expect(Math.round(days)).toBe(30);
  }
  // The middle row of the second chain is not there yet.
  expect((await verified(inBucket, { publicKeys })).problems).toMatchObject([{ kind: 'missing', seq: 2, rows: 1 }]);
  expect(await metricOf(app, 'audit_export_rows_total')).toBe(32);
  expect(await metricOf(app, 'audit_export_failures_total')).toBe(0);
  expect(await metricOf(app, 'sync_last_success_timestamp_seconds{app="audit-exporter"}')).toBeGreaterThan(1_700_000_000);

  // Below the position of the export, as after a standby took over; the other arrives as rows do.
  await postgres.sql(`INSERT INTO pointsman.audit_log (arrival, chain, seq, at, record) SELECT 0, line->>'chain', (line->>'seq')::bigint, (line->>'at')::timestamptz, line FROM (SELECT '${String(late[1])}'::json AS line) given`, url);
  await writers.append(writers.lines(1, { at: '2026-11-23T10:00:00.000Z' }));
  await eventually(() => expect(inBucket.keys()).toContain('audit-logs/2026/11/22/manifest-2.json'));
  await eventually(() => expect(inBucket.keys()).toContain('audit-logs/2026/11/23/manifest-2.json'));
  expect(await verified(inBucket, { publicKeys })).toMatchObject({ problems: [], rows: 34, signed: 4, days: 2 });
  const manifest = auditManifestSchema.parse(JSON.parse(String(await inBucket.get('audit-logs/2026/11/22/manifest-2.json'))));
  expect(manifest).toMatchObject({ rows: 13, number: 2, chains: [{ rows: 10, first: { seq: 1 }, last: { seq: 10 } }, { rows: 3, first: { seq: 1 }, last: { seq: 3 } }] });
  expect(manifest.parts.at(-1)).toMatchObject({ rows: 1, first: { id: (JSON.parse(String(late[1])) as { id: string }).id } });
  expect(app.logs()).toContainEqual(expect.objectContaining({ msg: 'exported', trace_id: expect.stringMatching(/^[0-9a-f]{32}$/) as string }));
  expect(await app.stop()).toBe(0);
}, 300_000);

test('a store that is away or refuses is told of and costs nothing: when it is back everything is there once', async () => {
  await using store = await startObjectStore();
  const url = await postgres.createDatabase();
  await using writers = await openWriters(url);
  await writers.append(writers.lines(50));
  store.fail({ status: 503 });
  await using app = await spawnApp('audit-exporter', { env: { ...quick, ...store.env, DATABASE_URL: url, AUDIT_PART_ROWS: '20' } });
  await eventually(async () => expect((await healthOf(app)).consecutive_failures).toBeGreaterThan(0));
  expect(await metricOf(app, 'audit_export_failures_total')).toBeGreaterThan(0);
  expect(await metricOf(app, 'gateway_degraded_mode{service="s3"}')).toBe(1);
  store.heal();
  const faults = [() => store.fail({ lostReply: true, match: /^PUT/, times: 3 }), () => store.fail({ status: 403, match: /^PUT/, times: 2 }), () => store.fail({ reset: true, times: 4 })];
  for (const fail of faults) {
    fail();
    await writers.append(writers.lines(25));
    await eventually(async () => expect((await writers.database.auditExports.unlistedDays(1)).length + (await writers.database.auditExports.plannedParts(1)).length).toBe(0));
  }
  await eventually(async () => expect(await healthOf(app)).toMatchObject({ status: 'ok', consecutive_failures: 0 }));
  await eventually(async () => expect(await verified(store)).toMatchObject({ problems: [], rows: 125 }));
  await eventually(async () => expect(await metricOf(app, 'gateway_degraded_mode{service="s3"}')).toBe(0), { timeoutMs: 60_000 });
  expect(app.output()).not.toContain(store.secretAccessKey);
}, 300_000);

test.each(['the database', 'Redis'])('two exporters at once, whose turn is kept in %s: each row once', async (where) => {
  await using store = await startObjectStore();
  await using redis = where === 'Redis' ? await startRedis() : undefined;
  const url = await postgres.createDatabase();
  await using writers = await openWriters(url);
  await writers.append(writers.lines(300));
  const env = { ...quick, ...store.env, DATABASE_URL: url, AUDIT_PART_ROWS: '7', ...(redis === undefined ? {} : { REDIS_URL: redis.url }) };
  await using one = await spawnApp('audit-exporter', { env });
  await using two = await spawnApp('audit-exporter', { env: { ...env, POD_NAME: 'pod-2' } });
  for (let n = 0; n < 10; n += 1) await writers.append(writers.lines(30, { pod: `gateway-${String(n % 3)}` }));
  await eventually(async () => expect(await verified(store)).toMatchObject({ problems: [], rows: 600 }));
  for (const app of [one, two]) {
    expect(await metricOf(app, 'audit_export_failures_total')).toBe(0);
    expect(await app.stop()).toBe(0);
  }
}, 300_000);

test('the embedded database of a home is exported by one run that ends with 0; a second run has nothing to do', async () => {
  await using directory = await temporaryDirectory();
  await using store = await startObjectStore();
  const home = join(directory.path, 'home');
  const env = { ...store.env, POINTSMAN_HOME: home, LOG_LEVEL: 'info' };
  expect(await run(['--once'], env)).toMatchObject({ code: 0 });
  expect(store.keys()).toEqual([]);
  const { openEmbeddedDatabase } = await import('@pointsman/database');
  const embedded = await openEmbeddedDatabase({ home, signal: new AbortController().signal });
  {
    await using writers = await openWriters(embedded.url);
    await writers.append(writers.lines(20, { close: true }));
    // While another process keeps the database, as the gateway does.
    expect(await run(['--once'], env)).toMatchObject({ code: 0 });
  }
  await embedded.close();
  expect(await verified(store)).toMatchObject({ problems: [], rows: 21, chains: [{ state: 'closed' }] });
  const keys = store.keys();
  expect(await run(['--once'], env)).toMatchObject({ code: 0 });
  expect(store.keys()).toEqual(keys);
}, 300_000);

test('one run that cannot finish in time says why and ends with 1; wrong settings end with 78; --help is help', async () => {
  await using store = await startObjectStore();
  const url = await postgres.createDatabase();
  await using writers = await openWriters(url);
  await writers.append(writers.lines(5));
  store.fail({ status: 403 });
  const failed = await run(['--once'], { ...store.env, DATABASE_URL: url, AUDIT_EXPORT_ONCE_TIMEOUT: '3s' });
  expect(failed.code).toBe(1);
  expect(failed.output).toMatch(/Not everything was exported within 3000 ms: .*(denied|refuse|403)/i);
  const wrong = await run([], { AUDIT_EXPORT_INTERVAL: 'daily', DATABASE_URL: 'mysql://x' });
  expect(wrong.code).toBe(78);
  for (const name of ['AUDIT_EXPORT_INTERVAL', 'DATABASE_URL', 'AUDIT_BUCKET_URL']) expect(wrong.output).toContain(name);
  expect((await run(['--twice'], { ...store.env })).code).toBe(78);
  const help = await run(['--help'], {});
  expect(help).toMatchObject({ code: 0, output: expect.stringContaining('--once') as string });
}, 300_000);

async function run(args: readonly string[], env: Readonly<Record<string, string>>): Promise<{ readonly code: number | null; readonly output: string }> {
  const root = join(import.meta.dirname, '..', '..', '..');
  const child = spawn(join(root, 'node_modules', '.bin', 'node'), [join(import.meta.dirname, 'main.ts'), ...args], { env: { PATH: process.env['PATH'] ?? '', ...env }, stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text: string) => { output += text; });
  await once(child, 'close');
  return { code: child.exitCode, output };
}
