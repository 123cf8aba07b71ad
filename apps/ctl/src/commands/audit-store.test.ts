import { execFile } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { cp, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { AuditChain } from '@pointsman/audit';
import { connectDatabase } from '@pointsman/database';
import { startPostgres, temporaryDirectory, type RunningPostgres, type TemporaryDirectory } from '@pointsman/testing';
import { systemClock } from '@pointsman/timing';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { runCommand } from '../run-command.ts';

const root = join(import.meta.dirname, '..', '..', '..', '..');
const ROWS = 60;
let postgres: RunningPostgres;
let directory: TemporaryDirectory;
let url: string;

beforeAll(async () => {
  postgres = await startPostgres();
  directory = await temporaryDirectory();
  url = await postgres.createDatabase();
  const database = connectDatabase({ url, applicationName: 'test' });
  await database.migrate(new AbortController().signal);
  const chain = new AuditChain({ pod: 'gateway-0', clock: systemClock });
  await database.audit.append(Array.from({ length: ROWS }, (_, n) => chain.next({ actor: 'master', action: 'key.update', resource: `key:${String(n)}` })));
  await database.close();
  await mkdir(join(directory.path, 'store'));
  const keys = generateKeyPairSync('ed25519');
  await writeFile(join(directory.path, 'private.pem'), keys.privateKey.export({ type: 'pkcs8', format: 'pem' }));
  await writeFile(join(directory.path, 'public.pem'), keys.publicKey.export({ type: 'spki', format: 'pem' }));
  await writeFile(join(directory.path, 'other.pem'), generateKeyPairSync('ed25519').publicKey.export({ type: 'spki', format: 'pem' }));
  await promisify(execFile)(join(root, 'node_modules', '.bin', 'node'), [join(root, 'apps', 'audit-exporter', 'src', 'main.ts'), '--once'], {
    env: { PATH: process.env['PATH'] ?? '', DATABASE_URL: url, AUDIT_BUCKET_URL: `file://${directory.path}/store`, AUDIT_PART_ROWS: '20', AUDIT_EXPORT_ONCE_TIMEOUT: '40', AUDIT_SIGNING_KEY: join(directory.path, 'private.pem') },
  });
}, 60_000);

afterAll(async () => {
  await directory[Symbol.asyncDispose]();
  await postgres[Symbol.asyncDispose]();
});

interface Files {
  readonly store: string;
  readonly folder: string;
  /** In the order they were written. */
  readonly parts: readonly string[];
}

/** A copy of the store that a test may spoil. */
async function copyOfStore(name: string): Promise<Files> {
  const store = join(directory.path, name);
  await cp(join(directory.path, 'store'), store, { recursive: true });
  const found = (await readdir(store, { recursive: true })).filter((path) => path.endsWith('.jsonl')).sort();
  const first = String(found[0]);
  return { store: `file://${store}`, folder: join(store, first, '..'), parts: found.map((path) => join(store, path)) };
}

async function verify(...args: readonly string[]): Promise<{ readonly code: number; readonly text: string }> {
  const out: string[] = [];
  const code = await runCommand(['audit', 'verify', ...args], { env: {}, columns: undefined, print: (text) => out.push(text), printError: (text) => out.push(text) });
  return { code, text: out.join('\n') };
}

async function edit(file: string, change: (lines: string[]) => string[]): Promise<void> {
  const lines = (await readFile(file, 'utf8')).trimEnd().split('\n');
  await writeFile(file, `${change(lines).join('\n')}\n`);
}

test('an export is verified by its manifests, its signatures and the ledger, and compared with the database row by row', async () => {
  const { store } = await copyOfStore('whole');
  const result = await verify('--store', store, '--database', url, '--public-key', join(directory.path, 'other.pem'), join(directory.path, 'public.pem'));
  expect(result.text).toContain('60 rows of 1 chain in 3 files of 1 day, listed by 1 manifest, 1 of them signed');
  expect(result.text).toContain('60 exported rows compared with the database');
  expect(result.text).toContain('Nothing is wrong.');
  expect(result.code).toBe(0);
  const json = await verify('--store', store, '--json');
  expect(JSON.parse(json.text)).toMatchObject({ sound: true, logs: [], store: { url: store, rows: 60, parts: 3, problem_count: 0 } });
});

test.each([
  ['a row that was edited', 'edited', 'row 25', async ({ parts }: Files) => edit(String(parts[1]), (lines) => lines.map((line, index) => (index === 4 ? line.replace('"actor":"master"', '"actor":"nobody"') : line)))],
  ['a row that was removed', 'missing', 'row 33', async ({ parts }: Files) => edit(String(parts[1]), (lines) => lines.toSpliced(12, 1))],
  ['rows that changed places', 'reordered', 'row 2', async ({ parts }: Files) => edit(String(parts[0]), ([one = '', two = '', three = '', ...rest]) => [one, three, two, ...rest])],
  ['a file that was removed', 'part-missing', 'file', async ({ parts }: Files) => rm(String(parts[2]))],
  ['a manifest that was forged', 'manifest-forged', 'file', async ({ folder }: Files) => edit(join(folder, 'manifest-1.json'), ([line = '']) => [line.replace('"rows":60', '"rows":61')])],
  ['a manifest that was removed', 'manifest-missing', 'file', async ({ folder }: Files) => rm(join(folder, 'manifest-1.json'))],
])('%s is found and named', async (_name, kind, where, spoil) => {
  const files = await copyOfStore(`spoilt-${kind}`);
  await spoil(files);
  const { code, text } = await verify('--store', files.store, '--public-key', join(directory.path, 'public.pem'), '--json');
  expect(code).toBe(1);
  const { store } = JSON.parse(text) as { store: { problems: { kind: string; seq: number; file: string }[] } };
  const found = store.problems.find((problem) => problem.kind === kind);
  expect(found).toBeDefined();
  expect(found?.seq === 0 ? 'file' : `row ${String(found?.seq)}`).toBe(where);
  expect((await verify('--store', files.store, '--public-key', join(directory.path, 'public.pem'))).text).toContain('The audit log is not as it was written.');
});

test('what was cut off at the end without a trace is found by the ledger', async () => {
  const { store, folder } = await copyOfStore('cut');
  await rm(folder, { recursive: true });
  expect((await verify('--store', store)).code).toBe(0);
  const { code, text } = await verify('--store', store, '--database', url);
  expect(code).toBe(1);
  expect(text).toMatch(/manifest-missing +The ledger in the database says/);
});

test('days, keys and stores that cannot be meant are refused in words', async () => {
  const { store } = await copyOfStore('refused');
  for (const [args, words] of [
    [['--from', '2026-11-01'], '--from, --to and --public-key are for --store'],
    [['--store', store, '--from', 'monday'], '--from expects a day such as 2026-11-30'],
    [['--store', store, '--from', '2026-11-02', '--to', '2026-11-01'], '--from is after --to'],
    [['--store', store, '--public-key', join(directory.path, 'private.pem')], 'is no PEM of a public key'],
    [['--store', store, '--public-key', '/nowhere.pem'], 'cannot read /nowhere.pem'],
    [['--store', 'ftp://x'], 'An object store URL starts with'],
    [['--store'], 'no object store is named'],
  ] as const) {
    const { code, text } = await verify(...args);
    expect(code, text).toBe(1);
    expect(text).toContain(words);
  }
  expect((await verify('--store', store, '--from', '2000-01-01', '--to', '2000-01-02')).text).toContain('There are no audit rows.');
});
