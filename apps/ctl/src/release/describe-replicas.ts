import type { ReplicaReading } from '@pointsman/rollout';
import { formatTable } from '../format-table.ts';
import { printable } from '../printable.ts';

/** Which revision is which. */
export interface KnownRevisions {
  readonly stable: string | undefined;
  readonly canary?: string | undefined;
}

export function armOf(revision: string, { stable, canary }: KnownRevisions): 'stable' | 'canary' | 'none' | 'other' {
  if (revision === '') return 'none';
  return revision === stable ? 'stable' : revision === canary ? 'canary' : 'other';
}

/** A table of who serves what. */
export function describeReplicas(readings: readonly ReplicaReading[], known: KnownRevisions, columns: number | undefined): string {
  return formatTable([['REPLICA', 'REVISION', 'WHICH', 'NOTE'], ...readings.map((reading) => ('problem' in reading
    ? [reading.replica, '-', 'not answering', reading.problem]
    : [reading.replica, reading.revision === '' ? '-' : reading.revision, armOf(reading.revision, known), reading.lastRejected === undefined ? '' : `refused ${reading.lastRejected.revision}: ${reading.lastRejected.reason}`]).map(printable))], columns);
}
