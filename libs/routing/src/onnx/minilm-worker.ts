import { parentPort, workerData } from 'node:worker_threads';
import { describeUnknown } from '@pointsman/errors';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import type { MinilmReply, MinilmRequest } from './minilm-session.ts';

/** The thread of an embedder's network: one run at a time, answers in the order of the questions. */
if (parentPort === null) throw new Error('This file is the entry of a worker.');
const port = parentPort;
const reply = (message: MinilmReply): void => port.postMessage(message);

/** Ids that every vocabulary has. */
const PROBE = BigInt64Array.of(0n, 1n);

interface Network {
  readonly session: InferenceSession;
  readonly output: string;
}

async function openNetwork(path: string): Promise<Network> {
  const session = await InferenceSession.create(path, {
    executionProviders: ['cpu'], intraOpNumThreads: 1, interOpNumThreads: 1, executionMode: 'sequential', graphOptimizationLevel: 'all', logSeverityLevel: 4,
    extra: { session: { intra_op: { allow_spinning: '0' }, inter_op: { allow_spinning: '0' } } },
  });
  const missing = ['input_ids', 'attention_mask'].filter((name) => !session.inputNames.includes(name));
  const [output] = session.outputNames.includes('last_hidden_state') ? ['last_hidden_state'] : session.outputNames;
  if (missing.length > 0 || output === undefined) throw new RangeError(`The embedder's ONNX model has no input ${missing.join(', ')}.`);
  return { session, output };
}

async function runHidden({ session, output }: Network, ids: BigInt64Array, batch: number): Promise<Tensor> {
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

function mean(hidden: Tensor, dimensions: number): Float32Array<ArrayBuffer> {
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

try {
  const network = await openNetwork((workerData as { readonly path: string }).path);
  const dimensions = (await runHidden(network, PROBE, 1)).dims[2]!;
  let last = Promise.resolve();
  port.on('message', (request: MinilmRequest) => {
    if ('close' in request) {
      last = last.then(() => network.session.release()).finally(() => port.close());
      return;
    }
    const { id, ids, batch } = request;
    last = last.then(async () => mean(await runHidden(network, ids, batch), dimensions)).then(
      (pooled) => reply({ kind: 'pooled', id, pooled }),
      (error: unknown) => reply({ kind: 'failed', id, problem: error instanceof Error ? error.message : describeUnknown(error) }),
    );
  });
  reply({ kind: 'ready', dimensions });
} catch (error) {
  reply({ kind: 'refused', problem: error instanceof Error ? error.message : describeUnknown(error) });
}
