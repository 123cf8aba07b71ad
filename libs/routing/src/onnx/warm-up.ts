import { performance } from 'node:perf_hooks';
import type { ModelFacts } from './inspect-model.ts';
import { ModelRefusedError } from './model-refused-error.ts';
import type { HeadFeatures, HeadSession } from './head-session.ts';

const RUNS = 9;
const SAMPLE_NGRAMS = 60;
const MAX_GUESSED = 8_192;

/** Zeros in the shape that a head declares: for a first run before any prompt has come. A width that is not declared is guessed as 1. */
export function blankFeatures({ inputs }: Pick<ModelFacts, 'inputs'>): HeadFeatures {
  const width = (name: string): number => Math.min(inputs.find((input) => input.name === name)?.dims?.[1] ?? 1, MAX_GUESSED);
  return { text: new Float32Array(width('text')), embedding: new Float32Array(width('embedding')), ngramIndex: new Int32Array(SAMPLE_NGRAMS), ngramValue: new Float32Array(SAMPLE_NGRAMS) };
}

/**
 * The first runs of a session, which allocate and touch what later runs only use; resolves to the median time of one in milliseconds.
 * What the head answers to zeros is no matter (a division by a norm of zero is NaN): golden prompts decide about that.
 */
export async function warmUp(session: HeadSession, features: HeadFeatures): Promise<number> {
  const times: number[] = [];
  for (let run = 0; run < RUNS; run += 1) {
    const startedAt = performance.now();
    await session.run(features).catch((error: unknown) => {
      if (!(error instanceof ModelRefusedError)) throw error;
    });
    times.push(performance.now() - startedAt);
  }
  return times.sort((a, b) => a - b)[RUNS >> 1] ?? 0;
}
