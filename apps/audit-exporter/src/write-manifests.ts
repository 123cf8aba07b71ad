import { hash } from 'node:crypto';
import { auditManifestText, manifestKey, mergeManifestChains, signatureKey, signAuditManifest, type AuditManifest } from '@pointsman/audit';
import type { ExportManifest } from '@pointsman/database';
import { ExportError } from './export-error.ts';
import type { ExportContext } from './export-context.ts';
import { writeOnce } from './write-once.ts';

const PAGE = 20;

/**
 * Writes the manifests that are planned, then plans and writes one for each day that has new parts. A manifest lists all parts of its day and names the manifest before
 * it, of whatever day. What is planned is in the ledger with its exact bytes and signature, so that a second try writes the same.
 */
export async function writeManifests(context: ExportContext, signal: AbortSignal): Promise<number> {
  /** Numbers of days that others took: of a history of this database that was lost. */
  const taken = new Map<string, number>();
  let written = 0;
  for (;;) {
    for (const manifest of await context.exports.plannedManifests(PAGE, signal)) {
      if (await writeManifest(context, manifest, signal)) written += 1;
      else {
        context.logger.error('another manifest has this name: this database has lost a part of its history', { key: manifest.key });
        if (!await context.exports.dropManifest(manifest.sequence, signal)) throw new ExportError(`${manifest.key} is there already with another content, and later manifests name it.`);
        taken.set(manifest.day, manifest.number);
      }
    }
    const [day] = await context.exports.unlistedDays(1, signal);
    if (day === undefined) return written;
    await planManifest(context, { day, above: taken.get(day) ?? 0 }, signal);
  }
}

/** Another exporter may be first: then its manifest is found planned. */
async function planManifest({ exports, clock, signingKey }: ExportContext, { day, above }: { readonly day: string; readonly above: number }, signal: AbortSignal): Promise<void> {
  const previous = await exports.lastManifest(undefined, signal);
  const number = Math.max((await exports.lastManifest(day, signal))?.number ?? 0, above) + 1;
  const parts = await exports.partsOf(day, signal);
  const manifest: AuditManifest = {
    schema_version: 1, day, number, sequence: (previous?.sequence ?? 0) + 1, created_at: new Date(clock.now()).toISOString(),
    previous: previous === undefined ? null : { key: previous.key, sequence: previous.sequence, sha256: previous.sha256 },
    rows: parts.reduce((sum, { rows }) => sum + rows, 0), bytes: parts.reduce((sum, { bytes }) => sum + bytes, 0),
    parts: parts.map(({ key, rows, bytes, sha256, first, last }) => ({ key, rows, bytes, sha256, first, last })),
    chains: mergeManifestChains(parts.flatMap(({ chains }) => chains)),
  };
  const body = auditManifestText(manifest);
  const bytes = Buffer.from(body);
  await exports.addManifest({
    sequence: manifest.sequence, day, number, key: manifestKey(day, number), sha256: hash('sha256', bytes, 'hex'), body,
    ...(signingKey === undefined ? {} : { signature: signAuditManifest(bytes, signingKey) }),
  }, parts.map(({ key }) => key), signal);
}

/** False when something else is there. The signature goes first: who finds a manifest finds it signed. */
async function writeManifest({ exports, store, retainUntil, logger }: ExportContext, { sequence, key, body, signature }: ExportManifest, signal: AbortSignal): Promise<boolean> {
  if (body === undefined) return true; // another exporter has just written it
  const options = { retainUntil: retainUntil(), signal };
  if (signature !== undefined && !await writeOnce(store, signatureKey(key), signature, { ...options, contentType: 'application/octet-stream' })) return false;
  if (!await writeOnce(store, key, Buffer.from(body), { ...options, contentType: 'application/json' })) return false;
  await exports.manifestWritten(sequence, signal);
  logger.info('manifest written', { key, sequence, signed: signature !== undefined });
  return true;
}
