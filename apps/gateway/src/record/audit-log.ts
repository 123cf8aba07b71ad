import { AuditChain, CHAIN_ACTIONS, chainHeadSchema, type ChainHead } from '@pointsman/audit';
import { openSpool, type Spool, type SpoolOptions } from '@pointsman/spool';
import type { Clock } from '@pointsman/timing';
import type { AuditEvent, AuditSink } from './audit-sink.ts';
import { DeniedFlood } from './denied-flood.ts';

export interface AuditLog extends AuditSink {
  /** A note of a process that is gone: the end of its chain, which this one's then names. */
  inherit(note: string): void;
  /** Writes the last row of the chain. What comes later is dropped and counted. Before the spool is closed. */
  close(): void;
}

export interface AuditLogOptions {
  readonly spool: Pick<Spool, 'append' | 'note'>;
  readonly chain: AuditChain;
  readonly clock: Clock;
  /** Notes of processes that are gone, as the spool gave them when it opened. */
  readonly notes?: readonly string[];
  /** Called for every event: whether its row is kept for the database. */
  readonly onRow?: (outcome: 'kept' | 'dropped') => void;
  /** How many different refusals a minute get a row of their own. Default 100. */
  readonly deniedRowsPerMinute?: number;
}

const ACTOR = 'system:gateway';

/** The audit log of this process: each event becomes a row of its hash chain, on disk (in memory while the disk refuses) before `record` returns. */
export function createAuditLog({ spool, chain, clock, notes = [], onRow, deniedRowsPerMinute = 100 }: AuditLogOptions): AuditLog {
  let isClosed = false;

  const record = (event: AuditEvent): void => {
    const kept = !isClosed && append(spool, chain, event);
    onRow?.(kept ? 'kept' : 'dropped');
  };

  const flood = new DeniedFlood({ clock, maxDistinct: deniedRowsPerMinute, onSum: (after) => record({ actor: ACTOR, action: 'access.denied', resource: 'access', after }) });
  record({ actor: ACTOR, action: CHAIN_ACTIONS.opened, resource: 'audit', after: { previous: headsOf(notes) } });

  return {
    record,
    denied({ reason, ...event }) {
      if (isClosed || flood.admits(reason, [event.actor, event.resource, event.ip ?? ''])) record({ ...event, action: 'access.denied', after: { reason } });
    },
    inherit(note) {
      const previous = headsOf([note]);
      if (previous.length > 0) record({ actor: ACTOR, action: CHAIN_ACTIONS.inherited, resource: 'audit', after: { previous } });
    },
    close() {
      if (isClosed) return;
      flood.end();
      record({ actor: ACTOR, action: CHAIN_ACTIONS.closed, resource: 'audit', after: { rows: chain.head.seq + 1 } });
      isClosed = true;
    },
  };
}

export interface OpenAuditLogOptions extends Pick<AuditLogOptions, 'clock' | 'onRow' | 'deniedRowsPerMinute'> {
  readonly spool: Omit<SpoolOptions, 'onInherited'>;
  /** Name of the replica. */
  readonly pod: string;
}

/** Opens the spool of the audit log and starts a chain that names the chains of processes that are gone. To stop: close the log, flush, close the spool. */
export async function openAuditLog({ spool: options, pod, ...rest }: OpenAuditLogOptions): Promise<{ readonly log: AuditLog; readonly spool: Spool }> {
  const notes: string[] = [];
  const started: { log?: AuditLog } = {};
  const spool = await openSpool({ ...options, onInherited: (note) => started.log === undefined ? notes.push(note) : started.log.inherit(note) });
  const log = createAuditLog({ spool, chain: new AuditChain({ pod, clock: rest.clock }), notes, ...rest });
  started.log = log;
  return { log, spool };
}

/** A row that is not kept gives its number to the next: a full disk must not look like a row that somebody took away. */
function append(spool: Pick<Spool, 'append' | 'note'>, chain: AuditChain, event: AuditEvent): boolean {
  try {
    const line = chain.next(event);
    if (!spool.append(line)) {
      chain.takeBack();
      return false;
    }
    spool.note(JSON.stringify(chain.head));
    return true;
  } catch {
    // A value that cannot be written down (a getter that throws): the chain has not moved.
    return false;
  }
}

function headsOf(notes: readonly string[]): ChainHead[] {
  return notes.flatMap((note) => {
    try {
      return [chainHeadSchema.parse(JSON.parse(note))];
    } catch {
      return [];
    }
  });
}
