import { link, mkdir, readdir, readFile, unlink, writeFile } from 'node:fs/promises';
import { readFileSync } from 'node:fs';
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';

/** A process, told apart from a later one that was given the same number. */
interface Holder {
  readonly pid: number;
  readonly started: string;
}

const NAME = /^owner\.(\d{1,15})$/;

/**
 * Takes the folder for this process, for as long as it lives; false when a living process has it. Two servers on the same data would destroy them.
 *
 * Claims are numbered files, and the highest counts. A claim of a process that is gone is not removed but outbid: making a file with the next number succeeds for
 * one only, so that no moment exists in which two could both have removed the old claim and made their own. Nothing is given back: the end of the process does that.
 * Holds among processes that see each other's numbers: one machine or one container, not two containers on one volume.
 */
export async function lockFolder(folder: string): Promise<boolean> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const highest = Math.max(0, ...await claims(folder));
  if (highest > 0 && await isAlive(join(folder, `owner.${highest}`))) return false;
  const mine = join(folder, `owner.${highest + 1}`);
  const draft = join(folder, `draft.${randomUUID()}`);
  const holder: Holder = { pid: process.pid, started: startOf(process.pid) ?? '' };
  await writeFile(draft, JSON.stringify(holder), { mode: 0o600 });
  try {
    // A link appears with its content, or not at all; and fails when the name is taken.
    await link(draft, mine);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  } finally {
    await unlink(draft);
  }
  // Somebody may have outbid the old claim, gone, and been outbid, all since we looked.
  const others = await claims(folder);
  if (Math.max(...others) !== highest + 1) {
    await unlink(mine);
    return false;
  }
  for (const claim of others) if (claim < highest + 1) await unlink(join(folder, `owner.${claim}`)).catch(() => undefined);
  return true;
}

async function claims(folder: string): Promise<number[]> {
  return (await readdir(folder)).flatMap((name) => NAME.exec(name)?.[1] ?? []).map(Number);
}

async function isAlive(claim: string): Promise<boolean> {
  let holder: Holder;
  try {
    holder = JSON.parse(await readFile(claim, 'utf8')) as Holder;
  } catch {
    // Removed by one who outbid it: look again later.
    return true;
  }
  return startOf(holder.pid) === holder.started;
}

/** When a process began, undefined when there is none. Field 22 of /proc/<pid>/stat and the boot it counts from; elsewhere only that it is there. */
function startOf(pid: number): string | undefined {
  try {
    process.kill(pid, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return undefined;
  }
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    if (fields[0] === 'Z') return undefined;
    return `${readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()}/${fields[19]}`;
  } catch {
    return 'running';
  }
}
