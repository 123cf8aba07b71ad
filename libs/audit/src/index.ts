export { auditRecordSchema, type AuditRecord } from './audit-record.ts';
export { AuditChain, chainHeadSchema, type AuditChainOptions, type AuditEvent, type ChainHead } from './audit-chain.ts';
export { CHAIN_ACTIONS } from './chain-actions.ts';
export { verifyChains, type AuditProblem, type AuditProblemKind, type ChainReport, type VerifiedChain, type VerifyOptions } from './verify-chains.ts';
export { safeText, safeValue } from './safe-value.ts';
export { canonicalJson } from './canonical-json.ts';
export { EXPORT_PREFIX, manifestKey, partKey, readExportKey, signatureKey, type ExportKey } from './export-layout.ts';
export {
  auditManifestSchema, auditManifestText, isSignedBy, mergeManifestChains, readAuditPublicKey, signAuditManifest, type AuditManifest, type AuditManifestChain,
} from './export-manifest.ts';
export { verifyExport, type ExportProblem, type ExportProblemKind, type ExportReader, type ExportReport, type VerifyExportOptions } from './verify-export.ts';
