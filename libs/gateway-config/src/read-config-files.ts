import { posix } from 'node:path';
import { ConfigRejectedError } from './config-rejected-error.ts';
import { includedPaths } from './merge-includes.ts';
import type { ConfigFile } from './read-yaml.ts';

const MAX_FILES = 100;

/**
 * Reads a configuration and every file that it includes, itself first: what `parseGatewayConfig` takes as `files`.
 * An included file that is missing is left for the parser to report at its line; when the first file cannot be read, the reader's error passes through.
 */
export async function readConfigFiles(path: string, readFile: (path: string) => Promise<string>): Promise<readonly ConfigFile[]> {
  const files: ConfigFile[] = [{ path, text: await readFile(path) }];
  const tried = new Set([posix.normalize(path)]);
  for (let index = 0; index < files.length; index += 1) {
    const file = files[index];
    if (file === undefined) break;
    for (const entry of includedPaths(file)) {
      // Older configurations name files beside the first one, also from nested includes.
      const places = entry.startsWith('/') ? [entry] : [posix.join(posix.dirname(file.path), entry), posix.join(posix.dirname(path), entry)];
      for (const place of places.map((candidate) => posix.normalize(candidate))) {
        if (tried.has(place)) break;
        tried.add(place);
        if (tried.size > MAX_FILES) throw new ConfigRejectedError([{ path: 'include', message: `more than ${String(MAX_FILES)} included files` }]);
        const text = await readFile(place).catch(() => undefined);
        if (text === undefined) continue;
        files.push({ path: place, text });
        break;
      }
    }
  }
  return files;
}
