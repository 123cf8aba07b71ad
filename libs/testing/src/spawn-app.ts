import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { exitCodeOf, rememberProcess, stopProcess } from './running-process.ts';

/** The checkout, seen from this file. */
const root = join(import.meta.dirname, '..', '..', '..');

export interface SpawnAppOptions {
  /** All of the app's environment besides PATH, HOME, TMPDIR and `NODE_*`: what a developer has exported must not decide a test. */
  readonly env?: Readonly<Record<string, string>>;
  readonly args?: readonly string[];
  /** How long the app may take to say that it listens, in milliseconds. */
  readonly deadlineMs?: number;
  /** Another file to run than `apps/<name>/src/main.ts`. */
  readonly entry?: string;
}

/** One line of the app's structured log. */
export type LogLine = Readonly<Record<string, unknown>>;

export interface RunningApp extends AsyncDisposable {
  /** Where it listens: `url` of the log line `"msg":"listening"`. */
  readonly url: string;
  readonly pid: number;
  /** The JSON lines of stdout so far, oldest first. */
  logs(): readonly LogLine[];
  /** Everything written to stdout and stderr so far, at most the last megabyte. */
  output(): string;
  signal(signal: NodeJS.Signals): void;
  /** Resolves to the exit code once it ended by itself or by a signal; 128 + n for signal n. */
  readonly ended: Promise<number>;
  /** Signals (SIGTERM by default) and waits for the end, at most 60 s, after which it is killed and this rejects. */
  stop(signal?: NodeJS.Signals, deadlineMs?: number): Promise<number>;
}

const MOST_OUTPUT = 1_048_576;

/**
 * Starts one app as its own process, on Node 24 from source, and waits until it listens. Rejects with what it printed when it ends
 * or stays silent instead. `await using` kills it at the end of the block.
 */
export async function spawnApp(name: string, { env = {}, args = [], deadlineMs = 60_000, entry }: SpawnAppOptions = {}): Promise<RunningApp> {
  const file = entry ?? join(root, 'apps', name, 'src', 'main.ts');
  const child = spawn(join(root, 'node_modules', '.bin', 'node'), [file, ...args], { cwd: root, env: { ...inheritedEnv(), ...env }, stdio: ['ignore', 'pipe', 'pipe'] });
  rememberProcess(child);
  const logs: LogLine[] = [];
  let output = '';
  const keep = (line: string): void => {
    output = `${output}${line}\n`.slice(-MOST_OUTPUT);
  };
  createInterface(child.stderr).on('line', keep);
  const started = Promise.withResolvers<string>();
  createInterface(child.stdout).on('line', (line) => {
    keep(line);
    const entryOfLog = parseLine(line);
    if (entryOfLog === undefined) return;
    logs.push(entryOfLog);
    if (entryOfLog['msg'] === 'listening' && typeof entryOfLog['url'] === 'string') started.resolve(entryOfLog['url']);
  });
  child.once('error', (error) => started.reject(error));
  // `close`, not `exit`: by then the last words have been read.
  child.once('close', (code, signal) => started.reject(new Error(`${name} ended (${code ?? signal ?? 'unknown'}) before it listened. It printed:\n${output}`)));
  const timer = setTimeout(() => started.reject(new Error(`${name} did not listen within ${deadlineMs} ms. It printed:\n${output}`)), deadlineMs);
  let url: string;
  try {
    url = await started.promise;
  } catch (error) {
    child.kill('SIGKILL');
    throw error;
  } finally {
    clearTimeout(timer);
  }
  return {
    url,
    pid: child.pid ?? 0,
    logs: () => logs,
    output: () => output,
    signal: (signal) => void child.kill(signal),
    ended: exitCodeOf(child),
    stop: (signal = 'SIGTERM', stopDeadlineMs = 60_000) => stopProcess(child, { signal, deadlineMs: stopDeadlineMs, name }),
    [Symbol.asyncDispose]: async () => {
      await stopProcess(child, { signal: 'SIGKILL', deadlineMs: 10_000, name });
    },
  };
}

function inheritedEnv(): Record<string, string> {
  const kept = Object.entries(process.env).filter(([key]) => ['PATH', 'HOME', 'TMPDIR', 'NODE_V8_COVERAGE', 'NODE_EXTRA_CA_CERTS'].includes(key));
  return Object.fromEntries(kept.map(([key, value]) => [key, value ?? '']));
}

function parseLine(line: string): LogLine | undefined {
  if (!line.startsWith('{')) return undefined;
  try {
    return JSON.parse(line) as LogLine;
  } catch {
    return undefined;
  }
}
