/** Below the prefix of the bucket; the folders below it are days. */
export const EXPORT_PREFIX = 'audit-logs/';

const DAY_KEY = /^audit-logs\/(\d{4})\/(\d{2})\/(\d{2})\/([^/]+)$/;

export type ExportKey =
  | { readonly kind: 'part'; readonly day: string }
  | { readonly kind: 'manifest' | 'signature'; readonly day: string; readonly number: number };

/** `audit-logs/2026/11/23/audit-20261123T201438123Z.jsonl`; `day` is `2026-11-23`, `timestamp` milliseconds since 1970. */
export function partKey(day: string, timestamp: number): string {
  return `${folderOf(day)}audit-${new Date(timestamp).toISOString().replaceAll(/[-:.]/g, '')}.jsonl`;
}

/** `audit-logs/2026/11/23/manifest-1.json` */
export function manifestKey(day: string, number: number): string {
  return `${folderOf(day)}manifest-${String(number)}.json`;
}

/** The raw 64 bytes of Ed25519 over the exact bytes of the manifest. */
export function signatureKey(manifest: string): string {
  return `${manifest}.sig`;
}

/** What a key below the prefix is; undefined for what is none of the export's. */
export function readExportKey(key: string): ExportKey | undefined {
  const [, year, month, date, name = ''] = DAY_KEY.exec(key) ?? [];
  if (year === undefined || month === undefined || date === undefined) return undefined;
  const day = `${year}-${month}-${date}`;
  if (/^audit-\d{8}T\d{9}Z\.jsonl$/.test(name)) return { kind: 'part', day };
  const [, number, signature] = /^manifest-([1-9]\d{0,14})\.json(\.sig)?$/.exec(name) ?? [];
  return number === undefined ? undefined : { kind: signature === undefined ? 'manifest' : 'signature', day, number: Number(number) };
}

function folderOf(day: string): string {
  return `${EXPORT_PREFIX}${day.replaceAll('-', '/')}/`;
}
