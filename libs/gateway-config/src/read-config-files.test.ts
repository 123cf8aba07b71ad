import { expect, test } from 'vitest';
import { readConfigFiles } from './read-config-files.ts';

function disk(files: Readonly<Record<string, string>>): (path: string) => Promise<string> {
  return (path) => (Object.hasOwn(files, path) ? Promise.resolve(files[path] ?? '') : Promise.reject(new Error('ENOENT')));
}

test('the file and everything it includes are read once each, also from nested folders and in circles', async () => {
  const files = { 'conf/config.yaml': 'include: [a/one.yaml, two.yaml, nowhere.yaml]', 'conf/a/one.yaml': 'include: [../two.yaml, ../config.yaml, three.yaml]', 'conf/two.yaml': 'a: 1', 'conf/three.yaml': 'b: 1' };
  expect((await readConfigFiles('conf/config.yaml', disk(files))).map((file) => file.path)).toEqual(['conf/config.yaml', 'conf/a/one.yaml', 'conf/two.yaml', 'conf/three.yaml']);
});

test('a first file that cannot be read is the reader’s error', async () => {
  await expect(readConfigFiles('nowhere.yaml', disk({}))).rejects.toThrow('ENOENT');
});

test('endless includes end', async () => {
  let count = 0;
  await expect(readConfigFiles('0.yaml', () => Promise.resolve(`include: [${String((count += 1))}.yaml]`))).rejects.toThrow('more than 100');
});
