/** Something that runs on behalf of a client and can be told to end. */
export interface Work {
  /** Ends the work with a defined end for the client: an error frame in a stream, an error reply otherwise. */
  endNow(): void;
}

/** Counts what runs, and while draining lets nothing new in. */
export class DrainGate {
  readonly #running = new Set<Work>();
  #draining = false;
  #idle: (() => void) | undefined;

  get draining(): boolean {
    return this.#draining;
  }

  get running(): number {
    return this.#running.size;
  }

  enter(work: Work): void {
    this.#running.add(work);
  }

  leave(work: Work): void {
    this.#running.delete(work);
    if (this.#running.size === 0) this.#idle?.();
  }

  /**
   * Refuses new work from now on, waits up to `limitMs` for the running work, then ends what remains.
   * Resolves to the number of requests that had to be ended.
   */
  async drain(limitMs: number): Promise<number> {
    this.#draining = true;
    if (!(await this.#untilIdle(limitMs))) {
      const remaining = [...this.#running];
      for (const work of remaining) work.endNow();
      await this.#untilIdle(2_000);
      return remaining.length;
    }
    return 0;
  }

  #untilIdle(limitMs: number): Promise<boolean> {
    if (this.#running.size === 0) return Promise.resolve(true);
    return new Promise((resolve) => {
      const timer = setTimeout(() => {
        this.#idle = undefined;
        resolve(false);
      }, limitMs);
      this.#idle = () => {
        clearTimeout(timer);
        this.#idle = undefined;
        resolve(true);
      };
    });
  }
}
