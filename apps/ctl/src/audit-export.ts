import { readFile } from 'node:fs/promises';
import type { KeyObject } from 'node:crypto';
import { readAuditPublicKey, verifyExport, type ExportReport, type VerifyExportOptions } from '@pointsman/audit';
import { AppError } from '@pointsman/errors';
import type { CommandContext } from './command-context.ts';
import { atStore, openStore } from './release/open-store.ts';

export interface VerifyStoreOptions extends Pick<VerifyExportOptions, 'from' | 'to' | 'ledger' | 'onRow'> {
  /** Without it what the exporter with this environment writes to. */
  readonly url: string | undefined;
  readonly env: CommandContext['env'];
  readonly publicKeys: readonly KeyObject[];
}

const READ_TIMEOUT_MS = 120_000;

/** Verifies what the audit exporter wrote to a store. */
export async function verifyStore({ url, env, ...options }: VerifyStoreOptions): Promise<{ readonly store: string; readonly report: ExportReport }> {
  const audit = env['AUDIT_BUCKET_URL'];
  using store = await openStore(url ?? (audit === '' ? undefined : audit), env);
  const report = await atStore(() => verifyExport({
    list: (prefix) => store.list(prefix, { timeoutMs: READ_TIMEOUT_MS }),
    read: async (key, maxBytes) => {
      const found = await store.read(key, { maxBytes, timeoutMs: READ_TIMEOUT_MS });
      return found === undefined || found === 'unchanged' ? undefined : found.body;
    },
  }, { ...options, now: Date.now() }));
  return { store: store.url, report };
}

/** @throws AppError `invalid_request` for what is no day, and for days without a store. */
export function checkDays({ from, to, store, publicKey }: { readonly from?: string; readonly to?: string; readonly store?: string | true; readonly publicKey?: readonly string[] }): void {
  for (const [option, day] of [['--from', from], ['--to', to]] as const) {
    if (day !== undefined && !isDay(day)) throw new AppError('invalid_request', 'invalid_day', `${option} expects a day such as 2026-11-30`);
  }
  if (from !== undefined && to !== undefined && from > to) throw new AppError('invalid_request', 'invalid_day', '--from is after --to');
  if (store === undefined && (from !== undefined || to !== undefined || publicKey !== undefined)) throw new AppError('invalid_request', 'no_store', '--from, --to and --public-key are for --store');
}

/** @throws AppError `invalid_request` that names the file and repeats nothing of it. */
export async function readPublicKeys(files: readonly string[]): Promise<KeyObject[]> {
  return await Promise.all(files.map(async (file) => {
    let pem: string;
    try {
      pem = await readFile(file, 'utf8');
    } catch (error) {
      throw new AppError('invalid_request', 'file_unreadable', `cannot read ${file}`, { cause: error });
    }
    try {
      return readAuditPublicKey(pem);
    } catch (error) {
      throw new AppError('invalid_request', 'invalid_key', `${file} ${error instanceof Error ? error.message : 'is no public key'}`, { cause: error });
    }
  }));
}

function isDay(text: string): boolean {
  return /^\d{4}-\d{2}-\d{2}$/.test(text) && !Number.isNaN(Date.parse(text));
}
