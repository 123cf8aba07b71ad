import { expect, test } from 'vitest';
import { compilePrincipal } from '../access/compile-principal.ts';
import { FakeDatabase, keyAccess, keyRow, userRow } from '../access/key-access.fixture.ts';
import { digestKey, type KeyStore } from '../access/key-store.ts';
import { limitRefused } from '../access/limit-replies.ts';
import { chatConfig, startFakeGateway, TEST_KEY } from '../fake-gateway.fixture.ts';
import type { AuditSink } from '../record/audit-sink.ts';

type Denied = Parameters<AuditSink['denied']>[0];

function auditInto(denied: Denied[]): AuditSink {
  return { record: () => undefined, denied: (event) => void denied.push(event) };
}

/** One key with these columns, and nobody else. */
function keysOf(change: Parameters<typeof keyRow>[1], role = 'internal_user'): KeyStore {
  const principal = compilePrincipal(keyAccess(keyRow(TEST_KEY, { key_alias: 'tests', user_id: 'u1', ...change }), { user: userRow({ user_role: role }) }), 0);
  return { hasKeys: true, find: (digest) => (digest.equals(digestKey(TEST_KEY)) ? principal : undefined) };
}

test('every refusal of access is in the audit log once, with who, what, why and from where', async () => {
  const denied: Denied[] = [];
  await using gateway = await startFakeGateway(chatConfig(['a']), { audit: auditInto(denied), keys: keysOf({ models: ['other'] }) });
  expect((await gateway.chat({}, { headers: { authorization: 'Bearer sk-nobody-has-this' } })).status).toBe(401);
  expect((await gateway.chat({}, { headers: { authorization: '' } })).status).toBe(401);
  expect((await gateway.chat({}, { headers: { 'x-request-id': 'req-7' } })).status).toBe(401);
  expect((await fetch(`${gateway.url}/health`, { headers: { authorization: `Bearer ${TEST_KEY}` } })).status).toBe(403);
  expect((await gateway.chat({ model: 'nope' })).status).toBe(400);
  expect(denied.map(({ actor, resource, reason }) => [actor, resource, reason])).toEqual([
    ['anonymous', 'route:/v1/chat/completions', 'unknown_key'], ['anonymous', 'route:/v1/chat/completions', 'no_key'],
    ['key:tests', 'model:chat', 'model_denied'], ['key:tests', 'route:/health', 'route_denied'],
  ]);
  expect(denied[2]).toMatchObject({ requestId: 'req-7', traceId: expect.stringMatching(/^[0-9a-f]{32}$/) as string, ip: expect.stringContaining('127.0.0.1') as string });
  expect(JSON.stringify(denied)).not.toMatch(/sk-nobody/);
});

test('a key that may only call models is refused elsewhere before its body is read, and a viewer reads what admins see', async () => {
  await using narrow = await startFakeGateway(chatConfig(['a']), { keys: keysOf({ allowed_routes: ['info_routes'] }, 'proxy_admin') });
  const refused = await narrow.chat();
  expect(refused.status).toBe(403);
  expect(await refused.json()).toMatchObject({ error: { message: expect.stringContaining('Virtual key is not allowed to call this route') as string, code: '403' } });
  await using viewed = await startFakeGateway(chatConfig(['a']), { keys: keysOf({}, 'proxy_admin_viewer') });
  expect((await fetch(`${viewed.url}/health`, { headers: { authorization: `Bearer ${TEST_KEY}` } })).status).toBe(200);
});

test('/v1/models lists what the key may use', async () => {
  await using gateway = await startFakeGateway(chatConfig(['a']), { keys: keysOf({ models: ['other'] }) });
  const listed = await fetch(`${gateway.url}/v1/models`, { headers: { authorization: `Bearer ${TEST_KEY}` } });
  expect(await listed.json()).toMatchObject({ data: [] });
});

test('a refusal by a limit carries its headers, and is no denied access', async () => {
  const denied: Denied[] = [];
  const error = limitRefused({ scope: 'key:x', check: { kind: 'window', name: 'requests', limit: 5, amount: 1, windowMs: 60_000 }, remaining: 0, resetMs: 12_300 }, undefined, 1_700_000_000_000);
  await using gateway = await startFakeGateway(chatConfig(['a']), { limits: { admit: () => error }, audit: auditInto(denied) });
  const response = await gateway.chat();
  expect(response.status).toBe(429);
  expect(Object.fromEntries(response.headers)).toMatchObject({ 'retry-after': '13', rate_limit_type: 'requests', reset_at: '2023-11-14 22:13:32 UTC', 'x-ratelimit-limit-requests': '5', 'x-ratelimit-remaining-requests': '0' });
  expect(denied).toEqual([]);
});

test('readiness stays 200 while something is away, and says what', async () => {
  const database = new FakeDatabase();
  await using gateway = await startFakeGateway(chatConfig(['a']), { database });
  const ready = async (): Promise<unknown> => {
    const response = await fetch(`${gateway.url}/health/readiness`);
    return { status: response.status, body: await response.json() };
  };
  expect(await ready()).toMatchObject({ status: 200, body: { status: 'healthy', db: 'connected' } });
  database.isAway = true;
  expect(await ready()).toMatchObject({ status: 200, body: { status: 'healthy', db: 'disconnected' } });
});
