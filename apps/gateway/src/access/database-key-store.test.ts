import { DEFAULT_DEGRADED_MODE, type DegradedMode } from '@pointsman/gateway-config';
import { ManualClock } from '@pointsman/timing';
import { expect, test } from 'vitest';
import { DatabaseKeyStore } from './database-key-store.ts';
import { FakeDatabase, keyAccess, keyRow, teamRow, tokenOf } from './key-access.fixture.ts';
import { digestKey, MasterKeyStore } from './key-store.ts';

const KEY = 'sk-known-0123456789';
const digest = digestKey(KEY);

function setUp(mode: Partial<DegradedMode> = {}) {
  const clock = new ManualClock();
  const database = new FakeDatabase();
  database.put(keyAccess(keyRow(KEY, { key_alias: 'known' })));
  const store = new DatabaseKeyStore({ master: new MasterKeyStore('sk-master'), database, clock, degradedMode: () => ({ ...DEFAULT_DEGRADED_MODE, ...mode }) });
  return { clock, database, store };
}

async function drained(): Promise<void> {
  for (let turn = 0; turn < 20; turn += 1) await Promise.resolve();
}

test('a key in memory is found at once and without a question', async () => {
  const { store, database } = setUp();
  const first = store.find(digest);
  expect(first).toBeInstanceOf(Promise);
  const principal = await first;
  expect(principal).toMatchObject({ keyHash: tokenOf(KEY), keyAlias: 'known', role: 'user' });
  expect(store.find(digest)).toBe(principal);
  expect(database.asked).toHaveLength(1);
});

test('the master key needs no database', () => {
  const { store, database } = setUp();
  database.isAway = true;
  expect(store.find(digestKey('sk-master'))).toMatchObject({ role: 'admin' });
  expect(database.asked).toEqual([]);
});

test('after a minute a key is asked for in the background, and serves meanwhile', async () => {
  const { store, database, clock } = setUp();
  const before = await store.find(digest);
  database.put(keyAccess(keyRow(KEY, { key_alias: 'renamed' })));
  clock.advance(59_999);
  expect(store.find(digest)).toBe(before);
  expect(database.asked).toHaveLength(1);
  clock.advance(1);
  expect(store.find(digest)).toBe(before);
  expect(store.find(digest)).toBe(before);
  await drained();
  expect(database.asked).toHaveLength(2);
  expect(store.find(digest)).toMatchObject({ keyAlias: 'renamed' });
});

test('a key that was not used for long is asked for before it is used', async () => {
  const { store, database, clock } = setUp();
  await store.find(digest);
  database.rows.clear();
  clock.advance(600_000);
  expect(await store.find(digest)).toBeUndefined();
});

test('requests that come together ask once', async () => {
  const { store, database } = setUp();
  const found = await Promise.all(Array.from({ length: 50 }, () => store.find(digest)));
  expect(new Set(found).size).toBe(1);
  expect(database.asked).toHaveLength(1);
});

test('an unknown key is remembered for a moment, and any change may have made it', async () => {
  const { store, database, clock } = setUp();
  const unknown = digestKey('sk-unknown');
  expect(await store.find(unknown)).toBeUndefined();
  expect(store.find(unknown)).toBeUndefined();
  expect(database.asked).toHaveLength(1);
  database.put(keyAccess(keyRow('sk-unknown')));
  store.changed([tokenOf('sk-another')]);
  expect(await store.find(unknown)).toMatchObject({ keyHash: tokenOf('sk-unknown') });
  expect(await store.find(digestKey('sk-nobody'))).toBeUndefined();
  clock.advance(3_000);
  await store.find(digestKey('sk-nobody'));
  expect(database.asked.filter((token) => token === tokenOf('sk-nobody'))).toHaveLength(2);
});

