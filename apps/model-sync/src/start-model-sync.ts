import { mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { describeUnknown } from '@pointsman/errors';
import { createLocalLock, createRedisLock, type Lock } from '@pointsman/locking';
import { loadPublicKeys } from '@pointsman/model-artifacts';
import { ObjectStoreError, openObjectStore, type ObjectStore } from '@pointsman/object-store';
import { connectRedis } from '@pointsman/redis';
import type { SyncHealth } from '@pointsman/schemas';
import { SettingsError, startHealthServer } from '@pointsman/service';
import { createSyncReporter, gatewayByHttp, gatewayBySignal, publishedRevision, type GatewayDoor } from '@pointsman/sync';
import { metric, type Telemetry } from '@pointsman/telemetry';
import { systemClock, type Clock } from '@pointsman/timing';
import { freeBytesOf } from './fetch-artifact.ts';
import { createModelCache, type ModelCache } from './model-cache.ts';
import { createObtainer } from './obtain-model.ts';
import { readWantedModels } from './read-wanted-models.ts';
import { createPassLoop } from './run-passes.ts';
import type { ModelSyncSettings } from './settings.ts';
import { createModelSync, type ModelStatus } from './sync-model.ts';
import { createModelsPass, NO_MODELS, servedRevision } from './sync-models.ts';
import { watchConfig } from './watch-config.ts';

export interface StartModelSyncOptions {
  readonly telemetry: Telemetry;
  /** One good pass without a gateway to ask, then the end: an init container. */
  readonly once?: boolean;
  /** In place of the gateway of this pod. */
  readonly door?: GatewayDoor;
  readonly clock?: Clock;
  readonly random?: () => number;
  readonly freeBytes?: (directory: string) => Promise<number>;
  /** How long the lock outlives a holder that was killed, in milliseconds. */
  readonly lockTtlMs?: number;
  /** Without a lock, the longest random wait before the origin is read, in milliseconds. */
  readonly jitterMs?: number;
  readonly applyTimeoutMs?: number;
  readonly nudgeEveryMs?: number;
}

export interface ModelSyncHealth extends SyncHealth {
  readonly models: readonly ModelStatus[];
}

export interface RunningModelSync {
  /** `http://127.0.0.1:8082`; undefined with `once`. */
  readonly url: string | undefined;
  health(): ModelSyncHealth;
  /** Resolves when it has stopped; with `once` after the pass. Rejects when that failed too often. */
  readonly ended: Promise<void>;
  close(): Promise<void>;
}

const LOCK_TTL_MS = 15_000;
const MAX_JITTER_MS = 30_000;
/** A pass ends with its downloads: 8 GiB at 5 MB/s. */
const PASS_TIMEOUT_MS = 1_800_000;
const APPLY_TIMEOUT_MS = 60_000;
const NUDGE_EVERY_MS = 15_000;
/** Failures of an init container in a row, seconds apart at first, before the pod is told. */
const ONCE_FAILURES = 8;
const REDIS_TIMEOUT_MS = 2_000;

/**
 * Starts model-sync. @throws SettingsError for key files that cannot be used
 */
export async function startModelSync(settings: ModelSyncSettings, options: StartModelSyncOptions): Promise<RunningModelSync> {
  const { telemetry, once = false, clock = systemClock, random = Math.random } = options;
  const { logger, metrics } = telemetry;
  const publicKeys = await loadPublicKeys(settings.publicKeyFiles).catch((error: unknown) => {
    throw new SettingsError([{ variable: 'MODEL_SIGNING_PUBLIC_KEYS', problem: error instanceof Error ? error.message : 'cannot be read' }]);
  });
  await using parts = new AsyncDisposableStack();
  const origin = await openObjectStore(settings.objectStoreUrl, settings.s3Endpoint === undefined ? {} : { endpoint: settings.s3Endpoint });
  parts.defer(() => origin.close());
  const { cache, lock } = await openSharing(settings, { origin, parts, telemetry });
  await mkdir(settings.modelsDir, { recursive: true });

  let models: readonly ModelStatus[] = [];
  let isSettled = false;
  const syncModel = createModelSync({
    modelsDir: settings.modelsDir, origin, metrics,
    obtain: createObtainer({
      origin, cache, lock, metrics, clock, random, podName: settings.podName,
      freeBytes: options.freeBytes ?? freeBytesOf,
      jitterMs: options.jitterMs ?? Math.min(MAX_JITTER_MS, settings.intervalMs / 4),
      lockTtlMs: options.lockTtlMs ?? LOCK_TTL_MS,
    }),
    demandsOf: (expect) => ({ expect, publicKeys, mode: settings.verify, maxBytes: settings.maxBytes }),
    door: once ? undefined : options.door ?? doorOf(settings),
    applyTimeoutMs: options.applyTimeoutMs ?? APPLY_TIMEOUT_MS,
    nudgeEveryMs: options.nudgeEveryMs ?? NUDGE_EVERY_MS,
  });
  const reporter = await createSyncReporter({
    app: 'model-sync', telemetry, clock,
    published: async () => servedRevision(await modelsOnDisk(settings.modelsDir)),
    isStoreFailure: (failure) => failure instanceof ObjectStoreError || (failure instanceof Error && failure.cause instanceof ObjectStoreError),
  });
  /** What the running pass works towards. */
  let wantedNow = '';
  const passModels = createModelsPass({
    readWanted: async () => {
      const wanted = await readWantedModels(settings);
      wantedNow = JSON.stringify(wanted.models);
      return wanted;
    },
    syncModel,
    onStatus: (next) => {
      models = next;
    },
  });
  const loop = createPassLoop(async (signal) => {
    await reporter.pass((context) => passModels(context, signal));
    isSettled = true;
  }, { intervalMs: settings.intervalMs, passTimeoutMs: PASS_TIMEOUT_MS, random, once, ...(once ? { maxFailures: ONCE_FAILURES } : {}) });

  /** A rollback does not wait for the download of what nobody wants any more; any other change lets the running pass finish. */
  const onConfigChange = async (): Promise<void> => {
    const wanted = await readWantedModels(settings).catch(() => undefined);
    loop.wake({ restart: wanted !== undefined && wantedNow !== '' && JSON.stringify(wanted.models) !== wantedNow });
  };

  const health = (): ModelSyncHealth => {
    const report = reporter.health();
    const revision = report.revision === NO_MODELS ? null : report.revision;
    return { ...report, revision, status: stateOf(report, isSettled), models };
  };
  let url: string | undefined;
  if (!once) {
    const watcher = watchConfig({ ...settings, onChange: () => void onConfigChange(), logger });
    parts.defer(() => watcher.close());
    const server = await startHealthServer({ port: settings.healthPort, path: '/health/model-sync', status: () => ({ ...health() }), metrics });
    parts.defer(() => server.close());
    ({ url } = server);
    logger.info('listening', { url, models_dir: settings.modelsDir, cache: settings.cache.kind, verify: settings.verify, store: origin.url });
  }
  const stop = new AbortController();
  const ended = loop.run(stop.signal);
  // Whoever awaits it is told; nobody has to.
  ended.catch(() => undefined);
  const kept = parts.move();
  let closing: Promise<void> | undefined;
  return {
    url, health, ended,
    close: () => closing ??= (async () => {
      stop.abort();
      await ended.catch(() => undefined);
      await kept.disposeAsync();
    })(),
  };
}

/** What pods share, and the lock that makes one of them the first. */
async function openSharing(settings: ModelSyncSettings, { origin, parts, telemetry: { logger, metrics } }: { readonly origin: ObjectStore; readonly parts: AsyncDisposableStack; readonly telemetry: Telemetry }): Promise<{ readonly cache: ModelCache | undefined; readonly lock: Lock | undefined }> {
  if (settings.cache.kind === 'off') return { cache: undefined, lock: undefined };
  if (settings.cache.kind === 'node') {
    const { directory } = settings.cache;
    await mkdir(directory, { recursive: true });
    const store = await openObjectStore(pathToFileURL(directory).href);
    parts.defer(() => store.close());
    return { cache: createModelCache(store), lock: createLocalLock({ directory: join(directory, 'locks') }) };
  }
  const cache = createModelCache(origin);
  if (settings.redisUrl === undefined) return { cache, lock: undefined };
  const away = metrics.gauge(metric.GATEWAY_DEGRADED_MODE).labels('redis');
  const connection = connectRedis({
    url: settings.redisUrl, commandTimeoutMs: REDIS_TIMEOUT_MS, clientName: 'pointsman-model-sync',
    onState: (state, reason) => {
      away.set(state === 'away' ? 1 : 0);
      logger.oncePerState('redis').change(state, state === 'away' ? 'warn' : 'info', `redis ${state}`, { reason });
    },
  });
  parts.use(connection);
  await connection.whenReady(AbortSignal.timeout(REDIS_TIMEOUT_MS)).catch((error: unknown) => logger.warn('redis is away at start', { reason: describeUnknown(error) }));
  return { cache, lock: createRedisLock({ connection }) };
}

function doorOf({ reload, runDir }: ModelSyncSettings): GatewayDoor {
  return reload.kind === 'url' ? gatewayByHttp({ url: reload.url, key: reload.key }) : gatewayBySignal({ runDir, signal: reload.signal });
}

/**
 * A configuration without models is served, and a model that is refused must not keep a pod from its requests: the gateway decides without it.
 */
function stateOf(report: SyncHealth, isSettled: boolean): SyncHealth['status'] {
  if (report.status === 'starting' && isSettled) return report.rejected === undefined && report.consecutive_failures === 0 ? 'ok' : 'degraded';
  if (report.status === 'starting' && report.consecutive_failures > 0) return 'failing';
  return report.status === 'ok' && report.rejected !== undefined ? 'degraded' : report.status;
}

async function modelsOnDisk(modelsDir: string): Promise<{ readonly name: string; readonly revision: string | null }[]> {
  const names = await readdir(modelsDir, { withFileTypes: true }).catch(() => []);
  return Promise.all(names.filter((entry) => entry.isDirectory()).map(async ({ name }) => ({ name, revision: await publishedRevision(join(modelsDir, name)).catch(() => undefined) ?? null })));
}
