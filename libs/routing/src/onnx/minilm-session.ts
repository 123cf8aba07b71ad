import { InferenceSession, Tensor } from 'onnxruntime-node';

/** A sentence transformer: token ids in, the mean of the last hidden states out. */
export interface MinilmSession {
  readonly dimensions: number;
  /**
   * `ids`: `batch` texts of the same number of tokens, behind each other. Returns `batch` × `dimensions` means over the tokens, not normalised.
   * Rejects for values that are not finite and for an output of another shape.
   */
  meanPool(ids: BigInt64Array, batch: number): Promise<Float32Array>;
  close(): Promise<void>;
}

/** Ids that every vocabulary has. */
const PROBE = BigInt64Array.of(0n, 1n);

/**
 * Opens an ONNX file with the inputs `input_ids`, `attention_mask`, `token_type_ids` (int64 [batch, sequence]; the last may be missing) and the output
 * `last_hidden_state` (float32 [batch, sequence, dimensions]). One thread per run: more of them fight with the event loop for the same cores.
 * Runs are asynchronous in a thread of the runtime. Throws when the file is no such model; one probe run finds its dimensions.
 */
export async function openMinilmSession(path: string): Promise<MinilmSession> {
  const session = await InferenceSession.create(path, {
    executionProviders: ['cpu'],
    intraOpNumThreads: 1,
    interOpNumThreads: 1,
    executionMode: 'sequential',
    graphOptimizationLevel: 'all',
    logSeverityLevel: 3,
  });
  const missing = ['input_ids', 'attention_mask'].filter((name) => !session.inputNames.includes(name));
  const [output] = session.outputNames.includes('last_hidden_state') ? ['last_hidden_state'] : session.outputNames;
  try {
    if (missing.length > 0 || output === undefined) throw new RangeError(`The embedder's ONNX model has no input ${missing.join(', ')}.`);
    const dimensions = (await runHidden(session, PROBE, 1, output)).dims[2]!;
    return {
      dimensions,
      async meanPool(ids, batch) {
        return mean(await runHidden(session, ids, batch, output), dimensions);
      },
      close: () => session.release(),
    };
  } catch (error) {
    await session.release();
    throw error;
  }
}

async function runHidden(session: InferenceSession, ids: BigInt64Array, batch: number, output: string): Promise<Tensor> {
  const shape = [batch, ids.length / batch];
  const feeds: Record<string, Tensor> = {
    input_ids: new Tensor('int64', ids, shape),
    attention_mask: new Tensor('int64', new BigInt64Array(ids.length).fill(1n), shape),
  };
  if (session.inputNames.includes('token_type_ids')) feeds['token_type_ids'] = new Tensor('int64', new BigInt64Array(ids.length), shape);
  const hidden = (await session.run(feeds, [output]))[output];
  if (hidden === undefined || hidden.type !== 'float32' || hidden.dims.length !== 3 || hidden.dims[0] !== shape[0] || hidden.dims[1] !== shape[1]) {
    throw new RangeError(`The embedder's ONNX model gave ${hidden?.type ?? 'nothing'} of shape [${hidden?.dims.join(', ') ?? ''}] for [${shape.join(', ')}].`);
  }
  return hidden;
}

function mean(hidden: Tensor, dimensions: number): Float32Array {
  const [batch, sequence, width] = hidden.dims as [number, number, number];
  if (width !== dimensions) throw new RangeError(`The embedder's ONNX model gave ${width} dimensions instead of ${dimensions}.`);
  const values = hidden.data as Float32Array;
  const pooled = new Float32Array(batch * dimensions);
  for (let text = 0; text < batch; text += 1) {
    for (let dimension = 0; dimension < dimensions; dimension += 1) {
      let sum = 0;
      for (let token = 0; token < sequence; token += 1) sum += values[(text * sequence + token) * dimensions + dimension]!;
      if (!Number.isFinite(sum)) throw new RangeError("The embedder's ONNX model gave a value that is not finite.");
      pooled[text * dimensions + dimension] = sum / sequence;
    }
  }
  return pooled;
}
