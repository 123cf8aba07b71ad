/**
 * An append-only file between what must not be lost and whoever takes it, written synchronously so that a process that is killed loses nothing it has appended.
 * Rows are single lines of JSON. They are delivered in the order appended, at least once: the receiver tells repeats by an id in the row.
 */
export interface Spool {
  /** Appends one line (without its newline). Returns false when the bound is reached or the disk refuses: the row is lost and counted. Never throws. */
  append(line: string): boolean;
  /** Rows appended and not yet delivered, as far as this process knows, and the bytes of its files. */
  readonly backlog: { readonly rows: number; readonly bytes: number; readonly oldestAt: number | undefined };
  /** Delivers what is there now; resolves when all that was appended before the call is delivered, or rejects with the signal. */
  flush(signal: AbortSignal): Promise<void>;
  /** Stops delivering; what is left stays on disk for the next start. */
  close(): Promise<void>;
}

export interface SpoolOptions {
  /** The folder all processes of this home share; each process writes into its own below it and adopts those of processes that are gone. */
  readonly directory: string;
  /** Takes a batch of lines. Rejects when it could not: the same batch comes again, after a pause that grows. */
  readonly deliver: (lines: readonly string[], signal: AbortSignal) => Promise<void>;
  /** Bound of all files of this process, in bytes. */
  readonly maxBytes: number;
  readonly segmentBytes?: number;
  readonly batchRows?: number;
  /** Longest time a row waits for others, in milliseconds. */
  readonly batchMs?: number;
  readonly deliverTimeoutMs?: number;
  /** Called once per change: delivery works or does not, with the reason. */
  readonly onDelivery?: (state: { readonly failing: false } | { readonly failing: true; readonly reason: unknown }) => void;
  /** A row that could not be kept. */
  readonly onLost?: (reason: 'full' | 'disk') => void;
  /** A batch that the receiver refuses for good (`RejectedRowsError`) is set aside in `rejected/`, so that the rows behind it go on. */
  readonly onRejected?: (rows: number, reason: unknown) => void;
}
