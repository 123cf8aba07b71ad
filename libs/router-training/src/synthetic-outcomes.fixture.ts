import { gzipSync } from 'node:zlib';
import { seededRandom } from '@pointsman/routing';

const EASY = ['hello', 'weather', 'colour', 'name', 'city', 'animal', 'fruit', 'music'];
const HARD = ['integral', 'theorem', 'eigenvalue', 'proof', 'quantum', 'entropy', 'manifold', 'lemma'];
const FILLER = ['tell', 'me', 'about', 'the', 'some', 'please', 'now', 'with', 'care', 'and', 'detail'];

export interface SyntheticRow {
  readonly id: string;
  readonly prompt: string;
  readonly scores: Readonly<Record<string, number>>;
  readonly hard: boolean;
}

/**
 * Made-up questions with a known optimum: half of them hold hard words, which only `strong` can answer; `weak` and `strong` answer the rest, `code` is in between.
 * A share of outcomes is turned round: labels of real traffic are noisy too.
 */
export function syntheticRows(count: number, seed: number, { models = ['strong', 'weak'], noise = 0.1 }: { readonly models?: readonly string[]; readonly noise?: number } = {}): SyntheticRow[] {
  const random = seededRandom(seed);
  const pick = (words: readonly string[]): string => words[Math.floor(random() * words.length)]!;
  return Array.from({ length: count }, (_, index) => {
    const hard = random() < 0.5;
    const words = Array.from({ length: 6 + Math.floor(random() * 6) }, () => pick(FILLER));
    for (let word = 0; word < 3; word += 1) words[Math.floor(random() * words.length)] = pick(hard ? HARD : EASY);
    const scores = Object.fromEntries(models.map((model) => {
      const good = model === 'strong' || (model === 'code' ? random() < 0.7 : !hard);
      return [model, (random() < noise) === good ? 0 : 1];
    }));
    return { id: `made-up/${index}`, prompt: `${words.join(' ')} ${index}?`, scores, hard };
  });
}

/** A gzipped data file of rows. */
export function gzipLines(rows: readonly object[]): Buffer {
  return gzipSync(rows.map((row) => `${JSON.stringify(row)}\n`).join(''));
}
