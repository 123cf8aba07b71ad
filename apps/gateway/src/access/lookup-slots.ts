/** Lookups that may run at once. Fewer than the pool has connections, so that waiting happens here, where it is no sign of an outage. */
const MAX_RUNNING = 6;
/** How many of them may be for keys that nobody vouches for: a flood of made-up ones leaves the rest to keys that were known. */
const MAX_RUNNING_UNKNOWN = 4;
/** Lookups that may wait, of each sort; one more is refused. A flood of made-up keys gets no further than this. */
const MAX_WAITING = 2_000;
const LONGEST_WAIT_MS = 250;

interface Waiting {
  readonly go: () => void;
}

/** Bounds how many lookups of keys run, how many wait and how long they do. Keys that were known go first. */
export class LookupSlots {
  #running = 0;
  #runningUnknown = 0;
  readonly #waitingKnown = new Set<Waiting>();
  readonly #waitingUnknown = new Set<Waiting>();

  /** True while the lookup of a known key would have to wait: what can be done later should be. */
  get isBusy(): boolean {
    return this.#running >= MAX_RUNNING;
  }

  /** Resolves to the work's answer, or to `undefined` at once or after 250 ms when there was no slot. */
  async run<T>(work: () => Promise<T>, { wasKnown }: { readonly wasKnown: boolean }): Promise<{ readonly answer: T } | undefined> {
    if (this.#hasRoom(wasKnown)) this.#take(wasKnown);
    else if (!(await this.#turn(wasKnown))) return undefined;
    try {
      return { answer: await work() };
    } finally {
      this.#running -= 1;
      if (!wasKnown) this.#runningUnknown -= 1;
      this.#wakeNext();
    }
  }

  #hasRoom(wasKnown: boolean): boolean {
    return this.#running < MAX_RUNNING && (wasKnown || this.#runningUnknown < MAX_RUNNING_UNKNOWN);
  }

  #take(wasKnown: boolean): void {
    this.#running += 1;
    if (!wasKnown) this.#runningUnknown += 1;
  }

  /** Waits for a slot, which is taken for it when this resolves to true. */
  #turn(wasKnown: boolean): Promise<boolean> {
    const queue = wasKnown ? this.#waitingKnown : this.#waitingUnknown;
    if (queue.size >= MAX_WAITING) return Promise.resolve(false);
    return new Promise((resolve) => {
      const waiting: Waiting = {
        go: () => {
          clearTimeout(timer);
          this.#take(wasKnown);
          resolve(true);
        },
      };
      const timer = setTimeout(() => {
        queue.delete(waiting);
        resolve(false);
      }, LONGEST_WAIT_MS);
      queue.add(waiting);
    });
  }

  #wakeNext(): void {
    for (const [queue, wasKnown] of [[this.#waitingKnown, true], [this.#waitingUnknown, false]] as const) {
      for (const waiting of queue) {
        if (!this.#hasRoom(wasKnown)) break;
        queue.delete(waiting);
        waiting.go();
      }
    }
  }
}
