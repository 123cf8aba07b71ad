import type { FileHandle } from 'node:fs/promises';

/** One file of rows, or rows held in memory. Everything before `size` is whole lines. */
export interface Segment {
  /** '' for rows in memory. */
  readonly path: string;
  /** The rows that are not yet delivered, where the disk refused them; undefined for a file. */
  readonly lines?: string[];
  /** Bytes of whole lines. */
  size: number;
  /** Bytes delivered. */
  offset: number;
  /** Whole lines not yet delivered. */
  rows: number;
  /** When its first row may have been appended, in milliseconds since the epoch. */
  readonly since: number;
  /** Set while rows are appended, and kept after it while they are read, so that rows are found even when somebody deleted the file. */
  descriptor: number | undefined;
  /** No more rows will come. */
  closed: boolean;
}

const NEWLINE = 10;
/** Longest line, in bytes. */
export const MAX_LINE_BYTES = 1024 * 1024;
/** What one batch reads; more only where a single line is longer. */
export const READ_BYTES = 512 * 1024;

/** Reads up to `length` bytes at a position. */
export type ReadAt = (buffer: Buffer, length: number, position: number) => Promise<number>;

export interface ReadBatch {
  readonly lines: string[];
  readonly bytes: number;
}

/** The next whole lines of a segment, at most `maxRows` and what fits into the buffer. No lines but bytes: a line that does not fit. */
export async function readBatch(segment: Segment, maxRows: number, buffer: Buffer, readAt: ReadAt): Promise<ReadBatch> {
  const wanted = Math.min(buffer.length, segment.size - segment.offset);
  const read = await readAt(buffer, wanted, segment.offset);
  if (read === 0) throw new Error('A segment is shorter than what was written to it.');
  let rows = 0;
  let end = 0;
  for (let at = buffer.indexOf(NEWLINE); at !== -1 && at < read && rows < maxRows; at = buffer.indexOf(NEWLINE, at + 1)) {
    rows += 1;
    end = at + 1;
  }
  // Decoded once and cut: a call per line costs more than the decoding.
  if (rows > 0) return { lines: buffer.toString('utf8', 0, end - 1).split('\n'), bytes: end };
  return { lines: [], bytes: read };
}

/** The next lines of rows held in memory, bounded as a read of a file is. */
export function nextLines(held: readonly string[], maxRows: number): ReadBatch {
  const lines: string[] = [];
  let bytes = 0;
  for (const line of held) {
    const more = Buffer.byteLength(line) + 1;
    if (lines.length === maxRows || (lines.length > 0 && bytes + more > READ_BYTES)) break;
    lines.push(line);
    bytes += more;
  }
  return { lines, bytes };
}

/** Counts the whole lines of a file that somebody else has written. */
export async function measureLines(handle: FileHandle, buffer: Buffer): Promise<{ readonly rows: number; readonly size: number; readonly tornBytes: number }> {
  let rows = 0;
  let size = 0;
  let position = 0;
  for (;;) {
    const { bytesRead } = await handle.read(buffer, 0, buffer.length, position);
    if (bytesRead === 0) return { rows, size, tornBytes: position - size };
    for (let at = buffer.indexOf(NEWLINE); at !== -1 && at < bytesRead; at = buffer.indexOf(NEWLINE, at + 1)) {
      rows += 1;
      size = position + at + 1;
    }
    position += bytesRead;
  }
}
