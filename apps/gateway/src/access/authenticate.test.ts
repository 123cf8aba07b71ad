import type { IncomingHttpHeaders } from 'node:http';
import { timingSafeEqual } from 'node:crypto';
import { AppError } from '@pointsman/errors';
import { expect, test, vi } from 'vitest';
import { authenticate, presentedKey } from './authenticate.ts';
import { digestKey, MasterKeyStore, type KeyStore } from './key-store.ts';
import { LiveKeyStore } from './live-key-store.ts';
import { mayUseModel, type Principal } from './principal.ts';

vi.mock(import('node:crypto'), async (original) => {
  const real = await original();
  return { ...real, timingSafeEqual: vi.fn(real.timingSafeEqual) };
});

const KEY = 'sk-master-1234567890';
const everyHeader: IncomingHttpHeaders = {
  'x-my-key': 'sk-renamed', 'x-litellm-api-key': 'sk-litellm', authorization: 'Bearer sk-bearer', 'api-key': 'sk-azure', 'x-api-key': 'sk-anthropic',
  'x-goog-api-key': 'sk-goog', 'ocp-apim-subscription-key': 'sk-ocp',
};

test('the header that wins is LiteLLM\'s choice: renamed, x-litellm-api-key, Authorization, api-key, x-api-key, x-goog-api-key, Ocp-Apim-Subscription-Key', () => {
  const left: IncomingHttpHeaders = { ...everyHeader };
  const won: (string | undefined)[] = [];
  for (const header of Object.keys(everyHeader)) {
    won.push(presentedKey(left, 'x-my-key'));
    Reflect.deleteProperty(left, header);
  }
  expect(won).toEqual(['sk-renamed', 'sk-litellm', 'sk-bearer', 'sk-azure', 'sk-anthropic', 'sk-goog', 'sk-ocp']);
  expect(presentedKey(left, 'x-my-key')).toBeUndefined();
});

test('the renamed header counts only where the configuration names it', () => {
  expect(presentedKey(everyHeader, undefined)).toBe('sk-litellm');
});

test.each<[IncomingHttpHeaders, string | undefined]>([
  [{ authorization: 'Bearer sk-a' }, 'sk-a'], [{ authorization: 'bearer sk-a' }, 'sk-a'], [{ authorization: 'Bearer   sk-a ' }, 'sk-a'], [{ authorization: 'sk-a' }, 'sk-a'],
  [{ 'x-litellm-api-key': 'Bearer sk-a' }, 'sk-a'], [{ authorization: '', 'x-api-key': 'sk-b' }, 'sk-b'], [{ 'api-key': '', 'x-api-key': 'sk-b' }, 'sk-b'],
  [{ 'api-key': ['sk-a', 'sk-b'] } as unknown as IncomingHttpHeaders, undefined],
])('a key is read with or without Bearer, and empty headers are none: %j', (headers, key) => {
  expect(presentedKey(headers, undefined)).toBe(key);
});

function refusal(headers: IncomingHttpHeaders, store: KeyStore = new MasterKeyStore(KEY)): AppError {
  try {
    void authenticate(headers, store, undefined);
  } catch (error) {
    if (error instanceof AppError) return error;
    throw error;
  }
  throw new Error('the key was accepted');
}

test('the master key is known at once, without a promise', () => {
  expect(authenticate({ authorization: `Bearer ${KEY}` }, new MasterKeyStore(KEY), undefined)).toMatchObject({ role: 'admin', keyAlias: 'master', models: undefined });
});

test('keys are compared by their whole digest, in constant time', () => {
  const compare = vi.mocked(timingSafeEqual);
  compare.mockClear();
  const store = new MasterKeyStore(KEY);
  expect(store.find(digestKey(KEY))).toBeDefined();
  expect(store.find(digestKey(`${KEY}x`))).toBeUndefined();
  expect(compare.mock.calls.map((pair) => pair.map((side) => side.byteLength))).toEqual([[32, 32], [32, 32]]);
});

test.each(['', KEY.slice(0, -1), `${KEY} x`, KEY.toUpperCase()])('nothing near the master key is the master key: %j', (near) => {
  expect(new MasterKeyStore(KEY).find(digestKey(near))).toBeUndefined();
});

test('no key is 401 and says so', () => {
  expect(refusal({})).toMatchObject({ status: 401, code: '401', message: 'Authentication Error, No api key passed in.' });
});

test('a wrong key is told by its last four characters and its digest, never whole', () => {
  const error = refusal({ authorization: 'Bearer sk-wrong-secret-value-abcd' });
  expect(error).toMatchObject({ status: 401, type: 'token_not_found_in_db', param: 'key' });
  expect(error.message).toContain('sk-...abcd');
  expect(error.message).toContain(digestKey('sk-wrong-secret-value-abcd').toString('hex'));
  expect(`${error.message}${JSON.stringify(error.details)}`).not.toContain('wrong-secret');
});

test('of a short wrong key nothing is shown', () => {
  expect(refusal({ authorization: 'Bearer hunter2' }).message).not.toContain('nter2');
});

test('a value longer than any key is refused before it is hashed', () => {
  let asked = 0;
  const store: KeyStore = { hasKeys: true, find: () => { asked += 1; return undefined; } };
  expect(refusal({ authorization: `Bearer ${'x'.repeat(513)}` }, store)).toMatchObject({ status: 401 });
  expect(asked).toBe(0);
  expect(refusal({ authorization: `Bearer ${'x'.repeat(512)}` }, store)).toMatchObject({ status: 401 });
  expect(asked).toBe(1);
});

test('a store that looks further answers later, with a refusal too', async () => {
  const principal: Principal = { keyHash: 'h', keyAlias: 'a', role: 'user', aliases: undefined, tags: [], access: undefined, models: new Set(['chat']), userId: undefined, teamId: undefined };
  const store: KeyStore = { hasKeys: true, find: (digest) => Promise.resolve(digest.equals(digestKey('sk-known')) ? principal : undefined) };
  await expect(authenticate({ 'api-key': 'sk-known' }, store, undefined)).resolves.toBe(principal);
  await expect(authenticate({ 'api-key': 'sk-unknown' }, store, undefined)).rejects.toMatchObject({ status: 401 });
  expect(mayUseModel(principal, 'chat')).toBe(true);
  expect(mayUseModel(principal, 'other')).toBe(false);
});

test('a new master key counts from the next request on, and the old one no more', () => {
  const store = new LiveKeyStore(new MasterKeyStore(KEY));
  store.replace(new MasterKeyStore('sk-new'));
  expect(store.find(digestKey(KEY))).toBeUndefined();
  expect(store.find(digestKey('sk-new'))).toMatchObject({ role: 'admin' });
  expect(store.hasKeys).toBe(false);
});
