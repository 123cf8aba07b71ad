import { createWriteStream } from 'node:fs';
import { once } from 'node:events';
import { finished } from 'node:stream/promises';
import { readManifest, MANIFEST_FILE } from '@pointsman/model-artifacts';
import { createFeatureExtractor, loadRouterModel, VERIFIER_STRATEGY, verifierFeatures, type FeatureExtractor, type RouterModel } from '@pointsman/routing';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { readPrompts } from './dataset/read-outcomes.ts';
import { barePrompt } from './features/extract-features.ts';

export interface ScoreArtifactOptions {
  /** Directory with `manifest.json` and `model.onnx`. */
  readonly artifact: string;
  /** JSON Lines with `id` and `prompt`; outcomes, if any, are not read. */
  readonly dataFile: string;
  /** One JSON line per row: `{id, scores: {model: predicted quality}, latency_us}`. */
  readonly outFile: string;
  readonly minilmDirectory?: string | undefined;
  /** Rows done so far. */
  readonly progress?: ((rows: number) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

const MAX_MODEL_BYTES = 256 * 1024 * 1024;

/** Predicts the quality of every row as the gateway would, features included; latency is features plus head, in microseconds. A verifier (`llmrouter-automix`) is shown the row's `{model}_response`. Returns the number of rows. */
export async function scoreArtifact({ artifact, dataFile, outFile, minilmDirectory, progress, signal }: ScoreArtifactOptions): Promise<{ readonly rows: number }> {
  const opened = await openArtifact(artifact, minilmDirectory, signal);
  const { model, extractor } = opened;
  const looksAtAnswers = model.manifest.strategy === VERIFIER_STRATEGY;
  // A verifier's first column is the model whose answers it was trained on.
  const answering = model.manifest.candidates[0] ?? '';
  const out = createWriteStream(outFile);
  try {
    const ended = finished(out);
    let rows = 0;
    for await (const { id, prompt, answers } of readPrompts(dataFile, signal)) {
      const started = performance.now();
      const predicted = await model.predict(looksAtAnswers ? verifierFeatures(prompt, answers.get(answering) ?? '') : await extractor.extract(barePrompt(prompt)));
      const latencyUs = (performance.now() - started) * 1_000;
      const scores = Object.fromEntries(model.manifest.candidates.map((candidate, column) => [candidate, predicted[column]]));
      if (!out.write(`${JSON.stringify({ id, scores, latency_us: Math.round(latencyUs * 10) / 10 })}\n`)) await Promise.race([once(out, 'drain'), ended]);
      rows += 1;
      if (rows % 100 === 0) progress?.(rows);
    }
    out.end();
    await ended;
    progress?.(rows);
    return { rows };
  } finally {
    out.destroy();
    await opened.close();
  }
}

export interface OpenedArtifact {
  readonly model: RouterModel;
  readonly extractor: FeatureExtractor;
  close(): Promise<void>;
}

/** Loads an artifact with the feature extractor that its manifest asks for. Throws as `loadRouterModel` does. */
export async function openArtifact(artifact: string, minilmDirectory: string | undefined, signal: AbortSignal | undefined): Promise<OpenedArtifact> {
  const manifest = readManifest(await readFile(join(artifact, MANIFEST_FILE)));
  const extractor = await createFeatureExtractor({ embedder: manifest.features.embedder.name, ...(minilmDirectory === undefined ? {} : { minilmDirectory }) });
  try {
    const model = await loadRouterModel(artifact, { maxBytes: MAX_MODEL_BYTES, expect: { featureVersion: extractor.version, embedder: extractor.embedder }, signal });
    // The model's thread does not keep a process alive, and a prediction may be all that this one waits for.
    const alive = setInterval(() => undefined, 60_000);
    return {
      model, extractor,
      async close() {
        clearInterval(alive);
        await model.close();
        await extractor.close();
      },
    };
  } catch (error) {
    await extractor.close();
    throw error;
  }
}
