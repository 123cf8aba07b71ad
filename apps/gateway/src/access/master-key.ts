import { randomBytes } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/**
 * The master key of an installation that configures none: made once, kept in `home/master_key`, readable by its owner only.
 * A gateway without any key would serve whoever finds it.
 */
export async function generatedMasterKey(home: string): Promise<{ readonly key: string; readonly path: string; readonly created: boolean }> {
  const path = join(home, 'master_key');
  const existing = await readFile(path, 'utf8').catch(() => '');
  if (existing.trim() !== '') return { key: existing.trim(), path, created: false };
  await mkdir(home, { recursive: true });
  const key = `sk-${randomBytes(24).toString('base64url')}`;
  await writeFile(path, `${key}\n`, { mode: 0o600, flag: 'wx' });
  return { key, path, created: true };
}
