import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';

const root = new URL('../../../', import.meta.url);
type Manifest = Readonly<Partial<Record<'dependencies' | 'devDependencies', Readonly<Record<string, string>>>>>;

function manifest(path: string): Manifest {
  return JSON.parse(readFileSync(new URL(path, root), 'utf8')) as Manifest;
}

test('docs/dependencies.md has a row for every direct dependency, and none for a package that left', () => {
  const rooms = ['apps', 'libs'].flatMap((folder) => readdirSync(new URL(folder, root)).map((name) => `${folder}/${name}/package.json`)).filter((path) => existsSync(new URL(path, root)));
  const direct = new Set([...rooms, 'tools/package.json', 'package.json'].flatMap((path) => {
    const { dependencies = {}, devDependencies = {} } = manifest(path);
    return [...Object.keys(dependencies), ...Object.keys(devDependencies)];
  }).filter((name) => !name.startsWith('@pointsman/')));
  const rows = [...readFileSync(new URL('docs/dependencies.md', root), 'utf8').matchAll(/^\| `([^`]+)` \|/gm)].map(([, name]) => name);
  expect(rows.sort()).toEqual([...direct].sort());
});
