/** A borrowed value: whoever holds the lease keeps the value alive. Release exactly once, or declare it with `using`. */
export interface Lease<T> extends Disposable {
  readonly value: T;
  release(): void;
}

class Generation<T> {
  readonly value: T;
  readonly #dispose: (value: T) => void;
  #leases = 0;
  #retired = false;
  #disposed = false;

  constructor(value: T, dispose: (value: T) => void) {
    this.value = value;
    this.#dispose = dispose;
  }

  acquire(): Lease<T> {
    this.#leases += 1;
    let held = true;
    const release = (): void => {
      if (!held) return;
      held = false;
      this.#leases -= 1;
      this.#disposeWhenIdle();
    };
    return { value: this.value, release, [Symbol.dispose]: release };
  }

  retire(): void {
    this.#retired = true;
    this.#disposeWhenIdle();
  }

  #disposeWhenIdle(): void {
    if (!this.#retired || this.#leases > 0 || this.#disposed) return;
    this.#disposed = true;
    this.#dispose(this.value);
  }
}

/**
 * Holds the value that serves now. `replace` is one assignment and cannot fail;
 * the previous value is disposed when its last lease ends, never before.
 */
export class LiveValue<T> {
  readonly #dispose: (value: T) => void;
  #current: Generation<T>;

  constructor(initial: T, dispose: (value: T) => void) {
    this.#dispose = dispose;
    this.#current = new Generation(initial, dispose);
  }

  /** The value that serves now, without a lease: only for reads that end before the next await. */
  get current(): T {
    return this.#current.value;
  }

  acquire(): Lease<T> {
    return this.#current.acquire();
  }

  replace(next: T): void {
    const previous = this.#current;
    this.#current = new Generation(next, this.#dispose);
    previous.retire();
  }

  /** Retires the current value too: for shutdown. */
  close(): void {
    this.#current.retire();
  }
}
