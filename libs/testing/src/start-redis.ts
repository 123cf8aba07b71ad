import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { eventually } from './eventually.ts';
import { freePort } from './free-port.ts';
import { rememberProcess, stopProcess } from './running-process.ts';
import { temporaryDirectory } from './temporary-directory.ts';

const HOST = '127.0.0.1';

export interface StartRedisOptions {
  /** `requirepass`: clients must send it, and it stands in the url. */
  readonly password?: string;
  /** PEM files; the server then listens with TLS only and the url begins with `rediss://`. */
  readonly tls?: { readonly certFile: string; readonly keyFile: string };
  /** More arguments for redis-server, such as `['--maxmemory', '10mb']`. */
  readonly settings?: readonly string[];
}

/** One redis-server: what can happen to it can be made to happen. */
export interface RunningRedis extends AsyncDisposable {
  readonly url: string;
  readonly port: number;
  /** SIGKILL: no goodbye to anybody. Resolves when the process is gone. */
  kill(): Promise<void>;
  /** Starts it again on the same port, empty; ends it first when it runs. */
  restart(): Promise<void>;
  /** SIGSTOP: the kernel still accepts connections, nobody answers. */
  freeze(): void;
  /** SIGCONT: goes on with everything that was sent meanwhile. */
  thaw(): void;
  /** Sends one command over a connection of its own and resolves to the reply: strings, numbers, null, or nested arrays of them. */
  command(...words: readonly string[]): Promise<RedisReply>;
}

export type RedisReply = string | number | null | readonly RedisReply[];

export interface RedisNode extends RunningRedis {
  readonly name: string;
}

export interface RunningSentinel extends AsyncDisposable {
  /** `redis+sentinel://127.0.0.1:p1,127.0.0.1:p2,127.0.0.1:p3/mymaster` */
  readonly url: string;
  readonly servers: readonly RedisNode[];
  readonly sentinels: readonly RedisNode[];
  /** SIGKILL for the server that is the master now; resolves to it. The sentinels elect another one in about 2.5 s. */
  killMaster(): Promise<RedisNode>;
  /** The server that the sentinels call the master. */
  master(): Promise<RedisNode>;
}

export interface RunningCluster extends AsyncDisposable {
  /** `redis://127.0.0.1:p1,redis://127.0.0.1:p2,…` */
  readonly url: string;
  readonly nodes: readonly RedisNode[];
  /** The master that serves the slot of this key (of slot 0 without one). */
  masterOf(slotKey?: string): Promise<RedisNode>;
  /** SIGKILL for the master that serves the slot of this key (of slot 0 without one); resolves to it. Its replica takes over in about 3 s. */
  killMaster(slotKey?: string): Promise<RedisNode>;
}

/** A real redis-server (Debian's package) without persistence, in a directory of its own, on a free port of 127.0.0.1. */
export async function startRedis({ password, tls, settings = [] }: StartRedisOptions = {}): Promise<RunningRedis> {
  await using parts = new AsyncDisposableStack();
  const directory = parts.use(await temporaryDirectory());
  const node = parts.use(await startNode({ name: 'redis', directory: directory.path, ...(password === undefined ? {} : { password }), ...(tls === undefined ? {} : { tls }), settings: () => settings }));
  return withDisposal(node, parts.move());
}

/** One master, two replicas and three sentinels that give the master up after 1000 ms. Ready when every replica is in step and every sentinel knows all the others. */
export async function startRedisSentinel(): Promise<RunningSentinel> {
  await using parts = new AsyncDisposableStack();
  const directory = parts.use(await temporaryDirectory());
  const first = parts.use(await startNode({ name: 'server-1', directory: directory.path, settings: () => DISKLESS }));
  const replicas = await startAll(parts, [2, 3].map((index) => ({ name: `server-${index}`, directory: directory.path, settings: () => [...DISKLESS, '--replicaof', HOST, String(first.port)] })));
  const servers = [first, ...replicas];
  await Promise.all(replicas.map(inStep));
  const sentinels = await startAll(parts, [1, 2, 3].map((index) => ({
    name: `sentinel-${index}`,
    directory: directory.path,
    sentinel: `sentinel monitor mymaster ${HOST} ${first.port} 2
sentinel down-after-milliseconds mymaster 1000
sentinel failover-timeout mymaster 5000
sentinel parallel-syncs mymaster 2
`,
  })));
  // A sentinel that has not met the others cannot agree with them that the master is down.
  await Promise.all(sentinels.map((sentinel) => eventually(async () => {
    const facts = pairs(await sentinel.command('SENTINEL', 'MASTER', 'mymaster'));
    return facts.get('num-other-sentinels') === '2' && facts.get('num-slaves') === '2';
  })));
  const master = async (): Promise<RedisNode> => {
    const address = await sentinels[0]?.command('SENTINEL', 'GET-MASTER-ADDR-BY-NAME', 'mymaster');
    const port = Array.isArray(address) ? Number(address[1]) : Number.NaN;
    return found(servers.find((server) => server.port === port), `no server on port ${port}`);
  };
  return withDisposal({
    url: `redis+sentinel://${sentinels.map(({ port }) => `${HOST}:${port}`).join(',')}/mymaster`,
    servers,
    sentinels,
    master,
    killMaster: async () => {
      const victim = await master();
      await victim.kill();
      return victim;
    },
  }, parts.move());
}

