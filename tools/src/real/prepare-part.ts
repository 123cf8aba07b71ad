import { spawn } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';
import type { RealPart } from './real-parts.ts';

export type PreparedPart = { readonly env: Readonly<Record<string, string>> } | { readonly problem: string };

/** Makes a part ready with its script. Why it cannot be had is a value: whether that matters is the caller's to say. */
export async function preparePart(part: RealPart, scripts: string): Promise<PreparedPart> {
  const missing = part.needs.filter((program) => !isOnPath(program));
  if (missing.length > 0) return { problem: `needs ${missing.join(' and ')} on PATH` };
  const child = spawn(join(scripts, part.script), [], { stdio: ['ignore', 'pipe', 'inherit'], detached: true });
  let stdout = '';
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => (stdout += chunk));
  let late = false;
  // The whole group: a compiler's children would go on otherwise.
  const stop = (): void => {
    if (child.pid !== undefined && child.exitCode === null) process.kill(-child.pid, 'SIGTERM');
  };
  const limit = setTimeout(() => {
    late = true;
    stop();
  }, part.limitMin * 60_000);
  const onSignal = (): void => {
    stop();
    process.exitCode = 130;
  };
  process.on('SIGINT', onSignal).on('SIGTERM', onSignal);
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve).once('error', () => resolve(127)));
  clearTimeout(limit);
  process.off('SIGINT', onSignal).off('SIGTERM', onSignal);
  if (late) return { problem: `was not ready within ${part.limitMin} minutes` };
  if (code !== 0) return { problem: `${part.script} ended with ${code ?? 'a signal'}` };
  return { env: Object.fromEntries([...stdout.matchAll(/^([A-Z][A-Z0-9_]*)=(.*)$/gm)].map(([, name = '', value = '']) => [name, value])) };
}

function isOnPath(program: string): boolean {
  return (process.env['PATH'] ?? '').split(delimiter).some((folder) => {
    try {
      accessSync(join(folder, program), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}
