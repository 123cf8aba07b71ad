import { AppError } from '@pointsman/errors';
import type { GatewayReport } from '@pointsman/schemas';

/** How a sidecar talks to the gateway of its pod: what do you serve, and look again. */
export interface GatewayDoor {
  /** What the gateway says it serves; undefined when no gateway runs (not started yet, or gone). Rejects when it cannot be asked. */
  report(signal: AbortSignal): Promise<GatewayReport | undefined>;
  /** Tells it to read its files again; says nothing about what came of it. False when there is nobody to tell. */
  nudge(signal: AbortSignal): Promise<boolean>;
  /** After a `report` of undefined or a `nudge` of false: why, in words that say what to look at. */
  readonly absence?: string | undefined;
}

/** Nobody is there to serve what was published: normal while the containers of a pod start. */
export class NoGatewayError extends AppError {
  constructor(absence: string) {
    super('unavailable', 'no_gateway', `No gateway runs in this pod: ${absence}.`);
    this.name = 'NoGatewayError';
  }
}

/** Names the gateway process behind a door, for as long as it lives; undefined when none runs, it cannot be asked, or it does not say (an older version). */
export async function consumerOf(door: GatewayDoor, signal: AbortSignal): Promise<string | undefined> {
  const report = await door.report(signal).catch(() => undefined);
  signal.throwIfAborted();
  return report?.pid === undefined ? undefined : `${String(report.pid)}/${report.started ?? ''}`;
}
