import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { temporaryDirectory } from '@pointsman/testing';
import { expect, test } from 'vitest';
import { availableMemoryBytes } from './available-memory.ts';
import { requireFreeMemory } from './require-free-memory.ts';

const MIB = 1024 * 1024;

async function availableWith(files: Readonly<Record<string, string>>): Promise<number> {
  await using root = await temporaryDirectory();
  for (const [path, content] of Object.entries({ 'proc/meminfo': 'MemTotal: 9999999 kB\nMemAvailable:    1024000 kB\n', ...files })) {
    const file = join(root.path, path);
    await mkdir(dirname(file), { recursive: true });
    await writeFile(file, content);
  }
  return availableMemoryBytes({ root: root.path });
}

test('without control groups what the machine has counts', async () => {
  expect(await availableWith({})).toBe(1_024_000 * 1024);
});

test('a limit of version 2 counts, and idle file cache counts as free', async () => {
  expect(await availableWith({
    'proc/self/cgroup': '0::/\n', 'sys/fs/cgroup/memory.max': `${500 * MIB}\n`, 'sys/fs/cgroup/memory.current': `${450 * MIB}\n`, 'sys/fs/cgroup/memory.stat': `anon 1\ninactive_file ${100 * MIB}\nactive_file 7\n`,
  })).toBe(150 * MIB);
});

test('the limit of a group above counts too', async () => {
  expect(await availableWith({
    'proc/self/cgroup': '0::/pod/gateway\n', 'sys/fs/cgroup/pod/gateway/memory.max': 'max\n', 'sys/fs/cgroup/pod/gateway/memory.current': '1\n',
    'sys/fs/cgroup/pod/memory.max': `${300 * MIB}\n`, 'sys/fs/cgroup/pod/memory.current': `${100 * MIB}\n`,
  })).toBe(200 * MIB);
});

test('a limit of version 1 counts, and its number for none does not', async () => {
  const v1 = { 'proc/self/cgroup': '5:cpu,cpuacct:/x\n4:memory:/\n', 'sys/fs/cgroup/memory/memory.usage_in_bytes': `${60 * MIB}\n`, 'sys/fs/cgroup/memory/memory.stat': `total_inactive_file ${10 * MIB}\n` };
  expect(await availableWith({ ...v1, 'sys/fs/cgroup/memory/memory.limit_in_bytes': `${100 * MIB}\n` })).toBe(50 * MIB);
  expect(await availableWith({ ...v1, 'sys/fs/cgroup/memory/memory.limit_in_bytes': '9223372036854771712\n' })).toBe(1_024_000 * 1024);
});

test('a group that is over its limit leaves nothing', async () => {
  expect(await availableWith({ 'proc/self/cgroup': '0::/\n', 'sys/fs/cgroup/memory.max': '10\n', 'sys/fs/cgroup/memory.current': '20\n' })).toBe(0);
});

test('a model that would not fit twice is refused with both figures', async () => {
  await expect(requireFreeMemory(100 * MIB, async () => 200 * MIB)).rejects.toThrow('The model needs 264 MiB while it is loaded, and 200 MiB are free.');
  await expect(requireFreeMemory(100 * MIB, async () => 264 * MIB)).resolves.toBeUndefined();
});
