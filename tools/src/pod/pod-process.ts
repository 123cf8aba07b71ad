import { spawn, type ChildProcess } from 'node:child_process';
import { createWriteStream, existsSync, renameSync, statSync } from 'node:fs';
import { constants } from 'node:os';
import { createInterface } from 'node:readline';

export interface PodProcessOptions {
  readonly name: string;
  readonly entry: string;
  readonly nodeFlags?: readonly string[];
  readonly args?: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly logFile: string;
  readonly onLine: (line: string) => void;
}

export interface PodProcess {
  readonly name: string;
  /** Resolves to the exit code; 128 + n when signal n ended it. Never rejects. */
  readonly ended: Promise<number>;
  readonly hasEnded: () => boolean;
  signal(signal: NodeJS.Signals): void;
}

const LOG_KEPT_BYTES = 10 * 1_048_576;

/** One container of the pod as a process: its output goes to a file and, line by line, to whoever listens. */
export function startPodProcess({ name, entry, nodeFlags = [], args = [], env, logFile, onLine }: PodProcessOptions): PodProcess {
  if (existsSync(logFile) && statSync(logFile).size > LOG_KEPT_BYTES) renameSync(logFile, `${logFile}.1`);
  const log = createWriteStream(logFile, { flags: 'a', mode: 0o600 });
  // A process group of its own: Ctrl-C at the terminal reaches the pod only, which then tells each app once. Two signals would mean "now".
  const child: ChildProcess = spawn(process.execPath, [...nodeFlags, entry, ...args], { env, stdio: ['ignore', 'pipe', 'pipe'], detached: true });
  const killIfLeft = (): void => void child.kill('SIGKILL');
  process.once('exit', killIfLeft);
  for (const stream of [child.stdout, child.stderr]) {
    if (stream === null) continue;
    createInterface(stream).on('line', (line) => {
      log.write(`${line}\n`);
      onLine(line);
    });
  }
  let over = false;
  const ended = new Promise<number>((resolve) => {
    const end = (code: number): void => {
      over = true;
      process.off('exit', killIfLeft);
      log.end();
      resolve(code);
    };
    child.once('error', (error) => {
      onLine(`could not be started: ${error.message}`);
      end(127);
    });
    child.once('close', (code, signal) => end(code ?? 128 + (signal === null ? 0 : constants.signals[signal])));
  });
  return { name, ended, hasEnded: () => over, signal: (signal) => void child.kill(signal) };
}
