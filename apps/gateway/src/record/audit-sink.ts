import type { AuditEvent } from '@pointsman/audit';

export type { AuditEvent };

/** Where audit events go. Synchronous, never throws, never waits: what it takes is on disk when it returns. */
export interface AuditSink {
  record(event: AuditEvent): void;
  /** A refused access (`reason`: `unknown_key`, `expired_key`, `blocked`, `model_denied`, `route_denied`, …). A flood is summed up. */
  denied(event: Omit<AuditEvent, 'action' | 'before' | 'after'> & { readonly reason: string }): void;
}

export const noAudit: AuditSink = { record: () => undefined, denied: () => undefined };
