import { statSync } from 'node:fs';
import { dirname } from 'node:path';
import { describeUnknown } from '@pointsman/errors';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import type { PromptFeatures } from '../features/prompt-features.ts';
import { mapWeights } from './map-weights.ts';
import { ModelRefusedError } from './model-refused-error.ts';
import { HEAD_OUTPUT, type HeadInput } from './router-model.ts';

/** Bytes. Smaller files are copied: what is mapped must stay as it is on disk for as long as it serves. */
const MAPPED_FROM_BYTES = 16 * 1024 * 1024;

/** One small model next to a server's own work: one thread, no spinning, nothing in parallel. What goes wrong is thrown; the runtime's own lines on standard error would break the log. */
const SESSION_OPTIONS = {
  executionProviders: ['cpu'], intraOpNumThreads: 1, interOpNumThreads: 1, executionMode: 'sequential', graphOptimizationLevel: 'all', logSeverityLevel: 4,
  // An arena keeps the largest prompt's buffers for ever.
  enableCpuMemArena: false,
  extra: { session: { intra_op: { allow_spinning: '0' }, inter_op: { allow_spinning: '0' } } },
} satisfies InferenceSession.SessionOptions;

/** The arrays of `PromptFeatures` that a head asks for; for a causal language model the prompt itself. */
export type HeadFeatures = Partial<PromptFeatures> & { readonly prompt?: string };

/** A head in onnxruntime. Its calls compute on the thread that makes them: onnxruntime-node defers a run by one turn of the loop, it does not move it to another thread. */
export interface HeadSession {
  /**
   * Scores, `columns` of them, in an array of their own.
   * @throws ModelRefusedError `bad_output` for NaN, infinity, a wrong type or shape; `load_failed` for inputs that the head refuses
   */
  run(features: HeadFeatures): Promise<Float32Array>;
  release(): Promise<void>;
}

export interface HeadSessionParts {
  readonly inputs: readonly HeadInput[];
  readonly columns: number;
}

/**
 * Loads a head that was inspected before, from its path or its bytes; blocks meanwhile.
 * @throws ModelRefusedError `load_failed`
 */
export async function openHeadSession(source: string | Uint8Array, { inputs, columns }: HeadSessionParts): Promise<HeadSession> {
  const session = await createSession(source).catch((error: unknown) => {
    throw new ModelRefusedError('load_failed', `onnxruntime refuses the model: ${brief(error)}`, error);
  });
  return {
    async run(features) {
      const feeds: Record<string, Tensor> = {};
      for (const input of inputs) feeds[input] = tensorOf(input, features);
      const outputs = await session.run(feeds).catch((error: unknown) => {
        throw new ModelRefusedError('load_failed', `The model cannot run: ${brief(error)}`, error);
      });
      return scoresOf(outputs[HEAD_OUTPUT], columns);
    },
    release: () => session.release(),
  };
}

/**
 * onnxruntime reads a file into memory and then copies the weights out of it. Of a large file only the structure is given to it, and its weights are mapped
 * from where they lie: loading takes no time and no memory of its own, and the pages are shared with the self-test that ran before.
 */
export async function createSession(source: string | Uint8Array): Promise<InferenceSession> {
  if (typeof source !== 'string') return InferenceSession.create(source, SESSION_OPTIONS);
  const structure = statSync(source).size >= MAPPED_FROM_BYTES ? mapWeights(source) : undefined;
  if (structure === undefined) return InferenceSession.create(source, SESSION_OPTIONS);
  const { session } = SESSION_OPTIONS.extra;
  return InferenceSession.create(structure, { ...SESSION_OPTIONS, extra: { session: { ...session, model_external_initializers_file_folder_path: dirname(source) } } });
}

function tensorOf(input: HeadInput, { text, embedding, ngramIndex, ngramValue }: HeadFeatures): Tensor {
  if (input === 'text' && text !== undefined) return new Tensor('float32', text, [1, text.length]);
  if (input === 'embedding' && embedding !== undefined) return new Tensor('float32', embedding, [1, embedding.length]);
  if (input === 'ngram_index' && ngramIndex !== undefined) return new Tensor('int32', ngramIndex, [ngramIndex.length]);
  if (input === 'ngram_value' && ngramValue !== undefined) return new Tensor('float32', ngramValue, [ngramValue.length]);
  throw new ModelRefusedError('features', `The features do not hold what the model's input ${input} takes.`);
}

function scoresOf(output: Tensor | undefined, columns: number): Float32Array {
  if (output === undefined || output.type !== 'float32' || !(output.data instanceof Float32Array)) throw badOutput('is not float32');
  const { dims, data } = output;
  if (dims.length !== 2 || dims[0] !== 1 || dims[1] !== columns || data.length !== columns) throw badOutput(`has the shape [${dims.join(', ')}] instead of [1, ${columns}]`);
  for (const score of data) if (!Number.isFinite(score)) throw badOutput(`holds ${String(score)}`);
  return data.slice();
}

function badOutput(problem: string): ModelRefusedError {
  return new ModelRefusedError('bad_output', `The model's output ${problem}.`);
}

/** onnxruntime adds source positions of its own to what it says. */
export function brief(error: unknown): string {
  return describeUnknown(error).replaceAll(/\S+\.(?:cc|h):\d+ ?/g, '').slice(0, 300);
}
