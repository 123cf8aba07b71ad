import { closeSync, ftruncateSync, openSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync, writeSync, mkdirSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '@pointsman/timing';
import { feedbackRowSchema } from '@pointsman/schemas';
import type { ReceivedRecord } from './received-record.ts';
import { MAX_SEEN_SPANS, SeenSpans, SEEN_SPANS_WINDOW_MS } from './seen-spans.ts';
import { decodeKeys, encodeKeys, formatCommit, formatLine, newSegmentId, parseSegmentFileName, segmentFileName, segmentLines, type Commit } from './segment-file.ts';
import { WaitingFeedbacks } from './waiting-feedbacks.ts';

const SEGMENT_BYTES = 8 * 1024 * 1024;

/** A file of rows that will be one object. */
export interface Segment {
  readonly sequence: number;
  readonly id: string;
  readonly path: string;
  bytes: number;
  /** Rows of requests. */
  rows: number;
  /** Feedback that lies in it, whether joined or not. */
  feedback: number;
  /** Keys of its feedback that waits to be joined. */
  readonly waiting: string[];
  /** When it was begun, in milliseconds since the epoch. */
  readonly sinceMs: number;
  /** No more is written to it. */
  sealed: boolean;
  /** What it is written with, once that is decided. */
  commit: Commit | undefined;
  /** Given up because the spool was full: the file is gone. */
  dropped: boolean;
}

export interface RowSpoolOptions {
  /** Of this process alone. */
  readonly directory: string;
  readonly podName: string;
  readonly maxBytes: number;
  /** Age at which a segment is closed. */
  readonly flushIntervalMs: number;
  readonly clock: Clock;
  /** Rows that are lost for good. */
  readonly onDropped: (reason: 'spool_full' | 'unreadable', rows: number) => void;
  /** The segment that is being written to the store: it gives way too, and whoever writes it tells whether its rows were lost. */
  readonly inHand?: () => Segment | undefined;
}

/** The disk refuses; the sender is to come again. */
export class SpoolRefusedError extends Error {
  constructor(cause: unknown) {
    super('The spool cannot be written to.', { cause });
    this.name = 'SpoolRefusedError';
  }
}

export interface AppendResult {
  readonly added: number;
  readonly duplicates: number;
  /** Larger than the spool may be: never taken. */
  readonly tooLarge: number;
}

/**
 * What was received and is not in the object store yet, in files that become one object each. A row is in exactly one of them, and a file's name decides the object's
 * key: what is written again after a crash is found to be there. Written synchronously: what `append` returned for survives `kill -9` (not a loss of power).
 *
 * One log as well: the files are read and deleted in the order they were written. Before an object is made, a line in the newest file says with which feedback (`Commit`);
 * that feedback lies in the object's own file or a later one, and so does the line: as long as the feedback is there, so is what was decided about it.
 *
 * One process per directory.
 */
export class RowSpool {
  readonly #options: RowSpoolOptions;
  readonly #segmentBytes: number;
  /** Oldest first; only the last may be open. */
  readonly #segments: Segment[] = [];
  readonly feedbacks = new WaitingFeedbacks();
  readonly #seen: SeenSpans;
  #sequence = 0;
  #active: { readonly segment: Segment; readonly descriptor: number } | undefined;
  #bytes = 0;

  constructor(options: RowSpoolOptions) {
    this.#options = options;
    this.#segmentBytes = Math.max(4_096, Math.min(SEGMENT_BYTES, Math.floor(options.maxBytes / 8)));
    this.#seen = new SeenSpans(options.clock.now());
    mkdirSync(options.directory, { recursive: true });
    this.#readDirectory();
  }

  get segments(): readonly Segment[] {
    return this.#segments;
  }

  get backlog(): { readonly rows: number; readonly bytes: number; readonly oldestAtMs: number | undefined } {
    const waiting = this.#segments.filter(({ rows, feedback }) => rows + feedback > 0);
    return { rows: waiting.reduce((sum, { rows }) => sum + rows, 0), bytes: this.#bytes, oldestAtMs: waiting[0]?.sinceMs };
  }

  /**
   * Takes records, each once: on disk when it returns, by one system call. The oldest rows give way when the spool is full.
   * @throws SpoolRefusedError: nothing was taken.
   */
  append(records: readonly ReceivedRecord[]): AppendResult {
    const { clock, maxBytes } = this.#options;
    const fresh = new Map<string, ReceivedRecord>();
    for (const record of records) if (!this.#seen.has(record.key) && !fresh.has(record.key)) fresh.set(record.key, record);
    const duplicates = records.length - fresh.size;
    if (fresh.size === 0) return { added: 0, duplicates, tooLarge: 0 };
    const lines: string[] = [];
    for (const { kind, key, row } of fresh.values()) lines.push(formatLine(kind === 'request' ? 'row' : 'feedback', key, row));
    const bytes = Buffer.from(lines.join(''));
    if (bytes.length > maxBytes / 2) return { added: 0, duplicates, tooLarge: fresh.size };
    this.#makeRoom(bytes.length);
    const { segment } = this.#write(bytes);
    const nowMs = clock.now();
    for (const record of fresh.values()) {
      this.#seen.add(record.key, nowMs);
      if (record.kind === 'request') {
        segment.rows += 1;
      } else {
        segment.feedback += 1;
        if (this.feedbacks.add(record)) segment.waiting.push(record.key);
      }
    }
    if (segment.bytes >= this.#segmentBytes) this.seal();
    return { added: fresh.size, duplicates, tooLarge: 0 };
  }

  /** Whether the segment that is written to is old enough to be closed. */
  sealDue(): void {
    const segment = this.#active?.segment;
    if (segment !== undefined && this.#options.clock.now() - segment.sinceMs >= this.#options.flushIntervalMs) this.seal();
  }

  /** Ends the segment that is written to; the next row opens another. */
  seal(): void {
    if (this.#active === undefined) return;
    this.#active.segment.sealed = true;
    closeQuietly(this.#active.descriptor);
    this.#active = undefined;
  }

  read(segment: Segment): Promise<Buffer> {
    return readFile(segment.path);
  }

  /** Decides for good what a segment is written with. */
  commit(segment: Segment, joined: readonly string[]): void {
    const commit: Commit = { segment: segment.id, joined };
    try {
      this.#write(Buffer.from(formatCommit(commit)));
    } catch (error) {
      // A full disk must not keep rows from leaving it. Unwritten, the decision must have nothing to decide.
      if (joined.length > 0) throw error;
    }
    segment.commit = commit;
    this.feedbacks.join(joined);
  }

  /** The segment is in the store: its file goes, its keys stay a while. */
  done(segment: Segment, keys: readonly string[]): void {
    if (!segment.dropped) {
      const path = join(this.#options.directory, segmentFileName(segment.sequence, segment.id, 'seen'));
      try {
        // Whole or not at all: a crash in between leaves the rows, which are written again under the same name.
        writeFileSync(`${path}.new`, encodeKeys(keys));
        renameSync(`${path}.new`, path);
      } catch {
        // Without it, a span that is sent again after a restart is taken again: still better than a full disk that stays full.
      }
      this.#remove(segment);
    }
    this.#forgetOldKeys();
  }

  /** Takes a segment out that cannot be read, or holds nothing. */
  discard(segment: Segment, reason?: 'unreadable'): void {
    if (segment.dropped) return;
    if (reason !== undefined && segment.rows + segment.feedback > 0) this.#options.onDropped(reason, segment.rows + segment.feedback);
    this.#remove(segment);
  }

  /** Stops writing; what is there waits for the next start. */
  close(): void {
    this.seal();
  }

  #write(bytes: Buffer): { readonly segment: Segment } {
    const active = this.#active ?? this.#open();
    const { segment, descriptor } = active;
    try {
      const written = writeSync(descriptor, bytes, 0, bytes.length);
      if (written !== bytes.length) throw new Error(`${String(written)} of ${String(bytes.length)} bytes were written`);
    } catch (error) {
      try {
        ftruncateSync(descriptor, segment.bytes);
      } catch {
        // What is behind the last line is passed over when it is read.
      }
      this.seal();
      throw new SpoolRefusedError(error);
    }
    segment.bytes += bytes.length;
    this.#bytes += bytes.length;
    return active;
  }

  #open(): { readonly segment: Segment; readonly descriptor: number } {
    const { directory, podName, clock } = this.#options;
    const sinceMs = clock.now();
    const id = newSegmentId(podName, sinceMs);
    this.#sequence += 1;
    const path = join(directory, segmentFileName(this.#sequence, id, 'rows'));
    try {
      const descriptor = openSync(path, 'ax', 0o600);
      const segment: Segment = { sequence: this.#sequence, id, path, bytes: 0, rows: 0, feedback: 0, waiting: [], sinceMs, sealed: false, commit: undefined, dropped: false };
      this.#segments.push(segment);
      this.#active = { segment, descriptor };
      return this.#active;
    } catch (error) {
      try {
        mkdirSync(directory, { recursive: true });
      } catch {
        // The next try says so again.
      }
      throw new SpoolRefusedError(error);
    }
  }

  #makeRoom(bytes: number): void {
    while (this.#bytes + bytes > this.#options.maxBytes && this.#segments.length > 0) {
      const oldest = this.#segments[0];
      if (oldest === undefined) return;
      if (oldest === this.#active?.segment) this.seal();
      // Of what is being written just now the writer knows whether it arrived.
      if (oldest !== this.#options.inHand?.() && oldest.rows + oldest.feedback > 0) this.#options.onDropped('spool_full', oldest.rows + oldest.feedback);
      this.#remove(oldest);
      oldest.dropped = true;
    }
  }

  #remove(segment: Segment): void {
    const index = this.#segments.indexOf(segment);
    if (index === -1) return;
    if (segment === this.#active?.segment) this.seal();
    this.#segments.splice(index, 1);
    this.#bytes -= segment.bytes;
    for (const key of segment.waiting) this.feedbacks.forget(key);
    removeQuietly(segment.path);
  }

  /** Reads what an earlier process left: every file becomes a closed segment again. */
  #readDirectory(): void {
    const { directory, clock, onDropped } = this.#options;
    const commits = new Map<string, Commit>();
    const names = readdirSync(directory).sort();
    for (const name of names) {
      const path = join(directory, name);
      const parsed = parseSegmentFileName(name);
      if (parsed === undefined) {
        if (name.endsWith('.seen.new')) removeQuietly(path);
        continue;
      }
      this.#sequence = Math.max(this.#sequence, parsed.sequence);
      try {
        const bytes = readFileSync(path);
        if (parsed.kind === 'seen') for (const key of decodeKeys(bytes)) this.#seen.add(key, clock.now());
        else this.#adopt({ ...parsed, path, sinceMs: sinceOf(path, clock) }, bytes, commits);
      } catch {
        if (parsed.kind === 'rows') onDropped('unreadable', 1);
      }
    }
    for (const segment of this.#segments) {
      segment.commit = commits.get(segment.id);
    }
    for (const { joined } of commits.values()) this.feedbacks.join(joined);
    this.#forgetOldKeys();
  }

  #adopt({ sequence, id, path, sinceMs }: Pick<Segment, 'sequence' | 'id' | 'path' | 'sinceMs'>, bytes: Buffer, commits: Map<string, Commit>): void {
    const segment: Segment = { sequence, id, path, bytes: bytes.length, rows: 0, feedback: 0, waiting: [], sinceMs, sealed: true, commit: undefined, dropped: false };
    const nowMs = this.#options.clock.now();
    for (const line of segmentLines(bytes)) {
      if (line.kind === 'commit') {
        const commit = parseJson(line.json()) as Commit | undefined;
        if (typeof commit?.segment === 'string' && Array.isArray(commit.joined)) commits.set(commit.segment, commit);
        continue;
      }
      this.#seen.add(line.key, nowMs);
      if (line.kind === 'row') {
        segment.rows += 1;
        continue;
      }
      segment.feedback += 1;
      const row = feedbackRowSchema.safeParse(parseJson(line.json()));
      if (row.success && this.feedbacks.add({ key: line.key, row: row.data })) segment.waiting.push(line.key);
    }
    this.#segments.push(segment);
    this.#bytes += bytes.length;
  }

  /** Files of keys that no sender can still repeat. */
  #forgetOldKeys(): void {
    const { directory, clock } = this.#options;
    try {
      let kept = 0;
      for (const name of readdirSync(directory).sort().reverse()) {
        if (parseSegmentFileName(name)?.kind !== 'seen') continue;
        const path = join(directory, name);
        const { mtimeMs, size } = statSync(path);
        kept += size / 24;
        if (clock.now() - mtimeMs > SEEN_SPANS_WINDOW_MS || kept > 2 * MAX_SEEN_SPANS) removeQuietly(path);
      }
    } catch {
      // They are looked at again with the next object.
    }
  }
}

/** When a segment was begun: at the latest when it was last written to. */
function sinceOf(path: string, clock: Clock): number {
  const { birthtimeMs, mtimeMs } = statSync(path);
  return Math.min(birthtimeMs > 0 ? birthtimeMs : mtimeMs, mtimeMs, clock.now());
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

function closeQuietly(descriptor: number): void {
  try {
    closeSync(descriptor);
  } catch {
    // Closed is closed.
  }
}

function removeQuietly(path: string): void {
  try {
    rmSync(path, { force: true });
  } catch {
    // Found again by the next start, and then written again under the same name.
  }
}
