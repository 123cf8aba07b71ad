import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { AppError } from '@pointsman/errors';
import { Command, CommanderError } from 'commander';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { addKeys } from './keys.ts';

/** A gateway that answers what a test says and remembers what it was asked. */
let server: Server;
let url = '';
let answer: { status: number; body: unknown } = { status: 200, body: {} };
let asked: { method: string; path: string; authorization: string | undefined; body: unknown }[] = [];

beforeAll(async () => {
  server = createServer((req, res) => {
    const chunks: Buffer[] = [];
    req.on('data', (chunk: Buffer) => chunks.push(chunk));
    req.on('end', () => {
      const text = Buffer.concat(chunks).toString('utf8');
      asked.push({ method: req.method ?? '', path: req.url ?? '', authorization: req.headers.authorization, body: text === '' ? undefined : JSON.parse(text) });
      res.writeHead(answer.status, { 'content-type': 'application/json' });
      res.end(typeof answer.body === 'string' ? answer.body : JSON.stringify(answer.body));
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  url = `http://127.0.0.1:${String((server.address() as AddressInfo).port)}`;
});
afterAll(async () => {
  server.close();
  server.closeAllConnections();
  await once(server, 'close');
});
beforeEach(() => { asked = []; });

async function run(argv: readonly string[], { env = { LITELLM_MASTER_KEY: 'sk-the-master' } as Record<string, string>, to = url } = {}): Promise<{ code: number; out: string; error: string }> {
  const out: string[] = [];
  const program = new Command('pointsman').exitOverride().configureOutput({ writeOut: (text) => { out.push(text); }, writeErr: () => undefined });
  addKeys(program, { env, columns: undefined, print: (text) => out.push(text), printError: () => undefined, fail: () => undefined });
  try {
    await program.parseAsync(['keys', ...argv, ...(to === '' ? [] : ['--url', to])], { from: 'user' });
    return { code: 0, out: out.join('\n'), error: '' };
  } catch (error) {
    if (error instanceof AppError) return { code: 1, out: out.join('\n'), error: error.message };
    if (error instanceof CommanderError) return { code: error.exitCode, out: out.join('\n'), error: error.message };
    throw error;
  }
}

const HASH = 'ab'.repeat(32);
const KEY = { token: HASH, key_name: 'sk-...cdef', key_alias: 'ci', spend: 1.5, max_budget: 5, budget_duration: '30d', rpm_limit: 10, tpm_limit: null, max_parallel_requests: null, models: ['auto'], team_id: 'red', user_id: null, expires: null, blocked: false };

test('list asks for whole objects and prints a table', async () => {
  answer = { status: 200, body: { keys: [KEY, { ...KEY, key_alias: 'evil\u001b[2J', blocked: true }], total_count: 120, current_page: 1, total_pages: 2 } };
  const { code, out } = await run(['list', '--team', 'red & blue']);
  expect(code).toBe(0);
  expect(asked).toEqual([{ method: 'GET', path: '/key/list?return_full_object=true&page=1&size=100&team_id=red+%26+blue', authorization: 'Bearer sk-the-master', body: undefined }]);
  expect(out).toMatch(/ALIAS +KEY +SPENT +LIMITS +TEAM +USER +STATE +HASH/);
  expect(out).toMatch(new RegExp(`ci +sk-...cdef +\\$1.5000 of \\$5 per 30d +10 rpm +red +- +active +${HASH}`));
  expect(out).toContain('evil?[2J');
  expect(out).toMatch(/blocked/);
  expect(out).toContain('Page 1 of 2, 120 keys in all');
});

test('an empty list says how to make a key', async () => {
  answer = { status: 200, body: { keys: [], total_count: 0, current_page: 1, total_pages: 0 } };
  expect((await run(['list'])).out).toBe('No keys. "pointsman keys generate" makes one.');
});

test('generate sends what is set by the gateway\'s names and prints the key first', async () => {
  answer = { status: 200, body: { ...KEY, key: 'sk-brand-new' } };
  const { out } = await run(['generate', '--alias', 'ci', '--models', 'auto, gpt-4o', '--max-budget', '5', '--budget-duration', '30d', '--duration', '7d', '--rpm', '10', '--tpm', '1000', '--parallel', '2', '--team', 'red', '--user', 'u', '--budget', 'b', '--tags', 'a,b', '--metadata', '{"a":1}', '--key', 'sk-brand-new']);
  expect(asked[0]).toMatchObject({ method: 'POST', path: '/key/generate', body: { key: 'sk-brand-new', key_alias: 'ci', models: ['auto', 'gpt-4o'], max_budget: 5, budget_duration: '30d', duration: '7d', rpm_limit: 10, tpm_limit: 1000, max_parallel_requests: 2, team_id: 'red', user_id: 'u', budget_id: 'b', tags: ['a', 'b'], metadata: { a: 1 } } });
  expect(out.split('\n')[0]).toBe('sk-brand-new');
  expect(out).toContain('not shown again');
});

test('update takes a limit away with none, and refuses to do nothing', async () => {
  answer = { status: 200, body: KEY };
  await run(['update', HASH, '--rpm', 'none', '--max-budget', '0']);
  expect(asked[0]?.body).toEqual({ key: HASH, rpm_limit: null, max_budget: 0 });
  expect(await run(['update', HASH])).toMatchObject({ code: 1, error: expect.stringContaining('nothing to change') as string });
  expect(await run(['update', HASH, '--rpm', 'many'])).toMatchObject({ code: 1, error: '--rpm expects a number or "none", not "many"' });
  expect(await run(['update', HASH, '--metadata', '{'])).toMatchObject({ code: 1, error: expect.stringContaining('--metadata expects a JSON object') as string });
  expect(asked).toHaveLength(1);
});

test('info sends the hash of a key, never the key: addresses end up in logs', async () => {
  answer = { status: 200, body: { key: HASH, info: KEY } };
  const { out } = await run(['info', 'sk-a-secret-of-mine']);
  expect(asked[0]?.path).toMatch(/^\/key\/info\?key=[0-9a-f]{64}$/);
  expect(out).toMatch(/models +auto/);
});

test('block, unblock, delete and regenerate', async () => {
  answer = { status: 200, body: { ...KEY, key: 'sk-rotated' } };
  expect((await run(['block', HASH])).out).toContain('Blocked');
  expect((await run(['unblock', HASH])).out).toContain('Unblocked');
  expect((await run(['delete', HASH, '--alias', 'a,b'])).out).toBe('Deleted 3 keys.');
  expect((await run(['regenerate', HASH, '--grace-period', '24h'])).out).toMatch(/^sk-rotated\n/);
  expect(asked.map(({ path, body }) => [path, body])).toEqual([
    ['/key/block', { key: HASH }], ['/key/unblock', { key: HASH }], ['/key/delete', { keys: [HASH], key_aliases: ['a', 'b'] }], ['/key/regenerate', { key: HASH, grace_period: '24h' }],
  ]);
  expect((await run(['delete'])).error).toContain('which keys?');
});

test('--json prints the reply as it is', async () => {
  answer = { status: 200, body: { keys: [KEY], total_count: 1 } };
  expect(JSON.parse((await run(['list', '--json'])).out)).toEqual(answer.body);
});

test.each([
  [401, { error: { message: 'Authentication Error', type: 'token_not_found_in_db' } }, 'check LITELLM_MASTER_KEY or --master-key'],
  [403, { error: { message: 'Only the master key.', type: 'permission_error' } }, 'proxy_admin'],
  [404, { error: { message: 'Key not found in database.', type: 'invalid_request_error' } }, 'pointsman keys list'],
  [404, { error: { message: 'Not Found' } }, 'is it a Pointsman gateway'],
  [400, { error: { message: 'No connected db.', type: 'no_db_connection' } }, 'DATABASE_URL'],
  [400, { error: { message: "Invalid value for 'key'.\u001b[2J" } }, "Invalid value for 'key'.?[2J"],
  [503, { error: { message: 'The database is away.' } }, 'Try again'],
  [200, '<html>', 'not as a gateway does: check --url'],
])('a refusal with %i says what to do next', async (status, body, words) => {
  answer = { status, body };
  const { code, error } = await run(['block', HASH]);
  expect([code, error]).toEqual([1, expect.stringContaining(words)]);
  expect(error).not.toContain('sk-the-master');
});

test('nobody there, no key, no address: each says what to do', async () => {
  expect((await run(['list'], { to: 'http://127.0.0.1:9' })).error).toMatch(/cannot reach a gateway at http:\/\/127\.0\.0\.1:9 .*--url/);
  expect((await run(['list'], { env: {} })).error).toContain('set LITELLM_MASTER_KEY or pass --master-key');
  expect((await run(['list'], { to: 'localhost:4000' })).error).toContain('--url expects http://host:port');
  expect(asked).toEqual([]);
});

test('the key of the command line wins over the environment\'s, and help shows neither', async () => {
  answer = { status: 200, body: { keys: [] } };
  await run(['list', '--master-key', 'sk-another']);
  expect(asked[0]?.authorization).toBe('Bearer sk-another');
  const { out, code } = await run(['generate', '--help'], { to: '' });
  expect([code, out.includes('--max-budget'), out.includes('sk-the-master')]).toEqual([0, true, false]);
});
