import { readFile } from 'node:fs/promises';
import { decodeStaticEmbedder } from './static-embedder-file.ts';

/** The vocabulary of the static embedder that ships with this package: BERT's, 30,522 tokens. */
export async function staticVocabulary(): Promise<readonly string[]> {
  return (await decodeStaticEmbedder(await readFile(new URL('../../assets/static-embedder.bin', import.meta.url)))).vocabulary;
}
