import { access } from './0001-access.ts';
import { audit } from './0003-audit.ts';
import { auditExports } from './0004-audit-exports.ts';
import { modelDeployments } from './0005-model-deployments.ts';
import { spend } from './0002-spend.ts';

export interface Migration {
  /** Number and subject; the order of names is the order they run in. */
  readonly name: string;
  /** Statements without parameters. Only ever adds: an older image must go on working with the result, and nothing of a user's is dropped. */
  readonly sql: string;
}

/** One list for Postgres and the embedded database. What has been released is never edited; a change is a new file. */
export const migrations: readonly Migration[] = [access, spend, audit, auditExports, modelDeployments];
