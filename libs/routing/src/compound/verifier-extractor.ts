import { FEATURE_VERSION } from '../features/create-feature-extractor.ts';
import type { FeatureExtractor, PromptFeatures } from '../features/prompt-features.ts';
import { answerFeatures } from './answer-features.ts';

/** Strategy of artifacts that look at answers: their input `text` holds `ANSWER_FEATURES`. */
export const VERIFIER_STRATEGY = 'llmrouter-automix';

/** Between question and answer in the golden prompts of a verifier's manifest: the record separator of ASCII, which neither holds. */
export const ANSWER_SEPARATOR = '\u001e';

const NO_EMBEDDING = new Float32Array(0);

/** What a verifier is fed for a question and an answer. Without n-grams and embedding. */
export function verifierFeatures(question: string, answer: string): PromptFeatures {
  return { text: answerFeatures(question, answer), ngramIndex: Int32Array.of(0), ngramValue: Float32Array.of(0), embedding: NO_EMBEDDING };
}

/** Reads `question␞answer`; what has no separator is a question without an answer. For the self-test of a verifier's artifact. */
export function createVerifierExtractor(): FeatureExtractor {
  return {
    version: FEATURE_VERSION,
    embedder: { name: 'none', sha256: '', dimensions: 0 },
    extract({ text }) {
      const at = text.indexOf(ANSWER_SEPARATOR);
      return at === -1 ? verifierFeatures(text, '') : verifierFeatures(text.slice(0, at), text.slice(at + 1));
    },
    close() {},
  };
}
