import { AppError } from '@pointsman/errors';
import { AlreadyExistsError, type Database } from '@pointsman/database';
import { redact } from '@pointsman/telemetry';
import type { Principal } from '../../access/principal.ts';
import type { Exchange } from '../../http/exchange.ts';
import type { GatewayContext } from '../gateway-context.ts';
import type { DatabaseRunOptions } from '../../state/gateway-database.ts';
import { ReportSlots } from './report-slots.ts';

/** Sums over a long ledger take longer than the look-ups of keys. One statement of them may take half of this. */
const REPORT_DEADLINE_MS = 10_000;

/** One per gateway, which is one per replica. */
const reportSlots = new WeakMap<GatewayContext, ReportSlots>();

/** One admin request whose caller is known and whose fields are checked: what a handler works with. */
export class ManagementCall<Fields> {
  readonly context: GatewayContext;
  readonly exchange: Exchange;
  readonly fields: Fields;
  /** `{key}` of the path; '' where the route has none. */
  readonly pathKey: string;
  readonly now = new Date();

  constructor(parts: { readonly context: GatewayContext; readonly exchange: Exchange; readonly fields: Fields; readonly pathKey: string }) {
    this.context = parts.context;
    this.exchange = parts.exchange;
    this.fields = parts.fields;
    this.pathKey = parts.pathKey;
  }

  get principal(): Principal {
    return this.exchange.principal;
  }

  get isAdmin(): boolean {
    return this.principal.role === 'admin';
  }

  /** Admins and viewers see everything. */
  get seesAll(): boolean {
    return this.principal.role !== 'user';
  }

  /** Who a row says it was made by. */
  get author(): string {
    return this.principal.userId ?? this.principal.keyHash;
  }

  /** Work on the database. An id or alias that is taken becomes a 400 that names the field. */
  async run<T>(work: (database: Database, signal: AbortSignal) => Promise<T>, options?: DatabaseRunOptions): Promise<T> {
    try {
      return await this.context.database.run(work, options);
    } catch (error) {
      if (error instanceof AlreadyExistsError) throw new AppError('invalid_request', '400', error.message, { param: error.field, type: 'bad_request_error', cause: error });
      throw error;
    }
  }

  /**
   * Reads from the ledger, when few others do. The signal aborts when nobody waits for the answer any more: work of several statements looks at it between them.
   * @throws AppError `busy`, `report_too_slow`, `database_unavailable`.
   */
  async report<T>(work: (database: Database, signal: AbortSignal) => Promise<T>): Promise<T> {
    const { context, exchange: { res } } = this;
    const slots = reportSlots.get(context) ?? new ReportSlots();
    reportSlots.set(context, slots);
    const release = await slots.take({ isOfKey: !this.seesAll });
    const gone = new AbortController();
    const onClose = (): void => gone.abort();
    if (res.destroyed) gone.abort();
    res.once('close', onClose);
    let underWay: Promise<unknown> = Promise.resolve();
    try {
      return await this.run((database, signal) => {
        const answer = work(database, AbortSignal.any([signal, gone.signal]));
        underWay = answer;
        return answer;
      }, { deadlineMs: REPORT_DEADLINE_MS, isReport: true });
    } finally {
      res.off('close', onClose);
      // The server may still be at a statement whose answer nobody waits for: the slot is free when that has ended.
      underWay.then(release, release);
    }
  }

  /** Writes down what was changed; called once the database has it. `before` and `after` come out without secrets. */
  audit(action: string, resource: string, change: { readonly before?: unknown; readonly after?: unknown }): void {
    this.context.audit.record({
      ...origin(this.exchange), action, resource,
      ...(change.before === undefined ? {} : { before: redact(change.before) }), ...(change.after === undefined ? {} : { after: redact(change.after) }),
    });
  }

  /** The refusal of something that this caller may not do; the audit log hears of it. */
  deny(resource: string, message: string): AppError {
    return denied(this.context, this.exchange, resource, message);
  }
}

/** Audits a refused admin action and makes the reply for it. */
export function denied(context: GatewayContext, exchange: Exchange, resource: string, message: string): AppError {
  context.audit.denied({ ...origin(exchange), resource, reason: 'route_denied' });
  return new AppError('forbidden', '403', message);
}

function origin(exchange: Exchange): { readonly actor: string; readonly requestId: string; readonly traceId: string; readonly ip: string | undefined } {
  const { principal: { access, keyAlias, keyHash }, requestId, trace, req } = exchange;
  const actor = access === undefined && keyAlias === 'master' ? 'master' : `key:${keyAlias ?? keyHash.slice(0, 8)}`;
  return { actor, requestId, traceId: trace.traceId, ip: req.socket.remoteAddress };
}
