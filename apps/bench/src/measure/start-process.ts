import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { basename } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';

export interface ProcessOptions {
  readonly command: string;
  readonly arguments: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  readonly directory?: string;
  /** The core to pin the process and all its threads to; not pinned when undefined. */
  readonly core: number | undefined;
  readonly withChannel?: boolean;
}

export interface StartedProcess extends AsyncDisposable {
  readonly pid: number;
  readonly child: ChildProcess;
  /** Resolves to the `url` of the first `{"msg":"listening"}` line on stdout. Rejects when the process ends or the deadline passes first; then it is stopped. */
  listening(deadlineMs: number): Promise<string>;
  /** Resolves once `url` answers with a status below 500. Rejects likewise. */
  answering(url: string, deadlineMs: number): Promise<void>;
  /** SIGTERM, then SIGKILL after 10 s. */
  stop(): Promise<void>;
}

const tasksetPath = ['/usr/bin/taskset', '/bin/taskset'].find((path) => existsSync(path));
const keptOutput = 3000;

/** Starts a process pinned to a core; throws nothing: what goes wrong shows in `listening` and `answering`. */
export function startProcess(options: ProcessOptions): StartedProcess {
  const pinned = options.core !== undefined && tasksetPath !== undefined;
  // taskset replaces itself with the command: the child's pid is the command's.
  const command = pinned ? tasksetPath : options.command;
  const parameters = pinned ? ['-c', String(options.core), options.command, ...options.arguments] : [...options.arguments];
  const child = spawn(command, parameters, {
    cwd: options.directory,
    env: { ...process.env, ...options.environment },
    stdio: ['ignore', 'pipe', 'pipe', ...(options.withChannel === true ? (['ipc'] as const) : [])],
  });
  let output = '';
  const keep = (text: string): void => {
    output = (output + text).slice(-keptOutput);
  };
  let listeningUrl: string | undefined;
  let failure: Error | undefined;
  child.on('error', (error) => {
    failure = error;
  });
  child.stderr?.setEncoding('utf8').on('data', keep);
  if (child.stdout !== null) {
    const lines = createInterface({ input: child.stdout });
    lines.on('line', (line) => {
      keep(`${line}\n`);
      listeningUrl = urlOfListeningLine(line);
      if (listeningUrl === undefined) return;
      // From here on lines are only thrown away: reading them one by one would cost the bench time under load.
      lines.close();
      child.stdout?.resume();
    });
  }
  const hasEnded = (): boolean => failure !== undefined || child.exitCode !== null || child.signalCode !== null;

  async function until<T>(deadlineMs: number, what: string, poll: () => Promise<T | undefined> | T | undefined): Promise<T> {
    const giveUpAt = performance.now() + deadlineMs;
    for (;;) {
      const value = await poll();
      if (value !== undefined) return value;
      if (hasEnded()) throw new Error(`${basename(options.command)} ended before it was ${what}: ${failure?.message ?? output.trim()}`);
      if (performance.now() > giveUpAt) {
        await stop();
        throw new Error(`${basename(options.command)} was not ${what} after ${deadlineMs} ms: ${output.trim()}`);
      }
      await sleep(25);
    }
  }
  async function stop(): Promise<void> {
    if (hasEnded()) return;
    const ended = once(child, 'exit');
    child.kill('SIGTERM');
    const giveUp = new AbortController();
    await Promise.race([ended, sleep(10_000, undefined, { signal: giveUp.signal }).catch(() => undefined)]);
    giveUp.abort();
    if (!hasEnded()) {
      child.kill('SIGKILL');
      await ended;
    }
  }
  return {
    pid: child.pid ?? 0,
    child,
    listening: (deadlineMs) => until(deadlineMs, 'listening', () => listeningUrl),
    answering: (url, deadlineMs) =>
      until(deadlineMs, 'answering', async () => {
        const response = await fetch(url, { signal: AbortSignal.timeout(2000) }).catch(() => undefined);
        await response?.body?.cancel();
        return response !== undefined && response.status < 500 ? true : undefined;
      }).then(() => undefined),
    stop,
    [Symbol.asyncDispose]: stop,
  };
}

/** The `url` of a `{"msg":"listening","url":…}` log line, undefined for any other line. */
export function urlOfListeningLine(line: string): string | undefined {
  if (!line.includes('"listening"')) return undefined;
  try {
    const entry = JSON.parse(line) as { msg?: unknown; url?: unknown };
    return entry.msg === 'listening' && typeof entry.url === 'string' ? entry.url : undefined;
  } catch {
    return undefined;
  }
}
