import { distance } from 'fastest-levenshtein';

/** Longer names are not compared: the edit distance costs length × length, and nobody mistypes a kilobyte. */
const LONGEST_COMPARED = 100;

/**
 * The known name that a reader of an error would want to see, or undefined when none is close.
 * Close is at most a third of the name's length in edits (at least two), or the only one that goes on from it: generous, because it is advice only.
 */
export function nearestName(name: string, known: Iterable<string>): string | undefined {
  const limit = Math.max(2, Math.floor(name.length / 3));
  const names = [...known];
  const best = closest(name, names, limit);
  if (best !== undefined) return best.name;
  const longer = name.length < 4 ? [] : names.filter((candidate) => candidate.startsWith(name));
  return longer.length === 1 ? longer[0] : undefined;
}

/**
 * The known name of which `name` is surely a slip of the keyboard, or undefined.
 * Strict, because the caller refuses the file: same letters in another case or with `-` for `_`, one edit in names
 * of four to six letters (two swapped neighbours count as one), two in longer ones. `top_n` beside `top_k` would pass for a slip,
 * therefore callers list what providers are known to take.
 */
export function slipOf(name: string, known: Iterable<string>): string | undefined {
  const best = closest(name, known, 2);
  if (best === undefined) return undefined;
  if (best.edits === 0) return best.name;
  const shorter = Math.min(name.length, best.name.length);
  const limit = shorter < 4 ? 0 : shorter < 7 ? 1 : 2;
  return best.edits <= limit ? best.name : undefined;
}

/** The nearest name within `limit` edits. Names whose lengths differ by more are not looked at: most of hundreds. */
function closest(name: string, known: Iterable<string>, limit: number): { readonly name: string; readonly edits: number } | undefined {
  if (name.length > LONGEST_COMPARED) return undefined;
  const folded = fold(name);
  let best: { name: string; edits: number } | undefined;
  for (const candidate of known) {
    if (Math.abs(candidate.length - name.length) > limit) continue;
    const edits = editsBetween(folded, fold(candidate));
    if (edits <= limit && (best === undefined || edits < best.edits)) best = { name: candidate, edits };
    if (edits === 0) break;
  }
  return best;
}

function fold(name: string): string {
  return name.toLowerCase().replaceAll('-', '_');
}

/** Levenshtein distance, with one swap of neighbours counted as one edit: `modle` is as near to `model` as `mdel` is. */
function editsBetween(left: string, right: string): number {
  if (left.length === right.length && isOneSwap(left, right)) return 1;
  return distance(left, right);
}

function isOneSwap(left: string, right: string): boolean {
  let index = 0;
  while (index < left.length && left[index] === right[index]) index += 1;
  return index < left.length - 1 && left[index] === right[index + 1] && left[index + 1] === right[index] && left.slice(index + 2) === right.slice(index + 2);
}
