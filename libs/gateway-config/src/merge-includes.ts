import { posix } from 'node:path';
import type { JsonObject, JsonValue } from '@pointsman/schemas';
import type { ConfigProblem } from './gateway-config.ts';
import { nearestName } from './nearest-name.ts';
import { showPath, type Path } from './path.ts';
import { readYaml, type ConfigFile, type YamlFile } from './read-yaml.ts';

const MAX_INCLUDED_FILES = 100;

export interface MergedConfig {
  readonly root: JsonObject;
  /** Where a path of the merged configuration is written. */
  locate(path: Path): { readonly file: string; readonly line?: number; readonly column?: number } | undefined;
}

/** Which file each top-level value came from: lists are joined, therefore by position. */
type Origin = readonly { readonly file: YamlFile; readonly length: number | undefined }[];

/**
 * Reads the first file and merges what its `include` names, breadth first, each file once, entries relative to the file that holds them.
 * Lists at the top level are joined, everything else is replaced by the included file: LiteLLM's `resolve_includes`.
 */
export function readWithIncludes(files: readonly ConfigFile[]): MergedConfig | { readonly problems: readonly ConfigProblem[] } {
  const [main] = files;
  if (main === undefined) return { problems: [{ path: '', message: 'no configuration file was given' }] };
  const byPath = new Map(files.map((file) => [posix.normalize(file.path), file]));
  const problems: ConfigProblem[] = [];
  const root: JsonObject = {};
  const origins = new Map<string, Origin>();
  const seen = new Set<string>([posix.normalize(main.path)]);
  const pending: ConfigFile[] = [main];
  for (let next = pending.shift(); next !== undefined; next = pending.shift()) {
    const outcome = readYaml(next);
    if ('problems' in outcome) {
      problems.push(...outcome.problems);
      continue;
    }
    const { file } = outcome;
    for (const [key, value] of Object.entries(file.root)) {
      if (key === 'include') continue;
      mergeKey(key, value ?? null, { root, origins, file });
    }
    for (const { entry, path } of includeEntries(file, problems)) {
      const resolved = posix.normalize(posix.join(posix.dirname(posix.normalize(file.path)), entry));
      const besideMain = posix.normalize(posix.join(posix.dirname(posix.normalize(main.path)), entry));
      const target = byPath.get(posix.normalize(entry.startsWith('/') ? entry : resolved)) ?? byPath.get(besideMain);
      if (target === undefined) {
        const near = nearestName(entry, files.slice(1).map((candidate) => candidate.path));
        problems.push({ path: showPath(path), message: 'the included file was not found', ...(near === undefined ? {} : { suggestion: near }), file: file.path, ...file.locate(path) });
        continue;
      }
      const normalised = posix.normalize(target.path);
      if (seen.has(normalised)) continue;
      seen.add(normalised);
      if (seen.size > MAX_INCLUDED_FILES) return { problems: [{ path: 'include', message: `more than ${String(MAX_INCLUDED_FILES)} included files` }] };
      pending.push(target);
    }
  }
  if (problems.length > 0) return { problems };
  return { root, locate: (path) => locate(path, origins) };
}

/** The entries of `include` of one text, as written; nothing when the text is not valid. For callers that read the files. */
export function includedPaths(file: ConfigFile): readonly string[] {
  const outcome = readYaml(file);
  return 'problems' in outcome ? [] : includeEntries(outcome.file, []).map(({ entry }) => entry);
}

function includeEntries(file: YamlFile, problems: ConfigProblem[]): readonly { readonly entry: string; readonly path: Path }[] {
  const include = file.root['include'];
  if (include === undefined || include === null) return [];
  const entries: { entry: string; path: Path }[] = [];
  for (const [index, entry] of (Array.isArray(include) ? include : [include]).entries()) {
    const path: Path = Array.isArray(include) ? ['include', index] : ['include'];
    if (Array.isArray(include) && typeof entry === 'string' && entry !== '') entries.push({ entry, path });
    else problems.push({ path: showPath(path), message: 'expected a list of file names', file: file.path, ...file.locate(path) });
  }
  return entries;
}

function mergeKey(key: string, value: JsonValue, { root, origins, file }: { readonly root: JsonObject; readonly origins: Map<string, Origin>; readonly file: YamlFile }): void {
  const base = root[key];
  if (Array.isArray(base) && Array.isArray(value)) {
    root[key] = [...base, ...value];
    origins.set(key, [...(origins.get(key) ?? []), { file, length: value.length }]);
  } else {
    root[key] = value;
    origins.set(key, [{ file, length: Array.isArray(value) ? value.length : undefined }]);
  }
}

function locate(path: Path, origins: ReadonlyMap<string, Origin>): { readonly file: string; readonly line?: number; readonly column?: number } | undefined {
  const [key, position, ...rest] = path;
  const origin = typeof key === 'string' ? origins.get(key) : undefined;
  if (key === undefined || origin === undefined) return undefined;
  if (typeof position !== 'number') {
    const [first] = origin;
    return first === undefined ? undefined : { file: first.file.path, ...first.file.locate(path) };
  }
  let before = 0;
  for (const { file, length = 0 } of origin) {
    if (position < before + length) return { file: file.path, ...file.locate([key, position - before, ...rest]) };
    before += length;
  }
  return undefined;
}
