export { auditRecordSchema, type AuditRecord } from './audit-record.ts';
