import { TEXT_FEATURES } from '../../features/text-features.ts';

/** Of the text features, those that tell tasks apart; the model of a candidate grows with the square of their number. Changing the list changes `BANDIT_LAYOUT`. */
export const BANDIT_FEATURES: readonly (typeof TEXT_FEATURES)[number][] = [
  'characters', 'words', 'lines', 'before_choices', 'digit_share', 'punctuation_share', 'word_length', 'long_words', 'type_token_ratio', 'numbers', 'largest_number',
  'negations', 'question_marks', 'question_words', 'comparisons', 'reasoning', 'arithmetic', 'mathematics', 'code_words', 'instructions', 'persons', 'math_signs',
  'latex', 'code_signs', 'choices', 'bullets', 'non_ascii_share', 'turns', 'images', 'tools', 'system',
];

/** Features and the constant in front of them. */
export const BANDIT_DIMENSIONS = BANDIT_FEATURES.length + 1;

/** Statistics are added only to statistics of the same layout: 1 for this list of features over version 1 of the text features. */
export const BANDIT_LAYOUT = 1;

/**
 * One step of a feature. A power of two: products of features and sums of them are then exact in binary64, so that replicas that add the same rewards
 * in another order come to the same sums to the last bit.
 */
const STEP = 1 / 512;

const COLUMNS = BANDIT_FEATURES.map((name) => TEXT_FEATURES.indexOf(name));

/** The features as they are decided by and remembered: one byte each, of [0, 1] in 255 steps. Text features without any (no prompt was read): all 0. */
export function banditFeatures(text: Float32Array | undefined): Uint8Array {
  const bytes = new Uint8Array(COLUMNS.length);
  if (text === undefined || text.length < TEXT_FEATURES.length) return bytes;
  for (let index = 0; index < COLUMNS.length; index += 1) {
    const value = text[COLUMNS[index] ?? 0] ?? 0;
    bytes[index] = value <= 0 ? 0 : value >= 1 ? 255 : Math.round(value * 255);
  }
  return bytes;
}

/** x of the linear model: 1, then the features scaled to [0, ½], so that no direction weighs more than the constant. Written into `into`, of `BANDIT_DIMENSIONS`. */
export function designVector(bytes: Uint8Array, into: Float64Array = new Float64Array(BANDIT_DIMENSIONS)): Float64Array {
  into[0] = 1;
  for (let index = 1; index < BANDIT_DIMENSIONS; index += 1) into[index] = (bytes[index - 1] ?? 0) * STEP;
  return into;
}
