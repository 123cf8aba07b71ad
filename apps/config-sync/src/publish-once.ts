import { describeUnknown } from '@pointsman/errors';
import { createSync, createSyncReporter, publishedRevision, runSyncLoop, type SyncPassContext } from '@pointsman/sync';
import type { Telemetry } from '@pointsman/telemetry';
import { systemClock } from '@pointsman/timing';
import { createConfigSource } from './config-source.ts';
import { placeLinks } from './published-links.ts';
import type { ConfigSyncSettings } from './settings.ts';
import { clearLeftovers, isStoreFailure, openConfigStore, readTimeoutMs, reportRead } from './start-config-sync.ts';
import { createVerifyConfig } from './verify-config.ts';

const INTERVAL_MS = 5_000;
const PASS_TIMEOUT_MS = 60_000;

/**
 * `--once`, for an init container: tries until a valid generation is published, or content with one from before when the store is away or holds something bad. Publishes
 * stable: a pod tries a canary only once it runs, so that a broken one cannot keep pods from starting.
 * @throws Error when the time is up and nothing is published.
 */
export async function publishOnce(settings: ConfigSyncSettings, telemetry: Telemetry, signal: AbortSignal): Promise<void> {
  const { logger } = telemetry;
  const root = settings.configDir;
  await telemetry.librariesTraced;
  await clearLeftovers(root, logger);
  const store = await openConfigStore(settings);
  const published = (): Promise<string | undefined> => publishedRevision(root);
  const reporter = await createSyncReporter({ app: 'config-sync', telemetry, clock: systemClock, published, isStoreFailure });
  const verify = createVerifyConfig();
  let context: SyncPassContext | undefined;
  const source = createConfigSource({ store, configKey: settings.configKey, podName: settings.podName, readTimeoutMs: readTimeoutMs(settings), onRead: (key) => reportRead(key, context, logger) });
  const sync = createSync({ root, steps: { head: (passSignal) => source.head(passSignal), fetch: (revision, directory) => source.fetch(revision, directory), verify: (directory, revision) => verify(directory, revision) } });

  const done = new AbortController();
  const timeIsUp = AbortSignal.timeout(settings.onceTimeoutMs);
  let reason = 'the time was up before the first answer';
  try {
    await runSyncLoop((passSignal) => reporter.pass(async (current) => {
      context = current;
      try {
        const result = await sync.pass(passSignal);
        reason = sync.rejected?.reason ?? '';
        return result;
      } catch (error) {
        // The end of the time is no reason: what was wrong until then is.
        if (!timeIsUp.aborted) reason = describeUnknown(error);
        throw error;
      } finally {
        current.rejected(sync.rejected);
        const revision = await published();
        if (revision !== undefined) {
          await placeLinks(root, (file, aside) => logger.warn('a file of before config-sync was kept under another name', { file, aside }));
          done.abort();
        }
      }
    }), {
      intervalMs: Math.min(INTERVAL_MS, settings.intervalMs), passTimeoutMs: PASS_TIMEOUT_MS, random: Math.random, now: () => systemClock.monotonic(),
    }, { onPass: () => undefined }, AbortSignal.any([signal, done.signal, timeIsUp]));
  } finally {
    store.close();
  }
  signal.throwIfAborted();
  const revision = await published();
  if (revision === undefined) throw new Error(`No valid configuration within ${String(settings.onceTimeoutMs)} ms: ${reason}`);
  logger.info('a configuration is there', { revision, config_dir: root, ...(reason === '' ? {} : { newest_not_taken: reason }) });
}
