import { hash32 } from './seeded-random.ts';

/**
 * A unit vector for a text: every word and three-letter run adds ±1 at a place its hash names (feature hashing).
 * Texts that share words are near each other, which is all a demonstration of similarity needs.
 */
export function embedText(text: string, dimensions: number): number[] {
  const vector = new Array<number>(dimensions).fill(0);
  const words = text.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? [''];
  const add = (feature: string, weight: number): void => {
    const hash = hash32(feature);
    const place = hash % dimensions;
    vector[place] = (vector[place] ?? 0) + ((hash >>> 31) === 0 ? weight : -weight);
  };
  for (const word of words) {
    add(word, 1);
    for (let start = 0; start + 3 <= word.length; start += 1) add(`#${word.slice(start, start + 3)}`, 0.3);
  }
  const length = Math.hypot(...vector);
  return length === 0 ? vector.map((_, index) => (index === 0 ? 1 : 0)) : vector.map((value) => value / length);
}

/** Little-endian float32 in base64: what OpenAI's clients ask for by default (`encoding_format: base64`). */
export function toBase64Floats(vector: readonly number[]): string {
  const bytes = Buffer.alloc(vector.length * 4);
  vector.forEach((value, index) => bytes.writeFloatLE(value, index * 4));
  return bytes.toString('base64');
}