/** Three masters with one replica each. Ready when every slot is served, every node agrees on that and every replica is in step. */
export async function startRedisCluster(): Promise<RunningCluster> {
  await using parts = new AsyncDisposableStack();
  const directory = parts.use(await temporaryDirectory());
  const nodes = await startAll(parts, [1, 2, 3, 4, 5, 6].map((index) => ({
    name: `node-${index}`,
    directory: directory.path,
    settings: (busPort: number) => [...DISKLESS, '--cluster-enabled', 'yes', '--cluster-port', String(busPort), '--cluster-node-timeout', '1500', '--cluster-config-file', 'nodes.conf'],
    bus: true,
  })));
  const slices = [[0, 5_460], [5_461, 10_922], [10_923, 16_383]] as const;
  await Promise.all(slices.map(([from, to], index) => nodes[index]?.command('CLUSTER', 'ADDSLOTSRANGE', String(from), String(to))));
  // Distinct epochs from the start: two masters with one epoch have to settle it first, and an election meanwhile fails.
  await Promise.all(nodes.map((node, index) => node.command('CLUSTER', 'SET-CONFIG-EPOCH', String(index + 1))));
  // Everybody meets everybody: waiting for gossip takes seconds.
  await Promise.all(nodes.flatMap((node) => nodes.filter((other) => other !== node).map((other) => node.command('CLUSTER', 'MEET', HOST, String(other.port), String(other.busPort)))));
  await Promise.all(nodes.map((node) => eventually(async () => String(await node.command('CLUSTER', 'INFO')).includes('cluster_known_nodes:6'))));
  const ids = await Promise.all(nodes.slice(0, 3).map((node) => node.command('CLUSTER', 'MYID')));
  await Promise.all(nodes.slice(3).map((node, index) => eventually(() => node.command('CLUSTER', 'REPLICATE', String(ids[index])))));
  await Promise.all(nodes.slice(3).map(inStep));
  await Promise.all(nodes.map((node) => eventually(async () => {
    const [info, slots] = [String(await node.command('CLUSTER', 'INFO')), await node.command('CLUSTER', 'SLOTS')];
    // Each range: from, to, the master, its replica.
    return info.includes('cluster_state:ok') && Array.isArray(slots) && slots.length === 3 && slots.every((range: RedisReply) => Array.isArray(range) && range.length === 4);
  })));
  const masterOf = async (slotKey?: string): Promise<RedisNode> => {
    const alive = found(nodes.find((node) => node.running()), 'no node is running');
    const slot = slotKey === undefined ? 0 : Number(await alive.command('CLUSTER', 'KEYSLOT', slotKey));
    const ranges = await alive.command('CLUSTER', 'SLOTS');
    const range = (Array.isArray(ranges) ? ranges : []).find((item: RedisReply) => Array.isArray(item) && Number(item[0]) <= slot && slot <= Number(item[1]));
    const port = Array.isArray(range) && Array.isArray(range[2]) ? Number(range[2][1]) : Number.NaN;
    return found(nodes.find((node) => node.port === port), `nobody serves slot ${slot}`);
  };
  return withDisposal({
    url: nodes.map(({ url }) => url).join(','),
    nodes,
    masterOf,
    killMaster: async (slotKey?: string) => {
      const victim = await masterOf(slotKey);
      await victim.kill();
      return victim;
    },
  }, parts.move());
}

