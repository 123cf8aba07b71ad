import { globSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

export interface Project {
  readonly name: string;
  /** Folder below the root. */
  readonly folder: string;
  /** Scripts of its package.json, which are its Nx targets. */
  readonly targets: readonly string[];
}

/** The workspace's projects but for the root, from their package.json files. */
export function readProjects(root: string): Project[] {
  return globSync(['apps/*/package.json', 'libs/*/package.json', 'tools/package.json'], { cwd: root }).sort().map((file) => {
    const manifest = JSON.parse(readFileSync(join(root, file), 'utf8')) as { readonly name: string; readonly scripts?: Readonly<Record<string, string>> };
    return { name: manifest.name, folder: dirname(file), targets: Object.keys(manifest.scripts ?? {}) };
  });
}
