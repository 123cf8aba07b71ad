import { z } from 'zod';

/** One row of the audit log. Rows of one chain (one run of one replica) are numbered without gaps and each carries the hash of the one before. */
export const auditRecordSchema = z.object({
  schema_version: z.literal(1),
  id: z.string().min(1),
  /** ISO 8601, UTC, milliseconds. */
  at: z.string(),
  /** `key:<alias or first 8 of the hash>`, `master`, `anonymous`, `system:config-sync`. */
  actor: z.string(),
  /** `key.create`, `team.update`, `config.reload`, `access.denied`, … */
  action: z.string(),
  /** What it was done to: `key:<hash>`, `config:<revision>`. */
  resource: z.string(),
  before: z.unknown().optional(),
  after: z.unknown().optional(),
  request_id: z.string().nullable(),
  trace_id: z.string().nullable(),
  ip: z.string().nullable(),
  /** One run of one replica: `<pod>/<random>`. */
  chain: z.string(),
  /** From 1. */
  seq: z.number().int().positive(),
  /** Hash of the row before, 64 zeros for the first. */
  prev_hash: z.string().length(64),
  /** SHA-256, hex, over the canonical JSON of every other field. */
  hash: z.string().length(64),
});
export type AuditRecord = z.infer<typeof auditRecordSchema>;
