/** Something that must be found in the audit log. */
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

/** Where audit events go. Synchronous, never throws, never waits: what it takes is on disk when it returns. */
export interface AuditSink {
  record(event: AuditEvent): void;
  /** A refused access (`reason`: `unknown_key`, `expired_key`, `blocked`, `model_denied`, `route_denied`, …). A flood is summed up. */
  denied(event: Omit<AuditEvent, 'action' | 'before' | 'after'> & { readonly reason: string }): void;
}

export const noAudit: AuditSink = { record: () => undefined, denied: () => undefined };
