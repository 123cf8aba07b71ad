import { readFile } from 'node:fs/promises';
import { totalmem, freemem } from 'node:os';
import { dirname, join } from 'node:path';

export interface AvailableMemoryOptions {
  /** Where `/proc` and `/sys` are found; for tests. */
  readonly root?: string;
}

/**
 * How much memory this process may still take, in bytes: the least of what the machine has (`MemAvailable`) and what every control group above this process leaves
 * (limit minus use, where file cache that nobody uses counts as free). Both versions of control groups: https://docs.kernel.org/admin-guide/cgroup-v2.html
 */
export async function availableMemoryBytes({ root = '/' }: AvailableMemoryOptions = {}): Promise<number> {
  const groups = await memoryGroups(root);
  const left = await Promise.all([machineAvailable(root), ...groups.map((group) => groupAvailable(group))]);
  return Math.max(0, Math.min(...left));
}

interface MemoryGroup {
  readonly directory: string;
  readonly version: 1 | 2;
}

/** The control group of this process and all that it lies in: a limit of any of them holds. */
async function memoryGroups(root: string): Promise<MemoryGroup[]> {
  const groups: MemoryGroup[] = [];
  const add = (mount: string, path: string, version: 1 | 2): void => {
    for (let at = join('/', path); ; at = dirname(at)) {
      groups.push({ directory: join(mount, at), version });
      if (at === '/') return;
    }
  };
  for (const line of ((await textOf(join(root, 'proc/self/cgroup'))) ?? '').split('\n')) {
    const [, controllers, path] = line.split(':', 3);
    if (controllers === undefined || path === undefined) continue;
    if (controllers === '') add(join(root, 'sys/fs/cgroup'), path, 2);
    else if (controllers.split(',').includes('memory')) add(join(root, 'sys/fs/cgroup/memory'), path, 1);
  }
  return groups;
}

async function groupAvailable({ directory, version }: MemoryGroup): Promise<number> {
  const [limitFile, usedFile, cacheField] = version === 2 ? (['memory.max', 'memory.current', 'inactive_file'] as const) : (['memory.limit_in_bytes', 'memory.usage_in_bytes', 'total_inactive_file'] as const);
  const [limit, used, stat] = await Promise.all([textOf(join(directory, limitFile)), textOf(join(directory, usedFile)), textOf(join(directory, 'memory.stat'))]);
  const limitBytes = Number(limit);
  // `max`, no such group in this container's view, or the number near 2^63 that version 1 has for "none".
  if (limit === undefined || used === undefined || !Number.isFinite(limitBytes) || limitBytes > 2 ** 60) return Infinity;
  const cache = new RegExp(String.raw`^${cacheField} (\d+)$`, 'm').exec(stat ?? '');
  return limitBytes - Number(used) + Number(cache?.[1] ?? 0);
}

async function machineAvailable(root: string): Promise<number> {
  const found = /^MemAvailable:\s+(\d+) kB$/m.exec((await textOf(join(root, 'proc/meminfo'))) ?? '');
  return found === null ? Math.min(freemem(), totalmem()) : Number(found[1]) * 1024;
}

async function textOf(path: string): Promise<string | undefined> {
  return readFile(path, 'utf8').then((text) => text.trim(), () => undefined);
}
