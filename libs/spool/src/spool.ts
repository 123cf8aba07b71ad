/**
 * An append-only file between what must not be lost and whoever takes it, written synchronously so that a process that is killed loses nothing it has appended.
 * Rows are single lines of JSON. They are delivered in the order appended, at least once: the receiver tells repeats by an id in the row.
 *
 * The promise is about the process, not the machine: an appended row is in the kernel's page cache, which survives `kill -9` and the out-of-memory killer.
 * A machine that loses power may lose the last seconds, unless `fsync` is set.
 *
 * Rows that the disk refuses wait in memory instead, a bounded number of them, and are delivered in their place among the others while the process lives: a full
 * disk costs nothing as long as the receiver takes rows. Such rows do not survive `kill -9`; a close writes them to the disk where that takes them by then.
 */
export interface Spool {
  /** Appends one line (without its newline). Returns false when the bound is reached, or the disk refuses and memory is full: the row is lost and counted. Never throws. */
  append(line: string): boolean;
  /** Rows appended and not yet delivered, as far as this process knows, those in memory included, and the bytes of its files. `oldestAt` is in milliseconds since the epoch and rather too old than too young. */
  readonly backlog: { readonly rows: number; readonly bytes: number; readonly oldestAt: number | undefined };
  /** Keeps a short text (under 4 KB) beside the files, in place of the one before: whoever adopts the folder of this process is given it. Never throws. */
  note(text: string): void;
  /** Delivers what is there now; resolves when all that was appended before the call is delivered, or rejects with the signal. */
  flush(signal: AbortSignal): Promise<void>;
  /** Stops delivering; what is left stays on disk for the next start. Rows appended after it are refused. */
  close(): Promise<void>;
}

/** The two calls that write rows: replaced in tests by a disk that is full. */
export interface SpoolIo {
  /** Creates a new segment for appending and reading; its descriptor. Throws when it exists. */
  open(path: string): number;
  /** Writes the first `length` bytes at the end of the file; how many were written. */
  write(descriptor: number, bytes: Buffer, length: number): number;
}

export interface SpoolOptions {
  /** The folder all processes of this home share; each process writes into its own below it and adopts those of processes that are gone. */
  readonly directory: string;
  /** Takes a batch of lines. Rejects when it could not: the same batch comes again, after a pause that grows. */
  readonly deliver: (lines: readonly string[], signal: AbortSignal) => Promise<void>;
  /** Bound of all segments of this process, adopted ones included, in bytes. What is set aside in `rejected/` is bounded to a quarter of it on top. */
  readonly maxBytes: number;
  /** How many rows wait in memory at most while the disk refuses them, and how many bytes. Default 10,000 and 8 MB. */
  readonly maxMemoryRows?: number;
  readonly maxMemoryBytes?: number;
  /** Size at which a segment is closed, so that it can be deleted once delivered. Default 1 MiB, at most an eighth of `maxBytes`. */
  readonly segmentBytes?: number;
  /** Default 500. */
  readonly batchRows?: number;
  /** Longest time a row waits for others, in milliseconds. Default 250. */
  readonly batchMs?: number;
  /** When a delivery is given up and its signal aborted, in milliseconds. Default 30,000. */
  readonly deliverTimeoutMs?: number;
  /** Longest pause between tries, in milliseconds. Default 5,000. */
  readonly maxBackoffMs?: number;
  /** `interval` also asks the disk every second, off the caller's path, to make rows outlive a loss of power. Default `never`. */
  readonly fsync?: 'never' | 'interval';
  /** Called once per change: delivery works or does not, with the reason. */
  readonly onDelivery?: (state: { readonly failing: false } | { readonly failing: true; readonly reason: unknown }) => void;
  /** Called once per change: the disk refuses rows, which wait in memory, or takes them again. */
  readonly onDisk?: (state: { readonly refuses: false } | { readonly refuses: true; readonly reason: unknown }) => void;
  /** How long the disk must not have refused a row to count as well again, in milliseconds. Default 10,000. */
  readonly diskCalmMs?: number;
  /** Rows that could not be kept: `full`, the bound is reached; `disk`, the disk refused and memory is full too. */
  readonly onLost?: (reason: 'full' | 'disk', rows: number) => void;
  /**
   * Rows that the receiver refuses for good (an error named `RejectedRowsError`; where it has `lines`, those were refused and the others taken, else they are found by halving), and lines that were torn,
   * are set aside in `rejected/`, so that the rows behind them go on.
   */
  readonly onRejected?: (rows: number, reason: unknown) => void;
  /** The note that a process which is gone has left. */
  readonly onInherited?: (note: string) => void;
  /** [0, 1), for the spread of pauses. */
  readonly random?: () => number;
  readonly io?: SpoolIo;
}
