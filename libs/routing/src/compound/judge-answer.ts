import type { RouterModel } from '../onnx/router-model.ts';
import { qualityOfCandidates } from '../learned/quality-of-candidates.ts';
import type { HeldAnswer, Verdict } from './compound.ts';
import { judgeByRule } from './judge-by-rule.ts';
import { verifierFeatures } from './verifier-extractor.ts';

/**
 * The verdict of a trained verifier: it predicts how good the held answer is and how good the next candidate's would be; the next one is asked where the difference is
 * above `threshold`. Candidates are found among the columns by name, or as `weak` and `strong`; those that are not are read as the model that the verifier was trained to
 * look at (the first column) and the best of its others. A verifier with one column predicts the held answer alone, and the next one's is taken to be right.
 *
 * What no model needs to look at is decided before: an empty or broken answer always escalates, a call of tools and JSON that is JSON never do.
 * Rejects when the model does.
 */
export async function judgeAnswer(model: RouterModel, held: HeldAnswer, threshold: number): Promise<Verdict> {
  const plain = judgeByRule(held);
  if (plain.reason === 'tool_call' || plain.reason === 'empty' || plain.reason === 'truncated' || held.wantsJson) return plain;
  const { manifest } = model;
  const scores = await model.predict(verifierFeatures(held.question, held.answer));
  const { read, isBelieved } = qualityOfCandidates(manifest, [held.by, held.next]);
  const known = read(scores);
  // A verifier looks at answers: what it learned of one pair of models says more of another pair than a belief does.
  const now = isBelieved[0] === true ? scores[0] ?? NaN : known[0] ?? NaN;
  const then = isBelieved[1] === true ? bestOf(scores.subarray(1)) : known[1] ?? NaN;
  const gain = then - now;
  return { escalate: gain > threshold, reason: 'verifier', gain: Math.max(-1, Math.min(1, gain)), modelVersion: manifest.version };
}

/** The best of the columns; 1 where there is none. */
function bestOf(scores: Float32Array): number {
  return scores.length === 0 ? 1 : Math.max(...scores);
}
