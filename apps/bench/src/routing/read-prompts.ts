import { readFile } from 'node:fs/promises';
import { gunzipSync } from 'node:zlib';

/** The `prompt` of every line of a gzip JSON Lines file. Throws where a line has none. */
export async function readPrompts(file: string): Promise<string[]> {
  const lines = gunzipSync(await readFile(file)).toString('utf8').split('\n').filter((line) => line !== '');
  return lines.map((line, index) => {
    const row: unknown = JSON.parse(line);
    if (typeof row !== 'object' || row === null || !('prompt' in row) || typeof row.prompt !== 'string') throw new TypeError(`${file}, line ${String(index + 1)}: no prompt.`);
    return row.prompt;
  });
}
