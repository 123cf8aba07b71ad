import { chmod, mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { temporaryDirectory } from '@pointsman/testing';
import { expect, test } from 'vitest';
import { generatedMasterKey } from './master-key.ts';

test('a key is made once, long and random, for its owner\'s eyes only', async () => {
  await using directory = await temporaryDirectory();
  const home = join(directory.path, 'new', 'home');
  const first = await generatedMasterKey(home);
  expect(first.created).toBe(true);
  expect(first.key).toMatch(/^sk-[\w-]{32}$/);
  expect((await stat(first.path)).mode & 0o777).toBe(0o600);
  expect((await readFile(first.path, 'utf8')).trim()).toBe(first.key);
  expect(await generatedMasterKey(home)).toEqual({ ...first, created: false });
});

test('two homes have two keys', async () => {
  await using directory = await temporaryDirectory();
  const [a, b] = await Promise.all([generatedMasterKey(join(directory.path, 'a')), generatedMasterKey(join(directory.path, 'b'))]);
  expect(a.key).not.toBe(b.key);
});

test('gateways that start together over one home agree on one key', async () => {
  await using directory = await temporaryDirectory();
  const all = await Promise.all(Array.from({ length: 20 }, () => generatedMasterKey(directory.path)));
  expect(new Set(all.map(({ key }) => key)).size).toBe(1);
  expect(all.filter(({ created }) => created)).toHaveLength(1);
});

test('a key that is just being written is waited for', async () => {
  await using directory = await temporaryDirectory();
  await writeFile(join(directory.path, 'master_key'), '');
  const found = generatedMasterKey(directory.path);
  await writeFile(join(directory.path, 'master_key'), 'sk-of-another\n');
  await expect(found).resolves.toMatchObject({ key: 'sk-of-another', created: false });
});

test('an empty file is no key: the gateway says which file instead of serving with none', async () => {
  await using directory = await temporaryDirectory();
  await writeFile(join(directory.path, 'master_key'), '\n');
  await expect(generatedMasterKey(directory.path)).rejects.toThrow(join(directory.path, 'master_key'));
});

test('a home that is not a directory is an error, not a key in memory', async () => {
  await using directory = await temporaryDirectory();
  await mkdir(join(directory.path, 'inner'));
  await writeFile(join(directory.path, 'file'), '');
  await chmod(join(directory.path, 'inner'), 0o700);
  await expect(generatedMasterKey(join(directory.path, 'file'))).rejects.toThrow();
});
