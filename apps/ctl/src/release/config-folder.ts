import { readFile, stat } from 'node:fs/promises';
import { basename, dirname, join, relative, sep } from 'node:path';
import { AppError } from '@pointsman/errors';
import { configRevision, readConfigFiles, type ConfigFile } from '@pointsman/gateway-config';
import type { ObjectStore } from '@pointsman/object-store';
import { checkConfig, readingFile } from '../check-config.ts';
import type { CommandContext } from '../command-context.ts';
import { atStore } from './open-store.ts';
import { folderOf, inFolder } from './release-file.ts';

/** The files that config-sync publishes as one generation. */
export interface ConfigTextsOfFolder {
  /** `config.yaml` and what it includes, itself first, as they lie in the folder. */
  readonly files: readonly ConfigFile[];
  readonly candidates: string | undefined;
  readonly degradedMode: string | undefined;
}

const CANDIDATES = 'llm_candidates.json';
const DEGRADED_MODE = 'degraded-mode.yaml';
const MAX_BYTES = 8 * 1024 * 1024;
const TRY_MS = 15_000;

/** The configuration at a key of the store, with the files beside it; undefined when there is none. */
export async function readStoredConfig(store: ObjectStore, key: string): Promise<ConfigTextsOfFolder | undefined> {
  const text = async (each: string): Promise<string | undefined> => {
    const found = await atStore(() => store.read(each, { maxBytes: MAX_BYTES, timeoutMs: TRY_MS }));
    return found === undefined || found === 'unchanged' ? undefined : found.body.toString('utf8');
  };
  const beside = (name: string): string => inFolder(folderOf(key), name);
  const name = basename(key);
  const [config, candidates, degradedMode] = await Promise.all([text(key), text(beside(CANDIDATES)), text(beside(DEGRADED_MODE))]);
  if (config === undefined) return undefined;
  const files = await readConfigFiles(name, async (path) => {
    const found = path === name ? config : await text(beside(path));
    if (found === undefined) throw new Error('not there');
    return found;
  });
  return { files, candidates, degradedMode };
}

/**
 * A `config.yaml`, or a folder with one: files that are not in the folder (or, for a file alone, not asked for) stay those of `current`.
 * @throws AppError when it cannot be read, or includes files that config-sync would not publish.
 */
export async function readLocalConfig(path: string, current: Pick<ConfigTextsOfFolder, 'candidates' | 'degradedMode'>): Promise<ConfigTextsOfFolder> {
  const isFolder = (await readingFile(path, stat(path))).isDirectory();
  const file = isFolder ? join(path, 'config.yaml') : path;
  const files = await readingFile(file, readConfigFiles(file, async (each) => await readFile(each, 'utf8')));
  const inside = files.map(({ path: each, text }) => ({ path: each === file ? 'config.yaml' : relative(dirname(file), each).split(sep).join('/'), text }));
  const outside = inside.find(({ path: each }) => each.startsWith('../') || each.startsWith('/'));
  if (outside !== undefined) throw new AppError('invalid_request', 'include_outside', `${file} includes ${outside.path}, which lies outside its folder: config-sync publishes one folder`);
  const beside = async (name: string): Promise<string | undefined> => {
    if (!isFolder) return undefined;
    return await readFile(join(path, name), 'utf8').catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return undefined;
      throw new AppError('not_found', 'file_unreadable', `cannot read ${join(path, name)} (${String(error.code)})`, { cause: error });
    });
  };
  return { files: inside, candidates: await beside(CANDIDATES) ?? current.candidates, degradedMode: await beside(DEGRADED_MODE) ?? current.degradedMode };
}

export function revisionOf(texts: ConfigTextsOfFolder): string {
  return configRevision(texts);
}

/** Variables count as set where the gateways run. @throws AppError that lists what the gateway would refuse. */
export function refuseInvalid(name: string, { files, candidates, degradedMode }: ConfigTextsOfFolder, env: CommandContext['env']): void {
  const { problems } = checkConfig({
    files: files.map((file, index) => (index === 0 ? { ...file, path: name } : { ...file, path: join(dirname(name), file.path) })), candidates, env, expectEnv: true, degradedMode: degradedMode === undefined ? undefined : { path: DEGRADED_MODE, text: degradedMode },
  });
  if (problems.length === 0) return;
  const lines = problems.map(({ file, line, path, message, suggestion }) => `  ${file ?? name}${line === undefined ? '' : `:${String(line)}`}  ${path === '' ? '(file)' : path}  ${message}${suggestion === undefined ? '' : `; did you mean ${suggestion}?`}`);
  throw new AppError('unprocessable', 'config_refused', `${name} is refused, nothing was changed:\n${lines.join('\n')}`);
}

/**
 * Puts a configuration into a folder of its own, `{environment}/releases/{UTC time}-{revision}/`, the config last: who sees it sees all of it.
 * Resolves to the key of the config.
 */
export async function uploadConfig(store: ObjectStore, { environment, texts, at }: { readonly environment: string; readonly texts: ConfigTextsOfFolder; readonly at: Date }): Promise<string> {
  const time = at.toISOString().replaceAll(/[-:]|\.\d+/g, '');
  const folder = inFolder(environment, `releases/${time}-${revisionOf(texts)}`);
  const put = async (name: string, text: string | undefined, contentType: string): Promise<void> => {
    if (text !== undefined) await atStore(() => store.write(inFolder(folder, name), text, { contentType }));
  };
  await Promise.all([put(CANDIDATES, texts.candidates, 'application/json'), put(DEGRADED_MODE, texts.degradedMode, 'application/yaml')]);
  const [config, ...included] = texts.files;
  await Promise.all(included.map(({ path, text }) => put(path, text, 'application/yaml')));
  await put('config.yaml', config?.text, 'application/yaml');
  return inFolder(folder, 'config.yaml');
}

/** Takes an upload away that nobody has used. */
export async function removeUpload(store: ObjectStore, key: string): Promise<void> {
  await atStore(async () => {
    for await (const { key: each } of store.list(`${folderOf(key)}/`)) await store.delete(each);
  });
}

/** `{environment}/releases/{time}-{revision}/config.yaml` keys, newest first. */
export async function uploadedConfigs(store: ObjectStore, environment: string): Promise<readonly string[]> {
  const keys: string[] = [];
  await atStore(async () => {
    for await (const { key } of store.list(`${inFolder(environment, 'releases')}/`)) if (key.endsWith('/config.yaml')) keys.push(key);
  });
  return keys.reverse();
}
