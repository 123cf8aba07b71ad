import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { extname, join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { AppError } from '@pointsman/errors';
import { KEEPER_SOCKET, socketFolder } from './socket-folder.ts';

export interface EmbeddedDatabaseOptions {
  /** `POINTSMAN_HOME`: data are kept under `<home>/postgres`, sockets under `<home>/run/postgres`. */
  readonly home: string;
  /** Gives up the start. */
  readonly signal: AbortSignal;
  /** The first start makes the data folder, which takes seconds. */
  readonly startTimeoutMs?: number;
  /** The server went away and is being started anew; `undefined` when it is back. */
  readonly onAway?: (reason: unknown) => void;
}

export interface EmbeddedDatabase {
  /** For `connectDatabase`; stays the same when the server is started anew. */
  readonly url: string;
  /** Lets go of the server; resolves when it has closed its data, if this was the last process that kept it. */
  close(): Promise<void>;
}

const START_TIMEOUT_MS = 60_000;
const RETRY_MS = 100;

/**
 * The embedded database of a home: starts its server process, or joins the one that another process of this home has started. The server lives as long as any of
 * them, so the end of the one that started it disturbs nobody. Should the server itself die, whoever is left starts it again; what was committed is there.
 */
export async function openEmbeddedDatabase({ home, signal, startTimeoutMs = START_TIMEOUT_MS, onAway }: EmbeddedDatabaseOptions): Promise<EmbeddedDatabase> {
  const sockets = socketFolder(home);
  const data = join(resolve(home), 'postgres');
  const closing = new AbortController();
  let keeper = await keep(AbortSignal.any([signal, AbortSignal.timeout(startTimeoutMs)]));
  let watching = watch();

  /** Connects to the server, and starts it until that works. Of several processes that start one at once, the lock in the data folder lets one through. */
  async function keep(limit: AbortSignal): Promise<Socket> {
    for (;;) {
      limit.throwIfAborted();
      const socket = await connectKeeper(join(sockets, KEEPER_SOCKET), limit);
      if (socket !== undefined) return socket;
      if (await startServer(data, sockets, limit) === 'taken') await delay(RETRY_MS, undefined, { signal: limit });
    }
  }

  async function watch(): Promise<void> {
    await once(keeper, 'close');
    let reason: unknown = new AppError('unavailable', 'database_unavailable', 'The embedded database ended.');
    while (!closing.signal.aborted) {
      onAway?.(reason);
      try {
        keeper = await keep(AbortSignal.any([closing.signal, AbortSignal.timeout(startTimeoutMs)]));
        onAway?.(undefined);
        watching = watch();
        return;
      } catch (error) {
        reason = error;
        await delay(RETRY_MS * 10, undefined, { signal: closing.signal }).catch(() => undefined);
      }
    }
  }

  return {
    url: `postgres:///postgres?host=${encodeURIComponent(sockets)}&user=postgres`,
    close: async () => {
      closing.abort();
      keeper.end();
      await watching;
    },
  };
}

/** A connection that makes us a keeper; undefined when there is no server. */
async function connectKeeper(path: string, limit: AbortSignal): Promise<Socket | undefined> {
  const socket = connect(path);
  try {
    // A server that is just ending still accepts, and says nothing.
    const silent = once(socket, 'close').then(() => { throw Object.assign(new Error('The server ended.'), { code: 'ECONNRESET' }); });
    await Promise.race([once(socket, 'data', { signal: limit }), silent]);
    silent.catch(() => undefined);
    socket.on('error', () => socket.destroy()).resume();
    return socket;
  } catch (error) {
    socket.destroy();
    if (limit.aborted) throw limit.reason;
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ECONNREFUSED' || code === 'ECONNRESET') return undefined;
    throw error;
  }
}

/** Starts the server in a session of its own, so that it outlives this process where others keep it; resolves when it serves or has found another that does. */
async function startServer(data: string, sockets: string, limit: AbortSignal): Promise<'ready' | 'taken'> {
  const script = fileURLToPath(new URL(`./serve-pglite${extname(import.meta.url)}`, import.meta.url));
  const child = spawn(process.execPath, [script, data, sockets], { detached: true, stdio: ['ignore', 'pipe', 'pipe'], cwd: '/' });
  let problem = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => { problem = `${problem}${text}`.slice(-4_096); });
  let onAbort = (): void => undefined;
  const answer = new Promise<'ready' | 'taken' | 'ended'>((resolve, reject) => {
    createInterface(child.stdout).on('line', (line) => {
      if (line === 'pointsman:ready') resolve('ready');
      if (line === 'pointsman:taken') resolve('taken');
    });
    child.once('error', reject);
    child.once('close', () => resolve('ended'));
    onAbort = () => {
      // It has no keeper yet, and would wait for one.
      child.kill('SIGKILL');
      reject(limit.reason);
    };
    limit.addEventListener('abort', onAbort, { once: true });
  });
  const result = await answer.finally(() => limit.removeEventListener('abort', onAbort));
  if (result === 'ended') throw new AppError('unavailable', 'embedded_database_failed', `The embedded database did not start (exit code ${child.exitCode ?? child.signalCode}).`, { details: { data }, cause: problem });
  child.stdout.destroy();
  child.stderr.destroy();
  child.unref();
  return result;
}
