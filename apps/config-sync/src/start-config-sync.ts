import { mkdir } from 'node:fs/promises';
import { describeUnknown } from '@pointsman/errors';
import { ObjectStoreError, openObjectStore, type ObjectStore } from '@pointsman/object-store';
import { connectRedis, type RedisConnection } from '@pointsman/redis';
import { startHealthServer } from '@pointsman/service';
import {
  consumerOf, createSync, createSyncReporter, ensureServed, gatewayByHttp, gatewayBySignal, publishedRevision, removeLeftovers, runSyncLoop,
  type GatewayDoor, type SyncPassContext,
} from '@pointsman/sync';
import { attribute, metric, type Logger, type Telemetry } from '@pointsman/telemetry';
import { sleep, systemClock } from '@pointsman/timing';
import { createConfigSource, type ConfigSource } from './config-source.ts';
import type { ReadEnd } from './object-cache.ts';
import { createPodHeartbeats, rememberLivePods } from './pod-heartbeats.ts';
import { placeLinks } from './published-links.ts';
import type { ConfigSyncSettings } from './settings.ts';
import { createVerifyConfig } from './verify-config.ts';

/** While a canary runs, a rollback must be seen soon. */
const CANARY_INTERVAL_MS = 10_000;
/** A gateway compiles some hundred deployments in well under a second; one that is starting takes longer. */
const APPLY_TIMEOUT_MS = 30_000;
/** Where no gateway runs, what is new in the store is still to be published soon. */
const ABSENT_AFTER_MS = 5_000;
const NUDGE_EVERY_MS = 2_000;
const PASS_TIMEOUT_MS = 90_000;
const MAX_READ_TIMEOUT_MS = 10_000;
const MIN_READ_TIMEOUT_MS = 1_000;
/** No pass lasts so long: what is older was left by a process that was killed. */
const LEFTOVER_AGE_MS = 600_000;
/** A pod is gone after so many intervals of silence, and not before so long: a pass that waits for a slow store is silence too. */
const SILENT_INTERVALS = 3;
const MIN_SILENCE_MS = 30_000;

export interface RunningConfigSync {
  /** Of the health server. */
  readonly url: string;
  /** Resolves when the signal has ended the loop. */
  readonly ended: Promise<void>;
  /** Takes the pod off the list and closes connections and the health server. */
  close(): Promise<void>;
}

/** Builds the parts, serves health and metrics, and passes until the signal. */
export async function startConfigSync(settings: ConfigSyncSettings, telemetry: Telemetry, signal: AbortSignal): Promise<RunningConfigSync> {
  const { logger, metrics } = telemetry;
  const root = settings.configDir;
  const published = (): Promise<string | undefined> => publishedRevision(root);
  await telemetry.librariesTraced;
  const store = await openConfigStore(settings);
  const redis = settings.redisUrl === undefined ? undefined : connectHeartbeats(settings.redisUrl, telemetry);
  const heartbeats = redis === undefined ? undefined : createPodHeartbeats({ redis, configKey: settings.configKey, podName: settings.podName, silentAfterMs: silentAfterMs(settings) });
  const reporter = await createSyncReporter({ app: 'config-sync', telemetry, clock: systemClock, published, isStoreFailure });
  const door = openDoor(settings);
  const stable = logger.oncePerState('stable configuration');
  const verify = createVerifyConfig();
  let context: SyncPassContext | undefined;
  const log = (): Logger => context?.logger ?? logger;

  const livePods = rememberLivePods(heartbeats, {
    status: async () => ({ pod: settings.podName, revision: await published() ?? null, canary: source.isCanary, rollout: source.rollout }),
    rememberMs: silentAfterMs(settings), clock: systemClock,
  });
  const source: ConfigSource = createConfigSource({
    store, configKey: settings.configKey, podName: settings.podName, livePods, readTimeoutMs: readTimeoutMs(settings),
    onRead: (key) => reportRead(key, context, logger),
    onStable: (key) => stable.change(key, key === settings.configKey ? 'debug' : 'warn', key === settings.configKey
      ? 'the stable configuration is S3_KEY'
      : 'release.json names another stable configuration than S3_KEY: what is uploaded to S3_KEY is not served until release.json names it again or is removed', { stable: key, s3_key: settings.configKey }),
  });
  const sync = createSync({
    root,
    steps: {
      head: (passSignal) => source.head(passSignal),
      fetch: (revision, directory) => source.fetch(revision, directory),
      verify: (directory, revision) => verify(directory, revision, (warnings) => {
        for (const { path, message } of warnings.slice(0, 50)) log().warn('config warning', { path, reason: message, revision });
      }),
      ensureApplied: async (revision, passSignal) => {
        await placeLinks(root, (file, aside) => log().warn('a file of before config-sync was kept under another name', { file, aside }));
        await ensureConfigServed(door, { revision, context }, passSignal);
      },
      consumer: (passSignal) => consumerOf(door, passSignal),
    },
  });

  const pass = (passSignal: AbortSignal) => reporter.pass(async (current) => {
    context = current;
    try {
      return await sync.pass(passSignal);
    } finally {
      source.noteRejection(sync.rejected);
      current.rejected(sync.rejected ?? source.rejectedCanary);
      context = undefined;
    }
  });

  const health = await startHealthServer({ port: settings.healthPort, ...(settings.healthHost === undefined ? {} : { host: settings.healthHost }), path: '/health/config-sync', status: () => reporter.health(), metrics });
  logger.info('listening', { url: health.url, port: health.port, store: store.url, config_key: settings.configKey, config_dir: root, interval_ms: settings.intervalMs, reload: settings.reload.kind });
  await clearLeftovers(root, logger);
  const ended = runSyncLoop(pass, {
    intervalMs: () => (source.canaryRuns ? Math.min(settings.intervalMs, CANARY_INTERVAL_MS) : settings.intervalMs),
    passTimeoutMs: PASS_TIMEOUT_MS, random: Math.random, now: () => systemClock.monotonic(),
  }, { onPass: () => undefined }, signal);

  return {
    url: health.url,
    ended,
    async close() {
      await Promise.race([heartbeats?.leave(), sleep(1_000)]);
      await redis?.close();
      store.close();
      await health.close();
    },
  };
}

