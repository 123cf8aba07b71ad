import type { Socket } from 'node:net';
import { buildConnector, Client, Pool, type Dispatcher } from 'undici';
import { SlabPool } from './slab-pool.ts';

export interface UpstreamTls {
  /** False accepts any certificate: for a self-signed server in a private network. */
  readonly rejectUnauthorized?: boolean;
  /** PEM of the authorities to trust instead of the built-in ones. */
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
  readonly servername?: string;
}

export interface UpstreamPoolOptions {
  readonly tls?: UpstreamTls;
  /** Most connections to the origin; further calls wait for one. Unlimited by default: a stream holds its connection for minutes. */
  readonly connections?: number;
  /** Longest wait for TCP and TLS, in milliseconds. 10,000 by default. */
  readonly connectTimeoutMs?: number;
}

/** The connection that a call was given to. `answered` counts the replies that came over the socket it has now. */
export interface UpstreamConnection {
  answered: number;
  /** Whether every byte given to the socket is with the kernel, so that nobody reads our memory any more. */
  hasWrittenAll(): boolean;
}

/** What a call needs of a pool. A handler may have `onConnectionChosen` to learn which connection it got. */
export interface UpstreamDispatcher extends Pick<Dispatcher, 'dispatch'> {
  /** Sends the request over a connection of its own, which closes afterwards. */
  dispatchFresh?(options: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): void;
}

export interface UpstreamLease {
  readonly dispatcher: UpstreamDispatcher;
  /** Gives the pool back. May be called more than once; calls under way finish. */
  release(): void;
}

export interface UpstreamPoolCounts {
  readonly origin: string;
  readonly holders: number;
  readonly connections: number;
  readonly idle: number;
  readonly running: number;
  readonly queued: number;
}

/**
 * uvicorn (vLLM, SGLang, LiteLLM) and Node close an idle connection after 5 s: leaving first means no request meets a closing socket.
 * A server that announces a longer time (`keep-alive: timeout=60`) is kept for that long, at most half a minute.
 */
const KEEP_ALIVE_MS = 4_000;
const LONGEST_KEEP_ALIVE_MS = 30_000;

interface Entry {
  readonly origin: string;
  readonly pool: UpstreamPool;
  holders: number;
}

/**
 * Connections to providers, one pool per origin and TLS settings, counted by holder. They live outside the configuration snapshots:
 * a reload whose deployments name the same origins keeps every warm connection. The last holder that lets go closes the pool,
 * and closing waits for the calls under way.
 */
export class UpstreamPools {
  /** Memory for the bodies that go over these connections. */
  readonly slabs = new SlabPool();
  readonly #entries = new Map<string, Entry>();
  readonly #closing = new Set<Promise<void>>();

  /** `origin` is scheme, host and port, without a path. Throws TypeError when it is not a URL. */
  acquire(origin: string, options: UpstreamPoolOptions = {}): UpstreamLease {
    const key = `${origin} ${JSON.stringify([options.tls, options.connections, options.connectTimeoutMs])}`;
    let entry = this.#entries.get(key);
    if (entry === undefined) {
      entry = { origin, pool: new UpstreamPool(new URL(origin).origin, options), holders: 0 };
      this.#entries.set(key, entry);
    }
    const held = entry;
    held.holders += 1;
    let released = false;
    return {
      dispatcher: held.pool,
      release: () => {
        if (released) return;
        released = true;
        held.holders -= 1;
        if (held.holders > 0) return;
        this.#entries.delete(key);
        this.#close(held.pool);
      },
    };
  }

  /** For a gauge: one row per pool that somebody holds. */
  counts(): UpstreamPoolCounts[] {
    return [...this.#entries.values()].map(({ origin, holders, pool }) => {
      const { connected, free, running, queued } = pool.stats;
      return { origin, holders, connections: connected, idle: free, running, queued };
    });
  }

  /** Closes every pool, held or not, and resolves when the last call under way has ended. */
  async close(): Promise<void> {
    for (const { pool } of this.#entries.values()) this.#close(pool);
    this.#entries.clear();
    await Promise.all(this.#closing);
  }

  #close(pool: UpstreamPool): void {
    const closed = pool.close().catch(() => undefined).finally(() => this.#closing.delete(closed));
    this.#closing.add(closed);
  }
}

/** A handler that wants to know on which connection it runs: undici tells a handler nothing about that. */
export interface ConnectionAware {
  onConnectionChosen(connection: UpstreamConnection): void;
}

class UpstreamClient extends Client implements UpstreamConnection {
  answered = 0;
  #socket: Socket | undefined;

  constructor(origin: string | URL, { connect, connectTimeout, ...options }: Client.Options) {
    const connector = buildConnector({ ...(typeof connect === 'object' ? connect : {}), ...(connectTimeout === undefined ? {} : { timeout: connectTimeout }) });
    const connected: { socket: (socket: Socket) => void } = { socket: () => undefined };
    super(origin, {
      ...options,
      connect: (target, done) => connector(target, (error, socket) => {
        if (error !== null) {
          done(error, null);
          return;
        }
        connected.socket(socket);
        done(null, socket);
      }),
    });
    connected.socket = (socket) => {
      this.#socket = socket;
    };
    this.on('connect', () => {
      this.answered = 0;
    });
  }

  hasWrittenAll(): boolean {
    return this.#socket?.writableLength === 0;
  }

  override dispatch(options: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): boolean {
    (handler as Partial<ConnectionAware>).onConnectionChosen?.(this);
    return super.dispatch(options, handler);
  }
}

class UpstreamPool extends Pool implements UpstreamDispatcher {
  readonly #origin: string;
  readonly #clientOptions: Client.Options;

  constructor(origin: string, options: UpstreamPoolOptions) {
    const clientOptions: Client.Options = {
      pipelining: 1,
      // A stream per HTTP/2 connection shares its flow control and its fate with the others; a socket per call has neither problem.
      allowH2: false,
      keepAliveTimeout: KEEP_ALIVE_MS,
      keepAliveMaxTimeout: LONGEST_KEEP_ALIVE_MS,
      connectTimeout: options.connectTimeoutMs ?? 10_000,
      ...(options.tls === undefined ? {} : { connect: { ...options.tls } }),
    };
    super(origin, {
      ...clientOptions,
      connections: options.connections ?? null,
      factory: (url: URL, poolOptions: object) => new UpstreamClient(url, poolOptions),
    });
    this.#origin = origin;
    this.#clientOptions = clientOptions;
  }

  dispatchFresh(options: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): void {
    const client = new UpstreamClient(this.#origin, this.#clientOptions);
    client.dispatch({ ...options, reset: true }, handler);
    // close() waits for the request that was just given to it.
    client.close().catch(() => undefined);
  }
}
