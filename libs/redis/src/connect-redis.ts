import { once } from 'node:events';
import { Duplex } from 'node:stream';
import type { ConnectionOptions } from 'node:tls';
import { backoffMs } from '@pointsman/timing';
import { Cluster, Command, Redis, type ClusterOptions, type RedisOptions } from 'ioredis';
import { encodeCommand } from './encode-command.ts';
import { OutgoingBytes } from './outgoing-bytes.ts';
import { parseRedisUrl, type RedisTarget } from './parse-redis-url.ts';
import { RedisUnavailableError } from './redis-unavailable-error.ts';
import { ReplyError, ReplyParser, type Reply } from './reply-parser.ts';

export type RedisState = 'ready' | 'away';

export interface ConnectRedisOptions {
  /** See `parseRedisUrl`: single server, Sentinel or cluster. */
  readonly url: string;
  /** The longest that any command waits for its answer, in milliseconds; after it the connection counts as dead. */
  readonly commandTimeoutMs?: number;
  /** Told when Redis comes and goes, once per change, with the reason for the log (no secrets in it). */
  readonly onState?: (state: RedisState, reason: string) => void;
  /** For `rediss://`: a certificate authority of one's own, a client certificate. */
  readonly tls?: ConnectionOptions;
  /** Shown in CLIENT LIST. */
  readonly clientName?: string;
  readonly random?: () => number;
}

export type CommandArgument = string | Buffer;
/** Gets the error or the reply: strings (as Buffer when asked for), numbers, null or arrays of them. Called exactly once, perhaps before `send` returns. */
export type CommandDone = (error: Error | null, reply: unknown) => void;

/**
 * A connection to Redis that never makes a caller wait for a dead server: what cannot be sent now is refused at once, what is not answered within the command
 * timeout is given up, and reconnecting goes on in the background for ever.
 */
export interface RedisConnection extends AsyncDisposable {
  readonly topology: RedisTarget['topology'];
  readonly state: RedisState;
  /** Resolves once connected; rejects with RedisUnavailableError when the signal aborts first. */
  whenReady(signal?: AbortSignal): Promise<void>;
  /** One command; strings in the reply are UTF-8. Rejects with RedisUnavailableError, or with Redis' own ReplyError where the command was wrong. */
  call(name: string, ...args: readonly CommandArgument[]): Promise<unknown>;
  /** The same without a promise, for what runs per request. Commands of one turn of the event loop leave in one write (not on a cluster). */
  send(name: string, args: readonly CommandArgument[], options: { readonly binary: boolean }, done: CommandDone): void;
  /** Runs before the next write, at the end of this turn of the event loop or of a later one: while a write is unanswered, commands gather for the next. */
  atTurnEnd(flush: () => void): void;
  /** What this turn sends does not wait for answers to earlier commands: others may ask for what it says the moment a reply is out. */
  hurry(): void;
  /** A connection of its own for SUBSCRIBE, to any server of a cluster, that does not reconnect by itself. */
  openSubscriber(): Redis;
  close(): Promise<void>;
}

/** Largest pause between two attempts to connect, in milliseconds: a Redis that came back is found within about this. */
const MAX_BACKOFF_MS = 2_000;

/** Connects in the background and returns at once. Throws when the url is wrong; the error shows no part of it. */
export function connectRedis(options: ConnectRedisOptions): RedisConnection {
  return new Connection(options);
}

interface Pending {
  readonly sentAt: number;
  readonly binary: boolean;
  done: CommandDone | undefined;
}

/**
 * On a single server or behind Sentinel ioredis finds the server, connects, authenticates and connects again; once it says ready, the bytes of the connection
 * are written and read here. On a cluster ioredis also sends the commands, because it knows where each slot is.
 */