/** The store with few tries per question: the loop comes round again, and says meanwhile that the store is away. */
export function openConfigStore({ storeUrl, storeEndpoint }: ConfigSyncSettings): Promise<ObjectStore> {
  return openObjectStore(storeUrl, { maxAttempts: 2, ...(storeEndpoint === undefined ? {} : { endpoint: storeEndpoint }) });
}

function silentAfterMs({ intervalMs }: ConfigSyncSettings): number {
  return Math.max(MIN_SILENCE_MS, SILENT_INTERVALS * intervalMs);
}

/** Longest time of one question to the store. A few kilobytes that take longer will not come, and the next pass asks again. */
export function readTimeoutMs({ intervalMs }: ConfigSyncSettings): number {
  return Math.min(MAX_READ_TIMEOUT_MS, Math.max(MIN_READ_TIMEOUT_MS, intervalMs));
}

/** Whether a failed pass failed at the store: unreachable, silent, unwell, refusing, or wrongly named. A full disk of our own is not its fault. */
export function isStoreFailure(failure: unknown): boolean {
  return failure instanceof ObjectStoreError && failure.kind !== 'no_space';
}

export async function clearLeftovers(root: string, logger: Logger): Promise<void> {
  try {
    await mkdir(root, { recursive: true });
    const removed = await removeLeftovers(root, { olderThanMs: LEFTOVER_AGE_MS });
    if (removed > 0) logger.info('leftovers of an earlier run removed', { removed });
  } catch (error) {
    // A volume that refuses now will be told of by every pass.
    logger.warn('the configuration directory cannot be used', { config_dir: root, reason: error });
  }
}

function openDoor({ reload }: ConfigSyncSettings): GatewayDoor {
  return reload.kind === 'url' ? gatewayByHttp(reload) : gatewayBySignal(reload);
}

/** Asks the gateway and nudges it, under a span of its own: how long a pod takes from published to served. */
async function ensureConfigServed(door: GatewayDoor, { revision, context }: { readonly revision: string; readonly context: SyncPassContext | undefined }, signal: AbortSignal): Promise<void> {
  const span = context?.span.child('config-sync.apply', 'internal');
  span?.set(attribute.SYNC_REVISION, revision);
  try {
    await ensureServed(door, {
      revision, nudgeEveryMs: NUDGE_EVERY_MS, timeoutMs: APPLY_TIMEOUT_MS, absentAfterMs: ABSENT_AFTER_MS,
      isServed: (report) => report.config_revision === revision,
      refusal: ({ last_rejected: rejected }) => (rejected?.revision === revision ? rejected.reason : undefined),
    }, signal);
  } catch (error) {
    span?.fail(error instanceof Error ? error.name : 'Error', describeUnknown(error));
    throw error;
  } finally {
    span?.end();
  }
}

/** One question to the store as a span of its pass, and a log line and the count of its bytes when something came. */
export function reportRead(key: string, context: SyncPassContext | undefined, logger: Logger): ReadEnd {
  const span = context?.span.child('object_store.read', 'client');
  span?.set(attribute.OBJECT_STORE_KEY, key);
  return (outcome, bytes) => {
    span?.set(attribute.OBJECT_STORE_OUTCOME, outcome);
    if (outcome === 'failed') span?.fail('object_store_failed');
    span?.end();
    if (outcome !== 'downloaded') return;
    context?.fetched(bytes);
    (context?.logger ?? logger).info('downloaded', { key, bytes });
  };
}

function connectHeartbeats(url: string, { logger, metrics }: Telemetry): RedisConnection {
  const away = metrics.gauge(metric.GATEWAY_DEGRADED_MODE).labels('redis');
  away.set(0);
  const state = logger.oncePerState('redis');
  return connectRedis({
    url, clientName: 'pointsman-config-sync', commandTimeoutMs: 1_000,
    onState: (now, reason) => {
      away.set(now === 'away' ? 1 : 0);
      state.change(now, now === 'away' ? 'warn' : 'info', now === 'away' ? 'redis is away: a canary is decided by the hash of the pod name' : 'redis is there', { reason });
    },
  });
}
