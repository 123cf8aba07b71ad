import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { chmod, chown, mkdir, rename, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { freePort } from './free-port.ts';
import { eventually } from './eventually.ts';
import { readProcessTree } from './process-tree.ts';
import { exitCodeOf, rememberProcess, stopProcess } from './running-process.ts';
import { temporaryDirectory } from './temporary-directory.ts';

export interface StartPostgresOptions {
  /** Further settings of postgresql.conf: `{ max_connections: '300' }`. */
  readonly settings?: Readonly<Record<string, string>>;
}

export interface RunningPostgres extends AsyncDisposable {
  /** Of the database `postgres`, as a superuser without a password. */
  readonly url: string;
  readonly port: number;
  /** A fresh, empty database on this server: quicker than a server per test. Returns its URL. */
  createDatabase(): Promise<string>;
  /** Runs SQL through psql and returns the rows as text, NULL as ''. `url` picks another database of this server. */
  sql(text: string, url?: string): Promise<string[][]>;
  /** SIGKILL to the server and all its processes, as a machine that loses power: what was committed is in the data folder. */
  kill(): Promise<void>;
  /** Starts it again on the same port with the same data; stops it first when it runs. */
  restart(): Promise<void>;
  /** SIGSTOP to every process: connections stay open, new ones are taken by the kernel, nothing answers. */
  freeze(): void;
  thaw(): void;
  /** What the server wrote to stderr. */
  output(): string;
}

/** Processes that were stopped by `freeze`: they do not see their parent die, so nobody else ends them. */
const frozen = new Set<number>();
process.on('exit', () => {
  for (const pid of frozen) signalIfThere(pid, 'SIGKILL');
});

/**
 * A real PostgreSQL (Debian's package) on a free port of 127.0.0.1 with a data folder of its own. fsync is off: data survive the
 * death of the processes, which is what tests play, not that of the machine.
 */
export async function startPostgres({ settings = {} }: StartPostgresOptions = {}): Promise<RunningPostgres> {
  const binaries = findBinaries();
  const owner = unprivilegedUser();
  const template = await dataTemplate(binaries, owner);
  const directory = await temporaryDirectory();
  if (owner !== undefined) await chown(directory.path, owner.uid, owner.gid);
  const data = join(directory.path, 'data');
  await run('cp', ['-a', template, data], owner);

  let port = await freePort();
  let server: ChildProcess | undefined;
  let output = '';

  async function launch(): Promise<void> {
    const all = {
      port: String(port), listen_addresses: '127.0.0.1', unix_socket_directories: directory.path, fsync: 'off', full_page_writes: 'off',
      max_connections: '200', log_min_messages: 'warning', lc_messages: 'C', ...settings,
    };
    const started = spawn(join(binaries, 'postgres'), ['-D', data, ...Object.entries(all).flatMap(([name, value]) => ['-c', `${name}=${value}`])],
      { stdio: ['ignore', 'ignore', 'pipe'], cwd: directory.path, env: { ...process.env, LC_ALL: 'C' }, ...owner });
    rememberProcess(started);
    const ended = once(started, 'exit').then(() => 'ended' as const);
    const before = output.length;
    const ready = new Promise<'ready'>((resolve) => {
      createInterface(started.stderr).on('line', (line) => {
        output = `${output}${line}\n`.slice(-1_048_576);
      });
      void eventually(async () => {
        await run(join(binaries, 'pg_isready'), ['-q', '-h', '127.0.0.1', '-p', String(port)], owner);
      }, { timeoutMs: 60_000 }).then(() => resolve('ready'), () => undefined);
    });
    if ((await Promise.race([ready, ended])) === 'ended') throw new Error(`PostgreSQL ended with ${await exitCodeOf(started)}: ${output.slice(before)}`);
    server = started;
  }

  const tree = (): number[] => (server?.pid === undefined ? [] : [...readProcessTree(server.pid).pids]);
  const thaw = (): void => {
    for (const pid of frozen) if (tree().includes(pid)) { signalIfThere(pid, 'SIGCONT'); frozen.delete(pid); }
  };
  const kill = async (): Promise<void> => {
    if (server === undefined) return;
    // Each backend is the leader of a group of its own, so a signal to one group would miss them. Stopped first, the postmaster starts no more of them.
    if (server.pid !== undefined) signalIfThere(server.pid, 'SIGSTOP');
    const members = tree();
    for (const pid of members) { signalIfThere(pid, 'SIGKILL'); frozen.delete(pid); }
    await exitCodeOf(server);
    server = undefined;
    await eventually(() => members.every((pid) => !existsSync(`/proc/${pid}`) || stateOf(pid) === 'Z'));
    await rm(join(data, 'postmaster.pid'), { force: true });
  };
  const psql = async (text: string, url: string): Promise<string[][]> => {
    const raw = await run(join(binaries, 'psql'), ['-X', '-q', '-A', '-t', '-v', 'ON_ERROR_STOP=1', '-F', '\x1f', '-R', '\x1e', '-d', url, '-c', text], owner);
    const rows = raw.replace(/\n$/, '');
    return rows === '' ? [] : rows.split('\x1e').map((row) => row.split('\x1f'));
  };
  const urlOf = (database: string): string => `postgres://postgres@127.0.0.1:${port}/${database}`;

  try {
    for (let attempt = 1; ; attempt += 1) {
      try {
        await launch();
        break;
      } catch (error) {
        // Between asking for a port and the server taking it, somebody else may be quicker.
        if (attempt >= 3 || !String(error).includes('Address already in use')) throw error;
        port = await freePort();
      }
    }
  } catch (error) {
    await directory[Symbol.asyncDispose]();
    throw error;
  }

  let databases = 0;
  return {
    url: urlOf('postgres'),
    port,
    createDatabase: async () => {
      databases += 1;
      const name = `test_${databases}`;
      await psql(`CREATE DATABASE ${name}`, urlOf('postgres'));
      return urlOf(name);
    },
    sql: (text, url = urlOf('postgres')) => psql(text, url),
    kill,
    restart: async () => {
      if (server !== undefined) {
        thaw();
        await stopProcess(server, { signal: 'SIGINT', deadlineMs: 20_000, name: 'PostgreSQL' });
        server = undefined;
      }
      // While it was away, the kernel may have lent the port to an outgoing connection for a moment.
      await eventually(launch, { timeoutMs: 60_000, intervalMs: 200 });
    },
    freeze: () => {
      // The postmaster first: it must not start another process while the others are being stopped.
      if (server?.pid !== undefined) signalIfThere(server.pid, 'SIGSTOP');
      for (const pid of tree()) { frozen.add(pid); signalIfThere(pid, 'SIGSTOP'); }
    },
    thaw,
    output: () => output,
    [Symbol.asyncDispose]: async () => {
      await kill();
      await directory[Symbol.asyncDispose]();
    },
  };
}

interface Owner {
  readonly uid: number;
  readonly gid: number;
}

/** The newest PostgreSQL that is installed; Debian keeps its binaries out of PATH. */
function findBinaries(): string {
  const debian = '/usr/lib/postgresql';
  const versions = existsSync(debian) ? readdirSync(debian).sort((a, b) => Number(b) - Number(a)).map((version) => join(debian, version, 'bin')) : [];
  const found = [...versions, '/usr/local/bin', '/opt/homebrew/bin'].find((folder) => existsSync(join(folder, 'initdb')) && existsSync(join(folder, 'psql')));
  if (found === undefined) throw new Error('PostgreSQL is not installed: apt-get install postgresql');
  return found;
}

/** PostgreSQL refuses to run as root: then it runs as `postgres`, or `nobody`. */
function unprivilegedUser(): Owner | undefined {
  if (process.getuid?.() !== 0) return undefined;
  const users = new Map(readFileSync('/etc/passwd', 'utf8').split('\n').map((line) => line.split(':')).map(([name, , uid, gid]) => [name, { uid: Number(uid), gid: Number(gid) }]));
  const user = users.get('postgres') ?? users.get('nobody');
  if (user === undefined) throw new Error('PostgreSQL does not run as root, and there is neither a user postgres nor nobody.');
  return user;
}

/** A data folder as initdb leaves it. Made once per machine, since initdb takes seconds and a copy a tenth of one. */
async function dataTemplate(binaries: string, owner: Owner | undefined): Promise<string> {
  const version = (await run(join(binaries, 'postgres'), ['--version'], owner)).replace(/[^\d.]+/g, '-').replace(/^-|-$/g, '');
  const home = join(tmpdir(), `pointsman-postgres-${version}-${owner?.uid ?? process.getuid?.() ?? 0}`);
  await mkdir(home, { recursive: true });
  if (owner !== undefined) await chown(home, owner.uid, owner.gid);
  await chmod(home, 0o700);
  const template = join(home, 'template');
  if (existsSync(join(template, 'PG_VERSION'))) return template;
  const made = join(home, `making-${process.pid}-${Date.now()}`);
  await run(join(binaries, 'initdb'), ['-D', made, '-U', 'postgres', '-A', 'trust', '-E', 'UTF8', '--locale=C', '--wal-segsize=1', '--no-sync', '--no-instructions'], owner);
  // Two test runs may get here at once: the first rename wins, and both templates are the same.
  await rename(made, template).catch(() => rm(made, { recursive: true, force: true }));
  return template;
}

async function run(command: string, args: readonly string[], owner: Owner | undefined): Promise<string> {
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], cwd: '/', timeout: 60_000, env: { ...process.env, LC_ALL: 'C', PGCONNECT_TIMEOUT: '20' }, ...owner });
  let out = '';
  let err = '';
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => { out += chunk; });
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => { err += chunk; });
  await once(child, 'close');
  if (child.exitCode !== 0) throw new Error(`${command} ended with ${child.exitCode ?? child.signalCode}: ${err.trim()}`);
  return out;
}

function signalIfThere(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // It ended meanwhile.
  }
}

function stateOf(pid: number): string | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return text.slice(text.lastIndexOf(')') + 2, text.lastIndexOf(')') + 3);
  } catch {
    return undefined;
  }
}
