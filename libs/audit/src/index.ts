export { auditRecordSchema, type AuditRecord } from './audit-record.ts';
export { AuditChain, chainHeadSchema, type AuditChainOptions, type AuditEvent, type ChainHead } from './audit-chain.ts';
export { CHAIN_ACTIONS } from './chain-actions.ts';
export { verifyChains, type AuditProblem, type AuditProblemKind, type ChainReport, type VerifiedChain, type VerifyOptions } from './verify-chains.ts';
export { safeText, safeValue } from './safe-value.ts';
export { canonicalJson } from './canonical-json.ts';
