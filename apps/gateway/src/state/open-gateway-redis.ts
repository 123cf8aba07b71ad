import type { DegradedMode } from '@pointsman/gateway-config';
import {
  connectRedis, createLocalChannel, createMemoryKeyValue, createRedisChannel, createRedisCounters, createRedisKeyValue, type Channel, type KeyValue, type LimitCounters,
} from '@pointsman/redis';
import type { Logger } from '@pointsman/telemetry';
import type { Clock } from '@pointsman/timing';
import type { GatewayMetrics } from '../record/gateway-metrics.ts';
import { AWAY, Dependency, REQUEST_DEADLINE_MS, type Attempts } from './dependency.ts';
import { countReplicas } from './replica-count.ts';

/** Redis as the rest of the gateway sees it: there, away, or not configured; what stands on it never waits longer than 250 ms and never fails. */
export interface GatewayRedis {
  readonly isConfigured: boolean;
  readonly isAway: boolean;
  /** Resolves when the first try to connect is over, whatever came of it. */
  readonly firstAttempt: Promise<void>;
  /** Counters of all replicas; undefined where there is no Redis. */
  readonly shared: { readonly counters: LimitCounters; readonly dependency: Attempts } | undefined;
  readonly channel: Channel;
  /** Bytes in Redis, or in the memory of this process while it is away. `local` never leaves this process. */
  keyValue(type: 'redis' | 'local'): KeyValue;
  /** How many replicas there were when they could last hear each other; 1 where there is no Redis. */
  replicas(): number;
  configure(mode: DegradedMode): void;
  close(): Promise<void>;
}

export interface OpenGatewayRedisOptions {
  readonly url: string | undefined;
  readonly replicaId: string;
  readonly degradedMode: DegradedMode;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: Pick<GatewayMetrics, 'degraded' | 'breakerChanged'>;
}

/** A larger reply is not worth its way to Redis and back. */
const MAX_VALUE_BYTES = 16 * 1024 * 1024;

/** One connection for limits, cache and messages, made in the background; behind a breaker of its own. */
export function openGatewayRedis(options: OpenGatewayRedisOptions): GatewayRedis {
  const { clock, degradedMode } = options;
  const newMemory = (bytes: number): KeyValue => createMemoryKeyValue({ clock, maxBytes: Math.max(1, bytes) });
  let memory = newMemory(degradedMode.memoryCacheBytes);
  let memoryBytes = degradedMode.memoryCacheBytes;
  const resize = ({ memoryCacheBytes }: DegradedMode): void => {
    if (memoryCacheBytes === memoryBytes) return;
    memoryBytes = memoryCacheBytes;
    memory = newMemory(memoryCacheBytes);
  };
  if (options.url === undefined) {
    return {
      isConfigured: false, isAway: false, firstAttempt: Promise.resolve(), shared: undefined, channel: createLocalChannel(),
      keyValue: () => memory, replicas: () => 1, configure: resize, close: () => Promise.resolve(),
    };
  }

  const connection = connectRedis({ url: options.url, commandTimeoutMs: REQUEST_DEADLINE_MS, clientName: 'pointsman-gateway' });
  const counters = createRedisCounters(connection);
  const dependency = new Dependency({
    name: 'redis', clock, logger: options.logger, metrics: options.metrics, breaker: degradedMode.breaker,
    prepare: (signal) => connection.whenReady(AbortSignal.any([signal, AbortSignal.timeout(2_000)])),
    ping: async () => {
      await connection.call('PING');
    },
    // The script of the limits may be forbidden, or out of memory, where everything else works: limits would be off and nobody would know.
    pingPart: () => counters.probe(),
  });
  dependency.start();
  const channel = createRedisChannel(connection);
  const replicas = countReplicas({ channel, id: options.replicaId, clock, isAway: () => dependency.isServerAway || !dependency.isPrepared });
  const remote = createRedisKeyValue(connection, { prefix: 'cache:', maxValueBytes: MAX_VALUE_BYTES });
  const degrading: KeyValue = {
    get(key) {
      const found = dependency.attempt(() => remote.get(key));
      if (found instanceof Promise) return found.then((value) => (value === AWAY ? memory.get(key) : value));
      return found === AWAY ? memory.get(key) : found;
    },
    set(key, value, ttlMs) {
      const stored = dependency.attempt(() => remote.set(key, value, ttlMs));
      if (stored instanceof Promise) return stored.then((outcome) => (outcome === AWAY ? memory.set(key, value, ttlMs) : undefined));
      return stored === AWAY ? memory.set(key, value, ttlMs) : undefined;
    },
    async delete(key) {
      await memory.delete(key);
      await dependency.attempt(() => remote.delete(key));
    },
  };

  return {
    isConfigured: true,
    get isAway() {
      return dependency.isAway;
    },
    firstAttempt: dependency.firstAttempt,
    shared: { counters, dependency: dependency.part },
    channel,
    keyValue: (type) => (type === 'redis' ? degrading : memory),
    replicas: () => replicas.count(),
    configure(mode) {
      dependency.configure(mode.breaker);
      resize(mode);
    },
    async close() {
      replicas.close();
      await dependency.close();
      counters.close();
      await channel.close();
      await connection.close();
    },
  };
}
