import { randomBytes } from 'node:crypto';
import { mkdir, open, readdir, readFile, rename, rm, rmdir, stat, truncate } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { isAbandoned } from './owner.ts';
import { measureLines, type Segment } from './segment.ts';

const SEGMENT_FILE = /^\d{8}\.jsonl$/;
const NOTE_FILE = /\.note$/;
/** Bytes of a torn line that are kept. */
const MAX_TORN_BYTES = 64 * 1024;
const COUNT_BYTES = 256 * 1024;

export interface Adopted {
  readonly segments: Segment[];
  readonly notes: string[];
}

export interface AdoptOptions {
  /** The folder of this process. What it adopts moves into it. */
  readonly folder: string;
  readonly nextPath: () => string;
  readonly onTorn: (bytes: Buffer) => void;
  /** After it no further folder is begun. */
  readonly signal: AbortSignal;
}

/**
 * Moves what processes that are gone have left into the folder of this one, oldest first. Each file moves by a rename, which succeeds for one adopter only:
 * many may start at once, and one that is killed in the middle leaves every file in exactly one folder.
 */
export async function adoptAbandoned({ folder, nextPath, onTorn, signal }: AdoptOptions): Promise<Adopted> {
  const directory = dirname(folder);
  const adopted: Adopted = { segments: [], notes: [] };
  const found: { path: string; files: string[]; since: number }[] = [];
  for (const name of await namesIn(directory)) {
    if (name === basename(folder) || !isAbandoned(directory, name, Date.now())) continue;
    const path = join(directory, name);
    const files = (await namesIn(path)).sort();
    found.push({ path, files, since: await oldestOf(path, files) });
  }
  found.sort((a, b) => a.since - b.since);
  if (found.length === 0) return adopted;
  const buffer = Buffer.allocUnsafeSlow(COUNT_BYTES);
  for (const { path, files } of found) {
    if (signal.aborted) break;
    await mkdir(folder, { recursive: true }).catch(() => undefined);
    for (const file of files) {
      if (SEGMENT_FILE.test(file)) {
        const segment = await adoptSegment(join(path, file), nextPath(), onTorn, buffer);
        if (segment !== undefined) adopted.segments.push(segment);
      } else if (NOTE_FILE.test(file)) {
        const note = await adoptNote(join(path, file), folder);
        if (note !== undefined) adopted.notes.push(note);
      }
    }
    await rm(join(path, 'owner.json'), { force: true }).catch(() => undefined);
    await rmdir(path).catch(() => undefined);
  }
  return adopted;
}

async function adoptSegment(from: string, to: string, onTorn: (bytes: Buffer) => void, buffer: Buffer): Promise<Segment | undefined> {
  try {
    await rename(from, to);
  } catch {
    // Somebody else was faster, or the disk refuses: it stays where it is for the next start.
    return undefined;
  }
  const handle = await open(to, 'r').catch(() => undefined);
  if (handle === undefined) return undefined;
  try {
    const { rows, size, tornBytes } = await measureLines(handle, buffer);
    if (tornBytes > 0) {
      const torn = Buffer.alloc(Math.min(tornBytes, MAX_TORN_BYTES));
      await handle.read(torn, 0, torn.length, size);
      onTorn(torn);
      await truncate(to, size);
    }
    if (size === 0) {
      await rm(to, { force: true });
      return undefined;
    }
    const { birthtimeMs, mtimeMs } = await handle.stat();
    return { path: to, size, offset: 0, rows, since: birthtimeMs > 0 ? Math.min(birthtimeMs, mtimeMs) : mtimeMs, descriptor: undefined, closed: true };
  } catch {
    return undefined;
  } finally {
    await handle.close();
  }
}

/** The text of a note; the file is deleted. A rename first, so that one adopter only has it. */
async function adoptNote(from: string, folder: string): Promise<string | undefined> {
  const mine = join(folder, `${randomBytes(6).toString('hex')}.note`);
  try {
    await rename(from, mine);
    const text = (await readFile(mine, 'utf8')).trim();
    await rm(mine, { force: true });
    return text === '' ? undefined : text;
  } catch {
    return undefined;
  }
}

async function oldestOf(folder: string, files: readonly string[]): Promise<number> {
  let oldest = Infinity;
  for (const file of files) {
    if (!SEGMENT_FILE.test(file)) continue;
    const found = await stat(join(folder, file)).catch(() => undefined);
    if (found !== undefined) oldest = Math.min(oldest, found.mtimeMs);
  }
  return oldest;
}

async function namesIn(directory: string): Promise<string[]> {
  return readdir(directory).catch(() => []);
}
