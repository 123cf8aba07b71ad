import { extname } from 'node:path';
import { Worker } from 'node:worker_threads';
import { AppError } from '@pointsman/errors';

/** A sentence transformer: token ids in, the mean of the last hidden states out. */
export interface MinilmSession {
  readonly dimensions: number;
  /**
   * `ids`: `batch` texts of the same number of tokens, behind each other. Returns `batch` × `dimensions` means over the tokens, not normalised.
   * Rejects for values that are not finite and for an output of another shape, with an AppError `embedder_busy` when too many runs wait, and with
   * `embedder_closed` when the thread has ended.
   */
  meanPool(ids: BigInt64Array, batch: number): Promise<Float32Array>;
  /** Ends once the runs that wait are done. */
  close(): Promise<void>;
}

export type MinilmRequest = { readonly id: number; readonly ids: BigInt64Array; readonly batch: number } | { readonly close: true };

export type MinilmReply =
  | { readonly kind: 'ready'; readonly dimensions: number }
  | { readonly kind: 'refused'; readonly problem: string }
  | { readonly kind: 'pooled'; readonly id: number; readonly pooled: Float32Array }
  | { readonly kind: 'failed'; readonly id: number; readonly problem: string };

/** Runs that may wait. A run takes tens of milliseconds: who would be behind these is answered sooner without an embedding. */
export const MAX_WAITING_RUNS = 64;

interface Waiting {
  resolve(pooled: Float32Array): void;
  reject(error: Error): void;
}

/**
 * Opens an ONNX file with the inputs `input_ids`, `attention_mask`, `token_type_ids` (int64 [batch, sequence]; the last may be missing) and the output
 * `last_hidden_state` (float32 [batch, sequence, dimensions]). It is loaded and run in a thread of its own, one run after the other: onnxruntime-node
 * computes on the thread that calls it, and tens of milliseconds are too long for an event loop that serves streams.
 * Rejects when the file is no such model; one probe run finds its dimensions.
 */
export async function openMinilmSession(path: string): Promise<MinilmSession> {
  const worker = new Worker(new URL(`./minilm-worker${extname(import.meta.url)}`, import.meta.url), { workerData: { path }, env: {}, execArgv: [], name: 'minilm' });
  const waiting = new Map<number, Waiting>();
  let asked = 0;
  let gone: Error | undefined;
  let closing = false;
  const end = (error: Error): void => {
    gone ??= error;
    for (const { reject } of waiting.values()) reject(gone);
    waiting.clear();
  };
  const exited = new Promise<void>((resolve) => {
    worker.once('exit', () => {
      end(new AppError('unavailable', 'embedder_closed', "The embedder's thread has ended."));
      resolve();
    });
  });

  const dimensions = await new Promise<number>((resolve, reject) => {
    worker.once('error', (error) => {
      const failed = new AppError('unavailable', 'embedder_closed', "The embedder's thread failed.", { cause: error });
      end(failed);
      reject(failed);
    });
    worker.once('exit', () => reject(new AppError('unavailable', 'embedder_closed', "The embedder's thread ended while it was loading.")));
    worker.on('message', (reply: MinilmReply) => {
      if (reply.kind === 'ready') resolve(reply.dimensions);
      else if (reply.kind === 'refused') reject(new RangeError(reply.problem));
      else {
        const caller = waiting.get(reply.id);
        waiting.delete(reply.id);
        if (waiting.size === 0) worker.unref();
        if (reply.kind === 'pooled') caller?.resolve(reply.pooled);
        else caller?.reject(new RangeError(reply.problem));
      }
    });
  }).catch(async (error: unknown) => {
    await worker.terminate();
    throw error;
  });
  // An idle embedder must not keep a process alive that has nothing else to do; one that is asked must.
  worker.unref();

  const send = (request: MinilmRequest): void => worker.postMessage(request);
  return {
    dimensions,
    meanPool(ids, batch) {
      if (gone !== undefined || closing) return Promise.reject(gone ?? new AppError('unavailable', 'embedder_closed', 'The embedder is closed.'));
      if (waiting.size >= MAX_WAITING_RUNS) return Promise.reject(new AppError('unavailable', 'embedder_busy', `The embedder has ${MAX_WAITING_RUNS} prompts waiting.`));
      asked += 1;
      const id = asked;
      return new Promise((resolve, reject) => {
        if (waiting.size === 0) worker.ref();
        waiting.set(id, { resolve, reject });
        send({ id, ids, batch });
      });
    },
    async close() {
      if (!closing && gone === undefined) {
        closing = true;
        worker.ref();
        send({ close: true });
      }
      await exited;
    },
  };
}
