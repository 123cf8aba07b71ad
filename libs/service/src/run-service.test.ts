import { setTimeout as sleep } from 'node:timers/promises';
import { spawn, type ChildProcessByStdio } from 'node:child_process';
import type { Readable } from 'node:stream';
import { afterEach, expect, test, vi } from 'vitest';

const INDEX = JSON.stringify(new URL('./index.ts', import.meta.url).href);
const TELEMETRY = JSON.stringify(new URL('../../telemetry/src/index.ts', import.meta.url).href);
const children: ChildProcessByStdio<null, Readable, Readable>[] = [];
afterEach(() => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
});

/** A real process whose body is `script`; `once(signal, 'abort')` style waiting is there as `stopped(signal)`. */
function start(script: string) {
  const child = spawn(
    process.execPath,
    ['--input-type=module', '-e', `import { readSettings, runService, setting, SettingsError } from ${INDEX};
import { startTelemetry } from ${TELEMETRY};
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from ${JSON.stringify(import.meta.resolve('zod'))};
const say = (text) => process.stdout.write(JSON.stringify({ msg: text }) + '\\n');
const stopped = (signal) => new Promise((resolve) => signal.addEventListener('abort', resolve));
const forever = () => setInterval(() => {}, 1000);
${script}`],
    { stdio: ['ignore', 'pipe', 'pipe'] },
  );
  children.push(child);
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  const ended = new Promise<{ code: number | null; signal: NodeJS.Signals | null }>((resolve) => child.on('close', (code, signal) => resolve({ code, signal })));
  const lines = (): Record<string, unknown>[] => stdout.split('\n').filter((line) => line.startsWith('{')).map((line) => JSON.parse(line) as Record<string, unknown>);
  const messages = (): unknown[] => lines().map((line) => line['msg']);
  return {
    child,
    ended,
    lines,
    messages,
    stderr: () => stderr,
    says: (text: string) => vi.waitFor(() => expect(messages(), stderr).toContain(text), { timeout: 15_000 }),
  };
}

test.each(['SIGTERM', 'SIGINT'] as const)('%s aborts the signal, the phases of stopping are awaited, telemetry is flushed last, exit 0', async (name) => {
  const service = start(`await runService(async (signal, service) => {
    const telemetry = startTelemetry({ serviceName: 's', serviceVersion: '1', logLevel: 'info', processMetrics: false });
    service.useTelemetry({ ...telemetry, shutdown: async () => { await sleep(20); say('flushed'); } });
    forever(); say('working');
    await stopped(signal);
    await sleep(20); say('phase 1');
    await sleep(20); say('phase 2');
  });`);
  await service.says('working');
  service.child.kill(name);
  expect(await service.ended).toEqual({ code: 0, signal: null });
  expect(service.messages().filter((message) => ['phase 1', 'phase 2', 'flushed'].includes(String(message)))).toEqual(['phase 1', 'phase 2', 'flushed']);
  expect(service.messages()).toEqual(expect.arrayContaining(['stopping', 'stopped']));
});

test('a second signal forces the end with exit 1', async () => {
  const service = start(`await runService(async () => { forever(); say('working'); await new Promise(() => {}); });`);
  await service.says('working');
  service.child.kill('SIGTERM');
  await service.says('stopping');
  // Within half a second it would count as an echo of the first.
  await sleep(600);
  service.child.kill('SIGTERM');
  expect(await service.ended).toEqual({ code: 1, signal: null });
  expect(service.messages()).toContain('forced to stop');
});

test('the same signal twice within a moment is one wish: a terminal signals the group, and npm passes it on', async () => {
  const service = start(`await runService(async (signal) => { forever(); say('working'); await new Promise((resolve) => signal.addEventListener('abort', resolve)); await new Promise((resolve) => setTimeout(resolve, 300)); say('drained'); });`);
  await service.says('working');
  service.child.kill('SIGINT');
  await service.says('stopping');
  service.child.kill('SIGINT');
  expect(await service.ended).toEqual({ code: 0, signal: null });
  expect(service.messages()).toContain('drained');
});

