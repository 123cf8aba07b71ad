import { hash, type KeyObject } from 'node:crypto';
import { canonicalJson } from './canonical-json.ts';
import { ChainRuns, type ReportRow } from './chain-runs.ts';
import { EXPORT_PREFIX, readExportKey, signatureKey } from './export-layout.ts';
import { auditManifestSchema, isSignedBy, mergeManifestChains, type AuditManifest, type AuditManifestChain } from './export-manifest.ts';
import type { AuditProblemKind, VerifiedChain } from './verify-chains.ts';

/** What is asked of the place where the export is. */
export interface ExportReader {
  list(prefix: string): AsyncIterable<{ readonly key: string; readonly modifiedAt: Date }>;
  /** Undefined when there is none. */
  read(key: string, maxBytes: number): Promise<Buffer | undefined>;
}

export type ExportProblemKind = AuditProblemKind | 'manifest-missing' | 'manifest-forged' | 'unsigned' | 'part-missing' | 'part-edited' | 'unlisted';

export interface ExportProblem {
  /** Key of the file; empty for rows that are in none. */
  readonly file: string;
  /** Empty where it is about a file. */
  readonly chain: string;
  /** The first row concerned; 0 where it is about a file. */
  readonly seq: number;
  readonly kind: ExportProblemKind;
  /** How many rows; 0 where it is about a file. */
  readonly rows: number;
  readonly detail: string;
}

export interface ExportReport {
  readonly days: number;
  readonly manifests: number;
  /** Manifests whose signature was checked and good. */
  readonly signed: number;
  readonly parts: number;
  readonly rows: number;
  readonly chains: readonly VerifiedChain[];
  readonly problems: readonly ExportProblem[];
  readonly problemCount: number;
  /** What is no fault and worth a line. */
  readonly notes: readonly string[];
}

export interface VerifyExportOptions {
  /** `2026-11-23`, both ends included. Without `from` the export is to be whole from its first row. */
  readonly from?: string | undefined;
  readonly to?: string | undefined;
  /** A manifest is good when one of them signed it; without keys signatures are not looked at. */
  readonly publicKeys?: readonly KeyObject[];
  /** What the exporter's ledger says is there: what was cut off at the end shows by it. */
  readonly ledger?: { readonly rows: number; readonly lastManifest: { readonly key: string; readonly day: string; readonly sha256: string } | undefined };
  /** Milliseconds since 1970: a file that no manifest lists is a fault an hour after it was written, not before. */
  readonly now: number;
  readonly onRow?: (row: unknown) => void;
  readonly maxProblems?: number;
}

interface Found {
  readonly key: string;
  readonly sha256: string;
  readonly manifest: AuditManifest;
}

interface Day {
  readonly manifests: { readonly key: string; readonly number: number }[];
  readonly parts: Map<string, Date>;
  readonly signatures: Set<string>;
}

/** An exporter lists what it wrote at the end of its run. */
const LISTED_WITHIN_MS = 3_600_000;
const MAX_MANIFEST_BYTES = 256 * 1024 * 1024;
const MAX_PART_BYTES = 256 * 1024 * 1024;
const MAX_NOTES = 100;

/**
 * Proves that an export is whole and as it was written: each manifest signed and tied to the one before it, each part there and with its digest and counts, each row with
 * its hash, each chain without a gap across parts and days. Says which row or file is not. One part is in memory at a time.
 */
