import { distance } from 'fastest-levenshtein';

/** Longer names are not compared: the edit distance costs length × length, and nobody mistypes more. */
const LONGEST_COMPARED = 64;

/** The known field that a mistyped one most likely means, or undefined when none is close (a third of its letters, at least two). */
export function nearestField(name: string, known: Iterable<string>): string | undefined {
  if (name.length > LONGEST_COMPARED) return undefined;
  let best: string | undefined;
  let fewest = Math.max(2, Math.floor(name.length / 3)) + 1;
  for (const candidate of known) {
    const edits = distance(name.toLowerCase(), candidate.toLowerCase());
    if (edits < fewest) {
      best = candidate;
      fewest = edits;
    }
  }
  return best;
}
