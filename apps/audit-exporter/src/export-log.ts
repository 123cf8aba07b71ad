import type { ExportContext } from './export-context.ts';
import { planSegment, type SegmentLimits } from './plan-segment.ts';
import { writeManifests } from './write-manifests.ts';
import { writeParts } from './write-parts.ts';

/** Parts wait for their manifest no longer than this many segments. */
const SEGMENTS_PER_MANIFEST = 64;

/**
 * Exports everything that is in the log and in no part, and lists it. Each step is written to the ledger before it is done and is the same when it is done again: killed
 * anywhere, or run twice at once, each row is in one part. Resolves when there is nothing left.
 */
export async function exportLog(context: ExportContext, { limits, timestamp }: { readonly limits: SegmentLimits; readonly timestamp: () => number }, signal: AbortSignal): Promise<{ readonly rows: number; readonly manifests: number }> {
  // What a run before this one left.
  let rows = await writeParts(context, new Map(), signal);
  let manifests = await writeManifests(context, signal);
  for (let segments = 1; ; segments += 1) {
    const planned = await planSegment(context.exports, { limits, timestamp }, signal);
    if (planned === undefined) break;
    // Where another exporter was first, the next look shows what is left.
    if (!await context.exports.addSegment(planned.segment, signal)) continue;
    if (planned.skipped > 0) context.logger.error('rows were passed over: their numbers were exported before', { rows: planned.skipped });
    rows += await writeParts(context, planned.bodies, signal);
    if (segments % SEGMENTS_PER_MANIFEST === 0) manifests += await writeManifests(context, signal);
  }
  manifests += await writeManifests(context, signal);
  return { rows, manifests };
}
