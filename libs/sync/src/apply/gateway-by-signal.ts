import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gatewayReportSchema, type GatewayReport } from '@pointsman/schemas';
import type { GatewayDoor } from './gateway-door.ts';

export interface GatewayBySignalOptions {
  /** Shared with the gateway, which writes `gateway.pid` and `applied.json` there. */
  readonly runDir: string;
  readonly signal: NodeJS.Signals;
  /** `process.kill`. */
  readonly kill?: (pid: number, signal: NodeJS.Signals | 0) => unknown;
  /** Where processes are looked up; default `/proc`. */
  readonly procDir?: string;
}

/** Linux gives no higher process ids (`PID_MAX_LIMIT`, https://man7.org/linux/man-pages/man5/proc.5.html). */
const MAX_PID = 4_194_304;
const PID_FILE = /^([1-9]\d{0,6})\s*$/;

/**
 * The gateway in another container of this pod (one process namespace): nudged by a signal, asked through the file that it replaces after every reload.
 * What that file says counts only while the process that wrote it is the one in `gateway.pid` and lives.
 */
export function gatewayBySignal({ runDir, signal, kill = (pid, name) => process.kill(pid, name), procDir = '/proc' }: GatewayBySignalOptions): GatewayDoor {
  const pidFile = join(runDir, 'gateway.pid');
  const reportFile = join(runDir, 'applied.json');
  let absence: string | undefined;

  /** The gateway's process, when there is one. Never 1 and below (`kill` takes 0 and less for groups), never this process. */
  async function findGateway(): Promise<number | undefined> {
    const text = await readIfThere(pidFile);
    if (text === undefined) return absent(`${pidFile} does not exist`);
    const [, number] = PID_FILE.exec(text) ?? [];
    if (number === undefined) return absent(`${pidFile} holds no process id`);
    const pid = Number(number);
    if (pid <= 1 || pid > MAX_PID || pid === process.pid) return absent(`${pidFile} names process ${String(pid)}, which cannot be a gateway beside this container (shareProcessNamespace must be true)`);
    if (!isAlive(pid)) return absent(`process ${String(pid)} of ${pidFile} is not there (it ended, or the containers do not share a process namespace)`);
    // A gateway that was killed leaves both files: what it said of itself tells whether its number is somebody else's by now.
    const said = parseReport(await readIfThere(reportFile) ?? '');
    if (said?.pid === pid && await isAnother(pid, said.started)) return absent(`process ${String(pid)} of ${pidFile} is another one by now: the gateway ended without removing the file`);
    return pid;
  }

  function absent(why: string): undefined {
    absence = why;
    return undefined;
  }

  function isAlive(pid: number): boolean {
    try {
      kill(pid, 0);
      return true;
    } catch (error) {
      // There, and of another user.
      return error instanceof Error && 'code' in error && error.code === 'EPERM';
    }
  }

  /** Whether a process id was given to somebody else since: a gateway that was killed leaves its files. Where that cannot be looked up, no. */
  async function isAnother(pid: number, started: string | undefined): Promise<boolean> {
    if (started === undefined) return false;
    const stat = await readFile(join(procDir, String(pid), 'stat'), 'utf8').catch(() => undefined);
    // Field 22, see proc_pid_stat(5). The second one is the program's name, which may hold spaces and parentheses.
    return stat !== undefined && stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] !== started;
  }

  return {
    get absence() {
      return absence;
    },
    async report(): Promise<GatewayReport | undefined> {
      const pid = await findGateway();
      if (pid === undefined) return undefined;
      const text = await readIfThere(reportFile);
      if (text === undefined) return absent(`${reportFile} does not exist: the gateway has not told yet what it serves`);
      const report = parseReport(text);
      if (report === undefined) throw new Error(`${reportFile} is not what a gateway writes.`);
      if (report.pid !== pid) return absent(`${reportFile} is of another process than ${pidFile} names`);
      return report;
    },
    async nudge() {
      const pid = await findGateway();
      if (pid === undefined) return false;
      try {
        kill(pid, signal);
        return true;
      } catch (error) {
        const code = error instanceof Error && 'code' in error ? error.code : undefined;
        if (code === 'ESRCH') return false;
        if (code === 'EPERM') throw new Error(`Process ${String(pid)} of ${pidFile} may not be signalled: run both containers as the same user, or set RELOAD_URL.`, { cause: error });
        throw error;
      }
    },
  };
}

function parseReport(text: string): GatewayReport | undefined {
  try {
    const parsed = gatewayReportSchema.safeParse(JSON.parse(text));
    return parsed.success ? parsed.data : undefined;
  } catch {
    return undefined;
  }
}

async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  }
}
