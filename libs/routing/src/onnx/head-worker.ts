import { parentPort, workerData } from 'node:worker_threads';
import { describeUnknown } from '@pointsman/errors';
import { checkCausalLmInterface, openCausalLmSession } from './causal-lm-session.ts';
import { checkHeadInterface } from './check-head-interface.ts';
import type { HeadReply, HeadRequest, HeadWorkerData, ToldRefusal } from './head-messages.ts';
import { openHeadSession } from './head-session.ts';
import { inspectModel } from './inspect-model.ts';
import { ModelRefusedError } from './model-refused-error.ts';
import { HEAD_OPERATORS, TRANSFORMER_OPERATORS } from './operators.ts';
import { blankFeatures, warmUp } from './warm-up.ts';

/** The thread that a head is loaded in, and for a large or slow one the thread that it runs in. Answers in the order of the questions. */
if (parentPort === null) throw new Error('This file is the entry of a worker.');
const port = parentPort;
const reply = (message: HeadReply): void => port.postMessage(message);

function told(error: unknown): ToldRefusal {
  return error instanceof ModelRefusedError ? { refusal: error.refusal, message: error.message } : { refusal: 'load_failed', message: describeUnknown(error) };
}

try {
  const { path, maxBytes, candidates, embedder, causal } = workerData as HeadWorkerData;
  const facts = inspectModel(path, { maxBytes, operators: causal === undefined ? HEAD_OPERATORS : TRANSFORMER_OPERATORS });
  if (causal !== undefined) checkCausalLmInterface(facts);
  const inputs = causal === undefined ? checkHeadInterface(facts, { candidates: [...candidates], features: { version: 1, embedder } }) : [];
  const session = causal === undefined ? await openHeadSession(path, { inputs, columns: candidates.length }) : await openCausalLmSession(path, causal);
  const blank = causal === undefined ? blankFeatures(facts) : { prompt: '' };
  const runMs = await warmUp(session, blank);
  let last = Promise.resolve();
  port.on('message', (request: HeadRequest) => {
    if ('close' in request) {
      last = last.then(() => session.release()).finally(() => port.close());
      return;
    }
    const { id, features } = request;
    last = last.then(() => session.run(features)).then((scores) => reply({ kind: 'scores', id, scores }), (error: unknown) => reply({ kind: 'failed', id, problem: told(error) }));
  });
  reply({ kind: 'ready', inputs, fileBytes: facts.fileBytes, weightBytes: facts.weightBytes, runMs, blank });
} catch (error) {
  reply({ kind: 'refused', problem: told(error) });
}
