import { extname } from 'node:path';
import { Worker } from 'node:worker_threads';
import type { HeadReply, HeadRequest, HeadWorkerData } from './head-messages.ts';
import type { HeadFeatures, HeadSession } from './head-session.ts';
import { ModelRefusedError } from './model-refused-error.ts';
import type { HeadInput } from './router-model.ts';

/** A head in a thread of its own: a run of any length leaves the caller's event loop free. */
export interface HeadThread extends HeadSession {
  readonly inputs: readonly HeadInput[];
  readonly fileBytes: number;
  readonly weightBytes: number;
  /** Median time of one run, milliseconds. */
  readonly runMs: number;
  /** Features of the right shape, all zero. */
  readonly blank: HeadFeatures;
}

interface Waiting {
  resolve(scores: Float32Array): void;
  reject(error: Error): void;
}

/**
 * Starts the thread; it inspects and loads the head and runs it a few times.
 * @throws ModelRefusedError for whatever is wrong with the model; the signal's reason
 */
export async function startHeadThread(data: HeadWorkerData, signal: AbortSignal | undefined): Promise<HeadThread> {
  signal?.throwIfAborted();
  const worker = new Worker(new URL(`./head-worker${extname(import.meta.url)}`, import.meta.url), { workerData: data, env: {}, execArgv: [], name: 'router-model' });
  const waiting = new Map<number, Waiting>();
  let asked = 0;
  let gone: Error | undefined;
  const end = (error: Error): void => {
    gone ??= error;
    for (const { reject } of waiting.values()) reject(gone);
    waiting.clear();
  };
  const exited = new Promise<void>((resolve) => {
    worker.once('exit', () => {
      end(new ModelRefusedError('crashed', 'The thread of the model has ended.'));
      resolve();
    });
  });

  const ready = await new Promise<Extract<HeadReply, { kind: 'ready' }>>((resolve, reject) => {
    const abort = (): void => reject(signal?.reason instanceof Error ? signal.reason : new Error('Loading was stopped.'));
    signal?.addEventListener('abort', abort, { once: true });
    worker.once('error', (error) => {
      end(error instanceof Error ? error : new Error('The thread of the model failed.'));
      reject(new ModelRefusedError('crashed', 'The thread of the model failed.', error));
    });
    worker.once('exit', () => reject(new ModelRefusedError('crashed', 'The thread of the model ended while it was loading.')));
    worker.on('message', (reply: HeadReply) => {
      if (reply.kind === 'ready') {
        signal?.removeEventListener('abort', abort);
        resolve(reply);
      } else if (reply.kind === 'refused') reject(new ModelRefusedError(reply.problem.refusal, reply.problem.message));
      else {
        const caller = waiting.get(reply.id);
        waiting.delete(reply.id);
        if (waiting.size === 0) worker.unref();
        if (reply.kind === 'scores') caller?.resolve(reply.scores);
        else caller?.reject(new ModelRefusedError(reply.problem.refusal, reply.problem.message));
      }
    });
  }).catch(async (error: unknown) => {
    await worker.terminate();
    throw error;
  });
  // An idle model must not keep a process alive that has nothing else to do; one that is asked must.
  worker.unref();

  const send = (request: HeadRequest): void => worker.postMessage(request);
  const { inputs, fileBytes, weightBytes, runMs, blank } = ready;
  return {
    inputs, fileBytes, weightBytes, runMs, blank,
    run(features) {
      if (gone !== undefined) return Promise.reject(gone);
      asked += 1;
      const id = asked;
      return new Promise((resolve, reject) => {
        if (waiting.size === 0) worker.ref();
        waiting.set(id, { resolve, reject });
        send({ id, features: pick(features, inputs) });
      });
    },
    async release() {
      worker.ref();
      send({ close: true });
      await exited;
    },
  };
}

/** Only what the head reads is copied to its thread. */
function pick({ text, embedding, ngramIndex, ngramValue, prompt }: HeadFeatures, inputs: readonly HeadInput[]): HeadFeatures {
  if (prompt !== undefined) return { prompt };
  return {
    ...(inputs.includes('text') && text !== undefined ? { text } : {}),
    ...(inputs.includes('embedding') && embedding !== undefined ? { embedding } : {}),
    ...(inputs.includes('ngram_index') && ngramIndex !== undefined ? { ngramIndex } : {}),
    ...(inputs.includes('ngram_value') && ngramValue !== undefined ? { ngramValue } : {}),
  };
}
