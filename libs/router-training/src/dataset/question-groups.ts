import type { OutcomeRow } from './outcome-row.ts';

/** Long prompts that begin alike share a reading passage: one length for what counts as long, one for how much must agree. */
const LONG_CHARS = 400;
const PASSAGE_CHARS = 200;

/**
 * A number per row, equal for rows that must not be parted between training and testing: the same prompt, the same question with other choices,
 * or questions on the same passage. Without this a router that memorises looks good.
 */
export function questionGroups(rows: readonly OutcomeRow[]): Int32Array {
  const parent = Int32Array.from(rows, (_, index) => index);
  const find = (index: number): number => {
    let root = index;
    while (parent[root] !== root) root = parent[root]!;
    while (parent[index] !== root) [index, parent[index]] = [parent[index]!, root];
    return root;
  };
  const firstWith = new Map<string, number>();
  rows.forEach((row, index) => {
    for (const key of keysOf(row)) {
      const first = firstWith.get(key);
      if (first === undefined) firstWith.set(key, index);
      else parent[find(index)] = find(first);
    }
  });
  return Int32Array.from(rows, (_, index) => find(index));
}

function keysOf(row: OutcomeRow): string[] {
  if (row.prompt === undefined) return [row.id];
  const stem = questionStem(row.prompt);
  return stem.length >= LONG_CHARS ? [stem, stem.slice(0, PASSAGE_CHARS)] : [stem];
}

/** The question without its choices, lower case, letters and digits only. The whole prompt where nothing would be left. */
export function questionStem(prompt: string): string {
  const choices = prompt.search(/\n\s*\(?A[.):]\s/);
  const stem = normalise(choices > 0 ? prompt.slice(0, choices) : prompt);
  return stem === '' ? normalise(prompt) : stem;
}

function normalise(text: string): string {
  return text.toLowerCase().replaceAll(/[^\p{L}\p{N}]+/gu, ' ').trim();
}
