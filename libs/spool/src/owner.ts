import { mkdirSync, readFileSync, readlinkSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';

/** How often an owner shows that it lives, and after how long a silence it is taken for dead where it cannot be looked at. Milliseconds. */
export const HEARTBEAT_MS = 5_000;
const SILENCE_MS = 4 * HEARTBEAT_MS;

const FOLDER_NAME = /^(\d+)-(\d+)-[0-9a-f]+$/;
const OWNER_FILE = 'owner.json';

/** Where process numbers mean the same: one boot of one machine, one PID namespace. `undefined` where there is no /proc. */
const numberSpace: string | undefined = readOrUndefined(() => `${readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()} ${readlinkSync('/proc/self/ns/pid')}`);

/**
 * When a process started, in clock ticks since boot; undefined when there is no such process, or no /proc.
 * Field 22 of /proc/<pid>/stat, see proc_pid_stat(5). The second field is the program's name, which may hold spaces and parentheses.
 */
function startTimeOf(pid: number): string | undefined {
  return readOrUndefined(() => {
    const stat = readFileSync(`/proc/${String(pid)}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
  });
}

/** Creates this process's own folder below `directory` and says in it whose it is. */
export function createOwnFolder(directory: string): string {
  const folder = join(directory, `${String(process.pid)}-${startTimeOf(process.pid) ?? '0'}-${randomBytes(6).toString('hex')}`);
  try {
    restoreOwnFolder(folder);
  } catch {
    // A disk that refuses at the start does not keep the process from starting: the first row tries again.
  }
  return folder;
}

/** Makes the folder of this process, also again after somebody deleted it. */
export function restoreOwnFolder(folder: string): void {
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, OWNER_FILE), JSON.stringify({ numberSpace, released: false }), { mode: 0o600 });
}

/** Shows others that the owner lives. Throws when the folder is gone. */
export function beat(folder: string): void {
  const now = new Date();
  utimesSync(join(folder, OWNER_FILE), now, now);
}

/** Gives a folder up: whoever starts next may have it, although this process goes on. */
export function releaseFolder(folder: string): void {
  writeFileSync(join(folder, OWNER_FILE), JSON.stringify({ numberSpace, released: true }), { mode: 0o600 });
}

/**
 * Whether the owner of a folder is gone, so that its rows are anybody's.
 * In a container the first process is number 1 every time, so a number alone says nothing: its start time must be the same too. Where the owner's numbers are
 * not ours (another container on the same volume, the one before this one, another machine), only the silence of its heartbeat tells.
 */
export function isAbandoned(directory: string, name: string, nowMs: number): boolean {
  const [, pid, startTime] = FOLDER_NAME.exec(name) ?? [];
  if (pid === undefined) return false;
  const folder = join(directory, name);
  const owner = readOwner(folder);
  if (owner?.released === true) return true;
  if (owner !== undefined && numberSpace === undefined && owner.numberSpace === undefined) return !isRunning(Number(pid));
  if (owner !== undefined && owner.numberSpace === numberSpace) return startTimeOf(Number(pid)) !== startTime;
  const lastSign = readOrUndefined(() => statSync(owner === undefined ? folder : join(folder, OWNER_FILE)).mtimeMs);
  return lastSign !== undefined && Math.abs(nowMs - lastSign) > SILENCE_MS;
}

function readOwner(folder: string): { readonly numberSpace?: unknown; readonly released?: unknown } | undefined {
  const parsed = readOrUndefined(() => JSON.parse(readFileSync(join(folder, OWNER_FILE), 'utf8')) as unknown);
  return typeof parsed === 'object' && parsed !== null ? parsed : undefined;
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // EPERM: there is one, of another user.
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

function readOrUndefined<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}