export async function verifyExport(reader: ExportReader, options: VerifyExportOptions): Promise<ExportReport> {
  const { from, to, publicKeys = [], ledger, now, onRow, maxProblems = 1_000 } = options;
  const problems: ExportProblem[] = [];
  const notes: string[] = [];
  let problemCount = 0;
  const report = (problem: Pick<ExportProblem, 'file' | 'kind' | 'detail'> & Partial<ExportProblem>): void => {
    problemCount += 1;
    if (problems.length < maxProblems) problems.push({ chain: '', seq: 0, rows: 0, ...problem });
  };
  const note = (text: string): void => {
    if (notes.length < MAX_NOTES) notes.push(text);
  };
  const rowsOf = (file: string): ReportRow => (problem) => report({ file, rows: 1, ...problem });

  const days = await listDays(reader, { from, to }, note);
  const found: Found[] = [];
  const runs = new ChainRuns();
  const totals = { parts: 0, rows: 0, signed: 0 };

  for (const [day, files] of days) {
    let newest: AuditManifest | undefined;
    for (const { key, number } of files.manifests) {
      const read = await readManifest(reader, key, { day, number });
      if (typeof read === 'string') {
        report({ file: key, kind: 'manifest-forged', detail: read });
        continue;
      }
      if (publicKeys.length > 0) {
        const problem = await signatureProblem(reader, key, read.bytes, publicKeys);
        if (problem === undefined) totals.signed += 1;
        else report({ file: key, ...problem });
      }
      const dropped = newest?.parts.find((part, index) => canonicalJson(part) !== canonicalJson(read.manifest.parts[index] ?? null));
      if (dropped !== undefined) report({ file: key, kind: 'manifest-forged', detail: `It does not list ${dropped.key} as the manifest before it did.` });
      newest = read.manifest;
      // Parts of older manifests are in the newest of their day.
      found.push({ key, sha256: hash('sha256', read.bytes, 'hex'), manifest: { ...read.manifest, parts: [], chains: [] } });
    }
    for (const key of files.signatures) {
      if (!files.manifests.some((manifest) => signatureKey(manifest.key) === key)) {
        report({ file: key.slice(0, -'.sig'.length), kind: 'manifest-missing', detail: 'Its signature is there, it is not.' });
      }
    }
    const listed = new Set<string>();
    const chains: AuditManifestChain[] = [];
    for (const part of newest?.parts ?? []) {
      listed.add(part.key);
      totals.parts += 1;
      if (readExportKey(part.key)?.day !== day) {
        report({ file: part.key, kind: 'manifest-forged', detail: `The manifest of ${day} lists it, and it is no file of that day.` });
        continue;
      }
      const body = await reader.read(part.key, MAX_PART_BYTES);
      if (body === undefined) {
        report({ file: part.key, kind: 'part-missing', rows: part.rows, detail: `The file is gone, with ${String(part.rows)} rows from ${part.first.id} to ${part.last.id}.` });
        continue;
      }
      if (hash('sha256', body, 'hex') !== part.sha256) report({ file: part.key, kind: 'part-edited', detail: 'Its digest is not the one in the manifest.' });
      runs.beginFile();
      let line = 0;
      for (const text of linesOf(body)) {
        line += 1;
        const row = parsed(text);
        runs.add(row, line, rowsOf(part.key));
        onRow?.(row);
      }
      const { rows, first, last, chains: inFile } = runs.file();
      totals.rows += rows;
      chains.push(...inFile);
      if (rows !== part.rows) report({ file: part.key, kind: 'part-edited', detail: `It has ${String(rows)} rows; the manifest says ${String(part.rows)}.` });
      else if (canonicalJson({ first, last }) !== canonicalJson({ first: part.first, last: part.last })) report({ file: part.key, kind: 'part-edited', detail: 'Its first or last row is not the one in the manifest.' });
    }
    if (newest !== undefined) checkSums(day, newest, chains, files, report);
    for (const [key, modifiedAt] of files.parts) {
      if (listed.has(key)) continue;
      if (now - modifiedAt.getTime() > LISTED_WITHIN_MS) report({ file: key, kind: 'unlisted', detail: 'No manifest lists it: a manifest is gone, or the export did not write it, or it broke off before listing it.' });
      else note(`${key} is not listed yet: an export runs, or broke off and will list it.`);
    }
  }

  await checkSequence(reader, found, { from, to }, report);
  if (ledger !== undefined) await checkLedger(reader, ledger, { isWhole: from === undefined && to === undefined, rows: totals.rows }, report);
  // What these days lack may be in files of others: rows that came late go to their own day. Where a file is not as it was written, they are what it lost.
  const isRange = from !== undefined || to !== undefined;
  const wasSound = problemCount === 0;
  const chains = runs.finish({ partial: from !== undefined }, (problem) => {
    if (isRange && wasSound && problem.kind === 'missing') note(`Chain ${problem.chain}, row ${String(problem.seq)}: ${problem.detail} Files of other days may have what these lack.`);
    else rowsOf('')(problem);
  });
  if (publicKeys.length === 0 && found.length > 0) note('Signatures were not checked: no public key was given.');
  return { days: days.size, manifests: found.length, ...totals, chains, problems, problemCount, notes };
}

