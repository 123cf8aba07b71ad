import { execFile } from 'node:child_process';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** Where peers are installed on demand, outside the repository: together they are larger than everything else here. */
export function peerDirectory(name: string): string {
  return join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'pointsman', name);
}

/** Runs an installer. Throws `Error` with the end of its output when it fails or takes longer than `timeoutMs`. */
export async function install(command: string, parameters: readonly string[], { directory, timeoutMs }: { readonly directory: string; readonly timeoutMs: number }): Promise<void> {
  try {
    await run(command, [...parameters], { cwd: directory, timeout: timeoutMs, maxBuffer: 64 * 1024 * 1024 });
  } catch (error) {
    const output = error instanceof Error && 'stderr' in error ? String(error.stderr).trim().slice(-400) : String(error);
    throw new Error(`${command} ${parameters.join(' ')} failed: ${output}`, { cause: error });
  }
}
