import { createHash } from 'node:crypto';
import type { OutcomeRow } from './outcome-row.ts';

/** SHA-256 (hex) over the rows in their order, each as canonical JSON: the same rows give the same digest whatever file format or compression they came in. */
export function datasetDigest(rows: readonly OutcomeRow[]): string {
  const hash = createHash('sha256');
  for (const row of rows) {
    const quality = [...row.quality].sort(([a], [b]) => (a < b ? -1 : 1));
    hash.update(JSON.stringify([row.id, row.prompt ?? null, quality, row.weight, row.features === undefined ? null : [[...row.features.text], [...row.features.embedding], [...(row.features.ngramIndex ?? [])], [...(row.features.ngramValue ?? [])]]]));
    hash.update('\n');
  }
  return hash.digest('hex');
}
