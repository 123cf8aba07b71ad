import type { KeyObject } from 'node:crypto';
import type { AuditExportStore, ExportPart } from '@pointsman/database';
import type { ObjectStore } from '@pointsman/object-store';
import type { Logger, Span } from '@pointsman/telemetry';
import type { Clock } from '@pointsman/timing';

/** What the steps of one export work with. */
export interface ExportContext {
  readonly exports: AuditExportStore;
  readonly store: ObjectStore;
  readonly clock: Clock;
  readonly signingKey: KeyObject | undefined;
  readonly retainUntil: () => Date | undefined;
  readonly span: Span;
  readonly logger: Logger;
  /** A part is in the store and the ledger knows it. */
  readonly written: (part: ExportPart) => void;
}
