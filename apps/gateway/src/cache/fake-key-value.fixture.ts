import type { KeyValue } from '@pointsman/redis';
import type { Clock } from '@pointsman/timing';

/** A store whose time and troubles a test decides. */
export class FakeKeyValue implements KeyValue {
  readonly entries = new Map<string, { value: Buffer; readonly expiresAt: number; readonly ttlMs: number }>();
  readonly #clock: Clock;
  gets = 0;
  sets = 0;
  /** What a read or write does instead: throw, hang, answer late. */
  onGet: ((found: Buffer | undefined) => Buffer | undefined | Promise<Buffer | undefined>) | undefined;
  onSet: (() => void | Promise<void>) | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get(key: string): Buffer | undefined | Promise<Buffer | undefined> {
    this.gets += 1;
    const entry = this.entries.get(key);
    const found = entry === undefined || entry.expiresAt <= this.#clock.now() ? undefined : entry.value;
    return this.onGet === undefined ? found : this.onGet(found);
  }

  set(key: string, value: Buffer, ttlMs: number): void | Promise<void> {
    this.sets += 1;
    if (this.onSet !== undefined) return this.onSet();
    this.entries.set(key, { value, expiresAt: this.#clock.now() + ttlMs, ttlMs });
  }

  delete(key: string): void {
    this.entries.delete(key);
  }
}
