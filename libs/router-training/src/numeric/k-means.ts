import { shuffled } from '../dataset/folds.ts';
import { dot } from './linear-algebra.ts';

/** Spherical k-means over unit rows (Dhillon and Modha 2001): centres of length 1, found in at most 15 rounds from random rows. Deterministic for a random source. */
export function sphericalKMeans(rows: Float64Array, width: number, clusters: number, random: () => number): { readonly centres: Float64Array; readonly assigned: Int32Array } {
  const count = rows.length / width;
  const size = Math.min(clusters, count);
  const centres = new Float64Array(size * width);
  shuffled(Array.from({ length: count }, (_, row) => row), random).slice(0, size).forEach((row, cluster) => centres.set(rows.subarray(row * width, (row + 1) * width), cluster * width));
  const assigned = new Int32Array(count).fill(-1);
  for (let round = 0; round < 15; round += 1) {
    let moved = 0;
    for (let row = 0; row < count; row += 1) {
      const nearest = nearestCentre(rows.subarray(row * width, (row + 1) * width), centres);
      if (nearest !== assigned[row]) moved += 1;
      assigned[row] = nearest;
    }
    if (moved === 0) break;
    const sums = new Float64Array(centres.length);
    assigned.forEach((cluster, row) => {
      for (let column = 0; column < width; column += 1) sums[cluster * width + column]! += rows[row * width + column]!;
    });
    for (let cluster = 0; cluster < size; cluster += 1) {
      const sum = sums.subarray(cluster * width, (cluster + 1) * width);
      const norm = Math.sqrt(dot(sum, sum));
      // A cluster that lost all its rows keeps its centre.
      if (norm > 0) centres.set(sum.map((value) => value / norm), cluster * width);
    }
  }
  return { centres, assigned };
}

function nearestCentre(row: Float64Array, centres: Float64Array): number {
  const width = row.length;
  let best = 0;
  let highest = -Infinity;
  for (let start = 0; start < centres.length; start += width) {
    let similarity = 0;
    for (let column = 0; column < width; column += 1) similarity += row[column]! * centres[start + column]!;
    if (similarity > highest) [highest, best] = [similarity, start / width];
  }
  return best;
}
