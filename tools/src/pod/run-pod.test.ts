import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { eventually, temporaryDirectory } from '@pointsman/testing';
import { expect, test } from 'vitest';

/** An app that listens, warns once, and on SIGTERM takes a moment to end what is under way. */
const APP = `
import { createServer } from 'node:http';
const server = createServer((request, response) => response.end(request.url === '/crash' ? process.exit(9) : process.env.LITELLM_MASTER_KEY)).listen(Number(process.env.PORT), process.env.HOST, () => {
  console.log(JSON.stringify({ level: 'info', msg: 'listening', url: 'http://127.0.0.1:' + server.address().port }));
  console.log(JSON.stringify({ level: 'warn', msg: 'a key is not acted on', key: 'x' }));
  console.log(JSON.stringify({ level: 'info', msg: 'chatter' }));
});
let signals = 0;
process.on('SIGTERM', () => { signals += 1; setTimeout(() => { console.log(JSON.stringify({ msg: 'drained', signals })); process.exit(0); }, 50); });
process.on('SIGINT', () => process.exit(3));
`;

async function startPod(directory: string, env: Record<string, string> = {}) {
  await mkdir(join(directory, 'apps/gateway/src'), { recursive: true });
  await writeFile(join(directory, 'apps/gateway/src/main.ts'), APP);
  await writeFile(join(directory, 'package.json'), '{"type":"module"}');
  const script = `import { runPod } from ${JSON.stringify(join(import.meta.dirname, 'run-pod.ts'))}; process.exitCode = await runPod({ root: ${JSON.stringify(directory)}, env: process.env, config: undefined, verbose: false });`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], { env: { PATH: process.env['PATH'], PORT: '0', ...env }, stdio: ['ignore', 'pipe', 'pipe'] });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => (stdout += chunk));
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => (stderr += chunk));
  return {
    child,
    stdout: () => stdout,
    stderr: () => stderr,
    ended: once(child, 'close').then(([code]) => code as number | null),
    url: () => eventually(() => /listening on (http:\S+)/.exec(stdout)?.[1] ?? (child.exitCode === null ? false : Promise.reject(new Error(stderr)))),
    [Symbol.asyncDispose]: async () => {
      child.kill('SIGTERM');
      if (child.exitCode === null) await once(child, 'close');
    },
  };
}

test('the pod tells where it listens, shows warnings in words, keeps the log, and drains with one signal to end with 0', async () => {
  await using directory = await temporaryDirectory();
  await using pod = await startPod(directory.path);
  const url = await pod.url();
  const key = (await readFile(join(directory.path, '.pointsman/master_key'), 'utf8')).trim();
  expect(await (await fetch(url)).text()).toBe(key);
  expect(pod.stdout()).toContain(`curl ${url}/v1/chat/completions -H 'authorization: Bearer ${key}'`);
  await eventually(() => expect(pod.stderr()).toContain('warn gateway a key is not acted on key=x'));
  expect(pod.stderr() + pod.stdout()).not.toContain('chatter');
  // As npm and a terminal do together: the same wish twice.
  pod.child.kill('SIGINT');
  pod.child.kill('SIGINT');
  expect(await pod.ended).toBe(0);
  const log = await readFile(join(directory.path, '.pointsman/logs/gateway.log'), 'utf8');
  expect(log).toContain('chatter');
  expect(log).toContain('{"msg":"drained","signals":1}');
});

test('an app that dies is explained and gives the pod its exit code', async () => {
  await using directory = await temporaryDirectory();
  await using pod = await startPod(directory.path);
  await fetch(`${await pod.url()}/crash`).catch(() => undefined);
  expect(await pod.ended).toBe(9);
  expect(pod.stderr()).toMatch(/gateway ended with exit code 9; stopping the pod\. Its log: .*gateway\.log/);
});

test('a busy port and a configuration that is not there are said before anything starts', async () => {
  await using directory = await temporaryDirectory();
  const holder = createServer().listen(0, '127.0.0.1');
  await once(holder, 'listening');
  const { port } = holder.address() as AddressInfo;
  await using busy = await startPod(directory.path, { PORT: String(port) });
  expect(await busy.ended).toBe(1);
  expect(busy.stderr()).toMatch(new RegExp(`Port ${port} is in use.*PORT=${port + 1} npm start`));
  holder.close();
  await using missing = await startPod(directory.path, { CONFIG_PATH: join(directory.path, 'nope.yaml') });
  expect(await missing.ended).toBe(78);
  expect(missing.stderr()).toContain('There is no configuration file');
});
