import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { WordPiece } from '@pointsman/routing';
import { temporaryDirectory } from '@pointsman/testing';
import { expect, test } from 'vitest';
import { countTokens } from './count-tokens.ts';

const wordPiece = new WordPiece(['[UNK]', '[CLS]', '[SEP]', 'one', 'two', '##s']);

test('counts the tokens of the prompts of plain and gzip files', async () => {
  await using directory = await temporaryDirectory();
  const [plain, packed] = [join(directory.path, 'a.jsonl'), join(directory.path, 'b.jsonl.gz')];
  await writeFile(plain, '{"prompt":"One two ones"}\n\n{"prompt":"what"}\n');
  await writeFile(packed, gzipSync('{"prompt":"two","answer":"one one one"}\n'));
  expect([...(await countTokens([plain, packed], wordPiece))]).toEqual([1, 0, 0, 2, 2, 1]);
});

test('a row without a prompt is named', async () => {
  await using directory = await temporaryDirectory();
  const file = join(directory.path, 'a.jsonl');
  await writeFile(file, '{"prompt":"one"}\n{"text":"two"}\n');
  await expect(countTokens([file], wordPiece)).rejects.toThrow(`${file}:2: no "prompt"`);
});
