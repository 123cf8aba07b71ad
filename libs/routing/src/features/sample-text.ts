/** Longest text, in UTF-16 code units, that the features read whole. */
export const WHOLE_TEXT_LIMIT = 8_192;
const PART = WHOLE_TEXT_LIMIT / 2;

/**
 * What the features read of a text: all of it up to 8,192 UTF-16 code units (about 2,000 tokens), else its first and its last 4,096 of them, because
 * a long prompt says what it wants at its start or at its end (documents stand between). Never empty: at least one part, which may be ''.
 * No n-gram and no word goes from one part to the other.
 */
export function sampleText(text: string): readonly string[] {
  if (text.length <= WHOLE_TEXT_LIMIT) return [text];
  return [text.slice(0, PART), text.slice(text.length - PART)];
}
