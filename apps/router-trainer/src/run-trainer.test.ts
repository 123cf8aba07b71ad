import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { temporaryDirectory } from '@pointsman/testing';
import { expect, test } from 'vitest';
import { readTrainerSettings } from './settings.ts';

const run = promisify(execFile);
const main = join(import.meta.dirname, 'main.ts');

test('wrong settings are all named at once', () => {
  expect(() => readTrainerSettings({ TRAIN_SEED: 'x', TRAIN_EMBEDDER: 'magic' })).toThrow(/TRAIN_DATA[\s\S]*TRAIN_OUT/);
});

test('a training job writes an artifact and ends with 0; a second one finds the directory taken and ends with 1', async () => {
  await using directory = await temporaryDirectory();
  const data = join(directory.path, 'data.jsonl');
  await writeFile(data, Array.from({ length: 40 }, (_, index) => JSON.stringify({ id: `${index}`, prompt: `${index % 2 === 0 ? 'easy' : 'hard'} question ${index}`, scores: { a: 1, b: index % 2 } })).join('\n'));
  const out = join(directory.path, 'out');
  const env = { PATH: process.env['PATH'], TRAIN_STRATEGY: 'svm', TRAIN_DATA: data, TRAIN_OUT: out, TRAIN_EMBEDDER: 'none', LOG_LEVEL: 'info' };
  const { stdout } = await run(process.execPath, [main], { env });
  expect(stdout).toContain('"msg":"model trained"');
  expect(JSON.parse(await readFile(join(out, 'manifest.json'), 'utf8'))).toMatchObject({ strategy: 'llmrouter-svm', candidates: ['a', 'b'] });
  await expect(run(process.execPath, [main], { env })).rejects.toMatchObject({ code: 1, stdout: expect.stringContaining('is not empty') });
});