async function listDays(reader: ExportReader, { from, to }: Pick<VerifyExportOptions, 'from' | 'to'>, note: (text: string) => void): Promise<Map<string, Day>> {
  const days = new Map<string, Day>();
  const shared = from === undefined || to === undefined ? '' : commonFolder(from, to);
  for await (const { key, modifiedAt } of reader.list(`${EXPORT_PREFIX}${shared}`)) {
    const place = readExportKey(key);
    if (place === undefined) {
      note(`${key} is no file of the export.`);
      continue;
    }
    if ((from !== undefined && place.day < from) || (to !== undefined && place.day > to)) continue;
    const day = days.get(place.day) ?? { manifests: [], parts: new Map<string, Date>(), signatures: new Set<string>() };
    days.set(place.day, day);
    if (place.kind === 'part') day.parts.set(key, modifiedAt);
    else if (place.kind === 'signature') day.signatures.add(key);
    else day.manifests.push({ key, number: place.number });
  }
  for (const { manifests } of days.values()) manifests.sort((a, b) => a.number - b.number);
  return new Map([...days].sort(([a], [b]) => (a < b ? -1 : 1)));
}

function commonFolder(from: string, to: string): string {
  const [a, b] = [from.split('-'), to.split('-')];
  if (a[0] !== b[0]) return '';
  return a[1] === b[1] ? `${a[0] ?? ''}/${a[1] ?? ''}/` : `${a[0] ?? ''}/`;
}

/** The manifest with its exact bytes, or what is wrong with it. */
async function readManifest(reader: ExportReader, key: string, place: { readonly day: string; readonly number: number }): Promise<{ readonly bytes: Buffer; readonly manifest: AuditManifest } | string> {
  const bytes = await reader.read(key, MAX_MANIFEST_BYTES);
  if (bytes === undefined) return 'It is gone while it was being read.';
  const manifest = auditManifestSchema.safeParse(parsed(bytes.toString('utf8'))).data;
  if (manifest === undefined) return 'It is no manifest.';
  if (manifest.day !== place.day || manifest.number !== place.number) return `It says that it is number ${String(manifest.number)} of ${manifest.day}.`;
  return { bytes, manifest };
}

async function signatureProblem(reader: ExportReader, key: string, bytes: Buffer, publicKeys: readonly KeyObject[]): Promise<Pick<ExportProblem, 'kind' | 'detail'> | undefined> {
  const signature = await reader.read(signatureKey(key), 1_024);
  if (signature === undefined) return { kind: 'unsigned', detail: 'It has no signature.' };
  return isSignedBy(bytes, signature, publicKeys) ? undefined : { kind: 'manifest-forged', detail: 'Its signature is not by a key that was given.' };
}

type ReportFile = (problem: Pick<ExportProblem, 'file' | 'kind' | 'detail'> & Partial<ExportProblem>) => void;

