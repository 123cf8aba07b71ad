import { describeUnknown } from '@pointsman/errors';
import { runSyncLoop } from '@pointsman/sync';
import type { Telemetry } from '@pointsman/telemetry';
import { systemClock } from '@pointsman/timing';
import { createExporter } from './create-exporter.ts';
import type { AuditExporterSettings } from './settings.ts';

const MOST_RETRY_MS = 30_000;

/** `--once`, for a CronJob: tries until everything that is there is exported. @throws Error when the time is up before. */
export async function exportOnce(settings: AuditExporterSettings, telemetry: Telemetry, signal: AbortSignal): Promise<void> {
  const { database } = settings;
  if (database.kind === 'none') {
    telemetry.logger.warn('there is nothing to export: DATABASE_URL is none');
    return;
  }
  await using exporter = await createExporter({ ...settings, database }, telemetry, systemClock);
  const done = new AbortController();
  const timeIsUp = AbortSignal.timeout(settings.onceTimeoutMs);
  let reason = 'another exporter was at work all the time';
  await runSyncLoop(async (passSignal) => {
    try {
      const result = await exporter.pass(settings.onceTimeoutMs, passSignal);
      done.abort();
      return result;
    } catch (error) {
      // The end of the time is no reason: what was wrong until then is.
      if (!timeIsUp.aborted) reason = describeUnknown(error);
      throw error;
    }
  }, {
    intervalMs: MOST_RETRY_MS, passTimeoutMs: settings.onceTimeoutMs, random: Math.random, now: () => systemClock.monotonic(),
  }, { onPass: () => undefined }, AbortSignal.any([signal, done.signal, timeIsUp]));
  signal.throwIfAborted();
  if (!done.signal.aborted) throw new Error(`Not everything was exported within ${String(settings.onceTimeoutMs)} ms: ${reason}`);
}
