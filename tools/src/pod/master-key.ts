import { randomBytes } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';

/** The pod's own master key: made once, kept in a file that only its owner can read. `sk-` and 192 random bits. */
export function ensureMasterKey(file: string): string {
  try {
    // `wx`: two pods that start together agree on the key of whoever was first.
    writeFileSync(file, `sk-${randomBytes(24).toString('base64url')}\n`, { mode: 0o600, flag: 'wx' });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
  const key = readFileSync(file, 'utf8').trim();
  if (!key.startsWith('sk-')) throw new Error(`${file} holds no key (it must begin with "sk-"): remove it and start again.`);
  return key;
}
