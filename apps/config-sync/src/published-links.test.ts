import { lstat, mkdir, readdir, readFile, readlink, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createStagingDirectory, publishDirectory } from '@pointsman/sync';
import { temporaryDirectory } from '@pointsman/testing';
import { expect, test } from 'vitest';
import { placeLinks } from './published-links.ts';

async function publish(root: string, revision: string, files: Readonly<Record<string, string>>): Promise<void> {
  const staged = await createStagingDirectory(root);
  for (const [name, text] of Object.entries(files)) await writeFile(join(staged, name), text);
  await publishDirectory(root, staged, revision);
}

test('the links follow every publishing, and an optional file that a generation does not hold is not there', async () => {
  await using directory = await temporaryDirectory();
  const root = directory.path;
  await publish(root, 'r1', { 'config.yaml': 'one', 'llm_candidates.json': '{}' });
  await placeLinks(root, () => undefined);
  expect(await readlink(join(root, 'config.yaml'))).toBe('current/config.yaml');
  const inode = (await lstat(join(root, 'config.yaml'))).ino;
  expect(await readFile(join(root, 'llm_candidates.json'), 'utf8')).toBe('{}');
  await expect(readFile(join(root, 'degraded-mode.yaml'))).rejects.toMatchObject({ code: 'ENOENT' });
  await publish(root, 'r2', { 'config.yaml': 'two', 'degraded-mode.yaml': '' });
  await placeLinks(root, () => undefined);
  expect((await lstat(join(root, 'config.yaml'))).ino).toBe(inode);
  expect(await readFile(join(root, 'config.yaml'), 'utf8')).toBe('two');
  expect(await readFile(join(root, 'degraded-mode.yaml'), 'utf8')).toBe('');
  await expect(readFile(join(root, 'llm_candidates.json'))).rejects.toMatchObject({ code: 'ENOENT' });
});

test('plain files from before are kept, each time under a free name, and told of', async () => {
  await using directory = await temporaryDirectory();
  const root = directory.path;
  await publish(root, 'r1', { 'config.yaml': 'one' });
  const told: string[][] = [];
  for (const text of ['mine', 'mine again']) {
    await rm(join(root, 'config.yaml'), { force: true });
    await writeFile(join(root, 'config.yaml'), text);
    await placeLinks(root, (...words) => told.push(words));
    expect(await readFile(join(root, 'config.yaml'), 'utf8')).toBe('one');
  }
  expect(told).toEqual([[join(root, 'config.yaml'), join(root, 'config.yaml.before-sync')], [join(root, 'config.yaml'), join(root, 'config.yaml.before-sync-1')]]);
  expect(await readFile(join(root, 'config.yaml.before-sync'), 'utf8')).toBe('mine');
  expect(await readFile(join(root, 'config.yaml.before-sync-1'), 'utf8')).toBe('mine again');
  expect((await readdir(root)).filter((name) => name.startsWith('.'))).toEqual([]);
});

test('a directory in the place of a file is not touched', async () => {
  await using directory = await temporaryDirectory();
  await publish(directory.path, 'r1', { 'config.yaml': 'one' });
  await mkdir(join(directory.path, 'llm_candidates.json'));
  await expect(placeLinks(directory.path, () => undefined)).rejects.toThrow('llm_candidates.json is a directory');
});
