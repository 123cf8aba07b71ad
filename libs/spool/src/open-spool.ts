import { mkdirSync, openSync, read, rmSync } from 'node:fs';
import { basename } from 'node:path';
import { promisify } from 'node:util';
import { backoffMs } from '@pointsman/timing';
import { adoptAbandoned, type Adopted } from './adopt-abandoned.ts';
import { isRejectedRowsError, refusedLines } from './is-rejected-rows-error.ts';
import { NoteFile } from './note-file.ts';
import { beat, createOwnFolder, HEARTBEAT_MS, releaseFolder, restoreOwnFolder } from './owner.ts';
import { RejectedRows } from './rejected-rows.ts';
import { MAX_LINE_BYTES, nextLines, readBatch, READ_BYTES, type Segment } from './segment.ts';
import { closeDescriptor, removeFile, SegmentWriter, systemIo } from './segment-writer.ts';
import type { Spool, SpoolOptions } from './spool.ts';

const SYNC_MS = 1_000;
const BACKOFF_BASE_MS = 100;
/** After so many refusals of the disk to give a segment back, the ones behind it go first for good. */
const MAX_READ_FAILURES = 20;
const readDescriptor = promisify(read);

type State = 'idle' | 'gathering' | 'delivering' | 'backing-off' | 'closed';

interface Flusher {
  readonly pending: Map<Segment, number>;
  readonly resolve: () => void;
}

/**
 * Opens the spool of this process below `directory` and adopts what processes that are gone have left there; that is delivered first, oldest first.
 * Never rejects because of the disk: rows that cannot be written wait in memory, up to a bound, until the disk recovers.
 */
export async function openSpool(options: SpoolOptions): Promise<Spool> {
  const spool = new FileSpool(options);
  await spool.adopt();
  return spool;
}

class FileSpool implements Spool {
  readonly #options: SpoolOptions;
  readonly #batchRows: number;
  readonly #batchMs: number;
  readonly #folder: string;
  readonly #writer: SegmentWriter;
  readonly #rejected: RejectedRows;
  readonly #note: NoteFile;
  readonly #closing = new AbortController();
  readonly #flushers = new Set<Flusher>();
  #state: State = 'idle';
  #oldestAt: number | undefined;
  /** Monotonic milliseconds: when to deliver next, when the running delivery is given up, when to beat, when to sync. */
  #runAt = Infinity;
  #deadlineAt = Infinity;
  #beatAt = performance.now() + HEARTBEAT_MS;
  #syncAt = 0;
  /** The only timer. */
  #timer: NodeJS.Timeout | undefined;
  #timerAt = Infinity;
  #giveUp: ((reason: Error) => void) | undefined;
  #running: Promise<void> | undefined;
  #adopting: Promise<void> | undefined;
  #failures = 0;
  #readFailures = 0;
  #buffer: Buffer | undefined;
  /** What is left of the batch in hand, the next piece last; and where it was read. */
  #pieces: string[][] = [];
  #inHand: { readonly segment: Segment; readonly rows: number; readonly bytes: number; readonly isAll: boolean; readonly readAt: number } | undefined;

