import { readFile } from 'node:fs/promises';
import { gunzipSync } from 'node:zlib';
import type { WordPiece } from '@pointsman/routing';

/** How often each token of the vocabulary stands in the `prompt`s of JSON-lines files (plain or gzip). Only these numbers leave the function. */
export async function countTokens(files: readonly string[], wordPiece: WordPiece): Promise<Float64Array> {
  const counts = new Float64Array(wordPiece.size);
  const tokens = new Int32Array(65_536);
  for (const file of files) {
    for (const prompt of await readPrompts(file)) {
      const count = wordPiece.encode(prompt, tokens);
      for (let at = 0; at < count; at += 1) counts[tokens[at]!]! += 1;
    }
  }
  return counts;
}

/** The `prompt` of every row of a JSON-lines file, plain or gzip. Throws for a row without one, naming its line. */
export async function readPrompts(file: string): Promise<string[]> {
  const bytes = await readFile(file);
  const text = (bytes[0] === 0x1f && bytes[1] === 0x8b ? gunzipSync(bytes) : bytes).toString('utf8');
  return text.split('\n').flatMap((line, index) => {
    if (line.trim() === '') return [];
    const row: unknown = JSON.parse(line);
    if (typeof row !== 'object' || row === null || !('prompt' in row) || typeof row.prompt !== 'string') throw new Error(`${file}:${index + 1}: no "prompt"`);
    return [row.prompt];
  });
}
