import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { AppError } from '@pointsman/errors';
import { configRevision, readConfigFiles } from '@pointsman/gateway-config';
import type { ObjectStore } from '@pointsman/object-store';
import { checkConfig, readingFile } from '../check-config.ts';
import type { CommandContext } from '../command-context.ts';
import { atStore } from './open-store.ts';
import { folderOf, inFolder } from './release-file.ts';

/** The files that config-sync publishes as one generation. */
export interface ConfigTextsOfFolder {
  readonly config: string;
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
  const [config, candidates, degradedMode] = await Promise.all([text(key), text(beside(CANDIDATES)), text(beside(DEGRADED_MODE))]);
  return config === undefined ? undefined : { config, candidates, degradedMode };
}

/**
 * A `config.yaml`, or a folder with one: files that are not in the folder (or, for a file alone, not asked for) stay those of `current`.
 * @throws AppError when it cannot be read, or brings along files that config-sync does not publish.
 */
export async function readLocalConfig(path: string, current: Pick<ConfigTextsOfFolder, 'candidates' | 'degradedMode'>): Promise<ConfigTextsOfFolder> {
  const isFolder = (await readingFile(path, stat(path))).isDirectory();
  const file = isFolder ? join(path, 'config.yaml') : path;
  const files = await readingFile(file, readConfigFiles(file, async (each) => await readFile(each, 'utf8')));
  if (files.length !== 1) throw new AppError('invalid_request', 'includes_not_published', `${file} includes other files, and config-sync publishes config.yaml alone: put them into it`);
  const beside = async (name: string): Promise<string | undefined> => {
    if (!isFolder) return undefined;
    return await readFile(join(path, name), 'utf8').catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return undefined;
      throw new AppError('not_found', 'file_unreadable', `cannot read ${join(path, name)} (${String(error.code)})`, { cause: error });
    });
  };
  return { config: files[0]?.text ?? '', candidates: await beside(CANDIDATES) ?? current.candidates, degradedMode: await beside(DEGRADED_MODE) ?? current.degradedMode };
}

export function revisionOf({ config, candidates, degradedMode }: ConfigTextsOfFolder): string {
  return configRevision({ files: [{ path: 'config.yaml', text: config }], candidates, degradedMode });
}

/** Variables count as set where the gateways run. @throws AppError that lists what the gateway would refuse. */
export function refuseInvalid(name: string, { config, candidates, degradedMode }: ConfigTextsOfFolder, env: CommandContext['env']): void {
  const { problems } = checkConfig({
    files: [{ path: name, text: config }], candidates, env, expectEnv: true, degradedMode: degradedMode === undefined ? undefined : { path: DEGRADED_MODE, text: degradedMode },
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
  await put('config.yaml', texts.config, 'application/yaml');
  return inFolder(folder, 'config.yaml');
}

/** Takes an upload away that nobody has used. */
export async function removeUpload(store: ObjectStore, key: string): Promise<void> {
  for (const name of ['config.yaml', CANDIDATES, DEGRADED_MODE]) await atStore(() => store.delete(inFolder(folderOf(key), name)));
}

/** `{environment}/releases/{time}-{revision}/config.yaml` keys, newest first. */
export async function uploadedConfigs(store: ObjectStore, environment: string): Promise<readonly string[]> {
  const keys: string[] = [];
  await atStore(async () => {
    for await (const { key } of store.list(`${inFolder(environment, 'releases')}/`)) if (key.endsWith('/config.yaml')) keys.push(key);
  });
  return keys.reverse();
}
