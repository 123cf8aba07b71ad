import { randomBytes } from 'node:crypto';
import { connectDatabase, openEmbeddedDatabase, type Database } from '@pointsman/database';
import { DEFAULT_DEGRADED_MODE, type DegradedMode } from '@pointsman/gateway-config';
import { createMemoryCounters } from '@pointsman/redis';
import type { Logger } from '@pointsman/telemetry';
import { sleep, type Clock } from '@pointsman/timing';
import { CountedLimits } from '../access/counted-limits.ts';
import { DatabaseKeyStore } from '../access/database-key-store.ts';
import { followAccessChanges } from '../access/follow-access-changes.ts';
import type { KeyStore } from '../access/key-store.ts';
import type { Limits } from '../access/limits.ts';
import type { GatewayMetrics } from '../record/gateway-metrics.ts';
import type { GatewaySettings } from '../settings.ts';
import { noDatabase, type GatewayDatabase } from './gateway-database.ts';
import { openGatewayDatabase, type OpenedGatewayDatabase } from './open-gateway-database.ts';
import { openGatewayRedis, type GatewayRedis } from './open-gateway-redis.ts';

/** How long a start waits for what may take longer: past it the gateway listens and serves what it can. */
const START_LIMIT_MS = 3_000;
const CLOSE_LIMIT_MS = 5_000;
/** Counters in memory: one per limit of a key in use. */
const MAX_MEMORY_COUNTERS = 200_000;

export interface OpenGatewayStateOptions {
  readonly settings: Pick<GatewaySettings, 'database' | 'redisUrl' | 'home'>;
  /** What holds until a configuration says otherwise; defaults. */
  readonly degradedMode?: DegradedMode | undefined;
  /** The master key's store, asked first. */
  readonly master: KeyStore;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: GatewayMetrics;
}

/** Everything that replicas share and that may be away, with what is built on it. */
export interface GatewayState {
  readonly database: GatewayDatabase;
  readonly redis: GatewayRedis;
  readonly keys: KeyStore;
  readonly limits: Limits;
  /** What holds while a dependency is away; replaced with each configuration that is applied. */
  setDegradedMode(mode: DegradedMode): void;
  /** Unique per process. */
  readonly replicaId: string;
  /** Tells every replica that these keys (hashes; undefined = all) are not what they were. */
  accessChanged(tokens: readonly string[] | undefined): void;
  /** Names of the services that are away now. */
  degraded(): readonly string[];
  close(): Promise<void>;
}

export async function openGatewayState({ settings, degradedMode: initial = DEFAULT_DEGRADED_MODE, master, clock, logger, metrics }: OpenGatewayStateOptions): Promise<GatewayState> {
  const replicaId = randomBytes(9).toString('base64url');
  let degradedMode = initial;
  const redis = openGatewayRedis({ url: settings.redisUrl, replicaId, degradedMode, clock, logger, metrics });
  const opened = settings.database.kind === 'none' ? undefined : openDatabase(settings, { degradedMode, clock, logger, metrics });
  const database = opened ?? noDatabase;

  const keys = opened === undefined ? undefined : new DatabaseKeyStore({ master, database, clock, degradedMode: () => degradedMode });
  const follower = keys === undefined ? undefined : followAccessChanges({ database, channel: redis.channel, logger, onChange: (tokens) => keys.changed(tokens) });
  const limits = new CountedLimits({
    shared: redis.shared, memory: createMemoryCounters({ clock, maxEntries: MAX_MEMORY_COUNTERS }),
    replicas: () => redis.replicas(), degradedMode: () => degradedMode, clock, replicaId, metrics,
  });
  const tried = new AbortController();
  await Promise.race([Promise.all([redis.firstAttempt, opened?.firstAttempt]), sleep(START_LIMIT_MS, tried.signal)]);
  tried.abort();

  return {
    database, redis, keys: keys ?? master, limits, replicaId,
    setDegradedMode(mode) {
      degradedMode = mode;
      redis.configure(mode);
      opened?.configure(mode);
    },
    accessChanged: (tokens) => follower?.announce(tokens),
    degraded: () => [...(redis.isAway ? ['redis'] : []), ...(database.isAway ? ['postgres'] : [])],
    async close() {
      const limit = new AbortController();
      const closed = Promise.all([follower?.close(), redis.close(), opened?.close()]);
      // A peer that does not say goodbye must not keep the process: it ends with its connections.
      await Promise.race([closed, sleep(CLOSE_LIMIT_MS, limit.signal)]);
      limit.abort();
    },
  };
}

function openDatabase({ database, home }: OpenGatewayStateOptions['settings'], parts: { readonly degradedMode: DegradedMode; readonly clock: Clock; readonly logger: Logger; readonly metrics: GatewayMetrics }): OpenedGatewayDatabase {
  const applicationName = 'pointsman-gateway';
  if (database.kind === 'postgres') return openGatewayDatabase({ ...parts, open: () => connectDatabase({ url: database.url, applicationName }) });
  return openGatewayDatabase({
    ...parts,
    async open(signal): Promise<Database> {
      const embedded = await openEmbeddedDatabase({ home, signal });
      const door = connectDatabase({ url: embedded.url, kind: 'embedded', applicationName });
      return {
        ...door,
        async close() {
          await door.close();
          await embedded.close();
        },
      };
    },
  });
}
