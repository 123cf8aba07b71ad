import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { AuditChain, CHAIN_ACTIONS } from '@pointsman/audit';
import { connectDatabase } from '@pointsman/database';
import { startPostgres, temporaryDirectory, type RunningPostgres, type TemporaryDirectory } from '@pointsman/testing';
import { ManualClock } from '@pointsman/timing';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { runCommand } from '../run-command.ts';

const { signal } = new AbortController();
let postgres: RunningPostgres;
let folder: TemporaryDirectory;
beforeAll(async () => {
  [postgres, folder] = await Promise.all([startPostgres(), temporaryDirectory()]);
});
afterAll(() => Promise.all([postgres[Symbol.asyncDispose](), folder[Symbol.asyncDispose]()]));

async function run(argv: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<{ code: number; out: string; errors: string }> {
  const out: string[] = [];
  const errors: string[] = [];
  const code = await runCommand(['audit', 'verify', ...argv], { env, columns: undefined, print: (text) => out.push(text), printError: (text) => errors.push(text) });
  return { code, out: out.join('\n'), errors: errors.join('\n') };
}

/** Rows of one replica as a gateway writes them, with contents that a database likes to change. */
function rowsOf(pod: string, count: number, isClosed = true): string[] {
  const chain = new AuditChain({ pod, clock: new ManualClock(Date.UTC(2026, 10, 23, 10)) });
  const event = { actor: 'master', resource: 'key:ab' };
  return [
    chain.next({ ...event, action: CHAIN_ACTIONS.opened, after: { previous: [] } }),
    ...Array.from({ length: count - 2 }, (_, index) => chain.next({ ...event, action: 'key.update', before: { max_budget: 1e-7 * index, z: '\0 \ud800 "', a: [1.5e300, null, true] }, after: { name: `Ärger 🙂 ${String(index)}` }, ip: '::1' })),
    chain.next({ ...event, action: isClosed ? CHAIN_ACTIONS.closed : 'key.delete', after: { rows: count } }),
  ];
}

async function stored(...batches: readonly string[][]): Promise<string> {
  const url = await postgres.createDatabase();
  const database = connectDatabase({ url, applicationName: 'test' });
  await database.migrate(signal);
  for (const lines of batches) await database.audit.append(lines, signal);
  await database.close();
  return url;
}

/** As somebody who may do everything in the database. */
async function tamper(url: string, statement: string): Promise<void> {
  await postgres.sql(`ALTER TABLE pointsman.audit_log DISABLE TRIGGER ALL; ${statement}; ALTER TABLE pointsman.audit_log ENABLE TRIGGER ALL`, url);
}

async function file(name: string, lines: readonly string[]): Promise<string> {
  const path = join(folder.path, name);
  const text = lines.map((line) => `${line}\n`).join('');
  await writeFile(path, name.endsWith('.gz') ? gzipSync(text) : text);
  return path;
}

test('rows of several replicas that went through a real database, over many pages, are found whole', async () => {
  const [red, blue] = [rowsOf('red', 1_203), rowsOf('blue', 40, false)];
  const url = await stored(red.slice(0, 600), blue, red.slice(600));
  const { code, out } = await run([], { DATABASE_URL: url });
  expect([code, out]).toEqual([0, expect.stringContaining('Nothing is wrong.')]);
  expect(out).toMatch(/^127\.0\.0\.1:\d+\/test_\d+: 1243 rows in 2 chains$/m);
  expect(out).toMatch(/red\/[0-9a-f]{16} +1203 +1203 +closed/);
  expect(out).toMatch(/blue\/[0-9a-f]{16} +40 +40 +open/);
});

test('the log takes no change of a row, nor of its order, by whoever only has its rights', async () => {
  const url = await stored(rowsOf('red', 5));
  for (const statement of ['UPDATE pointsman.audit_log SET arrival = arrival + 100', 'UPDATE pointsman.audit_log SET seq = seq + 9', 'DELETE FROM pointsman.audit_log', 'TRUNCATE pointsman.audit_log']) {
    await expect(postgres.sql(statement, url)).rejects.toThrow('append-only');
  }
  expect((await run(['--database', url])).code).toBe(0);
});

test.each([
  ['a row that was edited', `UPDATE pointsman.audit_log SET record = replace(record::text, '"actor":"master"', '"actor":"nobody"')::json WHERE seq = 4`, /red\/\w+ +4 +edited +Its content does not match its hash/],
  ['a row that was removed', 'DELETE FROM pointsman.audit_log WHERE seq = 4', /red\/\w+ +4 +missing +This row is gone/],
  ['several rows that were removed', 'DELETE FROM pointsman.audit_log WHERE seq BETWEEN 2 AND 4', /red\/\w+ +2 +missing +Rows 2 to 4 are gone/],
  ['a row that was moved', 'UPDATE pointsman.audit_log SET arrival = 1000 WHERE seq = 4', /red\/\w+ +4 +reordered/],
  ['a row that stands there twice', `INSERT INTO pointsman.audit_log (chain, seq, at, record) SELECT chain, 99, at, record FROM pointsman.audit_log WHERE seq = 4`, /red\/\w+ +4 +duplicate/],
  ['a row that was replaced by no row', `UPDATE pointsman.audit_log SET record = '7' WHERE seq = 4`, /- +0 +edited +This row is no audit row/],
])('%s by somebody who may do everything is found', async (_what, statement, problem) => {
  const url = await stored(rowsOf('red', 8));
  await tamper(url, statement);
  const { code, out } = await run(['--database', url]);
  expect(code).toBe(1);
  expect(out).toMatch(problem);
  expect(out).toMatch(/The audit log is not as it was written\.$/);
});

test('files are one log in the order given, packed or not; part of a log needs --partial', async () => {
  const rows = rowsOf('red', 30);
  const first = await file('1.jsonl', rows.slice(0, 10));
  const second = await file('2.jsonl.gz', rows.slice(10));
  expect(await run([first, second])).toMatchObject({ code: 0, out: expect.stringContaining('2 files: 30 rows in 1 chain') as string });
  expect((await run([second, first])).out).toMatch(/reordered/);
  expect(await run([second])).toMatchObject({ code: 1, out: expect.stringContaining('Rows 1 to 10 are gone') as string });
  expect((await run([second, '--partial'])).code).toBe(0);
  const { code, out } = await run(['--json', first, second, second]);
  expect([code, JSON.parse(out)]).toMatchObject([1, { sound: false, logs: [{ rows: 50, problem_count: 20, problems: expect.arrayContaining([expect.objectContaining({ seq: 11, kind: 'duplicate' })]) as unknown }] }]);
});

test('a line that is no JSON is named with its place; a file that ends too early, or is not there, says so', async () => {
  const rows = rowsOf('red', 4);
  const broken = await file('broken.jsonl', [...rows.slice(0, 2), '{"half', ...rows.slice(2)]);
  expect(await run([broken])).toMatchObject({ code: 1, out: expect.stringContaining(`${broken}:3`) as string });
  const cut = join(folder.path, 'cut.jsonl.gz');
  await writeFile(cut, gzipSync(rows.join('\n')).subarray(0, -12));
  expect(await run([cut])).toMatchObject({ code: 1, errors: expect.stringMatching(/cannot read .*cut\.jsonl\.gz.*unexpected end of file/) as string });
  expect(await run([join(folder.path, 'nowhere')])).toMatchObject({ code: 1, errors: expect.stringContaining('ENOENT') as string });
});

test('files and a database are compared: a log that was written anew to its end, or lost it, is found', async () => {
  const rows = rowsOf('red', 6);
  const exported = await file('all.jsonl', rows);
  const url = await stored(rows);
  expect(await run(['--database', url, exported])).toMatchObject({ code: 0, out: expect.stringContaining('6 exported rows compared with the database') as string });

  await tamper(url, 'DELETE FROM pointsman.audit_log WHERE seq = 6');
  expect((await run(['--database', url])).code).toBe(0);
  expect((await run(['--database', url, exported])).out).toMatch(/red\/\w+ +6 +missing +It was exported and is not in the database/);

  // The same chain with another end, every hash right.
  const chain = (JSON.parse(String(rows[0])) as { chain: string }).chain;
  const anew = rowsOf('red', 6, false).map((line) => JSON.parse(line) as { chain: string });
  const url2 = await stored(anew.map((row) => JSON.stringify(row)));
  const renamed = await file('renamed.jsonl', anew.map((row, index) => (index === 5 ? JSON.stringify({ ...JSON.parse(String(rows[5])) as object, chain: row.chain }) : JSON.stringify(row))));
  expect(chain).not.toBe(anew[0]?.chain);
  expect((await run(['--database', url2, renamed, '--json'])).out).toMatch(/holds another row under this number/);
});

test('a database that no gateway has used, is away or is not named says what to do, and no password is shown', async () => {
  expect(await run(['--database', await postgres.createDatabase()])).toMatchObject({ code: 1, errors: expect.stringContaining('no Pointsman gateway has used this database yet') as string });
  const away = await run(['--database', 'postgres://somebody:hunter2@127.0.0.1:1/x']);
  expect([away.code, away.errors]).toEqual([1, expect.stringMatching(/127\.0\.0\.1:1\/x: .*ECONNREFUSED/)]);
  const odd = await run(['--database', 'postgres://somebody:hunter2#@host:x/y']);
  expect([odd.code, odd.errors]).toEqual([1, expect.stringContaining('--database expects postgres://')]);
  expect(`${away.errors}${odd.errors}`).not.toContain('hunter2');
  expect((await run([], { DATABASE_URL: 'none' })).errors).toContain('--database');
  expect((await run([], { POINTSMAN_HOME: join(folder.path, 'no-home') })).errors).toContain('no embedded database');
});
