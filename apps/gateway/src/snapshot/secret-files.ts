import { createHash } from 'node:crypto';
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { AppError, describeUnknown } from '@pointsman/errors';

export type Environment = Readonly<Record<string, string | undefined>>;

export interface ReadSecrets {
  /** The process' own environment with the files over it. */
  readonly env: Environment;
  /** Of names and contents: another one means that something was rotated. */
  readonly digest: string;
}

const NAME = /^[A-Za-z_][A-Za-z0-9_]{0,127}$/;
const MOST_FILES = 1_000;
const MOST_BYTES = 64 * 1024;

/**
 * Reads a folder of secrets as Kubernetes mounts a Secret and as agents of Vault write them: a file per variable, named like it, its content the value (one line end at its
 * end is none of it). What an environment variable holds is fixed when a process starts; a file can be rotated under it. Other names (`..data`, hidden files) are passed over.
 * @throws AppError `secrets_unreadable` that names the file, never what is in it
 */
export async function readSecretFiles(directory: string, env: Environment): Promise<ReadSecrets> {
  const hash = createHash('sha256');
  const secrets: Record<string, string | undefined> = { ...env };
  try {
    const names = (await readdir(directory)).filter((name) => NAME.test(name)).toSorted();
    if (names.length > MOST_FILES) throw new RangeError(`${String(names.length)} files are more than ${String(MOST_FILES)}`);
    for (const name of names) {
      const path = join(directory, name);
      const found = await stat(path);
      if (!found.isFile()) continue;
      if (found.size > MOST_BYTES) throw new RangeError(`${name} has more than ${String(MOST_BYTES)} bytes`);
      const value = (await readFile(path, 'utf8')).replace(/\r?\n$/, '');
      Object.defineProperty(secrets, name, { value, enumerable: true, configurable: true, writable: true });
      hash.update(JSON.stringify([name, value]));
    }
  } catch (error) {
    throw new AppError('unavailable', 'secrets_unreadable', `SECRETS_DIR ${directory} cannot be read: ${describeUnknown(error)}`, { cause: error });
  }
  return { env: secrets, digest: hash.digest('hex') };
}
