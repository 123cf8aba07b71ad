import { hash } from 'node:crypto';
import type { StoredExportPart } from '@pointsman/database';
import { attribute } from '@pointsman/telemetry';
import { ExportError } from './export-error.ts';
import type { ExportContext } from './export-context.ts';
import { partBody } from './plan-segment.ts';
import { writeOnce } from './write-once.ts';

const CONTENT_TYPE = 'application/x-ndjson';
/** Ledger rows of one question. */
const PAGE = 20;

/** Writes all parts that are planned, by whomever; `bodies` are at hand for those that were planned just now, others are read again. Returns their rows. */
export async function writeParts(context: ExportContext, bodies: ReadonlyMap<string, Buffer>, signal: AbortSignal): Promise<number> {
  let rows = 0;
  for (;;) {
    const planned = await context.exports.plannedParts(PAGE, signal);
    for (const part of planned) {
      await writePart(context, part, bodies.get(part.key), signal);
      rows += part.rows;
    }
    if (planned.length < PAGE) return rows;
  }
}

async function writePart({ exports, store, retainUntil, span, written }: ExportContext, part: StoredExportPart, atHand: Buffer | undefined, signal: AbortSignal): Promise<void> {
  const write = span.child('audit.export.part', 'client');
  write.set(attribute.OBJECT_STORE_KEY, part.key);
  write.set(attribute.AUDIT_EXPORTED_ROWS, part.rows);
  try {
    const body = atHand ?? partBody(await exports.rowsAt(part.arrivals, signal));
    // The ledger said what the file is before it was written. Other bytes mean that rows changed in an append-only table, or are gone: a proof that must not be overwritten.
    if (hash('sha256', body, 'hex') !== part.sha256) {
      // Unless another exporter has finished it meanwhile and the list of its rows is empty by now.
      if ((await exports.plannedParts(PAGE, signal)).every(({ key }) => key !== part.key)) return;
      throw new ExportError(`The rows of ${part.key} are not as they were when it was planned: run pointsman audit verify on the database.`);
    }
    if (!await writeOnce(store, part.key, body, { contentType: CONTENT_TYPE, retainUntil: retainUntil(), signal })) {
      throw new ExportError(`${part.key} is there already with another content; the export never overwrites.`);
    }
    await exports.partWritten(part.key, signal);
    written(part);
  } catch (error) {
    write.fail(error instanceof Error ? error.name : 'Error');
    throw error;
  } finally {
    write.end();
  }
}
