import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { expect, test } from 'vitest';
import { eventually } from './eventually.ts';
import { readProcessTree } from './process-tree.ts';

test('a process tree counts the time and memory of grandchildren too', async () => {
  // A shell that starts a Node that burns some processor time and then waits to be told to end.
  const burn = 'const used = () => { const { user, system } = process.cpuUsage(); return user + system; }; const end = used() + 300_000; while (used() < end); console.log("burnt"); process.stdin.resume()';
  const shell = spawn('sh', ['-c', `"$1" -e '${burn}'; :`, 'sh', process.execPath], { stdio: ['pipe', 'pipe', 'inherit'] });
  try {
    await once(shell.stdout, 'data');
    const use = readProcessTree(shell.pid ?? 0);
    expect(use.pids.length).toBeGreaterThanOrEqual(2);
    expect(use.cpuSeconds).toBeGreaterThanOrEqual(0.28);
    expect(use.rssBytes).toBeGreaterThan(20 * 1_048_576);
  } finally {
    shell.stdin.end();
    await once(shell, 'exit');
  }
  await eventually(() => expect(readProcessTree(shell.pid ?? 0)).toEqual({ pids: [], cpuSeconds: 0, rssBytes: 0 }));
});
