import { hash, randomBytes } from 'node:crypto';
import type { Clock } from '@pointsman/timing';
import { z } from 'zod';
import type { AuditRecord } from './audit-record.ts';
import { canonicalJson } from './canonical-json.ts';
import { safeText, safeValue } from './safe-value.ts';

/** `prev_hash` of the first row of a chain. */
export const NO_HASH = '0'.repeat(64);

/** What happened, as the one who saw it says it. Secrets in it are taken out before it becomes a row. */
export interface AuditEvent {
  /** `master`, `key:<alias or first 8 of the hash>`, `anonymous`, `system:<part>`. */
  readonly actor: string;
  /** `key.create`, `team.update`, `config.reload`, … */
  readonly action: string;
  /** What it was done to: `key:<hash>`, `team:<id>`, `config:<revision>`. */
  readonly resource: string;
  readonly before?: unknown;
  readonly after?: unknown;
  readonly requestId?: string | undefined;
  readonly traceId?: string | undefined;
  readonly ip?: string | undefined;
}

/** Where a chain stands: its last row. */
export const chainHeadSchema = z.object({ chain: z.string(), seq: z.number().int().nonnegative(), hash: z.string().length(64) });
export type ChainHead = z.infer<typeof chainHeadSchema>;

export interface AuditChainOptions {
  /** Name of the replica. */
  readonly pod: string;
  readonly clock: Clock;
}

/** SHA-256, hex, over the canonical JSON of every field but `hash`. */
export function hashOfRow(row: Readonly<Record<string, unknown>>): string {
  return hash('sha256', canonicalJson({ ...row, hash: undefined }), 'hex');
}

/** Numbers the rows of one run of one replica and ties each to the one before. */
export class AuditChain {
  readonly #clock: Clock;
  readonly #chain: string;
  #seq = 0;
  #hash = NO_HASH;
  #before: { readonly seq: number; readonly hash: string } | undefined;

  constructor({ pod, clock }: AuditChainOptions) {
    this.#clock = clock;
    this.#chain = `${safeText(pod, 128)}/${randomBytes(8).toString('hex')}`;
  }

  get head(): ChainHead {
    return { chain: this.#chain, seq: this.#seq, hash: this.#hash };
  }

  /** The next row, as one line of JSON. */
  next({ actor, action, resource, before, after, requestId, traceId, ip }: AuditEvent): string {
    const seq = this.#seq + 1;
    const row: Omit<AuditRecord, 'hash'> = {
      schema_version: 1, id: `${this.#chain}/${String(seq)}`, at: new Date(this.#clock.now()).toISOString(),
      actor: safeText(actor), action: safeText(action), resource: safeText(resource), before: safeValue(before), after: safeValue(after),
      request_id: orNull(requestId), trace_id: orNull(traceId), ip: orNull(ip),
      chain: this.#chain, seq, prev_hash: this.#hash,
    };
    const rowHash = hashOfRow(row);
    this.#before = { seq: this.#seq, hash: this.#hash };
    this.#seq = seq;
    this.#hash = rowHash;
    return canonicalJson({ ...row, hash: rowHash });
  }

  /** Takes the last row back, which nobody could keep: its number goes to the next, and no gap is left. Once per row. */
  takeBack(): void {
    if (this.#before === undefined) return;
    this.#seq = this.#before.seq;
    this.#hash = this.#before.hash;
    this.#before = undefined;
  }
}

function orNull(text: string | undefined): string | null {
  return text === undefined ? null : safeText(text, 256);
}
