import { lstat, readFile, realpath, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { configRevision, readConfigFiles, type ConfigTexts } from '@pointsman/gateway-config';

/** Where the files of a configuration lie. The last two lie beside the first where they are not named. */
export interface ConfigPlaces {
  readonly configPath: string;
  readonly candidatesPath: string | undefined;
  readonly degradedModePath: string | undefined;
}

export interface ReadGeneration extends ConfigTexts {
  /** `configRevision` of the texts. */
  readonly revision: string;
}

/**
 * Reads every file of one configuration. Links are resolved once: where `config.yaml` leads into a generation that config-sync (or the kubelet) swaps as a whole,
 * all files are read from that one, also when the next is published meanwhile. A file beside the first that is not there is no part of it.
 * Rejects when the first cannot be read, or one of the others is there and cannot.
 */
export async function readGeneration({ configPath, candidatesPath, degradedModePath }: ConfigPlaces): Promise<ReadGeneration> {
  const resolved = await realpath(configPath);
  const files = await readConfigFiles(resolved, readRegularFile);
  const folder = dirname(resolved);
  const [candidates, degradedMode] = await Promise.all([
    candidatesPath === undefined ? readBeside(configPath, folder, 'llm_candidates.json') : readOptional(candidatesPath),
    degradedModePath === undefined ? readBeside(configPath, folder, 'degraded-mode.yaml') : readOptional(degradedModePath),
  ]);
  return { files, candidates, degradedMode, revision: configRevision({ files, candidates, degradedMode }) };
}

/** In the generation; or beside the path as it was given, where only `config.yaml` itself is a link. A link there is one into a generation, which has been looked at. */
async function readBeside(configPath: string, folder: string, name: string): Promise<string | undefined> {
  const inGeneration = await readOptional(join(folder, name));
  const given = join(dirname(configPath), name);
  if (inGeneration !== undefined || given === join(folder, basename(given))) return inGeneration;
  const isLink = await lstat(given).then((found) => found.isSymbolicLink(), () => true);
  return isLink ? undefined : readOptional(given);
}

async function readOptional(path: string): Promise<string | undefined> {
  try {
    return await readRegularFile(path);
  } catch (error) {
    if (error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ENOTDIR')) return undefined;
    throw error;
  }
}

/** A pipe in the place of a file would hold the reader for ever. */
async function readRegularFile(path: string): Promise<string> {
  if (!(await stat(path)).isFile()) throw new Error(`${path} is not a regular file`);
  return readFile(path, 'utf8');
}
