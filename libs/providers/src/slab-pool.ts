/** A piece of memory to write a request body into. Give it back once nothing reads it any more; afterwards it belongs to somebody else. */
export interface Slab {
  /** At least as long as was asked for. */
  readonly bytes: Buffer;
  release(): void;
}

const SLAB_BYTES = 64 * 1024;
/** Below this a fresh buffer out of Node's own pool is as cheap. */
const SMALLEST = 4 * 1024;
/** 4 MB at most lie ready. */
const MAX_IDLE_SLABS = 64;

function nothingToRelease(): void {
  // A fresh buffer is left to the garbage collector.
}

/**
 * Memory for request bodies of some 4 to 64 KB, used again and again. A fresh buffer of that size costs ten times the copying into it:
 * Node makes an ArrayBuffer of its own for each, and the garbage collector has to find out that it is gone.
 */
export class SlabPool {
  readonly #idle: Buffer[] = [];

  /** How many slabs lie ready. */
  get idle(): number {
    return this.#idle.length;
  }

  take(bytes: number): Slab {
    if (bytes < SMALLEST || bytes > SLAB_BYTES) return { bytes: Buffer.allocUnsafe(bytes), release: nothingToRelease };
    const slab = this.#idle.pop() ?? Buffer.allocUnsafeSlow(SLAB_BYTES);
    let taken = true;
    return {
      bytes: slab,
      release: () => {
        if (!taken) return;
        taken = false;
        if (this.#idle.length < MAX_IDLE_SLABS) this.#idle.push(slab);
      },
    };
  }
}
