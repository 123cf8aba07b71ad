import { SettingsError } from '@pointsman/service';
import { expect, test } from 'vitest';
import { readArguments } from './arguments.ts';
import { readModelSyncSettings } from './settings.ts';

const good = { OBJECT_STORE_URL: 's3://bucket/prefix', MODEL_SIGNING_PUBLIC_KEYS: '/keys/a.pem, /keys/b.pem' };

function problemsOf(env: Readonly<Record<string, string>>): readonly string[] {
  try {
    readModelSyncSettings(env);
    return [];
  } catch (error) {
    if (error instanceof SettingsError) return error.problems.map(({ variable }) => variable);
    throw error;
  }
}

test('a store and the public keys are enough; the rest has the defaults of the contract', () => {
  expect(readModelSyncSettings(good)).toMatchObject({
    modelsDir: '/app/models', configDir: '/app/config', runDir: '/app/run', intervalMs: 300_000, verify: 'require', publicKeyFiles: ['/keys/a.pem', '/keys/b.pem'], cache: { kind: 'cluster' },
    objectStoreUrl: 's3://bucket/prefix', reload: { kind: 'signal', signal: 'SIGHUP' }, healthPort: 8082,
  });
  expect(readModelSyncSettings({ S3_BUCKET: 'bucket', MODEL_VERIFY: 'off', MODEL_CACHE: 'node', MODEL_NODE_CACHE_DIR: '/cache', RELOAD_URL: 'http://127.0.0.1:4000/config/reload', LITELLM_MASTER_KEY: 'sk-secret-key' })).toMatchObject({
    objectStoreUrl: 's3://bucket', verify: 'off', cache: { kind: 'node', directory: '/cache' }, reload: { kind: 'url', url: 'http://127.0.0.1:4000/config/reload' },
  });
});

test('every problem is told at once, also those between variables', () => {
  expect(problemsOf({})).toEqual(['OBJECT_STORE_URL', 'MODEL_SIGNING_PUBLIC_KEYS']);
  expect(problemsOf({ OBJECT_STORE_URL: 'ftp://x', REDIS_URL: 'http://x', MODEL_CACHE: 'node', RELOAD_URL: 'http://x/config/reload', MODEL_SYNC_INTERVAL: 'soon', MODEL_VERIFY: 'perhaps', HEALTH_PORT: '99999', MODEL_MAX_BYTES: '0' }).toSorted()).toEqual([
    'HEALTH_PORT', 'LITELLM_MASTER_KEY', 'MODEL_MAX_BYTES', 'MODEL_NODE_CACHE_DIR', 'MODEL_SIGNING_PUBLIC_KEYS', 'MODEL_SYNC_INTERVAL', 'MODEL_VERIFY', 'OBJECT_STORE_URL', 'REDIS_URL',
  ]);
});

test('no value shows in a problem', () => {
  try {
    readModelSyncSettings({ OBJECT_STORE_URL: 's3://key:SECRET@bucket', REDIS_URL: 'redis://:SE@CRET@host:x' });
    expect.unreachable();
  } catch (error) {
    expect(String(error)).not.toMatch(/SECRET|CRET/);
  }
});

test('only --once is taken on the command line', () => {
  expect(readArguments(['--once'])).toEqual({ once: true, problems: [] });
  expect(readArguments(['--onse']).problems).toMatchObject([{ variable: 'arguments', problem: expect.stringContaining('"--onse"') as string }]);
});
