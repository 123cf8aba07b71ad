import { closeSync, fstatSync, fsync, ftruncateSync, openSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { restoreOwnFolder } from './owner.ts';
import { MAX_LINE_BYTES, type Segment } from './segment.ts';
import type { SpoolIo, SpoolOptions } from './spool.ts';

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
  /** Bounds of the rows that wait in memory while the disk refuses. */
  readonly maxMemoryRows: number;
  readonly maxMemoryBytes: number;
  readonly diskCalmMs: number;
  readonly io: SpoolIo;
  readonly onDisk: NonNullable<SpoolOptions['onDisk']>;
  readonly onLost: (reason: 'full' | 'disk', rows: number) => void;
}

/**
 * Writes rows to the last of the segments of a folder, and keeps the account of all. While the disk refuses, rows wait in segments in memory, in their place
 * among the others.
 */
export class SegmentWriter {
  readonly #options: SegmentWriterOptions;
  /** Oldest first; only the last may be open. */
  readonly segments: Segment[] = [];
  /** Bytes of all files. */
  bytes = 0;
  /** Rows of all segments that are not yet delivered. */
  rows = 0;
  #active: Segment | undefined;
  #number = 0;
  #buffer = Buffer.allocUnsafeSlow(16 * 1024);
  #retryDiskAt = 0;
  #unsynced = false;
  #memoryRows = 0;
  #memoryBytes = 0;
  /** When the disk last refused a row, in monotonic milliseconds; undefined while it takes them. And what it said. */
  #refusedAt: number | undefined;
  #refusal: unknown;

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
    if (active?.descriptor === undefined) return this.#keepInMemory(length);
    try {
      const written = io.write(active.descriptor, buffer, length);
      if (written !== length) throw new Error(`${String(written)} of ${String(length)} bytes were written`);
    } catch (error) {
      this.#refusal = error;
      this.#undoWrite(active);
      return this.#keepInMemory(length);
    }
    if (this.#refusedAt !== undefined) this.#noticeCalm(this.#refusedAt);
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
    this.rows -= segment.rows;
    if (segment.lines === undefined) {
      this.bytes -= segment.size;
    } else {
      this.#memoryRows -= segment.lines.length;
      this.#memoryBytes -= segment.size - segment.offset;
    }
    closeDescriptor(segment);
  }

  /** The next `rows` rows of a segment, `bytes` long, are done with. */
  delivered(segment: Segment, rows: number, bytes: number): void {
    const counted = Math.min(rows, segment.rows);
    segment.offset += bytes;
    segment.rows -= counted;
    this.rows -= counted;
    if (segment.lines === undefined) return;
    segment.lines.splice(0, rows);
    this.#memoryRows -= rows;
    this.#memoryBytes -= bytes;
  }

  /** Asks the disk a last time to take the rows that wait in memory; how many it refused, which are gone from the account. */
  saveMemory(): number {
    let lost = 0;
    for (const held of this.segments.filter(({ lines }) => lines !== undefined)) {
      const { lines = [], since } = held;
      const bytes = Buffer.from(`${lines.join('\n')}\n`);
      this.remove(held);
      const saved: Segment = { path: this.nextPath(), size: bytes.length, offset: 0, rows: lines.length, since, descriptor: undefined, closed: true };
      try {
        saved.descriptor = this.#options.io.open(saved.path);
        if (this.#options.io.write(saved.descriptor, bytes, bytes.length) !== bytes.length) throw new Error('The disk is full.');
        this.adopt([saved], this.segments.length);
      } catch {
        removeFile(saved.path);
        lost += lines.length;
      }
      closeDescriptor(saved);
    }
    return lost;
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
      this.#refusal = error;
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') return undefined;
      // The folder was deleted under us.
      try {
        restoreOwnFolder(this.#options.folder);
        descriptor = this.#options.io.open(path);
      } catch (refusal) {
        this.#refusal = refusal;
        return undefined;
      }
    }
    const segment: Segment = { path, size: 0, offset: 0, rows: 0, since: Date.now(), descriptor, closed: false };
    this.#active = segment;
    this.segments.push(segment);
    return segment;
  }

  /** Keeps the row that stands in the buffer, `length` bytes with its newline. */
  #keepInMemory(length: number): boolean {
    const { maxMemoryRows, maxMemoryBytes, onDisk, onLost } = this.#options;
    const isNews = this.#refusedAt === undefined;
    this.#refusedAt = performance.now();
    if (isNews) onDisk({ refuses: true, reason: this.#refusal });
    if (this.#memoryRows >= maxMemoryRows || this.#memoryBytes + length > maxMemoryBytes) {
      onLost('disk', 1);
      return false;
    }
    let segment = this.segments.at(-1);
    if (segment?.lines === undefined) {
      segment = { path: '', lines: [], size: 0, offset: 0, rows: 0, since: Date.now(), descriptor: undefined, closed: true };
      this.segments.push(segment);
    }
    segment.lines?.push(this.#buffer.toString('utf8', 0, length - 1));
    segment.size += length;
    segment.rows += 1;
    this.rows += 1;
    this.#memoryRows += 1;
    this.#memoryBytes += length;
    return true;
  }

  /** A disk that is nearly full takes a row now and then: it is well when it refused none for a while. */
  #noticeCalm(refusedAt: number): void {
    if (performance.now() - refusedAt < this.#options.diskCalmMs) return;
    this.#refusedAt = undefined;
    this.#refusal = undefined;
    this.#options.onDisk({ refuses: false });
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
