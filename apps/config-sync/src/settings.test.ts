import { SettingsError } from '@pointsman/service';
import { expect, test } from 'vitest';
import { readConfigSyncSettings } from './settings.ts';

test('a bucket is all it takes; the rest has the defaults of the container', () => {
  expect(readConfigSyncSettings({ S3_BUCKET: 'pointsman', POD_NAME: 'pod-1' })).toMatchObject({
    storeUrl: 's3://pointsman', storeEndpoint: undefined, configKey: 'prod/config.yaml', configDir: '/app/config', intervalMs: 60_000, healthPort: 8081, podName: 'pod-1',
    reload: { kind: 'signal', signal: 'SIGHUP', runDir: '/app/run' }, redisUrl: undefined,
  });
});

test('the older name of the interval is read, the store’s url goes before the bucket, and a reload url goes before the signal', () => {
  const settings = readConfigSyncSettings({ S3_BUCKET: 'pointsman', OBJECT_STORE_URL: 'file:///objects', POLL_INTERVAL: '15', RELOAD_URL: 'http://127.0.0.1:4000/config/reload', LITELLM_MASTER_KEY: 'sk-master-secret' });
  expect(settings).toMatchObject({ storeUrl: 'file:///objects', intervalMs: 15_000, reload: { kind: 'url', url: 'http://127.0.0.1:4000/config/reload' } });
  expect(JSON.stringify(settings)).not.toContain('sk-master-secret');
  expect(readConfigSyncSettings({ S3_BUCKET: 'pointsman', CONFIG_SYNC_INTERVAL: '5', POLL_INTERVAL: '15' }).intervalMs).toBe(5_000);
});

test('every problem is reported at once and no value is repeated', () => {
  try {
    readConfigSyncSettings({ S3_KEY: '../secret-key', CONFIG_SYNC_INTERVAL: 'soon', RELOAD_SIGNAL: 'SIGKILL', RELOAD_URL: 'http://127.0.0.1:4000/config/reload', REDIS_URL: 'rediz://:hunter2@host', HEALTH_PORT: '99999' });
    throw new Error('accepted');
  } catch (error) {
    expect(error).toBeInstanceOf(SettingsError);
    expect((error as SettingsError).problems.map(({ variable }) => variable).sort()).toEqual(['CONFIG_SYNC_INTERVAL', 'HEALTH_PORT', 'LITELLM_MASTER_KEY', 'OBJECT_STORE_URL', 'REDIS_URL', 'RELOAD_SIGNAL', 'S3_KEY']);
    expect((error as SettingsError).message).not.toMatch(/hunter2|secret-key|soon/);
  }
});

test.each(['http://ann:hunter2@127.0.0.1:4000/config/reload', 'http://127.0.0.1:4000/config/reload?key=hunter2'])('a reload url that carries a secret is refused and not repeated: %s', (url) => {
  const read = (): unknown => readConfigSyncSettings({ S3_BUCKET: 'pointsman', RELOAD_URL: url, LITELLM_MASTER_KEY: 'sk-master' });
  expect(read).toThrow(/RELOAD_URL.*must hold no user/s);
  expect(read).not.toThrow(/hunter2/);
});

test.each(['s3://key:secret@bucket', 'http://bucket', 's3://b'])('a store url that cannot be meant is refused: %s', (url) => {
  expect(() => readConfigSyncSettings({ OBJECT_STORE_URL: url })).toThrow(SettingsError);
});
