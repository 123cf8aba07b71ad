import { auditRecordSchema, type AuditProblem } from '@pointsman/audit';

const linkSchema = auditRecordSchema.pick({ chain: true, seq: true, hash: true });

/**
 * Tells whether the database still holds the rows that were exported, as they were. All exported rows are added first, then all of the database.
 * Keeps the hash of each exported row: some 200 bytes.
 */
export class CopyComparison {
  readonly problems: AuditProblem[] = [];
  problemCount = 0;
  /** Exported rows. */
  rows = 0;
  readonly #most: number;
  /** By chain and number; what is left at the end was not found. */
  readonly #exported = new Map<string, Map<number, string>>();

  /** `most`: problems that are kept. */
  constructor(most: number) {
    this.#most = most;
  }

  addExported(row: unknown): void {
    const link = linkSchema.safeParse(row).data;
    if (link === undefined) return;
    const chain = this.#exported.get(link.chain) ?? new Map<number, string>();
    this.#exported.set(link.chain, chain.set(link.seq, link.hash));
    this.rows += 1;
  }

  addStored(row: unknown): void {
    const link = linkSchema.safeParse(row).data;
    if (link === undefined) return;
    const chain = this.#exported.get(link.chain);
    const hash = chain?.get(link.seq);
    if (chain === undefined || hash === undefined) return;
    chain.delete(link.seq);
    if (hash !== link.hash) this.#report({ chain: link.chain, seq: link.seq, kind: 'edited', rows: 1, detail: 'The database holds another row under this number than the one that was exported.' });
  }

  /** After the last row of the database. */
  finish(): void {
    for (const [chain, left] of this.#exported) {
      for (const seq of left.keys()) this.#report({ chain, seq, kind: 'missing', rows: 1, detail: 'It was exported and is not in the database.' });
    }
    this.#exported.clear();
  }

  #report(problem: AuditProblem): void {
    this.problemCount += 1;
    if (this.problems.length < this.#most) this.problems.push(problem);
  }
}
