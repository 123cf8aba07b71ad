import { readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseGatewayConfig } from '@pointsman/gateway-config';
import { loadPriceMap } from '@pointsman/pricing';
import { providerIds as servedIds } from '@pointsman/providers';
import { temporaryDirectory } from '@pointsman/testing';
import { expect, test } from 'vitest';
import { defaultConfig, ensureConfig, KEYED_PROVIDERS } from './default-config.ts';
import { ensureMasterKey } from './master-key.ts';

test('without a provider key the group auto chooses between four simulated models of rising price', () => {
  const text = defaultConfig({ OPENAI_API_KEY: '' });
  expect(text.match(/model_name: auto\b/g)).toHaveLength(4);
  const prices = [...text.matchAll(/model_name: simulated\/\w+ .*\n.*\n.*\n.*\n\s+input_cost_per_token: (\S+)/g)].map(([, price]) => Number(price));
  expect(prices).toHaveLength(4);
  expect(prices).toEqual([...prices].sort((a, b) => a - b));
  expect(text).not.toContain('api_key');
});

test('a provider key adds its models and a wildcard by reference, and keeps made-up answers out of auto', () => {
  const text = defaultConfig({ GROQ_API_KEY: 'gsk-secret', ANTHROPIC_API_KEY: 'sk-ant-secret' });
  expect(text).toContain('model_name: "groq/*"');
  expect(text).toContain('api_key: os.environ/ANTHROPIC_API_KEY');
  expect(text).not.toContain('secret');
  expect(text).toMatch(/model_name: "auto"\n.*\n\s+model: "anthropic\//);
  expect(text).not.toMatch(/model_name: auto\b.*\n.*\n\s+model: simulated/);
});

test('the gateway takes the configuration without a warning, with no key and with all of them, and every named model has a price', () => {
  const keys = Object.fromEntries(KEYED_PROVIDERS.map((provider) => [provider.keys[0] ?? '', 'sk-x']));
  const providerIds: ReadonlySet<string> = new Set(servedIds);
  for (const env of [{}, keys]) {
    const { config, warnings } = parseGatewayConfig({ files: defaultConfig(env), env: { ...env, LITELLM_MASTER_KEY: 'sk-0123456789abcdef0123' }, providerIds });
    expect(warnings).toEqual([]);
    expect(config.models.some(({ group }) => group === 'auto')).toBe(true);
  }
  const prices = loadPriceMap();
  const unpriced = KEYED_PROVIDERS.flatMap(({ id, models }) => models.filter((model) => prices.findPrice({ provider: id, model }) === undefined).map((model) => `${id}/${model}`));
  expect(unpriced).toEqual([]);
});

test('a generated file is renewed when the keys change, and left alone once a person has edited it', async () => {
  await using directory = await temporaryDirectory();
  const file = join(directory.path, 'config.yaml');
  expect(ensureConfig(file, {})).toBe('written');
  expect(ensureConfig(file, {})).toBe('unchanged');
  expect(ensureConfig(file, { OPENAI_API_KEY: 'x' })).toBe('renewed');
  expect(await readFile(file, 'utf8')).toContain('"openai/*"');
  await writeFile(file, `${await readFile(file, 'utf8')}# mine\n`);
  expect(ensureConfig(file, {})).toBe('edited');
  expect(await readFile(file, 'utf8')).toContain('# mine');
});

test('the master key is made once, for its owner only', async () => {
  await using directory = await temporaryDirectory();
  const file = join(directory.path, 'master_key');
  const key = ensureMasterKey(file);
  expect(key).toMatch(/^sk-[\w-]{32}$/);
  expect(ensureMasterKey(file)).toBe(key);
  expect((await stat(file)).mode & 0o777).toBe(0o600);
  await writeFile(file, '');
  expect(() => ensureMasterKey(file)).toThrow(/holds no key/);
});
