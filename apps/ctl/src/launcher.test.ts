import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, mkdir, copyFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, test } from 'vitest';

const LAUNCHER = fileURLToPath(new URL('../bin/pointsman.mjs', import.meta.url));
let root = '';

/** A checkout with nothing but the launcher, a pinned Node and a main of the test's own. */
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'launcher-'));
  for (const folder of ['apps/ctl/bin', 'apps/ctl/src', 'node_modules/node/bin', 'node_modules/.bin']) await mkdir(join(root, folder), { recursive: true });
  await copyFile(LAUNCHER, join(root, 'apps/ctl/bin/pointsman.mjs'));
  await symlink(process.execPath, join(root, 'node_modules/node/bin/node'));
  await symlink('../../apps/ctl/bin/pointsman.mjs', join(root, 'node_modules/.bin/pointsman'));
});
afterEach(async () => { await rm(root, { recursive: true, force: true }); });

async function start(main: string, argv: readonly string[] = []) {
  await writeFile(join(root, 'apps/ctl/src/main.ts'), main);
  const child = spawn(process.execPath, [join(root, 'node_modules/.bin/pointsman'), ...argv], { stdio: ['ignore', 'pipe', 'inherit'], cwd: dirname(root) });
  let out = '';
  child.stdout.on('data', (chunk: Buffer) => { out += chunk.toString(); });
  return { child, out: () => out };
}

test('arguments go in and the exit code comes out, also through the link that npx follows', async () => {
  const { child, out } = await start('console.log(JSON.stringify(process.argv.slice(2))); process.exitCode = 7;', ['a b', '--c']);
  expect(await once(child, 'close')).toEqual([7, null]);
  expect(JSON.parse(out())).toEqual(['a b', '--c']);
});

test('a signal reaches the command, which decides how it ends', async () => {
  const { child, out } = await start('process.on("SIGTERM", () => { console.log("bye"); process.exit(3); }); setInterval(() => {}, 1000); console.log("up");');
  await once(child.stdout, 'data');
  child.kill('SIGTERM');
  expect(await once(child, 'close')).toEqual([3, null]);
  expect(out()).toBe('up\nbye\n');
});

test('a command that dies of a signal gives the exit code that a shell would', async () => {
  const { child } = await start('process.kill(process.pid, "SIGKILL");');
  expect(await once(child, 'close')).toEqual([137, null]);
});
