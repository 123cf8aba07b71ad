import { randomFillSync } from 'node:crypto';

const POOL_BYTES = 8192;

/** Random ids as lower-case hex, cut from a pool that is refilled in bulk: one system call per few hundred ids. */
export class TraceIds {
  readonly #pool = Buffer.allocUnsafeSlow(POOL_BYTES);
  #used = POOL_BYTES;

  /** 32 hex digits, never all zero. */
  traceId(): string {
    return this.#take(16);
  }

  /** 16 hex digits, never all zero. */
  spanId(): string {
    return this.#take(8);
  }

  #take(bytes: number): string {
    if (this.#used + bytes > POOL_BYTES) {
      randomFillSync(this.#pool);
      this.#used = 0;
    }
    const start = this.#used;
    this.#used += bytes;
    // A zero first byte is one id in 256 that loses eight bits of chance; a zero id would be invalid.
    if (this.#pool[start] === 0) this.#pool[start] = 1;
    return this.#pool.toString('hex', start, start + bytes);
  }
}