/**
 * A replica whose master dies before the first copy can never take over: copies start at once, and without touching the disk. A cluster does not list a replica
 * until its replication offset moved, which without writes takes one ping period.
 */
const DISKLESS = ['--repl-diskless-sync', 'yes', '--repl-diskless-sync-delay', '0', '--repl-diskless-load', 'swapdb', '--repl-ping-replica-period', '1'] as const;

interface NodeOptions {
  readonly name: string;
  readonly directory: string;
  readonly password?: string;
  readonly tls?: { readonly certFile: string; readonly keyFile: string };
  readonly settings?: (busPort: number) => readonly string[];
  /** Whether it needs a second port, for the cluster bus. */
  readonly bus?: boolean;
  /** The configuration of a sentinel; without it this is a server. */
  readonly sentinel?: string;
}

interface Node extends RedisNode {
  readonly busPort: number;
  running(): boolean;
}

/** Starts several at once; when one fails, those that did start are among `parts` all the same. */
async function startAll(parts: AsyncDisposableStack, wanted: readonly NodeOptions[]): Promise<readonly Node[]> {
  const outcomes = await Promise.allSettled(wanted.map(startNode));
  const nodes = outcomes.flatMap((outcome) => (outcome.status === 'fulfilled' ? [parts.use(outcome.value)] : []));
  const failed = outcomes.find((outcome) => outcome.status === 'rejected');
  if (failed !== undefined) throw failed.reason;
  return nodes;
}

async function startNode({ name, directory, password, tls, settings = () => [], bus = false, sentinel }: NodeOptions): Promise<Node> {
  const binary = ['/usr/bin/redis-server', '/usr/local/bin/redis-server', '/opt/homebrew/bin/redis-server'].find((path) => existsSync(path));
  if (binary === undefined) throw new Error('redis-server is not installed: apt-get install redis-server');
  const home = join(directory, name);
  await mkdir(home, { recursive: true });
  let port = 0;
  let busPort = 0;
  let child: ChildProcess | undefined;
  let output = '';
  const running = (): boolean => child !== undefined && child.exitCode === null && child.signalCode === null;
  const command = (...words: readonly string[]): Promise<RedisReply> => ask(port, { words, ...(password === undefined ? {} : { password }) });

  const launch = async (): Promise<void> => {
    const listen = tls === undefined ? ['--port', String(port)] : ['--port', '0', '--tls-port', String(port), '--tls-cert-file', tls.certFile, '--tls-key-file', tls.keyFile, '--tls-auth-clients', 'no', '--tls-ca-cert-file', tls.certFile];
    const common = [...listen, '--bind', HOST, '--dir', home, '--daemonize', 'no', '--loglevel', 'notice'];
    const file = join(home, 'sentinel.conf');
    if (sentinel !== undefined) await writeFile(file, sentinel);
    const words = sentinel === undefined
      ? [...common, '--save', '', '--appendonly', 'no', ...(password === undefined ? [] : ['--requirepass', password]), ...settings(busPort)]
      : [file, '--sentinel', ...common];
    const started = spawn(binary, words, { stdio: ['ignore', 'pipe', 'pipe'] });
    rememberProcess(started);
    child = started;
    output = '';
    for (const stream of [started.stdout, started.stderr]) {
      stream.setEncoding('utf8').on('data', (chunk: string) => {
        output = (output + chunk).slice(-262_144);
      });
    }
    await eventually(async () => {
      if (!running()) return;
      if (tls === undefined) await command('PING');
      else await reachable(port);
    }, { timeoutMs: 30_000 });
    if (!running()) throw new Error(`redis-server ended at its start: ${output}`);
  };
  const kill = async (): Promise<void> => {
    if (child === undefined || !running()) return;
    const gone = once(child, 'exit');
    child.kill('SIGKILL');
    await gone;
  };
  const stop = async (): Promise<void> => {
    if (child === undefined) return;
    // A stopped process sees no SIGTERM.
    child.kill('SIGCONT');
    await stopProcess(child, { signal: 'SIGKILL', deadlineMs: 10_000, name });
  };

  // Between asking for a port and the server taking it, another test may be quicker.
  for (let attempt = 1; ; attempt += 1) {
    [port, busPort] = [await freePort(), bus ? await freePort() : 0];
    try {
      await launch();
      break;
    } catch (error) {
      await stop();
      if (attempt >= 3 || !/Address already in use|bind/.test(String(error))) throw error;
    }
  }
  return {
    name,
    url: `${tls === undefined ? 'redis' : 'rediss'}://${password === undefined ? '' : `:${encodeURIComponent(password)}@`}${HOST}:${port}`,
    get port() {
      return port;
    },
    get busPort() {
      return busPort;
    },
    running,
    kill,
    restart: async () => {
      await kill();
      await launch();
    },
    freeze: () => {
      child?.kill('SIGSTOP');
    },
    thaw: () => {
      child?.kill('SIGCONT');
    },
    command,
    [Symbol.asyncDispose]: stop,
  };
}

