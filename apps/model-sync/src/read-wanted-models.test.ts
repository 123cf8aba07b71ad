import { mkdir, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { temporaryDirectory } from '@pointsman/testing';
import { expect, test } from 'vitest';
import { readWantedModels } from './read-wanted-models.ts';

const text = (version: string): string => `router_settings: { routing_strategy_args: { model_name: a, model_version: ${version} } }\n`;

test('what is published counts before what lies beside it, CONFIG_PATH before both, and includes come from the same generation', async () => {
  await using directory = await temporaryDirectory();
  const configDir = directory.path;
  const read = async (configPath?: string): Promise<string | undefined> => (await readWantedModels({ configDir, configPath, env: {} })).models[0]?.version;
  await expect(read()).rejects.toMatchObject({ code: 'config_unreadable', message: expect.stringContaining('config.yaml') as string });
  await writeFile(join(configDir, 'config.yaml'), text('v1'));
  expect(await read()).toBe('v1');
  await mkdir(join(configDir, 'generations', 'r'), { recursive: true });
  await writeFile(join(configDir, 'generations', 'r', 'config.yaml'), 'include: [router.yaml]\n');
  await writeFile(join(configDir, 'generations', 'r', 'router.yaml'), text('v2'));
  await symlink('generations/r', join(configDir, 'current'));
  expect(await read()).toBe('v2');
  await writeFile(join(configDir, 'own.yaml'), text('v3'));
  expect(await read(join(configDir, 'own.yaml'))).toBe('v3');
  await expect(read(configDir)).rejects.toThrow(/not a regular file/);
});
