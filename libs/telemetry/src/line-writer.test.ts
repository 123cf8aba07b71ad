import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { LineWriter } from './line-writer.ts';

let directory = '';
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'line-writer-'));
});
afterEach(() => rmSync(directory, { recursive: true }));

test('lines of one turn are written together, in order, after the turn', async () => {
  const file = join(directory, 'log');
  const fd = openSync(file, 'w');
  const writer = new LineWriter(fd, () => undefined);
  writer.write('one\n');
  writer.write('zwölf\n');
  expect(readFileSync(file, 'utf8')).toBe('');
  await turn();
  expect(readFileSync(file, 'utf8')).toBe('one\nzwölf\n');
  writer.write('two\n');
  writer.flushSync();
  expect(readFileSync(file, 'utf8')).toBe('one\nzwölf\ntwo\n');
  closeSync(fd);
});

test('a log that can no longer be written drops lines and counts them, and throws nothing', async () => {
  writeFileSync(join(directory, 'log'), '');
  const fd = openSync(join(directory, 'log'), 'r');
  let dropped = 0;
  const writer = new LineWriter(fd, () => (dropped += 1));
  writer.write('one\n');
  await turn();
  expect(dropped).toBe(1);
  writer.write('two\n');
  expect(dropped).toBe(2);
  closeSync(fd);
});

test('what waits is bounded', () => {
  let dropped = 0;
  const writer = new LineWriter(openSync(join(directory, 'log'), 'w'), () => (dropped += 1));
  const line = `${'x'.repeat(1024 * 1024 - 1)}\n`;
  for (let index = 0; index < 6; index += 1) writer.write(line);
  expect(dropped).toBe(2);
});
