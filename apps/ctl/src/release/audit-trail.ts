import { randomBytes } from 'node:crypto';
import { hostname } from 'node:os';
import { AuditChain, CHAIN_ACTIONS } from '@pointsman/audit';
import { AppError, describeUnknown } from '@pointsman/errors';
import { sleep, systemClock } from '@pointsman/timing';
import type { CommandContext } from '../command-context.ts';
import { atDatabase, openDatabase, type OpenedDatabase } from '../open-database.ts';

export interface AuditTrailOptions {
  /** `--database` */
  readonly url: string | undefined;
  /** `require`: without a database that takes rows nothing begins. */
  readonly mode: 'require' | 'best-effort';
  readonly actor: string;
  readonly resource: string;
  readonly env: CommandContext['env'];
  readonly warn: (text: string) => void;
}

/** What an operator does to the fleet, in the audit log: one chain for one run of the command line. Rows are never lost silently. */
export interface AuditTrail extends AsyncDisposable {
  /** Rows that cannot be written yet are kept, and tried again with the next one and at the end. Never throws. */
  record(action: string, change: { readonly before?: unknown; readonly after?: unknown }): Promise<void>;
}

const TRY_MS = 5_000;
/** How long the end waits for a database that is away, in milliseconds. */
const LAST_TRIES_MS = 10_000;

/** @throws AppError `unavailable` with mode `require` when the database takes no row. */
export async function openAuditTrail({ url, mode, actor, resource, env, warn }: AuditTrailOptions): Promise<AuditTrail> {
  const chain = new AuditChain({ pod: `ctl-${hostname()}-${String(process.pid)}-${randomBytes(2).toString('hex')}`, clock: systemClock });
  let pending: readonly string[] = [chain.next({ actor, action: CHAIN_ACTIONS.opened, resource: 'audit', after: { previous: [] } })];
  let opened: OpenedDatabase | undefined;
  let isAway = false;

  const flush = async (): Promise<void> => {
    opened ??= await openDatabase({ url, option: '--database', env, create: false, signal: new AbortController().signal });
    const { database, place } = opened;
    await atDatabase(place, () => database.audit.append(pending, AbortSignal.timeout(TRY_MS)));
    pending = [];
  };
  const tryFlush = async (): Promise<boolean> => {
    try {
      await flush();
      if (isAway) warn('the audit log takes rows again');
      isAway = false;
      return true;
    } catch (error) {
      if (!isAway) warn(`cannot write the audit log, its rows are kept for later: ${error instanceof AppError ? error.message : describeUnknown(error)}`);
      isAway = true;
      return false;
    }
  };

  if (mode === 'best-effort') await tryFlush();
  else {
    try {
      await flush();
    } catch (error) {
      await opened?.[Symbol.asyncDispose]();
      throw new AppError('unavailable', 'audit_unavailable', `cannot write the audit log, so nothing was begun (--audit best-effort goes on without): ${error instanceof AppError ? error.message : describeUnknown(error)}`, { cause: error });
    }
  }
  return {
    record: async (action, change) => {
      pending = [...pending, chain.next({ actor, action, resource, ...change })];
      await tryFlush();
    },
    [Symbol.asyncDispose]: async () => {
      pending = [...pending, chain.next({ actor, action: CHAIN_ACTIONS.closed, resource: 'audit', after: { rows: chain.head.seq + 1 } })];
      const deadline = systemClock.monotonic() + LAST_TRIES_MS;
      let isWritten = await tryFlush();
      while (!isWritten && mode === 'require' && systemClock.monotonic() < deadline) {
        await sleep(500);
        isWritten = await tryFlush();
      }
      if (!isWritten) warn(`these audit rows were never written:\n${pending.join('\n')}`);
      await opened?.[Symbol.asyncDispose]();
    },
  };
}