/** What the newest manifest of a day says of the day, against its own parts and against what was read. */
function checkSums(day: string, manifest: AuditManifest, chains: readonly AuditManifestChain[], files: Day, report: ReportFile): void {
  const key = files.manifests.at(-1)?.key ?? '';
  const sum = (of: 'rows' | 'bytes'): number => manifest.parts.reduce((total, part) => total + part[of], 0);
  if (sum('rows') !== manifest.rows || sum('bytes') !== manifest.bytes || new Set(manifest.parts.map((part) => part.key)).size !== manifest.parts.length) report({ file: key, kind: 'manifest-forged', detail: 'Its sums are not those of its parts.' });
  const said = new Map(manifest.chains.map((chain) => [chain.chain, chain]));
  const read = new Map(mergeManifestChains(chains).map((chain) => [chain.chain, chain]));
  for (const chain of new Set([...said.keys(), ...read.keys()])) {
    if (canonicalJson(said.get(chain) ?? null) === canonicalJson(read.get(chain) ?? null)) continue;
    const rows = (of: AuditManifestChain | undefined): string => (of === undefined ? 'no rows' : `${String(of.rows)} rows from ${String(of.first.seq)} to ${String(of.last.seq)}`);
    report({ file: key, chain, kind: 'part-edited', detail: `Of this chain the manifest of ${day} has ${rows(said.get(chain))}, its files have ${rows(read.get(chain))}, or the hashes at its ends differ.` });
  }
}

/** Manifests are numbered over all days, and each has the digest of the one before. */
async function checkSequence(reader: ExportReader, found: readonly Found[], { from, to }: Pick<VerifyExportOptions, 'from' | 'to'>, report: ReportFile): Promise<void> {
  const bySequence = new Map<number, Found>();
  for (const each of [...found].sort((a, b) => a.manifest.sequence - b.manifest.sequence)) {
    const twin = bySequence.get(each.manifest.sequence);
    if (twin !== undefined) report({ file: each.key, kind: 'manifest-forged', detail: `It has the same number in the sequence as ${twin.key}.` });
    bySequence.set(each.manifest.sequence, each);
  }
  for (const { key, manifest } of bySequence.values()) {
    const { previous, sequence } = manifest;
    if (previous === null) {
      if (sequence !== 1) report({ file: key, kind: 'manifest-forged', detail: 'It names no manifest before it.' });
      continue;
    }
    if (previous.sequence !== sequence - 1) report({ file: key, kind: 'manifest-forged', detail: 'It does not name the manifest before it.' });
    let digest = found.find((each) => each.key === previous.key)?.sha256;
    const day = readExportKey(previous.key)?.day ?? '';
    if (digest === undefined && day !== '' && ((from !== undefined && day < from) || (to !== undefined && day > to))) {
      const bytes = await reader.read(previous.key, MAX_MANIFEST_BYTES);
      digest = bytes === undefined ? undefined : hash('sha256', bytes, 'hex');
    }
    if (digest === undefined) report({ file: previous.key, kind: 'manifest-missing', detail: `${key} names it as the manifest before it.` });
    else if (digest !== previous.sha256) report({ file: previous.key, kind: 'manifest-forged', detail: `It is not the one that ${key} was tied to.` });
  }
}

async function checkLedger(reader: ExportReader, { rows, lastManifest }: NonNullable<VerifyExportOptions['ledger']>, read: { readonly isWhole: boolean; readonly rows: number }, report: ReportFile): Promise<void> {
  if (lastManifest !== undefined) {
    const bytes = await reader.read(lastManifest.key, MAX_MANIFEST_BYTES);
    if (bytes === undefined) report({ file: lastManifest.key, kind: 'manifest-missing', detail: 'The ledger in the database says that it was written.' });
    else if (hash('sha256', bytes, 'hex') !== lastManifest.sha256) report({ file: lastManifest.key, kind: 'manifest-forged', detail: 'It is not the one in the ledger of the database.' });
  }
  if (read.isWhole && read.rows < rows) report({ file: '', kind: 'missing', rows: rows - read.rows, detail: `The ledger in the database says that ${String(rows)} rows were exported; ${String(read.rows)} are there.` });
}

function* linesOf(body: Buffer): Generator<string> {
  let start = 0;
  while (start < body.length) {
    const end = body.indexOf(0x0a, start);
    yield body.toString('utf8', start, end === -1 ? body.length : end);
    start = end === -1 ? body.length : end + 1;
  }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}
