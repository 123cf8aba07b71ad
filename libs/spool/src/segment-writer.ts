import { closeSync, fstatSync, fsync, ftruncateSync, openSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { restoreOwnFolder } from './owner.ts';
import { MAX_LINE_BYTES, type Segment } from './segment.ts';
import type { SpoolIo } from './spool.ts';

const NEWLINE = 10;
/** After the disk refused, it is asked again this much later: a failing system call for every row would cost more than the rows are worth. */
const DISK_RETRY_MS = 250;

export const systemIo: SpoolIo = {
  open: (path) => openSync(path, 'ax+', 0o600),
  write: (descriptor, bytes, length) => writeSync(descriptor, bytes, 0, length),
};

export interface SegmentWriterOptions {
  readonly folder: string;
  readonly maxBytes: number;
  readonly segmentBytes: number;
  readonly io: SpoolIo;
  readonly onLost: (reason: 'full' | 'disk', rows: number) => void;
}

/** Writes rows to the last of the segments of a folder, and keeps the account of all. */
export class SegmentWriter {
  readonly #options: SegmentWriterOptions;
  /** Oldest first; only the last may be open. */
  readonly segments: Segment[] = [];
  /** Bytes of all segments. */
  bytes = 0;
  /** Rows of all segments that are not yet delivered. */
  rows = 0;
  #active: Segment | undefined;
  #number = 0;
  #buffer = Buffer.allocUnsafeSlow(16 * 1024);
  #retryDiskAt = 0;
  #unsynced = false;

  constructor(options: SegmentWriterOptions) {
    this.#options = options;
  }

  /** The path of a segment that is not there yet. */
  nextPath(): string {
    this.#number += 1;
    return join(this.#options.folder, `${String(this.#number).padStart(8, '0')}.jsonl`);
  }

  /** One system call; a few microseconds. */
  append(line: string): boolean {
    const { maxBytes, segmentBytes, io, onLost } = this.#options;
    // UTF-8 needs at most three bytes for a UTF-16 unit.
    if (line.length * 3 + 1 > this.#buffer.length && !this.#makeRoom(line)) {
      onLost('full', 1);
      return false;
    }
    const buffer = this.#buffer;
    const length = buffer.write(line, 0, 'utf8') + 1;
    buffer[length - 1] = NEWLINE;
    // A newline between the tokens of a JSON text means a space, and would end the row here.
    for (let at = buffer.indexOf(NEWLINE); at < length - 1; at = buffer.indexOf(NEWLINE, at + 1)) buffer[at] = 32;
    if (this.bytes + length > maxBytes) {
      onLost('full', 1);
      return false;
    }
    const active = this.#active ?? this.#open();
    if (active?.descriptor === undefined) {
      onLost('disk', 1);
      return false;
    }
    try {
      const written = io.write(active.descriptor, buffer, length);
      if (written !== length) throw new Error(`${String(written)} of ${String(length)} bytes were written`);
    } catch {
      this.#undoWrite(active);
      onLost('disk', 1);
      return false;
    }
    active.size += length;
    active.rows += 1;
    this.bytes += length;
    this.rows += 1;
    this.#unsynced = true;
    if (active.size >= segmentBytes) this.roll();
    return true;
  }

  /** Ends the segment that is written to; the next row opens another. */
  roll(): void {
    const active = this.#active;
    if (active === undefined) return;
    active.closed = true;
    this.#active = undefined;
    if (active.size === 0) {
      this.remove(active);
      removeFile(active.path);
    } else if (active !== this.segments[0] && !isDeleted(active)) {
      // The first one is being delivered, through the same descriptor; one that was deleted under us can be read no other way.
      closeDescriptor(active);
    }
  }

  /** Takes a segment out of the account; its file is the caller's. */
  remove(segment: Segment): void {
    const index = this.segments.indexOf(segment);
    if (index === -1) return;
    this.segments.splice(index, 1);
    this.bytes -= segment.size;
    this.rows -= segment.rows;
    closeDescriptor(segment);
  }

  /** Takes segments of somebody who is gone into the account, before those of this process. */
  adopt(adopted: readonly Segment[], at: number): void {
    this.segments.splice(at, 0, ...adopted);
    for (const segment of adopted) {
      this.bytes += segment.size;
      this.rows += segment.rows;
    }
  }

  /** Asks the disk to keep what was written; does not wait for it. */
  sync(): void {
    const descriptor = this.#active?.descriptor;
    if (!this.#unsynced || descriptor === undefined) return;
    this.#unsynced = false;
    fsync(descriptor, () => undefined);
  }

  #open(): Segment | undefined {
    const now = performance.now();
    if (now < this.#retryDiskAt) return undefined;
    let descriptor: number;
    const path = this.nextPath();
    try {
      descriptor = this.#options.io.open(path);
    } catch (error) {
      this.#retryDiskAt = now + DISK_RETRY_MS;
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') return undefined;
      // The folder was deleted under us.
      try {
        restoreOwnFolder(this.#options.folder);
        descriptor = this.#options.io.open(path);
      } catch {
        return undefined;
      }
    }
    const segment: Segment = { path, size: 0, offset: 0, rows: 0, since: Date.now(), descriptor, closed: false };
    this.#active = segment;
    this.segments.push(segment);
    return segment;
  }

  /** Takes back what a refused write left behind. Where even that fails the segment ends here: what is behind its size is never read. */
  #undoWrite(active: Segment): void {
    this.#retryDiskAt = performance.now() + DISK_RETRY_MS;
    try {
      if (active.descriptor !== undefined) ftruncateSync(active.descriptor, active.size);
    } catch {
      // It ends here anyway.
    }
    this.roll();
  }

  #makeRoom(line: string): boolean {
    const needed = Buffer.byteLength(line) + 1;
    if (needed > MAX_LINE_BYTES) return false;
    // The worst case is asked for on every row, so the buffer grows to it once.
    this.#buffer = Buffer.allocUnsafeSlow(Math.max(2 * this.#buffer.length, line.length * 3 + 1));
    return true;
  }
}

function isDeleted({ descriptor }: Segment): boolean {
  try {
    return descriptor !== undefined && fstatSync(descriptor).nlink === 0;
  } catch {
    return false;
  }
}

export function removeFile(path: string): void {
  try {
    rmSync(path, { force: true });
  } catch {
    // What cannot be deleted now is found by the next start and delivered again, with the same ids.
  }
}

export function closeDescriptor(segment: Segment): void {
  if (segment.descriptor === undefined) return;
  try {
    closeSync(segment.descriptor);
  } catch {
    // Closed is closed, whatever the disk says.
  }
  segment.descriptor = undefined;
}
