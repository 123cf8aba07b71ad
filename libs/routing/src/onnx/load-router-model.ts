import { readFile } from 'node:fs/promises';
import type { EmbedderIdentity, PromptFeatures } from '../features/prompt-features.ts';
import { CAUSAL_LM_STRATEGY, readCausalLm } from './read-causal-lm.ts';
import { startHeadThread, type HeadThread } from './head-thread.ts';
import type { HeadFeatures, HeadSession } from './head-session.ts';
import { ModelRefusedError } from './model-refused-error.ts';
import { readArtifact } from './read-artifact.ts';
import type { RouterModel } from './router-model.ts';

export interface LoadRouterModelOptions {
  /** Of the head's file, bytes. */
  readonly maxBytes: number;
  /** What the gateway's feature extractor makes. A model that was trained on something else is refused. */
  readonly expect?: { readonly featureVersion: number; readonly embedder: EmbedderIdentity } | undefined;
  readonly signal?: AbortSignal | undefined;
  /**
   * Where predictions run. `auto`: in the caller's thread when one takes less time than asking another thread would (at most `CALLER_RUN_MS`) and the file is at
   * most `CALLER_BYTES`, else in a thread of the model's own. Loading always begins in that other thread.
   */
  readonly placement?: 'auto' | 'caller' | 'thread' | undefined;
}

/** A question to another thread costs the caller about 40 µs of its own time and 100 µs until the answer; a run below that is better made at once. */
export const CALLER_RUN_MS = 0.25;
/** Bytes. Loading them from memory holds the caller for about 0.4 ms per MiB. */
export const CALLER_BYTES = 16 * 1024 * 1024;

/**
 * Loads the head of an artifact's directory.
 * @throws ModelRefusedError with the reason; the signal's reason when it was stopped
 */
export async function loadRouterModel(directory: string, options: LoadRouterModelOptions): Promise<RouterModel> {
  const { expect, signal, maxBytes, placement = 'auto' } = options;
  const { manifest, revision, headPath } = await readArtifact(directory);
  if (expect !== undefined) checkFeatures(manifest.features, expect);
  const causal = manifest.strategy === CAUSAL_LM_STRATEGY ? await readCausalLm(directory, manifest) : undefined;
  const thread = await startHeadThread({ path: headPath, maxBytes, candidates: manifest.candidates, embedder: manifest.features.embedder, causal }, signal);
  const { weightBytes } = thread;
  let session: HeadSession = thread;
  // A language model is never run on the caller's thread: it takes milliseconds, and more for longer prompts.
  if (causal === undefined && (placement === 'caller' || (placement === 'auto' && thread.fileBytes <= CALLER_BYTES && thread.runMs <= CALLER_RUN_MS))) session = await moveToCaller(thread, headPath, manifest.candidates.length);

  let running = 0;
  let closing = false;
  let idle: (() => void) | undefined;
  let closed: Promise<void> | undefined;
  const close = async (): Promise<void> => {
    closing = true;
    if (running > 0) await new Promise<void>((resolve) => (idle = resolve));
    await session.release();
  };
  const run = async (features: HeadFeatures): Promise<Float32Array> => {
    if (closing) throw new ModelRefusedError('load_failed', 'The model is closed.');
    running += 1;
    try {
      return await session.run(features);
    } finally {
      running -= 1;
      if (running === 0) idle?.();
    }
  };
  return {
    manifest, revision, bytes: weightBytes,
    predict: (features: PromptFeatures) => run(features),
    ...(causal === undefined ? {} : { predictText: (prompt: string) => run({ prompt }) }),
    close: () => (closed ??= close()),
  };
}

async function moveToCaller(thread: HeadThread, path: string, columns: number): Promise<HeadSession> {
  try {
    const bytes = await readFile(path);
    // Only here: a process without a model maps no runtime. The thread has read the library from disk already.
    const { openHeadSession } = await import('./head-session.ts');
    const session = await openHeadSession(bytes, { inputs: thread.inputs, columns });
    // The first runs allocate: not while a request waits. One that is refused for its zeros has still allocated.
    await session.run(thread.blank).catch(() => undefined);
    return session;
  } finally {
    await thread.release();
  }
}

/**
 * Holds the features that a model was trained on against those that the gateway makes.
 * @throws ModelRefusedError `features`
 */
export function checkFeatures(trained: { readonly version: number; readonly embedder: EmbedderIdentity }, made: { readonly featureVersion: number; readonly embedder: EmbedderIdentity }): void {
  if (trained.version !== made.featureVersion) throw new ModelRefusedError('features', `The model was trained on features of version ${trained.version}; this gateway makes version ${made.featureVersion}.`);
  // A model that needs no embedding runs beside any embedder.
  if (trained.embedder.name === 'none') return;
  const [wanted, here] = [trained.embedder, made.embedder];
  if (wanted.name !== here.name || wanted.sha256 !== here.sha256 || wanted.dimensions !== here.dimensions) {
    throw new ModelRefusedError('features', `The model was trained on the embedder ${named(wanted)}; this gateway has ${named(here)}.`);
  }
}

function named({ name, sha256, dimensions }: EmbedderIdentity): string {
  return name === 'none' ? 'none' : `${name} ${sha256.slice(0, 12)} with ${dimensions} dimensions`;
}