test('a flood of made-up keys asks few questions at once, lets no more than 2,000 wait, and is forgotten', async () => {
  const { store, database } = setUp();
  const { promise: gate, resolve: open } = Promise.withResolvers<void>();
  database.gate = gate;
  const flood = Array.from({ length: 5_000 }, (_, index) => Promise.resolve(store.find(digestKey(`sk-made-up-${String(index)}`))).then(() => 'unknown', (error: unknown) => error));
  await drained();
  expect(database.running).toBe(4);
  open();
  const answers = await Promise.all(flood);
  expect(database.mostRunning).toBe(4);
  const refused = answers.filter((answer) => answer !== 'unknown');
  expect(refused.length).toBeGreaterThanOrEqual(2_900);
  expect(refused[0]).toMatchObject({ status: 503, code: 'key_lookups_busy', retryAfterMs: 1_000 });
  expect(store.size).toBe(0);
});

test('a known key is served at once through a flood of unknown ones', async () => {
  const { store, database, clock } = setUp();
  const principal = await store.find(digest);
  database.gate = new Promise(() => undefined);
  for (let index = 0; index < 100; index += 1) Promise.resolve(store.find(digestKey(`sk-made-up-${String(index)}`))).catch(() => undefined);
  clock.advance(60_000);
  expect(store.find(digest)).toBe(principal);
});

test.each([['by its name', [tokenOf(KEY)]], ['as any may have', undefined]])('a known key that changed, %s, is asked for before a flood of made-up ones, which stands in line behind it', async (_how, changed) => {
  const { store, database } = setUp();
  await store.find(digest);
  database.gate = new Promise(() => undefined);
  for (let index = 0; index < 1_000; index += 1) Promise.resolve(store.find(digestKey(`sk-made-up-${String(index)}`))).catch(() => undefined);
  await drained();
  database.gate = Promise.resolve();
  store.changed(changed);
  expect(await store.find(digest)).toMatchObject({ keyAlias: 'known' });
  expect(database.asked.at(-1)).toBe(tokenOf(KEY));
});

test('a key that was deleted has no slot reserved once the database has said so', async () => {
  const { store, database } = setUp();
  await store.find(digest);
  database.rows.clear();
  store.changed([tokenOf(KEY)]);
  expect(await store.find(digest)).toBeUndefined();
  store.changed([]);
  database.gate = new Promise(() => undefined);
  for (let index = 0; index < 10; index += 1) Promise.resolve(store.find(digestKey(`sk-made-up-${String(index)}`))).catch(() => undefined);
  Promise.resolve(store.find(digest)).catch(() => undefined);
  await drained();
  expect(database.running).toBe(4);
});

test('a deleted key is refused from the change on, also when an old answer is still under way', async () => {
  const { store, database } = setUp();
  await store.find(digest);
  database.rows.clear();
  store.changed([tokenOf(KEY)]);
  expect(await store.find(digest)).toBeUndefined();

  database.put(keyAccess(keyRow(KEY)));
  store.changed(undefined);
  const { promise: gate, resolve: open } = Promise.withResolvers<void>();
  database.gate = gate;
  const early = store.find(digest);
  await drained();
  database.rows.clear();
  store.changed([tokenOf(KEY)]);
  open();
  await early;
  expect(await store.find(digest)).toBeUndefined();
});

test('when anything may have changed, every key is asked for before it is used again', async () => {
  const { store, database } = setUp();
  await store.find(digest);
  database.put(keyAccess(keyRow(KEY, { team_id: 't1' }), { team: teamRow({ blocked: true }) }));
  store.changed(undefined);
  await expect(store.find(digest)).rejects.toMatchObject({ status: 401, message: expect.stringContaining('Team=t1 is blocked') as string, details: { denied: 'blocked' } });
});

test('the old name of a rotated key works until its grace is over, is booked on the new one, and goes with it', async () => {
  const { store, database, clock } = setUp();
  const old = digestKey('sk-old');
  database.put(keyAccess(keyRow(KEY), { grace_until: new Date(clock.now() + 10_000) }), tokenOf('sk-old'));
  expect(await store.find(old)).toMatchObject({ keyHash: tokenOf(KEY) });
  clock.advance(10_000);
  expect(store.find(old)).toBeUndefined();

  database.put(keyAccess(keyRow(KEY), { grace_until: new Date(clock.now() + 60_000) }), tokenOf('sk-old'));
  store.changed([tokenOf(KEY)]);
  await store.find(old);
  database.rows.clear();
  store.changed([tokenOf(KEY)]);
  expect(await store.find(old)).toBeUndefined();
});

