/** Something that runs on behalf of a client and can be told to end. */
export interface Work {
  /** Ends the work with a defined end for the client: an error frame in a stream, an error reply otherwise. */
  endNow(): void;
  /** Where the gate keeps this work; only the gate reads and writes it. */
  gateSlot: number;
}

/**
 * Counts what runs, and while draining lets nothing new in.
 *
 * An array with the place noted in the work, not a Set: a Set that is added to and deleted from builds a new table every few dozen requests, each old
 * table points to the next, and once one of them is old the whole chain, with the requests it held, survives every minor collection.
 */
export class DrainGate {
  readonly #running: Work[] = [];
  #draining = false;
  #idle: (() => void) | undefined;

  get draining(): boolean {
    return this.#draining;
  }

  get running(): number {
    return this.#running.length;
  }

  enter(work: Work): void {
    work.gateSlot = this.#running.length;
    this.#running.push(work);
  }

  leave(work: Work): void {
    const slot = work.gateSlot;
    if (this.#running[slot] !== work) return;
    const last = this.#running.pop();
    if (last !== undefined && last !== work) {
      this.#running[slot] = last;
      last.gateSlot = slot;
    }
    if (this.#running.length === 0) this.#idle?.();
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
    if (this.#running.length === 0) return Promise.resolve(true);
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
