import { DeploymentStats } from './deployment-stats.ts';

/**
 * The stats of every deployment by id, kept across reloads. Bounded: past `limit` the ones asked for longest ago and idle
 * are dropped, and `retain` drops what a new configuration no longer names.
 */
export class DeploymentStatsRegistry {
  readonly #limit: number;
  readonly #stats = new Map<string, DeploymentStats>();

  constructor({ limit = 10_000 }: { readonly limit?: number } = {}) {
    this.#limit = limit;
  }

  /** Call when a snapshot is compiled, not per request: candidates hold their stats. */
  get(id: string): DeploymentStats {
    const known = this.#stats.get(id);
    const stats = known ?? new DeploymentStats();
    // Inserted anew, so that the order of the map is the order of the last use.
    if (known !== undefined) this.#stats.delete(id);
    else if (this.#stats.size >= this.#limit) this.#dropOldest();
    this.#stats.set(id, stats);
    return stats;
  }

  /** Forgets what is not named and has no request under way; the latter goes with a later call. */
  retain(ids: ReadonlySet<string>): void {
    for (const [id, stats] of this.#stats) if (!ids.has(id) && stats.inFlight === 0) this.#stats.delete(id);
  }

  get size(): number {
    return this.#stats.size;
  }

  #dropOldest(): void {
    for (const [id, stats] of this.#stats) {
      if (stats.inFlight > 0) continue;
      this.#stats.delete(id);
      return;
    }
    // All busy: drop the oldest anyway. Whoever holds it goes on counting; only the next reload starts it from zero.
    for (const id of this.#stats.keys()) {
      this.#stats.delete(id);
      return;
    }
  }
}