test.each([
  ['expired', { expires: new Date(1_700_000_000_000) }, { status: 401, type: 'expired_key', message: expect.stringMatching(/^Authentication Error - Expired Key\. Key Expiry time .* and current time /) as string, details: { denied: 'expired_key' } }],
  ['blocked', { blocked: true }, { status: 401, message: expect.stringContaining('Key is blocked') as string, details: { denied: 'blocked' } }],
])('a key that is %s is refused and said why, from memory too', async (_what, change, refusal) => {
  const { store, database } = setUp();
  database.put(keyAccess(keyRow(KEY, change)));
  await expect(store.find(digest)).rejects.toMatchObject(refusal);
  expect(() => store.find(digest)).toThrow(expect.objectContaining(refusal));
});

test('a key expires while it is in memory', async () => {
  const { store, database, clock } = setUp();
  database.put(keyAccess(keyRow(KEY, { expires: new Date(clock.now() + 1_000) })));
  await store.find(digest);
  clock.advance(1_000);
  expect(() => store.find(digest)).toThrow(expect.objectContaining({ type: 'expired_key' }));
});

test('while the database is away, a key that it confirmed within the last hour works, and then no more', async () => {
  const { store, database, clock } = setUp();
  const principal = await store.find(digest);
  database.isAway = true;
  clock.advance(600_000);
  expect(await store.find(digest)).toBe(principal);
  clock.advance(3_000_000);
  expect(await store.find(digest)).toBe(principal);
  clock.advance(1);
  await expect(store.find(digest)).rejects.toMatchObject({ status: 401 });
});

test('while the database is away, blocked keys stay blocked', async () => {
  const { store, database, clock } = setUp();
  database.put(keyAccess(keyRow(KEY, { blocked: true })));
  await expect(store.find(digest)).rejects.toMatchObject({ status: 401 });
  database.isAway = true;
  clock.advance(700_000);
  await expect(store.find(digest)).rejects.toMatchObject({ details: { denied: 'blocked' } });
});

test('fallback keys work only while the database is away; others are told that they cannot be checked', async () => {
  const { store, database } = setUp({ fallbackKeys: new Set([tokenOf('sk-fallback')]) });
  expect(await store.find(digestKey('sk-fallback'))).toBeUndefined();
  database.isAway = true;
  store.changed([]);
  expect(await store.find(digestKey('sk-fallback'))).toMatchObject({ role: 'user', models: undefined, access: undefined, keyHash: tokenOf('sk-fallback') });
  await expect(store.find(digestKey('sk-other'))).rejects.toMatchObject({
    status: 401, type: 'token_not_checkable', retryAfterMs: 5_000, message: expect.stringContaining('cannot be checked now') as string, details: { denied: 'uncheckable_key' },
  });
  database.isAway = false;
  expect(await store.find(digestKey('sk-other'))).toBeUndefined();
});

test('a database that is only too busy makes nobody\'s key wrong: 503 and try again, until it is known to be away', async () => {
  const { store, database } = setUp({ fallbackKeys: new Set([tokenOf('sk-fallback')]) });
  database.isBusy = true;
  await expect(store.find(digest)).rejects.toMatchObject({ status: 503, code: 'key_not_checkable', retryAfterMs: 1_000 });
  expect(await store.find(digestKey('sk-fallback'))).toMatchObject({ role: 'user' });
  database.isAway = true;
  await expect(store.find(digest)).rejects.toMatchObject({ status: 401, type: 'token_not_checkable' });
  [database.isBusy, database.isAway] = [false, false];
  expect(await store.find(digest)).toMatchObject({ keyAlias: 'known' });
});

test('while the database is being opened, nobody is told that a key is wrong', async () => {
  const { store, database } = setUp({ fallbackKeys: new Set([tokenOf('sk-fallback')]) });
  database.isStarting = true;
  await expect(store.find(digest)).rejects.toMatchObject({ status: 503, code: 'database_starting' });
  expect(await store.find(digestKey('sk-fallback'))).toMatchObject({ role: 'user' });
});
