import { generateKeyPairSync, hash } from 'node:crypto';
import { ManualClock } from '@pointsman/timing';
import { expect, test } from 'vitest';
import { hashOfRow } from './audit-chain.ts';
import {
  AuditChain, auditManifestText, auditRecordSchema, CHAIN_ACTIONS, manifestKey, mergeManifestChains, partKey, readAuditPublicKey, readExportKey, signatureKey, signAuditManifest, verifyExport,
  type AuditManifest, type AuditRecord, type ExportReader, type ExportReport, type VerifyExportOptions,
} from './index.ts';

const NOW = Date.parse('2026-11-30T00:00:00Z');
const { privateKey, publicKey } = generateKeyPairSync('ed25519');
const publicKeys = [readAuditPublicKey(String(publicKey.export({ type: 'spki', format: 'pem' })))];

const chain = new AuditChain({ pod: 'gateway-0', clock: new ManualClock(1_700_000_000_000) });
const rows = Array.from({ length: 12 }, (_, n): AuditRecord => auditRecordSchema.parse(JSON.parse(chain.next({ actor: 'master', action: 'key.update', resource: `key:${String(n)}` }))));
const other = new AuditChain({ pod: 'gateway-1', clock: new ManualClock(1_700_000_000_000) });
const closing = auditRecordSchema.parse(JSON.parse(other.next({ actor: 'system:gateway', action: CHAIN_ACTIONS.closed, resource: 'audit', after: { rows: 1 } })));
const seqs = (...wanted: number[]): AuditRecord[] => wanted.map((seq) => rows[seq - 1] ?? closing);

/** Writes an export as an exporter does: parts of days, and a manifest after each step. */
class Export {
  readonly files = new Map<string, Buffer>();
  readonly parts = new Map<string, AuditManifest['parts']>();
  readonly rows = new Map<string, AuditRecord[]>();
  previous: AuditManifest['previous'] = null;
  #stamp = Date.parse('2026-11-24T01:00:00Z');

