import { sleep } from '@pointsman/timing';
import type { GatewayReport } from '@pointsman/schemas';
import { RejectedRevisionError } from '../sync-steps.ts';
import { NoGatewayError, type GatewayDoor } from './gateway-door.ts';

export interface EnsureServedOptions {
  readonly revision: string;
  readonly isServed: (report: GatewayReport) => boolean;
  /** Why the gateway will not serve it, when it says so. */
  readonly refusal: (report: GatewayReport) => string | undefined;
  /** A nudge that shows no effect is repeated after so long. */
  readonly nudgeEveryMs: number;
  /** When to give up. */
  readonly timeoutMs: number;
  /** When to give up if nobody is there to ask; default `timeoutMs`. */
  readonly absentAfterMs?: number;
  /** Between two questions; default 50. */
  readonly askEveryMs?: number;
  /** Monotonic milliseconds; default `performance.now`. */
  readonly now?: () => number;
}

/**
 * Asks the gateway what it serves and nudges it until it serves the revision. A gateway that already does is not nudged, so that calling this again and again heals
 * whatever was missed: a lost signal, a gateway that restarted.
 * @throws RejectedRevisionError with the gateway's reason when it refuses the revision; Error that says what to look at when it does not come about in time.
 */
export async function ensureServed(door: GatewayDoor, options: EnsureServedOptions, signal: AbortSignal): Promise<GatewayReport> {
  const { revision, isServed, refusal, nudgeEveryMs, timeoutMs, absentAfterMs = timeoutMs, askEveryMs = 50, now = () => performance.now() } = options;
  const startedAt = now();
  let nudgedAt: number | undefined;
  /** A refusal that stood there before this call may be of yesterday's environment: it counts once the gateway was nudged and still says so. */
  let before: string | undefined;
  let hindrance: Error | undefined;
  let wasThere = false;
  for (;;) {
    signal.throwIfAborted();
    try {
      const report = await door.report(signal);
      hindrance = undefined;
      wasThere = report !== undefined;
      if (report !== undefined) {
        if (isServed(report)) return report;
        const reason = refusal(report);
        const told = JSON.stringify(report);
        if (nudgedAt === undefined) before = told;
        const isNews = nudgedAt !== undefined && (told !== before || now() - nudgedAt >= nudgeEveryMs);
        if (reason !== undefined && isNews) throw new RejectedRevisionError(revision, `The gateway refuses it: ${reason}`);
      }
      if (nudgedAt === undefined || now() - nudgedAt >= nudgeEveryMs) {
        if (await door.nudge(signal)) nudgedAt = now();
      }
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof RejectedRevisionError) throw error;
      hindrance = error instanceof Error ? error : new Error('The gateway could not be asked.', { cause: error });
    }
    if (now() - startedAt >= (wasThere ? timeoutMs : Math.min(absentAfterMs, timeoutMs))) throw notServed({ revision, timeoutMs, hindrance, absence: wasThere ? undefined : door.absence ?? 'nobody answers' });
    await sleep(askEveryMs, signal);
  }
}

function notServed({ revision, timeoutMs, hindrance, absence }: { readonly revision: string; readonly timeoutMs: number; readonly hindrance: Error | undefined; readonly absence: string | undefined }): Error {
  if (hindrance !== undefined) return new Error(`The gateway could not be asked whether it serves ${revision}: ${hindrance.message}`, { cause: hindrance });
  if (absence !== undefined) return new NoGatewayError(absence);
  return new Error(`The gateway runs, was told to read its files again, and does not serve ${revision} within ${String(timeoutMs)} ms: see its log.`);
}
