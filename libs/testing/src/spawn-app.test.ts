import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { eventually } from './eventually.ts';
import { spawnApp } from './spawn-app.ts';
import { temporaryDirectory } from './temporary-directory.ts';

/** A program as small as an app can be: listens, says so, ends with 7 on SIGTERM. */
const SMALL_APP = `
import { createServer } from 'node:http';
console.error('warming up');
console.log('not json');
const server = createServer((request, response) => response.end(process.env.GREETING + process.env.LEAKED)).listen(0, '127.0.0.1', () => {
  console.log(JSON.stringify({ msg: 'starting' }));
  console.log(JSON.stringify({ msg: 'listening', url: 'http://127.0.0.1:' + server.address().port }));
});
process.on('SIGTERM', () => { console.log(JSON.stringify({ msg: 'bye' })); process.exit(7); });
`;

async function writeApp(directory: string, source: string): Promise<string> {
  const entry = join(directory, 'main.mjs');
  await writeFile(entry, source);
  return entry;
}

test('an app is ready when it says that it listens, gets only the environment given, and its exit code is told', async () => {
  await using directory = await temporaryDirectory();
  process.env['LEAKED'] = 'a secret';
  await using app = await spawnApp('small', { entry: await writeApp(directory.path, SMALL_APP), env: { GREETING: 'hello ' } });
  delete process.env['LEAKED'];
  expect(await (await fetch(app.url)).text()).toBe('hello undefined');
  expect(app.logs().map((line) => line['msg'])).toEqual(['starting', 'listening']);
  expect(app.output()).toContain('warming up');
  expect(await app.stop()).toBe(7);
  expect(await app.ended).toBe(7);
  await eventually(() => expect(app.logs().at(-1)?.['msg']).toBe('bye'));
});

test('an app that ends or stays silent instead of listening is reported with what it printed', async () => {
  await using directory = await temporaryDirectory();
  const broken = await writeApp(directory.path, `console.error('PORT is not a number'); process.exit(78);`);
  await expect(spawnApp('broken', { entry: broken })).rejects.toThrow(/broken ended \(78\)[\s\S]*PORT is not a number/);
  const silent = await writeApp(directory.path, `setInterval(() => undefined, 1000);`);
  await expect(spawnApp('silent', { entry: silent, deadlineMs: 300 })).rejects.toThrow(/silent did not listen within 300 ms/);
});

test('an app that ignores its signal is killed and reported', async () => {
  await using directory = await temporaryDirectory();
  await using app = await spawnApp('stubborn', { entry: await writeApp(directory.path, SMALL_APP.replace(/process\.exit\(7\)/, 'undefined')) });
  await expect(app.stop('SIGTERM', 200)).rejects.toThrow(/stubborn did not end within 200 ms of SIGTERM/);
  expect(await app.ended).toBe(137);
});
