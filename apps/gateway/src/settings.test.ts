import { mkdir, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { temporaryDirectory } from '@pointsman/testing';
import { expect, test } from 'vitest';
import { readGatewaySettings } from './settings.ts';

test('with an empty environment the documented defaults hold, in milliseconds and absolute paths', async () => {
  await using directory = await temporaryDirectory();
  const settings = readGatewaySettings({ POINTSMAN_HOME: directory.path });
  expect(settings).toMatchObject({
    host: '0.0.0.0', port: 4000, models: { modelsDir: '/app/models', embedder: 'static' }, masterKey: undefined, candidatesPath: undefined, home: directory.path,
    drainLimitMs: 30_000, drainDelayMs: 0, configPollMs: 5_000, requestHeadersTimeoutMs: 15_000, requestBodyTimeoutMs: 300_000, configPath: '/app/config/config.yaml',
  });
  expect(readGatewaySettings({}).home).toBe(resolve('.pointsman'));
});

test('CONFIG_PATH wins over LITELLM_CONFIG_PATH, and both over a config in the home', async () => {
  await using directory = await temporaryDirectory();
  await mkdir(directory.path, { recursive: true });
  await writeFile(join(directory.path, 'config.yaml'), '');
  const env = { POINTSMAN_HOME: directory.path };
  expect(readGatewaySettings(env).configPath).toBe(join(directory.path, 'config.yaml'));
  expect(readGatewaySettings({ ...env, LITELLM_CONFIG_PATH: '/l.yaml' }).configPath).toBe('/l.yaml');
  expect(readGatewaySettings({ ...env, LITELLM_CONFIG_PATH: '/l.yaml', CONFIG_PATH: '/c.yaml' }).configPath).toBe('/c.yaml');
  expect(readGatewaySettings({ ...env, CONFIG_PATH: 'here.yaml' }).configPath).toBe(resolve('here.yaml'));
});

test('every wrong variable is named at once, and no value is repeated', () => {
  const env = { PORT: 'sk-secret', SHUTDOWN_STREAM_TIMEOUT_S: '-1', CONFIG_POLL_INTERVAL_S: '0', LOG_LEVEL: 'loud' };
  expect(() => readGatewaySettings(env)).toThrow(/PORT[^]*SHUTDOWN_STREAM_TIMEOUT_S|SHUTDOWN_STREAM_TIMEOUT_S[^]*PORT/);
  for (const name of Object.keys(env)) expect(() => readGatewaySettings(env)).toThrow(name);
  expect(() => readGatewaySettings(env)).not.toThrow('sk-secret');
});

test('an empty variable is one that is not set', () => {
  expect(readGatewaySettings({ PORT: '', LITELLM_MASTER_KEY: ' ' })).toMatchObject({ port: 4000, masterKey: undefined });
});

test('port 0 picks a free port, and fractions of seconds count', () => {
  expect(readGatewaySettings({ PORT: '0', SHUTDOWN_STREAM_TIMEOUT_S: '0.5' })).toMatchObject({ port: 0, drainLimitMs: 500 });
});

test('without a database there is one on this machine, `none` is none, and degraded-mode.yaml is found beside the configuration', () => {
  expect(readGatewaySettings({ CONFIG_PATH: '/etc/gateway/config.yaml' })).toMatchObject({ database: { kind: 'embedded' }, redisUrl: undefined, degradedModePath: undefined });
  expect(readGatewaySettings({ DATABASE_URL: 'none' }).database).toEqual({ kind: 'none' });
  const urls = { DATABASE_URL: 'postgres://u:p@db/pointsman', REDIS_URL: 'redis+sentinel://a:1,b:2/mymaster', DEGRADED_MODE_PATH: '/d.yaml' };
  expect(readGatewaySettings(urls)).toMatchObject({ database: { kind: 'postgres', url: urls.DATABASE_URL }, redisUrl: urls.REDIS_URL, degradedModePath: '/d.yaml' });
});

test('a database or Redis that is none is named, and its password is not repeated', () => {
  const env = { DATABASE_URL: 'mysql://u:hunter2@db/x', REDIS_URL: 'http://:hunter2@cache' };
  expect(() => readGatewaySettings(env)).toThrow(/DATABASE_URL[^]*REDIS_URL/);
  expect(() => readGatewaySettings(env)).not.toThrow('hunter2');
});

test('modules of the operator are code: they are allowed by that word only', () => {
  expect(readGatewaySettings({}).allowStrategyModules).toBe(false);
  expect(readGatewaySettings({ ALLOW_CUSTOM_STRATEGY_MODULES: 'true' }).allowStrategyModules).toBe(true);
  expect(() => readGatewaySettings({ ALLOW_CUSTOM_STRATEGY_MODULES: 'please' })).toThrow('ALLOW_CUSTOM_STRATEGY_MODULES');
});
