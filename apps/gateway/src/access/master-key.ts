import { randomBytes } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { sleep } from '@pointsman/timing';

/** Another process that is making the key just now has written it long before this many looks, 20 ms apart, are over. */
const MAX_LOOKS = 100;

/**
 * The master key of an installation that configures none: made once, kept in `home/master_key`, readable by its owner only.
 * A gateway without any key would serve whoever finds it. Gateways that start together over one home agree on one key.
 * @throws Error when the file is there but empty or unreadable: a new key would lock out those who hold the old one.
 */
export async function generatedMasterKey(home: string): Promise<{ readonly key: string; readonly path: string; readonly created: boolean }> {
  const path = join(home, 'master_key');
  const existing = await readKey(path);
  if (existing !== '') return { key: existing, path, created: false };
  await mkdir(home, { recursive: true });
  const key = `sk-${randomBytes(24).toString('base64url')}`;
  try {
    await writeFile(path, `${key}\n`, { mode: 0o600, flag: 'wx' });
    return { key, path, created: true };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
  for (let look = 0; look < MAX_LOOKS; look += 1) {
    const made = await readKey(path);
    if (made !== '') return { key: made, path, created: false };
    await sleep(20);
  }
  throw new Error(`The master key file ${path} is empty or cannot be read. Delete it to have a new key made.`);
}

/** '' where there is none yet. */
async function readKey(path: string): Promise<string> {
  const text = await readFile(path, 'utf8').catch(() => '');
  return text.trim();
}
