import { createFeatureExtractor, type EmbedderIdentity } from '@pointsman/routing';

/** What rows of an embedder say of it. Loads the embedder for that. */
export async function embedderIdentity(embedder: EmbedderIdentity['name'], minilmDirectory?: string): Promise<EmbedderIdentity> {
  const extractor = await createFeatureExtractor({ embedder, ...(minilmDirectory === undefined ? {} : { minilmDirectory }) });
  try {
    return { ...extractor.embedder };
  } finally {
    await extractor.close();
  }
}