  part(day: string, ofPart: readonly AuditRecord[]): string {
    const key = partKey(day, this.#stamp += 1);
    const body = Buffer.from(ofPart.map((row) => `${JSON.stringify(row)}\n`).join(''));
    this.files.set(key, body);
    const named = (row: AuditRecord | undefined): { id: string; hash: string } => ({ id: row?.id ?? '', hash: row?.hash ?? '' });
    this.parts.set(day, [...this.parts.get(day) ?? [], { key, rows: ofPart.length, bytes: body.length, sha256: hash('sha256', body, 'hex'), first: named(ofPart[0]), last: named(ofPart.at(-1)) }]);
    this.rows.set(day, [...this.rows.get(day) ?? [], ...ofPart]);
    return key;
  }

  manifest(day: string, number: number, change: Partial<AuditManifest> = {}): string {
    const parts = this.parts.get(day) ?? [];
    const key = manifestKey(day, number);
    const bytes = Buffer.from(auditManifestText({
      schema_version: 1, day, number, sequence: (this.previous?.sequence ?? 0) + 1, created_at: '2026-11-24T01:00:00.000Z', previous: this.previous,
      rows: parts.reduce((sum, part) => sum + part.rows, 0), bytes: parts.reduce((sum, part) => sum + part.bytes, 0), parts,
      chains: mergeManifestChains((this.rows.get(day) ?? []).map(({ chain: name, seq, hash: rowHash }) => ({ chain: name, rows: 1, first: { seq, hash: rowHash }, last: { seq, hash: rowHash } }))),
      ...change,
    }));
    this.files.set(key, bytes);
    this.files.set(signatureKey(key), signAuditManifest(bytes, privateKey));
    this.previous = { key, sequence: (this.previous?.sequence ?? 0) + 1, sha256: hash('sha256', bytes, 'hex') };
    return key;
  }

  edit(key: string, change: (rows: AuditRecord[]) => unknown[]): void {
    const lines = this.files.get(key)?.toString('utf8').trim().split('\n').map((line) => auditRecordSchema.parse(JSON.parse(line))) ?? [];
    this.files.set(key, Buffer.from(change(lines).map((row) => `${JSON.stringify(row)}\n`).join('')));
  }

  get reader(): ExportReader {
    const { files } = this;
    return {
      async *list(prefix) {
        for (const key of [...files.keys()].sort()) if (key.startsWith(prefix)) yield { key, modifiedAt: await Promise.resolve(new Date('2026-11-24T01:00:00Z')) };
      },
      read: (key) => Promise.resolve(files.get(key)),
    };
  }

  verify(options: Partial<VerifyExportOptions> = {}): Promise<ExportReport> {
    return verifyExport(this.reader, { now: NOW, publicKeys, ...options });
  }

  async kinds(options: Partial<VerifyExportOptions> = {}): Promise<string[]> {
    return (await this.verify(options)).problems.map(({ file, seq, kind }) => [kind, ...(seq > 0 ? [seq] : []), ...(file === '' ? [] : [file.replace('audit-logs/2026/11/', '').replace(/audit-.*/, 'part')])].join(' '));
  }
}

const [A, B] = ['2026-11-22', '2026-11-23'];

/** Day A: rows 1-4, later 7 that came late; day B: 5, 6, 8-12 in two files. */
function whole(): { readonly log: Export; readonly a: string; readonly late: string; readonly b: string; readonly b2: string } {
  const log = new Export();
  const a = log.part(A, seqs(1, 2, 3, 4));
  const b = log.part(B, [...seqs(5), closing, ...seqs(6, 8)]);
  log.manifest(A, 1);
  log.manifest(B, 1);
  const late = log.part(A, seqs(7));
  const b2 = log.part(B, seqs(9, 10, 11, 12));
  log.manifest(A, 2);
  log.manifest(B, 2);
  return { log, a, late, b, b2 };
}

/** Makes the hash of a row again, as somebody would who changed it. */
const forged = (row: AuditRecord, change: Partial<AuditRecord>): AuditRecord => ({ ...row, ...change, hash: hashOfRow({ ...row, ...change }) });

test('a whole export has no problems: chains go on across files and days, late rows fill their gaps', async () => {
  const report = await whole().log.verify({ ledger: { rows: 13, lastManifest: undefined } });
  expect(report).toMatchObject({ problems: [], problemCount: 0, notes: [], days: 2, manifests: 4, signed: 4, parts: 4, rows: 13 });
  expect(report.chains).toMatchObject([{ rows: 12, lastSeq: 12, state: 'open' }, { rows: 1, lastSeq: 1, state: 'closed' }]);
});

test('a row that was edited is named, also when its hash was made again', async () => {
  for (const change of [(row: AuditRecord) => ({ ...row, actor: 'nobody' }), (row: AuditRecord) => forged(row, { actor: 'nobody' })]) {
    const { log, a } = whole();
    log.edit(a, (ofPart) => ofPart.map((row) => (row.seq === 2 ? change(row) : row)));
    expect(await log.kinds()).toEqual(expect.arrayContaining(['part-edited 22/part', 'edited 2 22/part']));
    expect((await log.kinds()).some((kind) => kind.startsWith('missing'))).toBe(false);
  }
});

test('a row that is gone is named: within a file, at its end, and at the end of the last file', async () => {
  for (const [part, seq, named] of [['a', 3, 'missing 3'], ['a', 4, 'missing 4'], ['late', 7, 'missing 7'], ['b2', 12, 'part-edited 23/part']] as const) {
    const all = whole();
    all.log.edit(all[part], (ofPart) => ofPart.filter((row) => row.seq !== seq));
    expect(await all.log.kinds(), `${part} ${String(seq)}`).toContain(named);
    expect(await all.log.kinds()).toContain(`part-edited ${part.startsWith('b') ? '23' : '22'}/part`);
  }
});

test('rows in another order, a row that is there twice and one that was moved to another file are named', async () => {
  const swapped = whole();
  swapped.log.edit(swapped.a, ([one, two, three, four]) => [one, three, two, four]);
  expect(await swapped.log.kinds()).toEqual(['part-edited 22/part', 'reordered 2 22/part']);
  const twice = whole();
  twice.log.edit(twice.b, (ofPart) => [...ofPart, ...seqs(4)]);
  expect(await twice.log.kinds()).toEqual(expect.arrayContaining(['part-edited 23/part', 'duplicate 4']));
  const moved = whole();
  moved.log.edit(moved.a, (ofPart) => ofPart.filter(({ seq }) => seq !== 4));
  moved.log.edit(moved.late, (ofPart) => [...seqs(4), ...ofPart]);
  expect(await moved.log.kinds()).toEqual(['part-edited 22/part', 'part-edited 22/part', 'part-edited 22/part', 'part-edited 22/part']);
});

test('a file that is gone is named with its rows; one that nobody listed is named', async () => {
  const gone = whole();
  gone.log.files.delete(gone.b);
  expect(await gone.log.kinds()).toEqual(expect.arrayContaining(['part-missing 23/part', 'missing 5', 'missing 8']));
  const more = whole();
  more.log.files.set(partKey(B, NOW), Buffer.from(`${JSON.stringify(rows[0])}\n`));
  expect(await more.log.kinds()).toEqual(['unlisted 23/part']);
  // Just written: the manifest comes at the end of the run.
  expect(await more.log.verify({ now: Date.parse('2026-11-24T01:30:00Z') })).toMatchObject({ problems: [], notes: [expect.stringContaining('is not listed yet') as string] });
});

test('a manifest that was changed, signed by another, or has lost its signature is named', async () => {
  const { privateKey: stranger } = generateKeyPairSync('ed25519');
  const changed = whole();
  const key = manifestKey(B, 2);
  const text = String(changed.log.files.get(key));
  changed.log.files.set(key, Buffer.from(text.replace('"rows":8', '"rows":9')));
  expect(await changed.log.kinds()).toEqual(expect.arrayContaining(['manifest-forged 23/manifest-2.json']));
  const signedByOther = whole();
  signedByOther.log.files.set(signatureKey(key), signAuditManifest(Buffer.from(text), stranger));
  expect(await signedByOther.log.kinds()).toEqual(['manifest-forged 23/manifest-2.json']);
  const unsigned = whole();
  unsigned.log.files.delete(signatureKey(key));
  expect(await unsigned.log.kinds()).toEqual(['unsigned 23/manifest-2.json']);
  expect(await unsigned.log.kinds({ publicKeys: [] })).toEqual([]);
});

test('without signatures, too, an older manifest that was written anew does not fit the one after it', async () => {
  const { log, a } = whole();
  // Somebody takes the last row of the first file out and makes file and first manifest fit.
  log.edit(a, (ofPart) => ofPart.slice(0, 3));
  const key = manifestKey(A, 1);
  const manifest = JSON.parse(String(log.files.get(key))) as AuditManifest;
  log.files.set(key, Buffer.from(auditManifestText({ ...manifest, rows: 3, parts: manifest.parts.map((part) => ({ ...part, rows: 3 })) })));
  expect(await log.kinds({ publicKeys: [] })).toEqual(expect.arrayContaining(['manifest-forged 22/manifest-1.json', 'manifest-forged 22/manifest-2.json', 'missing 4']));
});

test('a manifest that is gone is named: by the one after it, by its signature, and at the end by the ledger', async () => {
  for (const [day, number, expected] of [[B, 1, 'manifest-missing 23/manifest-1.json'], [A, 2, 'manifest-missing 22/manifest-2.json']] as const) {
    const { log } = whole();
    log.files.delete(manifestKey(day, number));
    log.files.delete(signatureKey(manifestKey(day, number)));
    expect(await log.kinds()).toContain(expected);
  }
  const cut = whole();
  const { previous } = cut.log;
  cut.log.files.delete(manifestKey(B, 2));
  expect(await cut.log.kinds()).toContain('manifest-missing 23/manifest-2.json');
  cut.log.files.delete(signatureKey(manifestKey(B, 2)));
  cut.log.files.delete(cut.b2);
  // The very end, without a trace in the store.
  expect(await cut.log.kinds()).toEqual([]);
  expect(await cut.log.kinds({ ledger: { rows: 13, lastManifest: { key: previous?.key ?? '', day: B, sha256: previous?.sha256 ?? '' } } })).toEqual(['manifest-missing 23/manifest-2.json', 'missing']);
});

test('a whole day that is gone is named; days that were not asked for are not missed', async () => {
  const { log } = whole();
  expect(await log.verify({ from: B, to: B })).toMatchObject({ problems: [], rows: 8, notes: [expect.stringMatching(/row 7: .* Files of other days may have/) as string] });
  for (const key of [...log.files.keys()]) if (readExportKey(key)?.day === A) log.files.delete(key);
  expect(await log.kinds()).toEqual(expect.arrayContaining(['manifest-missing 22/manifest-1.json', 'manifest-missing 22/manifest-2.json', 'missing 1', 'missing 7']));
  expect(await log.kinds({ from: B })).toContain('manifest-missing 22/manifest-2.json');
});

test('a second history beside the first is named', async () => {
  const { log } = whole();
  log.manifest(B, 3, { sequence: 2 });
  expect(await log.kinds()).toContain('manifest-forged 23/manifest-3.json');
});

test('what cannot be read as a row or a manifest is named, and ends nothing', async () => {
  const { log, b } = whole();
  log.files.set(b, Buffer.from('{"half": \nnonsense\n'));
  log.files.set(manifestKey(A, 2), Buffer.from('{}'));
  const kinds = await log.kinds();
  expect(kinds).toEqual(expect.arrayContaining(['part-edited 23/part', 'edited 23/part', 'manifest-forged 22/manifest-2.json']));
});

test('only a public Ed25519 key checks', () => {
  const pem = (key: ReturnType<typeof generateKeyPairSync>['publicKey']): string => String(key.export({ type: 'spki', format: 'pem' }));
  expect(() => readAuditPublicKey(String(privateKey.export({ type: 'pkcs8', format: 'pem' })))).toThrow('is no PEM of a public key');
  expect(() => readAuditPublicKey('hunter2')).toThrow('is no PEM of a public key');
  expect(() => readAuditPublicKey(pem(generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey))).toThrow('is no Ed25519 key');
});