class Connection implements RedisConnection {
  readonly topology: RedisTarget['topology'];
  readonly #target: RedisTarget;
  readonly #client: Redis | Cluster;
  readonly #options: ConnectRedisOptions;
  readonly #timeoutMs: number;
  readonly #ready = new Set<() => void>();
  #state: RedisState = 'away';
  #reported: RedisState | undefined;
  #lastError = 'connection closed';
  #closed = false;
  /** How often ioredis gave up since it was last connected. */
  #ends = 0;
  /** In the order sent, from #head on. On a cluster answers come in any order, and settled ones leave when the watch passes. */
  #pending: (Pending | undefined)[] = [];
  #head = 0;
  #watching = false;
  /** What this turn sends; lost with the connection it was meant for. */
  readonly #out = new OutgoingBytes();
  #stream: Duplex | undefined;
  #turnEnd: (() => void)[] = [];
  #turnScheduled = false;
  /** Commands that were written and are not answered yet. */
  #inFlight = 0;
  /** Something waits for those answers. */
  #holds = false;
  #hurries = false;

  constructor(options: ConnectRedisOptions) {
    this.#options = options;
    this.#timeoutMs = options.commandTimeoutMs ?? 250;
    this.#target = parseRedisUrl(options.url);
    this.topology = this.#target.topology;
    this.#client = this.#open();
    this.#client.on('error', (error: Error) => {
      this.#lastError = error.message;
      if (this.#client.status !== 'ready') this.#becomeAway();
    });
    this.#client.on('ready', () => {
      if (this.topology !== 'cluster') this.#takeOver();
      this.#lastError = 'connection closed';
      this.#ends = 0;
      this.#become('ready', 'connected');
      for (const resolve of this.#ready) resolve();
      this.#ready.clear();
    });
    for (const event of ['close', 'reconnecting', 'end']) {
      this.#client.on(event, () => {
        this.#becomeAway();
        if (this.topology !== 'cluster') this.#refusePending(this.#lastError);
      });
    }
    this.#client.on('end', () => this.#startAnew());
  }

  /**
   * ioredis 6 gives up for good when it hears of a failover (`+switch-master`) while it asks a sentinel for the master: the news sets its connector to
   * "not connecting", which the answer takes for a disconnect that was asked for. Nothing but `close` may end this connection.
   */
  #startAnew(): void {
    if (this.#closed) return;
    this.#ends += 1;
    setTimeout(() => {
      if (!this.#closed && this.#client.status === 'end') this.#client.connect().catch(() => undefined);
    }, this.#retryDelayMs(this.#ends)).unref();
  }

  get state(): RedisState {
    return this.#state;
  }

  async whenReady(signal?: AbortSignal): Promise<void> {
    if (this.#state === 'ready') return;
    await new Promise<void>((resolve, reject) => {
      const refuse = (): void => {
        this.#ready.delete(accept);
        reject(new RedisUnavailableError(this.#closed ? 'the connection was closed here' : this.#lastError));
      };
      const accept = (): void => {
        signal?.removeEventListener('abort', refuse);
        resolve();
      };
      if (this.#closed || signal?.aborted === true) return refuse();
      this.#ready.add(accept);
      signal?.addEventListener('abort', refuse, { once: true });
    });
  }

  call(name: string, ...args: readonly CommandArgument[]): Promise<unknown> {
    return new Promise((resolve, reject) => {
      this.send(name, args, { binary: false }, (error, reply) => {
        if (error === null) resolve(reply);
        else reject(error);
      });
    });
  }

  send(name: string, args: readonly CommandArgument[], { binary }: { readonly binary: boolean }, done: CommandDone): void {
    if (this.#state !== 'ready') return done(new RedisUnavailableError(this.#lastError), undefined);
    const pending: Pending = { sentAt: performance.now(), binary, done };
    this.#pending.push(pending);
    if (!this.#watching) this.#watch(this.#timeoutMs);
    const stream = this.#stream;
    if (stream === undefined) return this.#sendToCluster(name, args, pending);
    this.#scheduleTurnEnd();
    encodeCommand(this.#out, name, args);
  }

  #sendToCluster(name: string, args: readonly CommandArgument[], pending: Pending): void {
    const command = new Command(name, args as CommandArgument[], pending.binary ? {} : UTF8, (error, reply) => {
      const { done } = pending;
      if (done === undefined) return; // given up before
      pending.done = undefined;
      if (error === null || error === undefined) done(null, reply);
      else done(asKnown(error), undefined);
    });
    void this.#client.sendCommand(command);
  }

  /** The handshake is over and ioredis sends nothing more: what comes from now on answers what was sent here. */
  #takeOver(): void {
    const stream: unknown = Reflect.get(this.#client, 'stream');
    if (!(stream instanceof Duplex)) throw new Error('ioredis keeps its stream elsewhere in this version.');
    stream.removeAllListeners('data');
    this.#out.take();
    this.#inFlight = 0;
    const parser = new ReplyParser({ nextIsBinary: () => this.#pending[this.#head]?.binary ?? false, onReply: (reply) => this.#settleOldest(reply) });
    stream.on('data', (chunk: Buffer) => {
      try {
        parser.push(chunk);
      } catch (error) {
        this.#lastError = error instanceof Error ? error.message : 'the answer could not be read';
        stream.destroy();
      }
    });
    this.#stream = stream;
  }

  #settleOldest(reply: Reply): void {
    const pending = this.#pending[this.#head];
    if (pending === undefined) throw new Error('Redis sent what nobody asked for.');
    this.#pending[this.#head] = undefined;
    this.#head += 1;
    if (this.#head === this.#pending.length) this.#forgetSettled();
    this.#inFlight -= 1;
    if (this.#inFlight === 0 && this.#holds) this.#scheduleTurnEnd();
    const { done } = pending;
    pending.done = undefined;
    if (!(reply instanceof ReplyError)) return done?.(null, reply);
    // A master that became a replica refuses writes: connect anew, which finds the new one.
    if (reply.message.startsWith('READONLY') && this.#stream !== undefined) {
      this.#lastError = reply.message;
      this.#becomeAway();
      this.#client.disconnect(true);
    }
    done?.(asKnown(reply), undefined);
  }

  #forgetSettled(): void {
    this.#pending.splice(0, this.#head);
    this.#head = 0;
  }

  #refusePending(reason: string): void {
    this.#inFlight = 0;
    // What gathered hears now that nobody is there.
    if (this.#holds) this.#scheduleTurnEnd();
    const pending = this.#pending;
    this.#pending = [];
    this.#head = 0;
    for (const item of pending) {
      const done = item?.done;
      if (item === undefined || done === undefined) continue;
      item.done = undefined;
      done(new RedisUnavailableError(reason), undefined);
    }
  }

  hurry(): void {
    this.#hurries = true;
  }

  atTurnEnd(flush: () => void): void {
    this.#turnEnd.push(flush);
    this.#scheduleTurnEnd();
  }

  openSubscriber(): Redis {
    const once: RedisOptions = { retryStrategy: null, enableOfflineQueue: true, autoResubscribe: false, enableReadyCheck: false };
    if (this.#client instanceof Redis) return this.#client.duplicate(once);
    const known = this.#client.nodes('master').map(({ options: { host, port } }) => ({ host: host ?? '', port: port ?? 0 }));
    const hosts = known.length > 0 ? known : this.#target.hosts;
    const host = hosts[Math.floor(this.#random() * hosts.length)];
    return new Redis({ ...this.#common(), ...host, ...once });
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#lastError = 'the connection was closed here';
    // What waits for the end of this turn (a correction of a limit) is still sent: closing ends the stream after its writes.
    this.#endTurn();
    this.#state = 'away';
    // Between two attempts there is nothing to end, and ioredis says nothing; nor may a server that does not answer hold up the end of a process.
    const ended = ['end', 'reconnecting'].includes(this.#client.status) ? undefined : once(this.#client, 'end', { signal: AbortSignal.timeout(1_000) }).catch(() => undefined);
    this.#client.disconnect();
    await ended;
    this.#refusePending(this.#lastError);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #random(): number {
    return (this.#options.random ?? Math.random)();
  }

  #retryDelayMs(attempt: number): number {
    return 25 + backoffMs(attempt - 1, { baseMs: 50, maxMs: MAX_BACKOFF_MS }, () => this.#random());
  }

  #open(): Redis | Cluster {
    const { topology, hosts, masterName, sentinelUsername, sentinelPassword } = this.#target;
    const retryDelay = (attempt: number): number => this.#retryDelayMs(attempt);
    if (topology === 'cluster') {
      const options: ClusterOptions = {
        redisOptions: this.#common(),
        // The first commands to a server wait for its connection, which is made on demand; not longer than every command waits.
        enableOfflineQueue: true,
        clusterRetryStrategy: retryDelay,
        // While a slot has no master its commands fail at once; whoever calls has a breaker and a fallback, and no time to wait.
        retryDelayOnFailover: 0,
        retryDelayOnClusterDown: 0,
        retryDelayOnTryAgain: 50,
        maxRedirections: 4,
        slotsRefreshTimeout: 1_000,
        // A failover is seen by this or by the first MOVED.
        slotsRefreshInterval: 2_000,
        // Certificates name hosts: addresses that a lookup put in their place would not match.
        ...(this.#target.tls ? { dnsLookup: (address, callback) => callback(null, address) } : {}),
      };
      return new Cluster([...hosts], options);
    }
    if (topology === 'sentinel') {
      return new Redis({
        ...this.#common(),
        ...retrying(retryDelay),
        sentinels: [...hosts],
        name: masterName ?? '',
        sentinelRetryStrategy: retryDelay,
        // A frozen sentinel accepts connections and never answers.
        sentinelCommandTimeout: 1_000,
        failoverDetector: true,
        sentinelReconnectStrategy: () => 5_000,
        ...(sentinelUsername === undefined ? {} : { sentinelUsername }),
        ...(sentinelPassword === undefined ? {} : { sentinelPassword }),
        ...(this.#target.tls ? { enableTLSForSentinelMode: true, sentinelTLS: this.#options.tls ?? {} } : {}),
      });
    }
    return new Redis({ ...this.#common(), ...retrying(retryDelay), ...hosts[0] });
  }

  #common(): RedisOptions {
    const { username, password, database, tls } = this.#target;
    return {
      ...(username === undefined ? {} : { username }),
      ...(password === undefined ? {} : { password }),
      ...(tls ? { tls: this.#options.tls ?? {} } : {}),
      ...(this.#options.clientName === undefined ? {} : { connectionName: this.#options.clientName }),
      db: database,
      connectTimeout: 2_000,
      disconnectTimeout: 250,
      // Ends a connection whose handshake is never answered, and the connections of a cluster; callers are let go earlier, by the watch below.
      socketTimeout: Math.max(1_000, 2 * this.#timeoutMs),
      enableOfflineQueue: false,
      // Whether a command took effect is not known when its connection breaks: it is given up, never sent twice.
      autoResendUnfulfilledCommands: false,
      maxRetriesPerRequest: 0,
      maxLoadingRetryTime: 500,
      // The parser here reads RESP2, and nothing that is sent needs more.
      protocol: 2,
    };
  }

  #scheduleTurnEnd(): void {
    if (this.#turnScheduled) return;
    this.#turnScheduled = true;
    setImmediate(this.#endTurn);
  }

  /**
   * Nagle's rule (RFC 896): the first write leaves at once, what comes while it is unanswered leaves together when it is answered. A write and a read are
   * the dearest part of a command here, and under load several requests share them; a request alone never waits.
   */
  readonly #endTurn = (): void => {
    this.#turnScheduled = false;
    this.#holds = this.#inFlight > 0 && !this.#hurries && this.#stream !== undefined;
    if (this.#holds) return;
    this.#hurries = false;
    const flushes = this.#turnEnd;
    if (flushes.length > 0) {
      this.#turnEnd = [];
      // A flush sends, which must not ask for another turn's end.
      this.#turnScheduled = true;
      for (const flush of flushes) flush();
      this.#turnScheduled = false;
    }
    const chunks = this.#out.take();
    const stream = this.#stream;
    if (stream === undefined || chunks.length === 0) return;
    this.#inFlight = this.#pending.length - this.#head;
    const [first] = chunks;
    if (chunks.length === 1 && first !== undefined) {
      stream.write(first);
      return;
    }
    stream.cork();
    for (const chunk of chunks) stream.write(chunk);
    stream.uncork();
  };

  /** One timer for all commands: looks at the oldest one that is not answered when its time is up. */
  #watch(inMs: number): void {
    this.#watching = true;
    setTimeout(() => {
      const waitMs = this.#untilOldestIsLate();
      if (waitMs === undefined) this.#watching = false;
      else if (waitMs > 0) this.#watch(waitMs);
      // This process may have been busy itself: replies that wait in the socket are read before anything is given up.
      else setImmediate(() => this.#giveUpLate());
    }, Math.max(1, inMs)).unref();
  }

  #giveUpLate(): void {
    let late = false;
    for (let waitMs = this.#untilOldestIsLate(); waitMs !== undefined && waitMs <= 0; waitMs = this.#untilOldestIsLate()) {
      late = true;
      const reason = `no answer within ${this.#timeoutMs} ms`;
      if (this.#stream !== undefined) {
        this.#lastError = reason;
        const stream = this.#stream;
        this.#becomeAway();
        // Not ended politely: who does not answer does not answer that either, and nothing it still says may be taken for the answer to a later question.
        stream.destroy();
        this.#refusePending(reason);
      } else {
        const pending = this.#pending[this.#head];
        const done = pending?.done;
        if (pending !== undefined) pending.done = undefined;
        done?.(new RedisUnavailableError(reason), undefined);
      }
    }
    const next = this.#untilOldestIsLate();
    if (next === undefined) this.#watching = false;
    else this.#watch(late ? Math.max(1, next) : next);
  }

  /** Milliseconds, 0 or less when it is late; undefined when nothing is pending. */
  #untilOldestIsLate(): number | undefined {
    while (this.#head < this.#pending.length && this.#pending[this.#head]?.done === undefined) this.#head += 1;
    this.#forgetSettled();
    const [oldest] = this.#pending;
    return oldest === undefined ? undefined : oldest.sentAt + this.#timeoutMs - performance.now();
  }

  #becomeAway(): void {
    this.#stream = undefined;
    this.#become('away', this.#lastError);
  }

  #become(state: RedisState, reason: string): void {
    this.#state = this.#closed ? 'away' : state;
    if (this.#closed || this.#reported === state) return;
    this.#reported = state;
    this.#options.onState?.(state, reason);
  }
}

const UTF8 = { replyEncoding: 'utf8' } as const;

function retrying(retryStrategy: (attempt: number) => number): RedisOptions {
  return { retryStrategy };
}

/** Replies that mean "not now", not "you asked wrongly": starting, failing over, out of memory. https://redis.io/docs/latest/develop/reference/protocol-spec/#simple-errors */
const NOT_NOW = /^(LOADING|MASTERDOWN|READONLY|CLUSTERDOWN|TRYAGAIN|MOVED|ASK|OOM|BUSY|MISCONF|NOREPLICAS|NOAUTH|WRONGPASS|UNKILLABLE)\b/;

function asKnown(error: Error): Error {
  if (error.name === 'ReplyError' && !NOT_NOW.test(error.message)) return error;
  return error instanceof RedisUnavailableError ? error : new RedisUnavailableError(error.message.replace(/\.$/, ''), error);
}