async function inStep(node: RunningRedis): Promise<void> {
  await eventually(async () => String(await node.command('INFO', 'replication')).includes('master_link_status:up'));
}

async function reachable(port: number): Promise<void> {
  const socket = connect(port, HOST);
  await once(socket, 'connect').finally(() => socket.destroy());
}

/** One command on a connection of its own; RESP2 (https://redis.io/docs/latest/develop/reference/protocol-spec/) is small enough to need no client here. */
async function ask(port: number, { words, password }: { readonly words: readonly string[]; readonly password?: string }): Promise<RedisReply> {
  const socket = connect(port, HOST);
  // A frozen server never answers; a test that asks it should hear so.
  socket.setTimeout(5_000, () => socket.destroy(new Error(`The server on port ${port} did not answer ${words[0] ?? ''}.`)));
  try {
    const commands = password === undefined ? [words] : [['AUTH', password], words];
    socket.write(commands.map(encode).join(''));
    let text = '';
    for await (const chunk of socket.setEncoding('latin1')) {
      text += chunk;
      const replies = decodeAll(text, commands.length);
      const last = replies?.at(-1);
      if (replies === undefined || last === undefined) continue;
      for (const reply of replies) if (reply instanceof Error) throw reply;
      if (!(last instanceof Error)) return last;
    }
    throw new Error(`The server on port ${port} closed the connection.`);
  } finally {
    socket.destroy();
  }
}

function encode(words: readonly string[]): string {
  return `*${words.length}\r\n${words.map((word) => `$${Buffer.byteLength(word)}\r\n${word}\r\n`).join('')}`;
}

type Decoded = { readonly value: RedisReply | Error; readonly next: number };

function decodeAll(text: string, count: number): (RedisReply | Error)[] | undefined {
  const replies: (RedisReply | Error)[] = [];
  for (let position = 0; replies.length < count; ) {
    const decoded = decode(text, position);
    if (decoded === undefined) return undefined;
    replies.push(decoded.value);
    position = decoded.next;
  }
  return replies;
}

/** The reply at a position, or undefined when it has not arrived whole yet. */
function decode(text: string, position: number): Decoded | undefined {
  const end = text.indexOf('\r\n', position);
  if (end < 0) return undefined;
  const line = text.slice(position + 1, end);
  const next = end + 2;
  switch (text[position]) {
    case '+': return { value: line, next };
    case '-': return { value: new Error(line), next };
    case ':': return { value: Number(line), next };
    case '$': {
      const length = Number(line);
      if (length < 0) return { value: null, next };
      return text.length < next + length + 2 ? undefined : { value: text.slice(next, next + length), next: next + length + 2 };
    }
    case '*': {
      const items: RedisReply[] = [];
      let from = next;
      for (let left = Number(line); left > 0; left -= 1) {
        const item = decode(text, from);
        if (item === undefined) return undefined;
        if (item.value instanceof Error) return item;
        items.push(item.value);
        from = item.next;
      }
      return { value: items, next: from };
    }
    default: throw new Error(`Not a RESP2 reply: ${line.slice(0, 80)}`);
  }
}

function pairs(reply: RedisReply): ReadonlyMap<string, string> {
  const words = Array.isArray(reply) ? reply.map(String) : [];
  return new Map(words.flatMap((word, index) => (index % 2 === 0 ? [[word, words[index + 1] ?? ''] as const] : [])));
}

function found<T>(value: T | undefined, problem: string): T {
  if (value === undefined) throw new Error(`Redis: ${problem}.`);
  return value;
}

/** The same object with a disposal that takes all its parts down. */
function withDisposal<T extends object>(object: T, parts: AsyncDisposableStack): T & AsyncDisposable {
  return Object.defineProperty(object, Symbol.asyncDispose, { value: () => parts.disposeAsync(), configurable: true }) as T & AsyncDisposable;
}
