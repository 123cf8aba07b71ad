import { AppError } from '@pointsman/errors';

/** Reports that may run at once: as many as the database keeps connections for. */
const MAX_RUNNING = 2;
/** Of these, reports of callers who only see their own key's: an administrator's always finds a slot that they cannot take. */
const MAX_RUNNING_OF_KEYS = 1;
const MAX_WAITING = 16;
const MAX_WAITING_OF_KEYS = 8;
const LONGEST_WAIT_MS = 3_000;

interface Waiting {
  readonly isOfKey: boolean;
  readonly go: () => void;
}

/** Bounds how many reports of the ledger run in this process, how many wait and how long they do: each may keep the database busy for seconds. */
export class ReportSlots {
  readonly #waitMs: number;
  readonly #waiting = new Set<Waiting>();
  #running = 0;
  #runningOfKeys = 0;

  constructor({ waitMs = LONGEST_WAIT_MS }: { readonly waitMs?: number } = {}) {
    this.#waitMs = waitMs;
  }

  /**
   * Resolves when the report may run, to what gives its slot back; that must be called once.
   * @throws AppError `busy` (503) when too many wait already, or after three seconds.
   */
  async take({ isOfKey }: { readonly isOfKey: boolean }): Promise<() => void> {
    if (!this.#hasRoom(isOfKey)) await this.#turn(isOfKey);
    else this.#enter(isOfKey);
    return () => {
      this.#running -= 1;
      if (isOfKey) this.#runningOfKeys -= 1;
      this.#wake();
    };
  }

  #hasRoom(isOfKey: boolean): boolean {
    return this.#running < MAX_RUNNING && (!isOfKey || this.#runningOfKeys < MAX_RUNNING_OF_KEYS);
  }

  #enter(isOfKey: boolean): void {
    this.#running += 1;
    if (isOfKey) this.#runningOfKeys += 1;
  }

  #turn(isOfKey: boolean): Promise<void> {
    const alike = isOfKey ? [...this.#waiting].filter((other) => other.isOfKey).length : this.#waiting.size;
    if (alike >= (isOfKey ? MAX_WAITING_OF_KEYS : MAX_WAITING)) return Promise.reject(busy());
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#waiting.delete(waiting);
        reject(busy());
      }, this.#waitMs);
      const waiting: Waiting = {
        isOfKey,
        go: () => {
          clearTimeout(timer);
          resolve();
        },
      };
      this.#waiting.add(waiting);
    });
  }

  /** The slot goes straight to the next: nobody who comes later can take it first. */
  #wake(): void {
    for (const waiting of this.#waiting) {
      if (!this.#hasRoom(waiting.isOfKey)) continue;
      this.#waiting.delete(waiting);
      this.#enter(waiting.isOfKey);
      waiting.go();
      return;
    }
  }
}

function busy(): AppError {
  return new AppError('unavailable', 'busy', 'Too many reports of the spend ledger are being made. Try again soon.', { retryAfterMs: 2_000 });
}
