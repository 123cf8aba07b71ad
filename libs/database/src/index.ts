export { AlreadyExistsError, RejectedRowsError } from './database.ts';
export type {
  AccessChange, AccessStore, AuditStore, ChangeCursor, Database, DatabaseOptions, Page, PageQuestion, SpendFilter, SpendLog, SpendStore, SpendSum,
} from './database.ts';
export { modelBudgetsSchema } from './rows.ts';
export type { BudgetRow, KeyAccess, KeyRow, LimitColumns, ModelBudgets, SpendLine, TeamRow, UserRow } from './rows.ts';
