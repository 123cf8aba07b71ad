import { readFile, realpath, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { AppError, describeUnknown } from '@pointsman/errors';
import { readConfigFiles, wantedModels, type ConfigProblem, type WantedModel } from '@pointsman/gateway-config';

export interface ConfigPlace {
  readonly configDir: string;
  readonly configPath: string | undefined;
  readonly env: Readonly<Record<string, string | undefined>>;
}

const MAX_CONFIG_BYTES = 32 * 1024 * 1024;

/**
 * The models that the published configuration asks for. The link `current` is resolved once, and every file is read from that one generation; a configuration
 * placed by hand lies in the folder itself or at `CONFIG_PATH`.
 * @throws AppError `config_unreadable`, ConfigRejectedError
 */
export async function readWantedModels({ configDir, configPath, env }: ConfigPlace): Promise<{ readonly models: readonly WantedModel[]; readonly problems: readonly ConfigProblem[] }> {
  const published = configPath === undefined ? await realpath(join(configDir, 'current')).catch(() => undefined) : undefined;
  const path = configPath ?? join(published ?? configDir, 'config.yaml');
  const files = await readConfigFiles(path, readRegularFile).catch((error: unknown) => {
    if (error instanceof AppError) throw error;
    throw new AppError('unavailable', 'config_unreadable', `The configuration ${path} cannot be read: ${describeUnknown(error)}`, { cause: error });
  });
  return wantedModels(files, env);
}

/** A pipe in the place of a file would hold the reader for ever. */
async function readRegularFile(path: string): Promise<string> {
  const found = await stat(path);
  if (!found.isFile()) throw new Error('not a regular file');
  if (found.size > MAX_CONFIG_BYTES) throw new Error(`more than ${String(MAX_CONFIG_BYTES)} bytes`);
  return readFile(path, 'utf8');
}
