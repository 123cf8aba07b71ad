import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { stripVTControlCharacters } from 'node:util';

export interface NxOutcome {
  readonly code: number;
  /** Tasks that failed, as `project:target`. */
  readonly failedTasks: readonly string[];
}

/** Failed tasks that Nx names at the end of `run-many`: a heading, then one `- project:target` a line. */
export function failedTasksIn(output: string): string[] {
  const [, list = ''] = stripVTControlCharacters(output).split(/^\s*Failed tasks:\s*$/m);
  return [...list.matchAll(/^\s*-\s+(\S+:\S+)\s*$/gm)].map(([, task = '']) => task);
}

/** Runs Nx in the checkout, shows its output as it comes, and says now and then that it is still at work. */
export async function runNx(root: string, args: readonly string[]): Promise<NxOutcome> {
  const started = performance.now();
  let lastOutput = started;
  let output = '';
  const child = spawn(join(root, 'node_modules', '.bin', 'nx'), args, {
    cwd: root, stdio: ['ignore', 'pipe', 'pipe'],
    // The daemon would outlive this run. Node 24 first on PATH: scripts run `vitest`, `eslint` and `tsc` with it.
    env: { ...process.env, NX_DAEMON: 'false', NX_TUI: 'false', PATH: `${join(root, 'node_modules', '.bin')}:${process.env['PATH'] ?? ''}` },
  });
  for (const [stream, out] of [[child.stdout, process.stdout], [child.stderr, process.stderr]] as const) {
    stream.setEncoding('utf8').on('data', (chunk: string) => {
      lastOutput = performance.now();
      output = (output + chunk).slice(-65_536);
      out.write(chunk);
    });
  }
  const ticker = setInterval(() => {
    if (performance.now() - lastOutput > 25_000) console.log(`… still running, ${Math.round((performance.now() - started) / 1_000)} s`);
  }, 30_000);
  const forward = (signal: NodeJS.Signals): void => void child.kill(signal);
  process.on('SIGINT', forward).on('SIGTERM', forward);
  const code = await new Promise<number>((resolve, reject) => child.once('close', (exit) => resolve(exit ?? 1)).once('error', reject)).finally(() => {
    clearInterval(ticker);
    process.off('SIGINT', forward).off('SIGTERM', forward);
  });
  return { code, failedTasks: failedTasksIn(output) };
}
