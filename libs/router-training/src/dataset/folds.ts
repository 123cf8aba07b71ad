import { seededRandom } from '@pointsman/routing';

export interface FoldInput {
  /** Rows of one group stay together: see `questionGroups`. */
  readonly groups: Int32Array;
  /** Rows of one stratum are spread evenly. */
  readonly strata: readonly string[];
  readonly folds: number;
  readonly seed: number;
}

/** The fold (0 to folds - 1) of every row. Deterministic for a seed. */
export function assignFolds({ groups, strata, folds, seed }: FoldInput): Int32Array {
  const members = new Map<number, number[]>();
  groups.forEach((group, row) => {
    const rows = members.get(group);
    if (rows === undefined) members.set(group, [row]);
    else rows.push(row);
  });
  const order = shuffled([...members.values()], seededRandom(seed)).sort((a, b) => b.length - a.length);
  const total = new Float64Array(folds);
  const perStratum = new Map<string, Float64Array>();
  const result = new Int32Array(groups.length);
  for (const rows of order) {
    const stratum = strata[rows[0]!]!;
    const counts = perStratum.get(stratum) ?? new Float64Array(folds);
    perStratum.set(stratum, counts);
    let best = 0;
    for (let fold = 1; fold < folds; fold += 1) {
      if (counts[fold]! < counts[best]! || (counts[fold] === counts[best] && total[fold]! < total[best]!)) best = fold;
    }
    for (const row of rows) result[row] = best;
    counts[best]! += rows.length;
    total[best]! += rows.length;
  }
  return result;
}

/** A new array in random order (Fisher and Yates). */
export function shuffled<T>(values: readonly T[], random: () => number): T[] {
  const result = [...values];
  for (let last = result.length - 1; last > 0; last -= 1) {
    const other = Math.floor(random() * (last + 1));
    [result[last], result[other]] = [result[other]!, result[last]!];
  }
  return result;
}
