import { createHash } from 'node:crypto';
import { lstatSync, mkdirSync, realpathSync } from 'node:fs';
import { tmpdir, userInfo } from 'node:os';
import { join, resolve } from 'node:path';

/** sun_path is 108 bytes on Linux and 104 on macOS, with the NUL at its end. */
const LONGEST_SOCKET_PATH = 103;
/** PostgreSQL's clients look for this name in a folder given as host. */
export const POSTGRES_SOCKET = '.s.PGSQL.5432';
export const KEEPER_SOCKET = 'keeper.sock';

/**
 * Where the sockets of a home are: `<home>/run/postgres`, or a folder of the same user below the temporary one when that path is too long for a socket.
 * The same for every process, and open to its user only: who can connect needs no password.
 */
export function socketFolder(home: string): string {
  mkdirSync(home, { recursive: true });
  const near = join(realpathSync(resolve(home)), 'run', 'postgres');
  if (Buffer.byteLength(join(near, POSTGRES_SOCKET)) <= LONGEST_SOCKET_PATH) {
    mkdirSync(near, { recursive: true, mode: 0o700 });
    return near;
  }
  const { uid } = userInfo();
  const far = join(tmpdir(), `pointsman-${uid}-${createHash('sha256').update(near).digest('hex').slice(0, 16)}`);
  mkdirSync(far, { recursive: true, mode: 0o700 });
  // The temporary folder is everybody's: somebody else may have been first with this name.
  const found = lstatSync(far);
  if (!found.isDirectory() || (uid >= 0 && found.uid !== uid) || (found.mode & 0o077) !== 0) throw new Error(`${far} belongs to somebody else or is open to others: it cannot hold the socket of the embedded database.`);
  return far;
}
