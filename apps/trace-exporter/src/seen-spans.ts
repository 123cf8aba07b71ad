/** How long a span that comes again is recognised at least: OTLP senders give up a batch after seconds. */
const WINDOW_MS = 300_000;
const MAX_KEYS = 100_000;

/**
 * The spans that were taken lately, by trace and span id. Two generations: the older one is forgotten when the younger is full or has grown old, so that
 * the last 100,000 are known, and up to 200,000.
 */
export class SeenSpans {
  readonly #maxKeys: number;
  #young = new Set<string>();
  #old = new Set<string>();
  #rotatedAtMs: number;

  constructor(nowMs: number, maxKeys = MAX_KEYS) {
    this.#rotatedAtMs = nowMs;
    this.#maxKeys = maxKeys;
  }

  has(key: string): boolean {
    return this.#young.has(key) || this.#old.has(key);
  }

  add(key: string, nowMs: number): void {
    if (this.#young.size >= this.#maxKeys || nowMs - this.#rotatedAtMs > WINDOW_MS) {
      this.#old = this.#young;
      this.#young = new Set();
      this.#rotatedAtMs = nowMs;
    }
    this.#young.add(key);
  }
}

export { MAX_KEYS as MAX_SEEN_SPANS, WINDOW_MS as SEEN_SPANS_WINDOW_MS };
