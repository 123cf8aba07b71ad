import { readFileSync } from 'node:fs';
import { mkdir, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describeUnknown } from '@pointsman/errors';
import type { GatewayReport } from '@pointsman/schemas';
import type { Logger } from '@pointsman/telemetry';

export interface AppliedFile {
  readonly path: string;
  /** Never rejects: who cannot write there says so once, and sidecars go on asking. Calls are written in order. */
  write(report: GatewayReport): Promise<void>;
}

/**
 * `RUN_DIR/applied.json`: what this process serves, for the sidecars of its pod, which hold no key to ask with. Replaced by rename: a reader sees a whole report.
 */
export function createAppliedFile({ runDir, process: { pid, started }, logger }: { readonly runDir: string; readonly process: ProcessIdentity; readonly logger: Logger }): AppliedFile {
  const path = join(runDir, 'applied.json');
  const reporter = logger.oncePerState('applied file');
  let last = Promise.resolve();
  return {
    path,
    write({ config_revision, applied_at, models, last_rejected, rejected_models }) {
      const rejected = last_rejected === undefined ? undefined : { at: last_rejected.at, revision: last_rejected.revision, reason: last_rejected.reason };
      const text = JSON.stringify({ pid, started, config_revision, applied_at, models, last_rejected: rejected, rejected_models } satisfies GatewayReport);
      last = last.then(async () => {
        try {
          await mkdir(runDir, { recursive: true });
          await writeFile(`${path}.${String(pid)}`, `${text}\n`);
          await rename(`${path}.${String(pid)}`, path);
          reporter.change('written', 'debug', 'applied file written', { path });
        } catch (error) {
          reporter.change('failed', 'warn', 'applied file not written: sidecars cannot see what this gateway serves', { path, reason: describeUnknown(error) });
        }
      });
      return last;
    },
  };
}

/** Names this process and no later one. */
export interface ProcessIdentity {
  readonly pid: number;
  readonly started: string | undefined;
}

export function thisProcess(): ProcessIdentity {
  return { pid: process.pid, started: ownStartTime() };
}

/**
 * When this process started, in clock ticks since boot (field 22 of /proc/self/stat, see proc_pid_stat(5)): with the process id it names this process and no later one.
 * Undefined where there is no /proc.
 */
function ownStartTime(): string | undefined {
  try {
    const stat = readFileSync('/proc/self/stat', 'utf8');
    // The second field is the program's name, which may hold spaces and parentheses.
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
  } catch {
    return undefined;
  }
}
