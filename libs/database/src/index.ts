export { connectDatabase } from './connect-database.ts';
export { AlreadyExistsError, RejectedRowsError } from './database.ts';
export type {
  AccessChange, AccessStore, AuditStore, ChangeCursor, ConnectedDatabase, Database, DatabaseOptions, Page, PageQuestion, SpendFilter, SpendLog, SpendStore, SpendSum,
} from './database.ts';
export type {
  AuditExportPosition, AuditExportStore, ExportChain, ExportedChain, ExportManifest, ExportPart, ExportRow, ExportSegment, ExportTotals, StoredExportPart,
} from './audit-exports.ts';
export { openEmbeddedDatabase, type EmbeddedDatabase, type EmbeddedDatabaseOptions } from './embedded/open-embedded-database.ts';
export { importLiteLlm, type LiteLlmCount, type LiteLlmCounts, type LiteLlmImport, type LiteLlmImportOptions } from './litellm/import-litellm.ts';
export { readLiteLlm, type LiteLlmEntry, type LiteLlmKind, type LiteLlmNote } from './litellm/read-litellm.ts';
export type { ModelDeployment, ModelDeploymentStore } from './model-deployments.ts';
export { isBudgetDuration, nextBudgetReset } from './next-budget-reset.ts';
export { modelBudgetsSchema } from './rows.ts';
export type { BudgetRow, KeyAccess, KeyRow, LimitColumns, ModelBudgets, SpendLine, TeamRow, UserRow } from './rows.ts';
