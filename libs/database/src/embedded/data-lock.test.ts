import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { temporaryDirectory } from '@pointsman/testing';

const script = new URL('./data-lock.ts', import.meta.url).href;

const started = new Set<ChildProcess>();

afterEach(() => {
  // Left alone they would keep the test runner waiting for ever.
  for (const child of started) child.kill('SIGKILL');
  started.clear();
});

/** A process that tries to take the folder, says whether it got it, and stays. */
async function claimant(folder: string): Promise<{ got: boolean; end(): Promise<void> }> {
  const child = spawn(process.execPath, ['--input-type=module', '-e', `import { lockFolder } from ${JSON.stringify(script)}; process.stdout.write(String(await lockFolder(${JSON.stringify(folder)}))); setInterval(() => {}, 1000)`], { stdio: ['ignore', 'pipe', 'pipe'] });
  started.add(child);
  let said = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => { said += text; });
  const [chunk] = await Promise.race([once(child.stdout, 'data') as Promise<[Buffer]>, once(child, 'exit').then(() => Promise.reject(new Error(said)))]);
  return {
    got: chunk.toString().trim() === 'true',
    end: async () => {
      child.kill('SIGKILL');
      await once(child, 'exit');
    },
  };
}

test('of many processes that want a folder at once one gets it, and the next gets it when that one was killed', async () => {
  await using folder = await temporaryDirectory();
  for (let round = 0; round < 2; round += 1) {
    const all = await Promise.all(Array.from({ length: 4 }, () => claimant(folder.path)));
    expect(all.filter(({ got }) => got)).toHaveLength(1);
    expect((await claimant(folder.path).then(async (late) => { await late.end(); return late.got; }))).toBe(false);
    await Promise.all(all.map((process) => process.end()));
  }
  expect((await readdir(folder.path)).filter((name) => name.startsWith('draft'))).toEqual([]);
});

test('a process with the number of one that is gone is not taken for it', async () => {
  await using folder = await temporaryDirectory();
  await writeFile(join(folder.path, 'owner.7'), JSON.stringify({ pid: process.pid, started: 'another boot/1' }));
  const next = await claimant(folder.path);
  await next.end();
  expect(next.got).toBe(true);
  expect(await readdir(folder.path)).toEqual(['owner.8']);
});
