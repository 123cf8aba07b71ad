import type { GatewayReader, ReplicaReading } from '@pointsman/rollout';
import { sleep, type Clock } from '@pointsman/timing';

export interface ServedQuestion {
  readonly reader: GatewayReader;
  readonly revision: string;
  readonly timeoutMs: number;
  readonly intervalMs: number;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

/** Looks until every replica serves a revision, or the time is up. `left`: those that do not, as they were last seen. */
export async function waitUntilServed({ reader, revision, timeoutMs, intervalMs, clock, signal }: ServedQuestion): Promise<{ readonly readings: readonly ReplicaReading[]; readonly left: readonly ReplicaReading[] }> {
  const deadline = clock.monotonic() + timeoutMs;
  for (;;) {
    const readings = await reader.read(signal);
    const left = readings.filter((reading) => 'problem' in reading || reading.revision !== revision);
    if ((left.length === 0 && readings.length > 0) || clock.monotonic() >= deadline) return { readings, left };
    await sleep(intervalMs, signal);
  }
}
