import { copyFile, constants, link, lstat, readlink } from 'node:fs/promises';
import { join } from 'node:path';
import { replaceLink } from '@pointsman/sync';
import { PUBLISHED_FILES } from './read-config-objects.ts';

/**
 * Makes `CONFIG_DIR/config.yaml` and its like relative links through `current`, so that readers follow every publishing without anything else changing. The link of an
 * optional file that a generation does not hold leads nowhere, which readers take for "not there". A plain file from before is kept beside under another name; at no moment
 * is there no `config.yaml`. Called on every pass: what somebody replaced is put right.
 */
export async function placeLinks(configDir: string, onMovedAside: (file: string, aside: string) => void): Promise<void> {
  for (const name of PUBLISHED_FILES) {
    const path = join(configDir, name);
    const target = join('current', name);
    const found = await lstat(path).catch((error: unknown) => {
      if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
      throw error;
    });
    if (found?.isSymbolicLink() === true && await readlink(path) === target) continue;
    if (found?.isDirectory() === true) throw new Error(`${path} is a directory: the published ${name} cannot take its place.`);
    if (found?.isFile() === true) onMovedAside(path, await keepAside(path));
    await replaceLink(path, target);
  }
}

/** A second name for a file, one that nothing has yet. */
async function keepAside(path: string): Promise<string> {
  for (let n = 0; n < 1_000; n += 1) {
    const aside = `${path}.before-sync${n === 0 ? '' : `-${String(n)}`}`;
    try {
      // Not every file system knows hard links.
      await link(path, aside).catch(async (error: unknown) => {
        if (error instanceof Error && 'code' in error && error.code === 'EEXIST') throw error;
        await copyFile(path, aside, constants.COPYFILE_EXCL);
      });
      return aside;
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error;
    }
  }
  throw new Error(`${path} cannot be kept: a thousand files with the names ${path}.before-sync-N are there already.`);
}