test('stopping that takes longer than its limit ends with exit 1', async () => {
  const service = start(`await runService(async () => { forever(); say('working'); await new Promise(() => {}); }, { stopTimeoutMs: 50 });`);
  await service.says('working');
  service.child.kill('SIGTERM');
  expect(await service.ended).toEqual({ code: 1, signal: null });
  expect(service.messages()).toContain('stopping took too long');
});

test('SIGHUP never ends the process: it is ignored, or runs the reload, whose failure is logged', async () => {
  const service = start(`await runService(async (signal, service) => {
    forever(); say('working');
    process.on('SIGUSR2', () => { let runs = 0; service.onReload(() => { runs += 1; say('reload ' + runs); if (runs === 1) throw new Error('bad config'); }); say('hooked'); });
    await stopped(signal);
  });`);
  await service.says('working');
  service.child.kill('SIGHUP');
  service.child.kill('SIGUSR2');
  await service.says('hooked');
  service.child.kill('SIGHUP');
  await service.says('reload failed');
  service.child.kill('SIGHUP');
  await service.says('reload 2');
  service.child.kill('SIGTERM');
  expect(await service.ended).toEqual({ code: 0, signal: null });
});

test('work that ends by itself is exit 0, even when something still holds the process open', async () => {
  const service = start(`await runService(async () => { forever(); });`);
  expect(await service.ended).toEqual({ code: 0, signal: null });
});

test('what rejects because the signal was aborted is a normal stop', async () => {
  const service = start(`await runService(async (signal) => { say('working'); await sleep(60000, undefined, { signal }); });`);
  await service.says('working');
  service.child.kill('SIGTERM');
  expect(await service.ended).toEqual({ code: 0, signal: null });
});

test('settings that are not usable: one line that lists every problem and no value, exit 78', async () => {
  const service = start(`await runService(async () => {
    readSettings(z.object({ PORT: setting.port(), KEY: setting.secret(), EVERY: setting.durationMs() }), { PORT: 'sk-leaked', EVERY: 'x' });
  }, { name: 'config-sync' });`);
  expect(await service.ended).toEqual({ code: 78, signal: null });
  const [line] = service.lines();
  expect(service.lines()).toHaveLength(1);
  expect(line).toMatchObject({ level: 'error', service: 'config-sync', problems: [{ variable: 'PORT' }, { variable: 'KEY', problem: 'is required' }, { variable: 'EVERY' }] });
  expect(JSON.stringify(line)).not.toContain('sk-leaked');
});

test.each([
  ['a failure at the start', `throw new Error('no database');`, 'service failed'],
  ['an exception nobody caught', `forever(); setTimeout(() => { throw new Error('no database'); }, 1); await new Promise(() => {});`, 'uncaught exception'],
  ['a rejection nobody handled', `forever(); void Promise.reject(new Error('no database')); await new Promise(() => {});`, 'unhandled rejection'],
])('%s is logged once, telemetry is flushed, exit 1', async (_name, body, message) => {
  const service = start(`await runService(async (signal, service) => {
    const telemetry = startTelemetry({ serviceName: 's', serviceVersion: '1', logLevel: 'info', processMetrics: false });
    service.useTelemetry({ ...telemetry, shutdown: async () => { say('flushed'); } });
    ${body}
  });`);
  expect(await service.ended).toEqual({ code: 1, signal: null });
  const errors = service.lines().filter((line) => line['level'] === 'error');
  expect(errors).toHaveLength(1);
  expect(errors[0]).toMatchObject({ msg: message, error: 'Error: no database' });
  expect(service.messages()).toContain('flushed');
});

test('a crash while stopping is still exit 1', async () => {
  const service = start(`await runService(async (signal) => { forever(); say('working'); await stopped(signal); setTimeout(() => { throw new Error('late'); }, 1); await sleep(200); });`);
  await service.says('working');
  service.child.kill('SIGTERM');
  expect(await service.ended).toEqual({ code: 1, signal: null });
});
