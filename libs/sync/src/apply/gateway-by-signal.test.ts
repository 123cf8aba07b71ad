import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { temporaryDirectory } from '@pointsman/testing';
import { expect, test } from 'vitest';
import { gatewayBySignal } from './gateway-by-signal.ts';

const never = new AbortController().signal;
const REPORT = { config_revision: 'r1', applied_at: '2026-01-01T00:00:00.000Z', models: [] };

/** A process that says a line for each SIGHUP and goes on. */
async function startListener(): Promise<ChildProcess & { readonly pid: number }> {
  const child = spawn(process.execPath, ['-e', "process.on('SIGHUP', () => process.stdout.write('nudged\\n')); process.stdout.write('ready\\n'); setInterval(() => undefined, 1000)"], { stdio: ['ignore', 'pipe', 'inherit'] });
  await once(child.stdout, 'data');
  if (child.pid === undefined) throw new Error('not started');
  return child as ChildProcess & { readonly pid: number };
}

test('the report counts while the process that wrote it is the one in gateway.pid and lives, and a nudge reaches it', async () => {
  await using directory = await temporaryDirectory();
  const runDir = directory.path;
  const door = gatewayBySignal({ runDir, signal: 'SIGHUP' });
  expect(await door.report(never)).toBeUndefined();
  expect(door.absence).toBe(`${runDir}/gateway.pid does not exist`);
  const child = await startListener();
  try {
    await writeFile(join(runDir, 'gateway.pid'), `${String(child.pid)}\n`);
    expect(await door.report(never)).toBeUndefined();
    expect(door.absence).toContain('applied.json does not exist');
    await writeFile(join(runDir, 'applied.json'), JSON.stringify({ ...REPORT, pid: child.pid + 1 }));
    expect(await door.report(never)).toBeUndefined();
    expect(door.absence).toContain('of another process');
    await writeFile(join(runDir, 'applied.json'), JSON.stringify({ ...REPORT, pid: child.pid, newer_field: true }));
    expect(await door.report(never)).toMatchObject({ config_revision: 'r1' });
    const said = once(child.stdout ?? child, 'data');
    expect(await door.nudge(never)).toBe(true);
    expect(String(await said)).toBe('nudged\n');
    await writeFile(join(runDir, 'applied.json'), 'half a');
    await expect(door.report(never)).rejects.toThrow('not what a gateway writes');
  } finally {
    child.kill('SIGKILL');
    await once(child, 'exit');
  }
  await writeFile(join(runDir, 'applied.json'), JSON.stringify({ ...REPORT, pid: child.pid }));
  expect(await door.report(never)).toBeUndefined();
  expect(door.absence).toContain('is not there');
  expect(await door.nudge(never)).toBe(false);
});

test.each(['0', '1', '-1', '-4711', '+2', '2 3', '0x10', '1e3', '', 'gateway', '99999999', '4194305', String(process.pid)])('nothing is signalled for a pid file that says %j', async (text) => {
  await using directory = await temporaryDirectory();
  await writeFile(join(directory.path, 'gateway.pid'), text);
  const killed: unknown[] = [];
  const door = gatewayBySignal({ runDir: directory.path, signal: 'SIGHUP', kill: (...sent) => killed.push(sent) });
  expect(await door.nudge(never)).toBe(false);
  expect(await door.report(never)).toBeUndefined();
  expect(killed).toEqual([]);
});

test('a process that got the number of a gateway that was killed is neither asked nor signalled', async () => {
  await using directory = await temporaryDirectory();
  const runDir = directory.path;
  const child = await startListener();
  const write = async (started: string): Promise<void> => {
    await writeFile(join(runDir, 'gateway.pid'), `${String(child.pid)}\n`);
    await writeFile(join(runDir, 'applied.json'), JSON.stringify({ ...REPORT, pid: child.pid, started }));
  };
  const sent: unknown[] = [];
  const kill = (pid: number, name: NodeJS.Signals | 0): unknown => (name === 0 ? process.kill(pid, 0) : sent.push(name));
  const door = gatewayBySignal({ runDir, signal: 'SIGHUP', kill });
  try {
    const stat = await readFile(`/proc/${String(child.pid)}/stat`, 'utf8');
    const own = stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? '';
    await write('7');
    expect(await door.report(never)).toBeUndefined();
    expect(door.absence).toContain('is another one by now');
    expect(await door.nudge(never)).toBe(false);
    expect(sent).toEqual([]);
    expect(await gatewayBySignal({ runDir, signal: 'SIGHUP', kill, procDir: join(runDir, 'none') }).report(never), 'without /proc').toMatchObject({ config_revision: 'r1' });
    await write(own);
    expect(await door.report(never)).toMatchObject({ config_revision: 'r1' });
    expect(await door.nudge(never)).toBe(true);
    expect(sent).toEqual(['SIGHUP']);
  } finally {
    child.kill('SIGKILL');
    await once(child, 'exit');
  }
});

test('a gateway of another user is alive, and a nudge that is not allowed says what to do', async () => {
  await using directory = await temporaryDirectory();
  await writeFile(join(directory.path, 'gateway.pid'), '4711');
  await writeFile(join(directory.path, 'applied.json'), JSON.stringify({ ...REPORT, pid: 4711 }));
  const door = gatewayBySignal({ runDir: directory.path, signal: 'SIGHUP', kill: () => { throw Object.assign(new Error('kill EPERM'), { code: 'EPERM' }); } });
  expect(await door.report(never)).toMatchObject({ config_revision: 'r1' });
  await expect(door.nudge(never)).rejects.toThrow('run both containers as the same user, or set RELOAD_URL');
});
