import { PGlite } from '@electric-sql/pglite';
import { fsyncSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { lockFolder } from './data-lock.ts';
import { serveProtocol, Turns } from './serve-protocol.ts';
import { KEEPER_SOCKET, POSTGRES_SOCKET } from './socket-folder.ts';

/** Time for whoever started this to become its first keeper. */
const FIRST_KEEPER_MS = 15_000;
const TIDY_EVERY_MS = 30 * 60_000;
/** The defaults are for a database server; this one has a few tables and shares the machine with its only clients. Halves the resident memory. */
const CONFIG = ['shared_buffers=16MB', 'max_wal_size=64MB', 'wal_buffers=1MB', 'autovacuum=off'];

/**
 * The process of the embedded database: PGlite on unix sockets, so that its WASM never holds up a gateway's event loop. It belongs to the processes that keep a
 * connection to its second socket, and ends when the last of them goes, however that ends.
 *
 * Arguments: the data folder, the folder of sockets. Writes one line: `pointsman:ready` or `pointsman:taken`.
 */
async function main(data: string, sockets: string): Promise<void> {
  for (const signal of ['SIGINT', 'SIGHUP'] as const) process.on(signal, () => undefined); // Ctrl-C is for the keepers.
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => undefined); // Whoever read it may be gone.
  if (!await lockFolder(join(data, 'lock'))) {
    process.stdout.write('pointsman:taken\n');
    return;
  }
  const database = await PGlite.create({ dataDir: join(data, 'data'), startParams: durableStart(), postgresqlconf: CONFIG });
  makeDurable(database);

  const turns = new Turns();
  const clients = new Set<Socket>();
  const keepers = new Set<Socket>();
  const stopped = Promise.withResolvers<void>();
  const postgres = createServer((socket) => {
    clients.add(socket);
    socket.on('close', () => clients.delete(socket));
    serveProtocol(socket, database, turns);
  });
  const control = createServer({ allowHalfOpen: true }, (socket) => {
    clearTimeout(lonely);
    keepers.add(socket);
    socket.on('error', () => socket.destroy());
    const leave = (): void => {
      // The last one is let go when everything is written and closed.
      if (keepers.size === 1 && keepers.has(socket)) return stopped.resolve();
      keepers.delete(socket);
      socket.end();
    };
    socket.on('end', leave);
    socket.on('close', leave);
    socket.resume();
    socket.write('ready\n');
  });
  const lonely = setTimeout(() => stopped.resolve(), FIRST_KEEPER_MS);
  process.on('SIGTERM', () => stopped.resolve());
  await listen(postgres, join(sockets, POSTGRES_SOCKET));
  await listen(control, join(sockets, KEEPER_SOCKET));
  process.stdout.write('pointsman:ready\n');
  // There are no background processes here: nobody else takes away what updates and deletions leave.
  const tidying = setInterval(() => void turns.take().then(() => database.exec('VACUUM (ANALYZE)')).finally(() => turns.give()), TIDY_EVERY_MS);

  await stopped.promise;
  clearInterval(tidying);
  const closed = [postgres, control].map((server) => new Promise((resolve) => server.close(resolve)));
  for (const client of clients) client.destroy();
  await turns.take(); // What was being written ends first.
  await database.close();
  for (const keeper of keepers) keeper.end(() => keeper.destroy());
  await Promise.all(closed);
}

async function listen(server: Server, path: string): Promise<void> {
  // Whoever made it is gone: the lock says so.
  await rm(path, { force: true });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(path, resolve);
  });
}

/** PGlite's own parameters without `-F`, which turns fsync off. WebAssembly has fsync for the log, but no fdatasync. */
function durableStart(): string[] {
  return [...PGlite.defaultStartParams.filter((parameter) => parameter !== '-F'), '-c', 'wal_sync_method=fsync'];
}

/** Emscripten's node file system answers fsync with success and does nothing; with this, what was committed is on the disk. */
function makeDurable(database: PGlite): void {
  const { FS } = database.Module as unknown as { FS: { open(path: string, flags: string): { stream_ops: Record<string, unknown> }; close(stream: unknown): void } };
  const stream = FS.open('/pglite/data/PG_VERSION', 'r');
  stream.stream_ops['fsync'] = ({ nfd }: { nfd: number }): number => {
    fsyncSync(nfd);
    return 0;
  };
  FS.close(stream);
}

const [data, sockets] = process.argv.slice(2);
if (data === undefined || sockets === undefined) throw new Error('Usage: serve-pglite DATA_FOLDER SOCKET_FOLDER');
process.title = 'pointsman-postgres';
await main(data, sockets);
