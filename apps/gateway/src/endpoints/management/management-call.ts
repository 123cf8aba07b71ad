import { AppError } from '@pointsman/errors';
import { AlreadyExistsError, type Database } from '@pointsman/database';
import { redact } from '@pointsman/telemetry';
import type { Principal } from '../../access/principal.ts';
import type { Exchange } from '../../http/exchange.ts';
import type { GatewayContext } from '../gateway-context.ts';

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
  async run<T>(work: (database: Database) => Promise<T>, options?: { readonly deadlineMs?: number }): Promise<T> {
    try {
      return await this.context.database.run((database) => work(database), options);
    } catch (error) {
      if (error instanceof AlreadyExistsError) throw new AppError('invalid_request', '400', error.message, { param: error.field, type: 'bad_request_error', cause: error });
      throw error;
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