  constructor(options: SpoolOptions) {
    this.#options = options;
    this.#batchRows = options.batchRows ?? 500;
    this.#batchMs = options.batchMs ?? 250;
    this.#folder = ownFolder(options.directory);
    this.#note = new NoteFile(this.#folder);
    this.#rejected = new RejectedRows(options.directory, basename(this.#folder), Math.ceil(options.maxBytes / 4));
    this.#writer = new SegmentWriter({
      folder: this.#folder, maxBytes: options.maxBytes, io: options.io ?? systemIo, onLost: (reason, rows) => this.#options.onLost?.(reason, rows),
      onDisk: (state) => this.#options.onDisk?.(state), diskCalmMs: options.diskCalmMs ?? 10_000,
      maxMemoryRows: options.maxMemoryRows ?? 10_000, maxMemoryBytes: options.maxMemoryBytes ?? 8_000_000,
      segmentBytes: Math.max(1, Math.min(options.segmentBytes ?? 1024 * 1024, Math.floor(options.maxBytes / 8))),
    });
    this.#arm();
  }

  append(line: string): boolean {
    if (this.#state === 'closed') {
      this.#options.onLost?.('disk', 1);
      return false;
    }
    const kept = this.#writer.append(line);
    if (kept && (this.#state === 'idle' || this.#writer.rows === this.#batchRows)) this.#noticeRows();
    return kept;
  }

  get backlog(): { readonly rows: number; readonly bytes: number; readonly oldestAt: number | undefined } {
    const { rows, bytes } = this.#writer;
    return { rows, bytes, oldestAt: rows === 0 ? undefined : this.#oldestAt };
  }

  note(text: string): void {
    if (this.#state !== 'closed') this.#note.write(text);
  }

  flush(signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      signal.throwIfAborted();
      const pending = new Map(this.#writer.segments.filter((segment) => segment.offset < segment.size).map((segment) => [segment, segment.size]));
      if (pending.size === 0) {
        resolve();
        return;
      }
      if (this.#state === 'closed') throw new Error('The spool is closed; its rows wait for the next start.');
      const onAbort = (): void => {
        this.#flushers.delete(flusher);
        reject(signal.reason as Error);
      };
      const flusher: Flusher = { pending, resolve: () => {
        signal.removeEventListener('abort', onAbort);
        resolve();
      } };
      signal.addEventListener('abort', onAbort, { once: true });
      this.#flushers.add(flusher);
      if (this.#state !== 'delivering') this.#runAt = performance.now();
      this.#arm();
    });
  }

  async close(): Promise<void> {
    if (this.#state === 'closed') return;
    this.#state = 'closed';
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const reason = new Error('The spool is closing.');
    this.#closing.abort(reason);
    this.#giveUp?.(reason);
    await Promise.all([this.#running, this.#adopting]);
    this.#writer.roll();
    this.#dropDelivered();
    const lost = this.#writer.saveMemory();
    if (lost > 0) this.#options.onLost?.('disk', lost);
    for (const segment of this.#writer.segments) closeDescriptor(segment);
    this.#note.close();
    try {
      if (this.#writer.segments.length === 0 && this.#note.isEmpty) rmSync(this.#folder, { recursive: true, force: true });
      else releaseFolder(this.#folder);
    } catch {
      // It is adopted once this process is gone.
    }
  }

  /** Looks for folders whose owners are gone. */
  adopt(): Promise<void> {
    // What fails here stays on disk and is looked at again with the next beat.
    this.#adopting ??= this.#adopt().catch(() => undefined).finally(() => {
      this.#adopting = undefined;
    });
    return this.#adopting;
  }

  async #adopt(): Promise<void> {
    const first = this.#writer.segments.length === 0;
    const adopted = await adoptAbandoned({
      folder: this.#folder, nextPath: () => this.#writer.nextPath(), signal: this.#closing.signal,
      onTorn: (bytes) => {
        if (!this.#rejected.addTorn(bytes)) this.#options.onLost?.('disk', 1);
        this.#options.onRejected?.(1, new Error('A line was cut off in the middle.'));
      },
    });
    this.#take(adopted, first);
  }

  #take({ segments, notes }: Adopted, first: boolean): void {
    // Behind the one that may be in hand; before all others.
    this.#writer.adopt(segments, first ? 0 : Math.min(1, this.#writer.segments.length));
    for (const { since } of segments) this.#oldestAt = Math.min(this.#oldestAt ?? since, since);
    for (const note of notes) this.#options.onInherited?.(note);
    if (segments.length === 0 || this.#state !== 'idle') return;
    this.#state = 'gathering';
    this.#runAt = performance.now();
    this.#arm();
  }

  #noticeRows(): void {
    if (this.#state === 'idle') {
      this.#state = 'gathering';
      this.#oldestAt = Date.now();
      this.#runAt = performance.now() + this.#batchMs;
    }
    if (this.#state === 'gathering' && this.#writer.rows >= this.#batchRows) this.#runAt = performance.now();
    this.#arm();
  }

  /** One timer for whatever comes first. It does not keep the process alive, except while somebody waits for a flush. */
  #arm(): void {
    if (this.#state === 'closed') return;
    const at = Math.min(this.#runAt, this.#deadlineAt, this.#beatAt);
    if (this.#timer === undefined || at < this.#timerAt) {
      clearTimeout(this.#timer);
      this.#timerAt = at;
      this.#timer = setTimeout(() => this.#due(), Math.max(0, at - performance.now()));
    }
    if (this.#flushers.size > 0) this.#timer.ref();
    else this.#timer.unref();
  }

  #due(): void {
    this.#timer = undefined;
    // Timers may fire a fraction early.
    const now = performance.now() + 1;
    if (now >= this.#beatAt) this.#beat(now);
    if (now >= this.#deadlineAt) this.#giveUp?.(new Error(`Not taken within ${String(this.#options.deliverTimeoutMs ?? 30_000)} ms.`));
    if (now >= this.#runAt && this.#state !== 'delivering') {
      this.#runAt = Infinity;
      this.#state = 'delivering';
      this.#running = this.#run();
    }
    this.#arm();
  }

  #beat(now: number): void {
    this.#beatAt = now + HEARTBEAT_MS;
    try {
      beat(this.#folder);
    } catch {
      // Deleted under us: what is open stays readable, new rows go to a new file.
      this.#writer.roll();
      try {
        restoreOwnFolder(this.#folder);
      } catch {
        // The disk refuses; rows wait in memory until it does not.
      }
    }
    this.#note.restore();
    this.#sync(now);
    void this.adopt();
  }

  #sync(now: number): void {
    if (this.#options.fsync !== 'interval' || now < this.#syncAt) return;
    this.#syncAt = now + SYNC_MS;
    this.#writer.sync();
  }

  /** Delivers what is there; ends when there is little, or when a delivery fails. Never rejects. */
  async #run(): Promise<void> {
    this.#sync(performance.now());
    let due = this.#writer.rows;
    try {
      while (this.#state === 'delivering') {
        if (this.#pieces.length === 0) {
          if (due <= 0 && this.#writer.rows < this.#batchRows && this.#flushers.size === 0) break;
          if (!await this.#load()) break;
          due -= this.#inHand?.rows ?? 0;
        }
        await this.#deliverPiece();
      }
    } catch (error) {
      this.#failed(error);
      return;
    }
    if (this.#state === 'closed') return;
    const more = this.#writer.rows > 0;
    if (more) this.#oldestAt ??= Date.now();
    this.#state = more ? 'gathering' : 'idle';
    this.#runAt = more ? performance.now() + this.#batchMs : Infinity;
    this.#arm();
  }

  #failed(error: unknown): void {
    if (this.#state === 'closed') return;
    if (this.#failures === 0) this.#options.onDelivery?.({ failing: true, reason: error });
    this.#state = 'backing-off';
    this.#runAt = performance.now() + backoffMs(this.#failures, { baseMs: BACKOFF_BASE_MS, maxMs: this.#options.maxBackoffMs ?? 5_000 }, this.#options.random ?? Math.random);
    this.#failures += 1;
    this.#arm();
  }

  /** Reads the next batch. False when there is nothing left. */
  async #load(): Promise<boolean> {
    this.#dropDelivered();
    const segment = this.#writer.segments.find(({ offset, size }) => offset < size);
    if (segment === undefined) return false;
    const readAt = Date.now();
    if (segment.lines !== undefined) {
      const { lines, bytes } = nextLines(segment.lines, this.#batchRows);
      this.#inHand = { segment, rows: lines.length, bytes, isAll: lines.length === this.#writer.rows, readAt };
      this.#pieces = [lines];
      return true;
    }
    this.#buffer ??= Buffer.allocUnsafeSlow(READ_BYTES);
    try {
      const descriptor = segment.descriptor ??= openSync(segment.path, 'r');
      const { lines, bytes } = await readBatch(segment, this.#batchRows, this.#buffer, async (buffer, length, position) => (await readDescriptor(descriptor, buffer, 0, length, position)).bytesRead);
      if (lines.length === 0 && this.#buffer.length < MAX_LINE_BYTES) {
        this.#buffer = Buffer.allocUnsafeSlow(MAX_LINE_BYTES);
        return true;
      }
      this.#readFailures = 0;
      this.#inHand = { segment, rows: lines.length, bytes, isAll: lines.length === this.#writer.rows, readAt };
      if (lines.length > 0) this.#pieces = [lines];
      else this.#setTornAside(this.#buffer.subarray(0, bytes));
    } catch (error) {
      this.#readFailures += 1;
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT' && this.#readFailures < MAX_READ_FAILURES) throw error;
      this.#readFailures = 0;
      this.#options.onLost?.('disk', segment.rows);
      this.#writer.remove(segment);
      this.#settleFlushers();
    }
    return true;
  }

  #setTornAside(bytes: Buffer): void {
    if (!this.#rejected.addTorn(bytes)) this.#options.onLost?.('disk', 1);
    this.#options.onRejected?.(1, new Error('A line is longer than any row.'));
    this.#advance();
  }

  async #deliverPiece(): Promise<void> {
    const piece = this.#pieces.at(-1);
    if (piece === undefined) return;
    try {
      await this.#deliver(piece);
    } catch (error) {
      if (!isRejectedRowsError(error)) throw error;
      const refused = piece.length === 1 ? piece : refusedLines(error, piece);
      if (refused === undefined) {
        // Halves, until the bad rows stand alone: the good ones go on.
        const middle = piece.length >> 1;
        this.#pieces.splice(-1, 1, piece.slice(middle), piece.slice(0, middle));
        return;
      }
      if (!this.#rejected.add(refused)) this.#options.onLost?.('disk', refused.length);
      this.#options.onRejected?.(refused.length, error);
    }
    this.#succeeded();
    this.#pieces.pop();
    if (this.#pieces.length === 0) this.#advance();
  }

  async #deliver(lines: readonly string[]): Promise<void> {
    const control = new AbortController();
    this.#deadlineAt = performance.now() + (this.#options.deliverTimeoutMs ?? 30_000);
    this.#arm();
    try {
      await new Promise<void>((resolve, reject) => {
        this.#giveUp = (reason) => {
          control.abort(reason);
          // A receiver that ignores its signal must not hold up the rows for ever; it tells repeats by their ids.
          reject(reason);
        };
        this.#options.deliver(lines, control.signal).then(resolve, reject);
      });
    } finally {
      this.#giveUp = undefined;
      this.#deadlineAt = Infinity;
    }
  }

  #succeeded(): void {
    if (this.#failures === 0) return;
    this.#failures = 0;
    this.#options.onDelivery?.({ failing: false });
  }

  /** The batch in hand is done with. */
  #advance(): void {
    const inHand = this.#inHand;
    if (inHand === undefined) return;
    const { segment, bytes } = inHand;
    this.#inHand = undefined;
    this.#writer.delivered(segment, inHand.rows, bytes);
    this.#dropDelivered();
    // Never too young: what is left came after the batch was read, if that took all there was, and not before the first row of its segment in any case.
    const oldest = this.#writer.segments.find(({ offset, size }) => offset < size);
    const before = inHand.isAll ? inHand.readAt : this.#oldestAt ?? 0;
    this.#oldestAt = oldest === undefined ? undefined : Math.max(before, oldest.since);
    this.#settleFlushers();
  }

  #dropDelivered(): void {
    for (const segment of this.#writer.segments.filter(({ closed, offset, size }) => closed && offset >= size)) {
      this.#writer.remove(segment);
      if (segment.lines === undefined) removeFile(segment.path);
    }
  }

  #settleFlushers(): void {
    for (const flusher of this.#flushers) {
      for (const [segment, size] of flusher.pending) {
        if (segment.offset >= size || !this.#writer.segments.includes(segment)) flusher.pending.delete(segment);
      }
      if (flusher.pending.size > 0) continue;
      this.#flushers.delete(flusher);
      flusher.resolve();
    }
  }
}

/** A disk that refuses at start may refuse rows later; it does not keep the process from starting. */
function ownFolder(directory: string): string {
  try {
    mkdirSync(directory, { recursive: true });
  } catch {
    // As above.
  }
  return createOwnFolder(directory);
}
