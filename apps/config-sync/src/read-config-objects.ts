import { posix } from 'node:path';
import { ConfigRejectedError, configRevision, readConfigFiles, type ConfigFile } from '@pointsman/gateway-config';
import { ObjectStoreError } from '@pointsman/object-store';
import { RejectedRevisionError } from '@pointsman/sync';
import type { ObjectCache } from './object-cache.ts';

/** The name under which a configuration is published, whatever its key is called. */
export const CONFIG_FILE = 'config.yaml';
export const CANDIDATES_FILE = 'llm_candidates.json';
export const DEGRADED_MODE_FILE = 'degraded-mode.yaml';
/** What `CONFIG_DIR` shows of the published generation, in the order of importance. */
export const PUBLISHED_FILES = [CONFIG_FILE, CANDIDATES_FILE, DEGRADED_MODE_FILE] as const;

/** One configuration as it lies in the store, complete. */
export interface ConfigObjects {
  readonly key: string;
  readonly revision: string;
  /** Text by relative path below the generation. */
  readonly files: ReadonlyMap<string, string>;
}

/**
 * Reads a configuration with what it includes and what lies beside it, and tells its revision from the content.
 * @throws RejectedRevisionError for an include that leads out of the folder; Error when there is no such key; ObjectStoreError.
 */
export async function readConfigObjects(cache: ObjectCache, key: string, signal: AbortSignal): Promise<ConfigObjects> {
  const folder = posix.dirname(key);
  const beside = (path: string): string => (folder === '.' ? path : `${folder}/${path}`);
  const name = posix.basename(key);
  // The reader of the includes takes every failure for "not there": what is more than that is kept here and thrown afterwards.
  let failure: Error | undefined;
  const refused: string[] = [];

  async function read(path: string): Promise<string> {
    if (path !== name && isOutside(path)) refused.push(`${JSON.stringify(path)} leads out of the folder of ${key}`);
    else if (path !== name && path === CONFIG_FILE) refused.push(`${JSON.stringify(path)} is the name under which ${key} itself is published`);
    else {
      try {
        const text = await cache.read(path === name ? key : beside(path), signal);
        if (text !== undefined) return text;
        if (path === name) failure ??= new Error(`The store has no ${key}.`);
      } catch (error) {
        if (error instanceof ObjectStoreError && error.kind === 'invalid' && path !== name) refused.push(`${JSON.stringify(path)} cannot be the name of a file`);
        else failure ??= error instanceof Error ? error : new Error('The store could not be read.', { cause: error });
      }
    }
    throw new Error('not there');
  }

  let found: readonly ConfigFile[] = [];
  try {
    found = await readConfigFiles(name, read);
  } catch (error) {
    if (failure === undefined) throw error instanceof ConfigRejectedError ? new RejectedRevisionError(`unread-${posix.basename(key)}`.replaceAll(/[^\w.-]/g, '_'), error.message) : error;
  }
  if (failure !== undefined) throw failure;
  const [candidates, degradedMode] = await Promise.all([cache.read(beside(CANDIDATES_FILE), signal), cache.read(beside(DEGRADED_MODE_FILE), signal)]);
  const revision = configRevision({ files: found, candidates, degradedMode });
  if (refused.length > 0) throw new RejectedRevisionError(revision, `${key}: include: ${refused.join('; ')}. Includes are relative to the folder and stay inside it.`);
  const files = new Map(found.map(({ path, text }) => [path === name ? CONFIG_FILE : path, text]));
  if (candidates !== undefined) files.set(CANDIDATES_FILE, candidates);
  if (degradedMode !== undefined) files.set(DEGRADED_MODE_FILE, degradedMode);
  return { key, revision, files };
}

function isOutside(path: string): boolean {
  return path.startsWith('/') || path.includes('\\') || path.includes('\0') || path.split('/').some((segment) => segment === '..' || segment === '');
}
