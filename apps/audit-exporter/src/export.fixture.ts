import { AuditChain, CHAIN_ACTIONS, verifyExport, type ExportReader, type ExportReport, type VerifyExportOptions } from '@pointsman/audit';
import { connectDatabase, type ConnectedDatabase } from '@pointsman/database';

/** Of the test layer, which only tests may import. */
export interface StoreParts {
  keys(): string[];
  get(key: string): Promise<Buffer | undefined>;
}

/** The export in a test's object store, as the verifier reads it. */
export function readerOf(store: StoreParts): ExportReader {
  return {
    async *list(prefix) {
      for (const key of store.keys()) if (key.startsWith(prefix)) yield { key, modifiedAt: await Promise.resolve(new Date(0)) };
    },
    read: (key) => store.get(key),
  };
}

/** Long after the export: what no manifest lists by then is a fault. */
export async function verified(store: StoreParts, options: Partial<VerifyExportOptions> = {}): Promise<ExportReport> {
  return await verifyExport(readerOf(store), { now: Date.now(), ...options });
}

/** Writers of audit rows: a few chains whose clocks can be set. */
export interface AuditWriters {
  readonly database: ConnectedDatabase;
  /** Lines of one chain, not stored yet. `at`: the time of the first; each is a millisecond later. */
  lines(count: number, options?: { readonly pod?: string; readonly at?: string; readonly close?: true }): string[];
  /** Stores lines in their order, in batches. */
  append(lines: readonly string[]): Promise<void>;
}

export async function openWriters(url: string): Promise<AuditWriters & AsyncDisposable> {
  const database = connectDatabase({ url, applicationName: 'test-writers', queryTimeoutMs: 60_000 });
  await database.migrate(new AbortController().signal);
  const chains = new Map<string, { readonly chain: AuditChain; now: number }>();
  const chainOf = (pod: string): { readonly chain: AuditChain; now: number } => {
    const known = chains.get(pod);
    if (known !== undefined) return known;
    const made: { readonly chain: AuditChain; now: number } = { chain: new AuditChain({ pod, clock: { now: () => (made.now += 1), monotonic: () => made.now } }), now: Date.parse('2026-11-23T10:00:00Z') };
    chains.set(pod, made);
    return made;
  };
  return {
    database,
    lines(count, { pod = 'gateway-0', at, close } = {}) {
      const known = chainOf(pod);
      if (at !== undefined) known.now = Date.parse(at) - 1;
      const lines = Array.from({ length: count }, (_, n) => known.chain.next({ actor: 'master', action: 'key.update', resource: `key:${String(n)}`, before: { max_budget: n, name: 'é\u2028' }, after: { max_budget: n + 0.5 }, requestId: `request-${String(n)}`, ip: '10.0.0.1' }));
      if (close === true) lines.push(known.chain.next({ actor: 'system:gateway', action: CHAIN_ACTIONS.closed, resource: 'audit', after: { rows: known.chain.head.seq + 1 } }));
      return lines;
    },
    async append(lines) {
      for (let start = 0; start < lines.length; start += 2_000) await database.audit.append(lines.slice(start, start + 2_000));
    },
    [Symbol.asyncDispose]: () => database.close(),
  };
}

/** Lines of all parts, sorted. */
export async function exportedLines(store: StoreParts): Promise<string[]> {
  const lines: string[] = [];
  for (const key of store.keys()) if (key.endsWith('.jsonl')) lines.push(...(await store.get(key))?.toString('utf8').split('\n').filter((line) => line !== '') ?? []);
  return lines.sort();
}
