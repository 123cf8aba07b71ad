import { closeSync, createReadStream, ftruncateSync, openSync, writeSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { createGunzip } from 'node:zlib';
import { AppError } from '@pointsman/errors';
import type { ObjectHead, ObjectStore } from '@pointsman/object-store';

export interface FetchedObject {
  readonly key: string;
  /** Local file: gzip as it came, or, of a broken one, the whole lines that could be unpacked. */
  readonly file: string;
}

export interface FetchedObjects {
  readonly objects: readonly FetchedObject[];
  readonly bytes: number;
  /** Objects whose gzip data is broken, in words, with what was read of them. */
  readonly problems: readonly string[];
}

export interface FetchLimits {
  /** Of all objects together, packed. */
  readonly maxBytes: number;
  /** Of one object, unpacked. */
  readonly maxUnpackedBytes: number;
}

export interface FetchOptions {
  readonly store: ObjectStore;
  readonly days: readonly string[];
  readonly directory: string;
  readonly limits: FetchLimits;
  readonly progress?: ((share: number) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

const AT_ONCE = 4;
const DOWNLOAD_TIMEOUT_MS = 10 * 60_000;

/**
 * Objects of some days, into a directory of the caller's. Sizes are known before anything is fetched, so that a window that does not fit takes no disk.
 * @throws AppError `window_too_large`; ObjectStoreError
 */
export async function fetchObjects({ store, days, directory, limits, progress, signal }: FetchOptions): Promise<FetchedObjects> {
  const heads: ObjectHead[] = [];
  let bytes = 0;
  for (const day of days) {
    for await (const head of store.list(`traces/${day}/`, signal === undefined ? {} : { signal })) {
      if (!/\.jsonl(\.gz)?$/.test(head.key)) continue;
      heads.push(head);
      bytes += head.bytes;
      if (bytes > limits.maxBytes) {
        throw new AppError('unprocessable', 'window_too_large', `The window holds more than ${limits.maxBytes} bytes of traces (${heads.length} objects up to ${day}). Take a shorter one, or run the SQL of docs/closed-loop.md where the data lies.`);
      }
    }
  }
  const objects: FetchedObject[] = [];
  const problems: string[] = [];
  let next = 0;
  let done = 0;
  const fetchNext = async (): Promise<void> => {
    for (let index = next++; index < heads.length; index = next++) {
      const { key } = heads[index]!;
      const packed = key.endsWith('.gz');
      const file = join(directory, `${String(index)}.jsonl${packed ? '.gz' : ''}`);
      const found = await store.download(key, file, { maxBytes: limits.maxBytes, timeoutMs: DOWNLOAD_TIMEOUT_MS, ...(signal === undefined ? {} : { signal }) });
      // Deleted between list and download: a bucket has its own rules for old objects.
      if (found !== undefined) {
        const damage = packed ? await findDamage(file, limits.maxUnpackedBytes) : undefined;
        if (damage === undefined) objects.push({ key, file });
        else {
          const rest = file.slice(0, -'.gz'.length);
          const lines = await salvage(file, rest, limits.maxUnpackedBytes);
          await rm(file, { force: true });
          problems.push(`${key}: ${damage}; ${lines === 0 ? 'nothing of it' : `its first ${String(lines)} lines`} could be read`);
          if (lines > 0) objects.push({ key, file: rest });
        }
      }
      done += 1;
      progress?.(done / heads.length);
    }
  };
  const results = await Promise.allSettled(Array.from({ length: Math.min(AT_ONCE, heads.length) }, fetchNext));
  for (const result of results) if (result.status === 'rejected') throw result.reason;
  return { objects: objects.sort((a, b) => (a.key < b.key ? -1 : 1)), bytes, problems: problems.sort() };
}

/** What is wrong with a gzip file, in words; undefined when all of it is sound. Keeps nothing. */
async function findDamage(file: string, maxBytes: number): Promise<string | undefined> {
  let total = 0;
  return await unpack(file, (chunk) => {
    total += chunk.length;
    return total > maxBytes ? `more than ${String(maxBytes)} bytes unpacked` : undefined;
  });
}

/** Writes the whole lines that can be unpacked, up to a size, and tells how many there are. */
function salvage(source: string, target: string, maxBytes: number): Promise<number> {
  const out = openSync(target, 'wx', 0o600);
  let written = 0;
  let lines = 0;
  let lastLine = 0;
  return unpack(source, (chunk) => {
    const part = chunk.subarray(0, maxBytes - written);
    writeSync(out, part);
    for (let at = part.indexOf(10); at !== -1; at = part.indexOf(10, at + 1)) {
      lines += 1;
      lastLine = written + at + 1;
    }
    written += part.length;
    return written >= maxBytes ? 'enough' : undefined;
  }).then(() => {
    ftruncateSync(out, lastLine);
    return lines;
  }).finally(() => closeSync(out));
}

/**
 * Shows the unpacked pieces of a gzip file until one is objected to; resolves to the objection, or to what is wrong with the data. Listens instead of iterating: an
 * iterator drops pieces that wait when the stream breaks, now more, now fewer of them.
 */
function unpack(file: string, look: (chunk: Buffer) => string | undefined): Promise<string | undefined> {
  return new Promise((resolve) => {
    const source = createReadStream(file);
    const unpacked = createGunzip();
    const end = (result: string | undefined): void => {
      source.destroy();
      unpacked.destroy();
      resolve(result);
    };
    for (const stream of [source, unpacked]) stream.on('error', (error: unknown) => end(`broken gzip data (${errorCode(error)})`));
    unpacked.on('data', (chunk: Buffer) => {
      const objection = look(chunk);
      if (objection !== undefined) end(objection);
    });
    unpacked.on('end', () => end(undefined));
    source.pipe(unpacked);
  });
}

function errorCode(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : 'unknown error';
}
