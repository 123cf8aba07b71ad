import { hash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { normalise, type Embedder } from './embedder.ts';
import type { EmbedderIdentity } from './prompt-features.ts';
import { decodeStaticEmbedder, type StaticEmbedderTable } from './static-embedder-file.ts';
import { WordPiece } from './word-piece.ts';

export const STATIC_EMBEDDER_FILE = 'static-embedder.bin';
/** Most tokens of a text that are looked up; of each of its two parts half of them. Only texts of single signs have more. */
const MAX_TOKENS = 4_096;

/**
 * Vectors of the text's tokens from a table, added up: no network runs. Rows were made by `tools/distill-static-embedder.ts` from a sentence
 * transformer (the idea of Model2Vec, Tulkens & van Dongen 2024) and carry the SIF weight of their token (Arora et al. 2017), so that adding and
 * normalising is all that is left to do.
 */
export class StaticEmbedder implements Embedder {
  readonly identity: EmbedderIdentity;
  readonly #wordPiece: WordPiece;
  readonly #table: StaticEmbedderTable;
  readonly #tokens = new Int32Array(MAX_TOKENS);
  readonly #halfOfTokens = this.#tokens.subarray(0, MAX_TOKENS / 2);
  readonly #sum: Float64Array;

  constructor(table: StaticEmbedderTable, sha256: string) {
    this.#table = table;
    this.#wordPiece = new WordPiece(table.vocabulary);
    this.#sum = new Float64Array(table.header.dimensions);
    this.identity = { name: 'static', sha256, dimensions: table.header.dimensions };
  }

  embed(parts: readonly string[]): Float32Array {
    const sum = this.#sum.fill(0);
    const tokens = parts.length === 1 ? this.#tokens : this.#halfOfTokens;
    for (const part of parts) this.#add(this.#wordPiece.encode(part, tokens), sum);
    return normalise(Float32Array.from(sum));
  }

  close(): void {}

  #add(count: number, sum: Float64Array): void {
    const { rows, scales, header } = this.#table;
    const { dimensions } = header;
    const tokens = this.#tokens;
    // Eight tokens per walk over the sums: an eighth of the loads and stores.
    const whole = count & ~7;
    for (let at = 0; at < whole; at += 8) {
      const [t0, t1, t2, t3] = [tokens[at]!, tokens[at + 1]!, tokens[at + 2]!, tokens[at + 3]!];
      const [t4, t5, t6, t7] = [tokens[at + 4]!, tokens[at + 5]!, tokens[at + 6]!, tokens[at + 7]!];
      const [s0, s1, s2, s3, s4, s5, s6, s7] = [scales[t0]!, scales[t1]!, scales[t2]!, scales[t3]!, scales[t4]!, scales[t5]!, scales[t6]!, scales[t7]!];
      const [r0, r1, r2, r3] = [t0 * dimensions, t1 * dimensions, t2 * dimensions, t3 * dimensions];
      const [r4, r5, r6, r7] = [t4 * dimensions, t5 * dimensions, t6 * dimensions, t7 * dimensions];
      for (let dimension = 0; dimension < dimensions; dimension += 1) {
        sum[dimension]! += rows[r0 + dimension]! * s0 + rows[r1 + dimension]! * s1 + rows[r2 + dimension]! * s2 + rows[r3 + dimension]! * s3
          + rows[r4 + dimension]! * s4 + rows[r5 + dimension]! * s5 + rows[r6 + dimension]! * s6 + rows[r7 + dimension]! * s7;
      }
    }
    for (let at = whole; at < count; at += 1) {
      const token = tokens[at]!;
      const scale = scales[token]!;
      const row = token * dimensions;
      for (let dimension = 0; dimension < dimensions; dimension += 1) sum[dimension]! += rows[row + dimension]! * scale;
    }
  }
}

// One table per file for the whole process, however many models use it: it is 4 MB that never change, and it is built in some 50 ms.
const loaded = new Map<string, Promise<StaticEmbedder>>();

/** Reads `static-embedder.bin` of `directory` (the one that ships with this package by default), once per process. */
export function loadStaticEmbedder(directory: string = fileURLToPath(new URL('../../assets/', import.meta.url))): Promise<StaticEmbedder> {
  const path = join(directory, STATIC_EMBEDDER_FILE);
  let embedder = loaded.get(path);
  if (embedder === undefined) {
    embedder = readStaticEmbedder(path);
    loaded.set(path, embedder);
    embedder.catch(() => loaded.delete(path)); // a file that was not there yet may be there next time
  }
  return embedder;
}

async function readStaticEmbedder(path: string): Promise<StaticEmbedder> {
  const bytes = await readFile(path);
  return new StaticEmbedder(await decodeStaticEmbedder(bytes), hash('sha256', bytes, 'hex'));
}
