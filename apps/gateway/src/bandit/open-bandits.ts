import { join } from 'node:path';
import type { AppError, ErrorKind } from '@pointsman/errors';
import type { GatewayConfig } from '@pointsman/gateway-config';
import type { HeldLock, Lock } from '@pointsman/locking';
import type { ObjectStore } from '@pointsman/object-store';
import { connectRedis, type RedisConnection } from '@pointsman/redis';
import type { Candidate, PromptFeatures } from '@pointsman/routing';
import { armOf, banditFeatures, BanditLearner, type BanditLearners } from '@pointsman/routing/bandit';
import { metric, type Logger, type Metrics } from '@pointsman/telemetry';
import { sleep, type Clock } from '@pointsman/timing';
import type { ExchangeRecord } from '../record/exchange-record.ts';
import { snapshotFile, snapshotObject, type BanditSnapshot, type SnapshotPlace } from './bandit-snapshot.ts';
import { SharedSums } from './shared-sums.ts';
import { createWaitingDecisions, type WaitingDecisions } from './waiting-decisions.ts';

/** What the process learns online, for all groups that route by `contextual-bandit`. Never fails a request, never waited for. */
export interface Bandits extends BanditLearners {
  /** A request is over: its decision waits for feedback, or its failure is a reward of its own. */
  ended(requestId: string, record: ExchangeRecord, config: GatewayConfig): void;
  /** What somebody says of a request, 0 to 1: whichever replica had it. */
  rate(requestId: string, score: number): Promise<boolean>;
  /** What a judge says of an answer of this process. */
  judged(answer: { readonly candidate: Candidate; readonly features: PromptFeatures | undefined; readonly score: number }): void;
  /** Delivers and hears now; what the timer does. Never rejects. */
  exchange(): Promise<void>;
  close(): Promise<void>;
}

export interface OpenBanditsOptions {
  readonly redisUrl: string | undefined;
  /** Where snapshots lie when there is no Redis. */
  readonly home: string;
  readonly environment: string;
  /** Undefined: no snapshots in a store. */
  readonly openStore: (() => Promise<ObjectStore>) | undefined;
  readonly replicaId: string;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: Metrics;
  readonly exchangeEveryMs?: number;
  readonly snapshotEveryMs?: number;
}

const STRATEGY = 'contextual-bandit';
const EXCHANGE_EVERY_MS = 2_000;
const SNAPSHOT_EVERY_MS = 60_000;
const COMMAND_TIMEOUT_MS = 2_000;
const DEFAULT_FEEDBACK_WINDOW_S = 3_600;
const OTHER_REPLICA_MS = 300;
const LOCK_TTL_MS = 30_000;
/** Failures that say something of the model that was asked; a client's mistake and our own limits do not. */
const TELLING: ReadonlySet<ErrorKind> = new Set<ErrorKind>(['upstream_failed', 'deadline_exceeded']);

interface Group {
  readonly learner: BanditLearner;
  readonly shared: SharedSums | undefined;
  readonly place: Promise<SnapshotPlace | undefined>;
  restored: Promise<void>;
  /** Of what the last snapshot held. */
  saved: number;
}

/** Opens nothing before a group routes by the bandit: a gateway without one has no timer, no connection and no file of it. */
export function openBandits(options: OpenBanditsOptions): Bandits {
  return new OpenedBandits(options);
}

class OpenedBandits implements Bandits {
  readonly #options: OpenBanditsOptions;
  readonly #groups = new Map<string, Group>();
  #connection: RedisConnection | undefined;
  #lock: Promise<Lock> | undefined;
  #held: HeldLock | undefined;
  #store: Promise<ObjectStore> | undefined;
  #waiting: WaitingDecisions | undefined;
  #timers: NodeJS.Timeout[] = [];
  #running: Promise<void> = Promise.resolve();
  #closed = false;
  readonly #rewards;

  constructor(options: OpenBanditsOptions) {
    this.#options = options;
    this.#rewards = options.metrics.counter(metric.ROUTER_BANDIT_REWARDS);
  }

