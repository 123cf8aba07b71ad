import type { UpstreamDispatcher, UpstreamLease, UpstreamPools } from '../upstream-pools.ts';

/** The connection pools of one deployment: taken when an origin is first called, given back together. Origins come from the configuration, so they are few. */
export class OriginPools {
  readonly #pools: UpstreamPools;
  readonly #leases = new Map<string, UpstreamLease>();

  constructor(pools: UpstreamPools) {
    this.#pools = pools;
  }

  dispatcher(origin: string): UpstreamDispatcher {
    let lease = this.#leases.get(origin);
    if (lease === undefined) {
      lease = this.#pools.acquire(origin);
      this.#leases.set(origin, lease);
    }
    return lease.dispatcher;
  }

  close(): void {
    for (const lease of this.#leases.values()) lease.release();
    this.#leases.clear();
  }
}
