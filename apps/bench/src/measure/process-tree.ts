import { readFile, readdir } from 'node:fs/promises';

/** One line of `/proc/PID/stat` (proc_pid_stat(5)): what the bench needs of it. */
export interface ProcessStat {
  readonly pid: number;
  readonly parentPid: number;
  /** User and system time of all threads, also those that ended, and of children that ended and were waited for. */
  readonly cpuTicks: number;
}

export interface ProcessUsage {
  readonly cpuMs: number;
  readonly rssBytes: number;
  readonly processes: number;
}

/** The kernel reports times in USER_HZ, which is 100 on every Linux that Node runs on. */
const msPerTick = 10;

/** Throws `Error` when the text is no `/proc/PID/stat` line. */
export function parseStat(text: string): ProcessStat {
  // The second field is the name in parentheses and may itself hold spaces and parentheses.
  const nameEnd = text.lastIndexOf(')');
  const fields = text.slice(nameEnd + 2).split(' ');
  const at = (field: number): number => Number(fields[field - 3]);
  const stat = { pid: Number.parseInt(text, 10), parentPid: at(4), cpuTicks: at(14) + at(15) + at(16) + at(17) };
  if (nameEnd < 0 || Object.values(stat).some(Number.isNaN)) throw new Error('Not a /proc/PID/stat line.');
  return stat;
}

/** The resident set in bytes from the text of `/proc/PID/status`; 0 for a process that has none (a zombie). */
export function parseRssBytes(status: string): number {
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1] ?? 0) * 1024;
}

/** `root` and everything below it. */
export function treeOf(stats: readonly ProcessStat[], root: number): readonly ProcessStat[] {
  const children = Map.groupBy(stats, (stat) => stat.parentPid);
  const found: ProcessStat[] = stats.filter((stat) => stat.pid === root);
  for (const stat of found) found.push(...(children.get(stat.pid) ?? []));
  return found;
}

/** CPU time since their start and memory now of a process and all its descendants. Linux only. */
export async function readProcessTree(root: number): Promise<ProcessUsage> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const stats = await Promise.all(pids.map(async (pid) => {
    // A process may end between the listing and the read.
    const text = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => undefined);
    return text === undefined ? [] : [parseStat(text)];
  }));
  const tree = treeOf(stats.flat(), root);
  const rss = await Promise.all(tree.map(async ({ pid }) => parseRssBytes(await readFile(`/proc/${pid}/status`, 'utf8').catch(() => ''))));
  return {
    cpuMs: tree.reduce((sum, stat) => sum + stat.cpuTicks, 0) * msPerTick,
    rssBytes: rss.reduce((sum, bytes) => sum + bytes, 0),
    processes: tree.length,
  };
}
