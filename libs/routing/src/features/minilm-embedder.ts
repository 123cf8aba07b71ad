import { createHash, hash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { LRUCache } from 'lru-cache';
import type { MinilmSession } from '../onnx/minilm-session.ts';
import { normalise, type Embedder } from './embedder.ts';
import type { EmbedderIdentity } from './prompt-features.ts';
import { WHOLE_TEXT_LIMIT } from './sample-text.ts';
import { openMinilm } from './open-minilm.ts';
import { readVocabulary } from './static-embedder-file.ts';
import { WordPiece } from './word-piece.ts';

/** Most tokens the network sees, [CLS] and [SEP] included: what all-MiniLM-L6-v2 was trained for (its `max_seq_length`). */
export const MINILM_MAX_TOKENS = 256;
const CACHED_PROMPTS = 4_096;

/**
 * A sentence transformer (`model.onnx` and `vocab.txt` of one directory) run by ONNX Runtime, one prompt at a time on one thread: tens of
 * milliseconds of CPU per prompt, so it is opt-in. Vectors are kept by the hash of the text, the newest 4,096 (6 MB at 384 dimensions); requests for
 * the same text share one run. A text of more than 254 tokens is seen by its first and last 127.
 */
export class MinilmEmbedder implements Embedder {
  readonly identity: EmbedderIdentity;
  readonly #session: MinilmSession;
  readonly #wordPiece: WordPiece;
  readonly #tokens = new Int32Array(WHOLE_TEXT_LIMIT);
  readonly #cache = new LRUCache<string, Promise<Float32Array>>({ max: CACHED_PROMPTS });

  constructor(options: { readonly session: MinilmSession; readonly vocabulary: readonly string[]; readonly sha256: string }) {
    this.#session = options.session;
    this.#wordPiece = new WordPiece(options.vocabulary);
    this.identity = { name: 'minilm', sha256: options.sha256, dimensions: options.session.dimensions };
  }

  async embed(parts: readonly string[]): Promise<Float32Array> {
    const text = parts.join('\n');
    const key = hash('sha256', text, 'base64');
    let vector = this.#cache.get(key);
    if (vector === undefined) {
      vector = this.#run(text);
      this.#cache.set(key, vector);
      vector.catch(() => this.#cache.delete(key));
    }
    return (await vector).slice();
  }

  async close(): Promise<void> {
    this.#cache.clear();
    await this.#session.close();
  }

  async #run(text: string): Promise<Float32Array> {
    const count = this.#wordPiece.encode(text, this.#tokens);
    const room = MINILM_MAX_TOKENS - 2;
    const inside = Math.min(count, room);
    const ids = new BigInt64Array(inside + 2);
    ids[0] = BigInt(this.#wordPiece.cls);
    for (let at = 0; at < inside; at += 1) {
      const from = count > room && at >= room / 2 ? count - room + at : at;
      ids[at + 1] = BigInt(this.#tokens[from]!);
    }
    ids[inside + 1] = BigInt(this.#wordPiece.sep);
    return normalise(await this.#session.meanPool(ids, 1));
  }
}

/** Opens `model.onnx` and `vocab.txt` of `directory`. Its sha256 is that of `model.onnx`. Loads ONNX Runtime only when called. */
export async function loadMinilmEmbedder(directory: string): Promise<MinilmEmbedder> {
  const path = join(directory, 'model.onnx');
  const [vocabulary, sha256] = await Promise.all([readFile(join(directory, 'vocab.txt'), 'utf8'), sha256Of(path)]);
  const session = await openMinilm(path);
  try {
    return new MinilmEmbedder({ session, vocabulary: readVocabulary(vocabulary), sha256 });
  } catch (error) {
    await session.close();
    throw error;
  }
}

async function sha256Of(path: string): Promise<string> {
  const digest = createHash('sha256');
  await pipeline(createReadStream(path), digest);
  return digest.digest('hex');
}
