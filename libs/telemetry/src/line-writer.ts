import { writeSync } from 'node:fs';

const MAX_PENDING_BYTES = 4 * 1024 * 1024;
const RETRY_MS = 10;
const EXIT_PATIENCE_MS = 1000;

/**
 * Writes lines to a file descriptor, all lines of one turn of the event loop in one system call. Nothing waits in a worker thread,
 * so nothing is lost or reordered when the process exits. When the reader stalls (a full pipe that does not block), lines wait, bounded; what is more is dropped and counted.
 */
export class LineWriter {
  readonly #fd: number;
  readonly #onDrop: () => void;
  #lines: string[] = [];
  #pendingLength = 0;
  #rest: Buffer | undefined = undefined;
  #scheduled = false;
  #broken = false;

  constructor(fd: number, onDrop: () => void) {
    this.#fd = fd;
    this.#onDrop = onDrop;
  }

  /** Takes one line with its newline. */
  write(line: string): void {
    if (this.#broken || this.#pendingLength + line.length > MAX_PENDING_BYTES) {
      this.#onDrop();
      return;
    }
    this.#lines.push(line);
    this.#pendingLength += line.length;
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(this.#flushSoon);
  }

  /** Writes what is pending now; for the end of the process. Gives up after a second when nobody reads. */
  flushSync(): void {
    const giveUpAt = performance.now() + EXIT_PATIENCE_MS;
    while (!this.#flush() && performance.now() < giveUpAt) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, RETRY_MS);
  }

  readonly #flushSoon = (): void => {
    this.#scheduled = false;
    if (this.#flush()) return;
    this.#scheduled = true;
    setTimeout(this.#flushSoon, RETRY_MS);
  };

  /** True when nothing is left. */
  #flush(): boolean {
    while (this.#rest !== undefined || this.#lines.length > 0) {
      const bytes: Buffer = this.#rest ?? Buffer.from(this.#lines.join(''));
      if (this.#rest === undefined) this.#lines = [];
      try {
        const written = writeSync(this.#fd, bytes);
        this.#rest = written < bytes.length ? bytes.subarray(written) : undefined;
        if (this.#rest === undefined && this.#lines.length === 0) this.#pendingLength = 0;
      } catch (error) {
        this.#rest = bytes;
        if ((error as NodeJS.ErrnoException).code === 'EAGAIN') return false;
        // Nobody will ever read this again (EPIPE): a closed log must not end the process.
        this.#broken = true;
        this.#rest = undefined;
        this.#lines = [];
        this.#onDrop();
      }
    }
    return true;
  }
}
