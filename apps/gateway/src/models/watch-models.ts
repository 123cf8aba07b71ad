import { basename, relative, sep } from 'node:path';
import { watch } from 'chokidar';

export interface WatchModelsParts {
  readonly modelsDir: string;
  /** At most once per `SETTLE_MS`. */
  readonly onChange: () => void;
  readonly onError: (error: unknown) => void;
}

/** A publish is two renames: one look for both. */
const SETTLE_MS = 50;

/**
 * Tells when a model's `current` or its list of generations changes. Only names are watched, `{name}/current` and `{name}/generations/{revision}`, never what is in a generation.
 * Resolves once it watches; the returned function ends it.
 */
export function watchModels({ modelsDir, onChange, onError }: WatchModelsParts): () => Promise<void> {
  let settle: NodeJS.Timeout | undefined;
  const watcher = watch(modelsDir, { depth: 2, ignoreInitial: true, followSymlinks: false, ignored: (path) => isBesidesThePoint(relative(modelsDir, path)) });
  watcher.on('all', () => {
    settle ??= setTimeout(() => {
      settle = undefined;
      onChange();
    }, SETTLE_MS);
  });
  watcher.on('error', onError);
  return async () => {
    clearTimeout(settle);
    settle = undefined;
    await watcher.close();
    clearTimeout(settle);
  };
}

function isBesidesThePoint(path: string): boolean {
  if (basename(path).startsWith('.')) return path !== '';
  const parts = path.split(sep);
  return parts.length > 3 || (parts.length === 2 && parts[1] !== 'current' && parts[1] !== 'generations');
}
