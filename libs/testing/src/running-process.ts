import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';

/** Children of this process that were not stopped yet: none may outlive a test run, however it ends. */
const running = new Set<ChildProcess>();
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

export function rememberProcess(child: ChildProcess): void {
  running.add(child);
  child.once('exit', () => running.delete(child));
}

/** The exit code of a process that ended or will; 128 + the signal's number where a signal ended it, as a shell says it. */
export async function exitCodeOf(child: ChildProcess): Promise<number> {
  if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
  if (child.exitCode !== null) return child.exitCode;
  const { constants } = await import('node:os');
  return 128 + (child.signalCode === null ? 0 : constants.signals[child.signalCode]);
}

/** Sends a signal and waits for the end; a process that has not ended by the deadline is killed and reported as an error. */
export async function stopProcess(child: ChildProcess, { signal, deadlineMs, name }: { readonly signal: NodeJS.Signals; readonly deadlineMs: number; readonly name: string }): Promise<number> {
  if (child.exitCode !== null || child.signalCode !== null) return exitCodeOf(child);
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    child.kill('SIGKILL');
  }, deadlineMs);
  child.kill(signal);
  const code = await exitCodeOf(child);
  clearTimeout(timer);
  if (late) throw new Error(`${name} did not end within ${deadlineMs} ms of ${signal}; it was killed.`);
  return code;
}
