/** Lookups that may run at once. Fewer than the pool has connections, so that waiting happens here, where it is no sign of an outage. */
const MAX_RUNNING = 6;
/** Lookups that may wait; one more is refused. A flood of made-up keys gets no further than this. */
const MAX_WAITING = 2_000;
const LONGEST_WAIT_MS = 250;

interface Waiting {
  readonly go: () => void;
}

/** Bounds how many lookups of keys run, how many wait and how long they do. */
export class LookupSlots {
  #running = 0;
  readonly #waiting = new Set<Waiting>();

  /** True while a lookup would have to wait: what can be done later should be. */
  get isBusy(): boolean {
    return this.#running >= MAX_RUNNING;
  }

  /** Resolves to the work's answer, or to `undefined` at once or after 250 ms when there was no slot. */
  async run<T>(work: () => Promise<T>): Promise<{ readonly answer: T } | undefined> {
    if (this.isBusy && !(await this.#turn())) return undefined;
    this.#running += 1;
    try {
      return { answer: await work() };
    } finally {
      this.#running -= 1;
      this.#wakeNext();
    }
  }

  #turn(): Promise<boolean> {
    if (this.#waiting.size >= MAX_WAITING) return Promise.resolve(false);
    return new Promise((resolve) => {
      const waiting: Waiting = {
        go: () => {
          clearTimeout(timer);
          resolve(true);
        },
      };
      const timer = setTimeout(() => {
        this.#waiting.delete(waiting);
        resolve(false);
      }, LONGEST_WAIT_MS);
      this.#waiting.add(waiting);
    });
  }

  #wakeNext(): void {
    for (const waiting of this.#waiting) {
      this.#waiting.delete(waiting);
      waiting.go();
      return;
    }
  }
}
