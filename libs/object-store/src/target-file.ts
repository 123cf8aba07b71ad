import { createHash } from 'node:crypto';
import { open, rm } from 'node:fs/promises';
import { ObjectStoreError } from './object-store.ts';

/** A file that a download fills. Gone again at the end of the block, unless `keep` was called. */
export interface TargetFile extends AsyncDisposable {
  /** Written so far. */
  readonly bytes: number;
  append(chunk: Buffer): Promise<void>;
  /** Back to an empty file. */
  restart(): Promise<void>;
  /** Makes what is there durable. The SHA-256 of it, hex. */
  keep(): Promise<string>;
}

/** @throws ObjectStoreError `invalid` when the file exists or cannot be made, `no_space` when the disk is full. */
export async function createTargetFile(path: string): Promise<TargetFile> {
  const handle = await open(path, 'wx', 0o644).catch((error: unknown) => {
    throw localProblem(error, path);
  });
  let hash = createHash('sha256');
  let bytes = 0;
  let kept = false;
  // One write at a time: a deadline may give up on a write that then still ends.
  let last: Promise<unknown> = Promise.resolve();
  const doing = async <T>(work: Promise<T>): Promise<T> => {
    last = work.catch(() => undefined);
    try {
      return await work;
    } catch (error) {
      throw localProblem(error, path);
    }
  };
  return {
    get bytes() {
      return bytes;
    },
    append: (chunk) => doing((async () => {
      for (let at = 0; at < chunk.length;) at += (await handle.write(chunk, at, chunk.length - at, bytes + at)).bytesWritten;
      hash.update(chunk);
      bytes += chunk.length;
    })()),
    restart: () => doing((async () => {
      await handle.truncate(0);
      hash = createHash('sha256');
      bytes = 0;
    })()),
    keep: () => doing((async () => {
      await handle.sync();
      kept = true;
      return hash.digest('hex');
    })()),
    [Symbol.asyncDispose]: async () => {
      await last;
      await handle.close();
      if (!kept) await rm(path, { force: true });
    },
  };
}

/** A problem of this machine's own disk, said so that nobody looks for it at the store. */
export function localProblem(error: unknown, path: string): ObjectStoreError {
  if (error instanceof ObjectStoreError) return error;
  const { code = 'error' } = error as NodeJS.ErrnoException;
  if (isFull(code)) return new ObjectStoreError('no_space', `No space is left for ${path} (${code}).`, { cause: error });
  if (code === 'EEXIST') return new ObjectStoreError('invalid', `The file ${path} exists already.`, { cause: error });
  return new ObjectStoreError('invalid', `The file ${path} cannot be written (${code}).`, { cause: error });
}

/** Disk, quota, or the size limit of a file reached. */
export function isFull(code: string): boolean {
  return code === 'ENOSPC' || code === 'EDQUOT' || code === 'EFBIG';
}
