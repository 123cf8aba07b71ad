import { basename, dirname } from 'node:path';
import { describeUnknown } from '@pointsman/errors';
import type { Logger } from '@pointsman/telemetry';
import { watch } from 'chokidar';

/** Publishing renames several links: one change is enough. */
const SETTLE_MS = 50;
/** `current` is swapped by config-sync, `..data` by the kubelet where a ConfigMap is mounted. */
const NAMES = ['config.yaml', 'current', '..data'];

/** Calls `onChange` when another configuration is published. A system that refuses to watch leaves the interval. */
export function watchConfig({ configDir, configPath, onChange, logger }: {
  readonly configDir: string;
  readonly configPath: string | undefined;
  readonly onChange: () => void;
  readonly logger: Logger;
}): { close(): Promise<void> } {
  const names = new Set(configPath === undefined ? NAMES : [...NAMES, basename(configPath)]);
  let settle: NodeJS.Timeout | undefined;
  const watcher = watch(configPath === undefined ? configDir : dirname(configPath), { depth: 0, ignoreInitial: true, persistent: true });
  watcher.on('all', (_event, path) => {
    if (!names.has(basename(path))) return;
    clearTimeout(settle);
    settle = setTimeout(onChange, SETTLE_MS);
  });
  watcher.on('error', (error) => logger.oncePerState('config-watch').change('failed', 'warn', 'config watch failed, looking at every interval only', { reason: describeUnknown(error) }));
  return {
    close: async () => {
      clearTimeout(settle);
      await watcher.close();
    },
  };
}
