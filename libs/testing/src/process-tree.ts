import { readdirSync, readFileSync } from 'node:fs';

export interface ProcessTreeUse {
  readonly pids: readonly number[];
  /** User and system time of the tree since each process began, in seconds, children that ended and were waited for included. */
  readonly cpuSeconds: number;
  /** Resident memory of the tree, in bytes; pages that several processes share count in each. */
  readonly rssBytes: number;
}

/** Clock ticks a second in /proc/<pid>/stat: USER_HZ, 100 on every Linux platform that Node runs on. */
const TICKS_PER_SECOND = 100;

interface ProcessFacts {
  readonly pid: number;
  readonly parent: number;
  readonly ticks: number;
}

/** What a process and all its descendants have used so far, from /proc (Linux only). Zero when the process is gone. */
export function readProcessTree(root: number): ProcessTreeUse {
  const processes = readdirSync('/proc').filter((name) => /^\d+$/.test(name)).flatMap((name) => readFacts(Number(name)));
  const tree = new Map<number, ProcessFacts>(processes.filter(({ pid }) => pid === root).map((facts) => [facts.pid, facts]));
  for (let grown = tree.size > 0; grown; ) {
    const children = processes.filter(({ pid, parent }) => tree.has(parent) && !tree.has(pid));
    for (const child of children) tree.set(child.pid, child);
    grown = children.length > 0;
  }
  const members = [...tree.values()];
  return {
    pids: members.map(({ pid }) => pid),
    cpuSeconds: members.reduce((sum, { ticks }) => sum + ticks, 0) / TICKS_PER_SECOND,
    rssBytes: members.reduce((sum, { pid }) => sum + residentBytes(pid), 0),
  };
}

/** See proc(5): after the command, which is in brackets and may hold spaces, field 3 on. */
function readFacts(pid: number): ProcessFacts[] {
  const text = readProc(pid, 'stat');
  if (text === undefined) return [];
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ').map(Number);
  const [, parent = 0] = fields;
  const ticks = fields.slice(11, 15).reduce((sum, value) => sum + value, 0); // utime stime cutime cstime
  return [{ pid, parent, ticks }];
}

function residentBytes(pid: number): number {
  const kibibytes = /^VmRSS:\s+(\d+) kB/m.exec(readProc(pid, 'status') ?? '')?.[1];
  return Number(kibibytes ?? 0) * 1_024;
}

/** Processes end while they are being read: that is not an error. */
function readProc(pid: number, file: string): string | undefined {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'utf8');
  } catch {
    return undefined;
  }
}