  learner(group: string): BanditLearner {
    return (this.#groups.get(group) ?? this.#open(group)).learner;
  }

  ended(requestId: string, record: ExchangeRecord, config: GatewayConfig): void {
    const { decision, deployment, error, clientGone, cacheHit } = record;
    if (decision?.strategy !== STRATEGY || deployment === undefined || cacheHit) return;
    const { candidate } = deployment;
    // What a fallback group answered was no choice of this decision.
    if (!decision.order.includes(candidate)) return;
    const { group } = candidate;
    const own = Object.hasOwn(config.router.strategies, group) ? config.router.strategies[group] : undefined;
    const args = own?.args ?? config.router.strategyArgs;
    if (error !== undefined) {
      const reward = typeof args['error_reward'] === 'number' ? args['error_reward'] : 0;
      if (args['learn_from_errors'] !== false && isTelling(error)) this.#learn(group, 'error', { arm: armOf(candidate), features: banditFeatures(decision.features?.text), reward });
      return;
    }
    if (clientGone) return;
    const windowS = args['feedback_window_s'];
    this.#decisions().remember(requestId, { group, arm: armOf(candidate), features: banditFeatures(decision.features?.text) }, (typeof windowS === 'number' && windowS > 0 ? windowS : DEFAULT_FEEDBACK_WINDOW_S) * 1000);
  }

  async rate(requestId: string, score: number): Promise<boolean> {
    // Feedback may reach a replica that has routed nothing yet.
    if (this.#waiting === undefined && this.#options.redisUrl === undefined) return false;
    let found = await this.#decisions().take(requestId);
    if (found === undefined && this.#options.redisUrl !== undefined) {
      // Somebody may rate an answer before the replica that gave it has told Redis, or be the first that this one needs Redis for.
      await Promise.all([sleep(OTHER_REPLICA_MS), this.#redis()?.whenReady(AbortSignal.timeout(COMMAND_TIMEOUT_MS)).catch(() => undefined)]);
      found = await this.#decisions().take(requestId);
    }
    if (found === undefined || this.#closed) return false;
    return this.#learn(found.group, 'feedback', { arm: found.arm, features: found.features, reward: score });
  }

  judged({ candidate, features, score }: Parameters<Bandits['judged']>[0]): void {
    if (this.#groups.has(candidate.group)) this.#learn(candidate.group, 'judge', { arm: armOf(candidate), features: banditFeatures(features?.text), reward: score });
  }

  exchange(): Promise<void> {
    return this.#next(() => this.#exchangeAll());
  }

  async close(): Promise<void> {
    this.#closed = true;
    for (const timer of this.#timers) clearInterval(timer);
    await this.#next(async () => {
      await this.#exchangeAll();
      // What another replica wrote is replaced at the second try: there is no later one.
      if (!await this.#saveAll(snapshotOfAll)) await this.#saveAll(snapshotOfAll);
    });
    await this.#held?.release();
    await this.#connection?.close();
    const store = await this.#store?.catch(() => undefined);
    store?.close();
  }

  #learn(group: string, source: 'feedback' | 'judge' | 'error', { arm, features, reward }: { readonly arm: string; readonly features: Uint8Array; readonly reward: number }): boolean {
    const opened = this.#groups.get(group) ?? this.#open(group);
    const learned = opened.learner.learn(arm, features, reward);
    if (learned) {
      this.#rewards.labels(source).inc();
    }
    return learned;
  }

  #open(name: string): Group {
    const { clock, replicaId, home } = this.#options;
    const connection = this.#redis();
    const learner = new BanditLearner({ now: () => clock.now() });
    const store = this.#openStore();
    const place = store === undefined
      ? Promise.resolve(connection === undefined ? snapshotFile(join(home, 'bandit'), name) : undefined)
      : store.then((opened) => snapshotObject(opened, this.#options.environment, name), () => undefined);
    const group: Group = {
      learner, place, saved: 0, restored: Promise.resolve(),
      shared: connection === undefined ? undefined : new SharedSums({ connection, learner, group: name, replicaId }),
    };
    this.#groups.set(name, group);
    group.restored = this.#restore(name, group);
    if (this.#timers.length === 0 && !this.#closed) this.#start();
    return group;
  }

  /** What a snapshot knows stands in for the shared sums until Redis says better; an empty Redis is filled with it. */
  async #restore(name: string, { learner, place, shared }: Group): Promise<void> {
    try {
      const snapshot = await (await place)?.read();
      if (snapshot === undefined || snapshot.sums.size === 0) return;
      learner.adopt(snapshot.sums);
      shared?.startFrom(snapshot.version);
      this.#options.logger.info('bandit restored', { model_group: name, candidates: snapshot.sums.size });
    } catch (error) {
      this.#options.logger.warn('bandit snapshot not read', { model_group: name, reason: error });
    }
  }

  #start(): void {
    const every = (ms: number, work: () => Promise<void>): void => {
      const timer = setInterval(() => void this.#next(work), ms);
      timer.unref();
      this.#timers.push(timer);
    };
    every(this.#options.exchangeEveryMs ?? EXCHANGE_EVERY_MS, () => this.#exchangeAll());
    every(this.#options.snapshotEveryMs ?? SNAPSHOT_EVERY_MS, async () => {
      await this.#saveAll(snapshotOfShared);
    });
  }

  /** One after another: an exchange that waits for an answer is not sent twice. */
  #next(work: () => Promise<void>): Promise<void> {
    this.#running = this.#running.then(work).catch((error: unknown) => {
      this.#options.logger.oncePerState('bandit').change('failing', 'warn', 'bandit work failed', { reason: error });
    });
    return this.#running;
  }

  async #exchangeAll(): Promise<void> {
    const state = this.#options.logger.oncePerState('bandit sharing');
    for (const [, group] of this.#groups) {
      await group.restored;
      group.learner.refresh();
      if (group.shared === undefined) continue;
      try {
        await group.shared.exchange();
        state.change('shared', 'info', 'bandit is shared', {});
      } catch (error) {
        state.change('away', 'warn', 'bandit learns alone until redis is back', { reason: error });
      }
    }
  }

  /** False: somebody else had written a snapshot, which is replaced the next time. */
  async #saveAll(snapshotOf: (group: Group) => BanditSnapshot): Promise<boolean> {
    const changed = [...this.#groups].filter(([, group]) => fingerprint(snapshotOf(group)) !== group.saved);
    if (changed.length === 0 || !await this.#isWriter()) return true;
    let isWritten = true;
    for (const [name, group] of changed) {
      const snapshot = snapshotOf(group);
      try {
        if (await (await group.place)?.write(snapshot, this.#options.clock.now()) === false) isWritten = false;
        else group.saved = fingerprint(snapshot);
      } catch (error) {
        this.#options.logger.warn('bandit snapshot not written', { model_group: name, reason: error });
      }
    }
    return isWritten;
  }

  /** One replica writes, for as long as it lives. Without Redis there is one; while it is away nobody writes. */
  async #isWriter(): Promise<boolean> {
    const connection = this.#redis();
    if (connection === undefined || this.#options.openStore === undefined) return true;
    if (this.#held?.signal.aborted === false) return true;
    this.#lock ??= import('@pointsman/locking').then(({ createRedisLock }) => createRedisLock({ connection }));
    try {
      this.#held = await (await this.#lock).acquire('bandit-snapshot', { ttlMs: LOCK_TTL_MS, waitMs: 0 });
      return this.#held !== undefined;
    } catch {
      return false;
    }
  }

  #redis(): RedisConnection | undefined {
    const { redisUrl } = this.#options;
    if (redisUrl === undefined) return undefined;
    // A connection of its own: a large exchange does not stand before what requests wait for.
    this.#connection ??= connectRedis({ url: redisUrl, commandTimeoutMs: COMMAND_TIMEOUT_MS, clientName: 'pointsman-gateway-bandit' });
    return this.#connection;
  }

  #decisions(): WaitingDecisions {
    this.#waiting ??= createWaitingDecisions(this.#redis());
    return this.#waiting;
  }

  #openStore(): Promise<ObjectStore> | undefined {
    if (this.#options.openStore === undefined) return undefined;
    this.#store ??= this.#options.openStore();
    this.#store.catch((error: unknown) => this.#options.logger.warn('bandit store not opened', { reason: error }));
    return this.#store;
  }
}

function isTelling({ kind }: AppError): boolean {
  return TELLING.has(kind);
}

/** What all replicas have put together: what this one has not delivered it will deliver itself, also to a server that was filled with the snapshot. */
function snapshotOfShared({ learner, shared }: Group): BanditSnapshot {
  return shared === undefined ? { sums: learner.totals(), version: 0 } : { sums: learner.shared(), version: shared.version };
}

/** With what could not be delivered: whoever closes will not deliver it any more. */
function snapshotOfAll({ learner, shared }: Group): BanditSnapshot {
  return { sums: learner.totals(), version: shared?.version ?? 0 };
}

/** Changes with every reward, of whichever replica. */
function fingerprint({ sums }: BanditSnapshot): number {
  let sum = 0;
  for (const { count, at } of sums.values()) sum += count + at;
  return sum;
}
