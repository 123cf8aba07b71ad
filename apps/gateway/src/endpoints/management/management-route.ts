import type { IncomingMessage, ServerResponse } from 'node:http';
import { AppError } from '@pointsman/errors';
import { parseFields, type FieldsDefinition, type FieldsOf } from '@pointsman/schemas';
import { parseJsonBody } from '../../http/parse-json-body.ts';
import { readBody } from '../../http/read-body.ts';
import { sendJson } from '../../http/send-json.ts';
import { failExchange, serve, type Handler, type Running } from '../../http/serve.ts';
import type { GatewayContext } from '../gateway-context.ts';
import { admitManagement } from './admit-management.ts';
import { allowsRoute } from './managed-route-access.ts';
import { denied, ManagementCall } from './management-call.ts';

/** Admin bodies are lists of names; whoever sends more means no good. */
export const MAX_MANAGEMENT_BODY_BYTES = 1_048_576;

/** Longest key or hash in a path. */
const MAX_PATH_KEY = 512;

/**
 * Who may call a route at all. `admin`: the master key and admin keys. `reader`: also viewers. `anyone`: whoever has a key, and the handler decides
 * about what (a viewer only where the route reads).
 */
export type Audience = 'admin' | 'reader' | 'anyone';

export interface ManagementRoute {
  readonly method: 'get' | 'post';
  /** With `{key}` where the path names one: also what metrics call the route. */
  readonly path: string;
  readonly summary: string;
  readonly tag: 'Keys' | 'Teams' | 'Users' | 'Budgets' | 'Spend';
  readonly audience: Audience;
  /** Changes nothing although it is a POST. */
  readonly reads: boolean;
  readonly fields: FieldsDefinition;
  run(parts: { readonly context: GatewayContext; readonly running: Running; readonly pathKey: string }, given: Readonly<Record<string, unknown>>): Promise<{ readonly reply: unknown; readonly ignored: readonly string[]; readonly headers: Readonly<Record<string, string>> }>;
}

/** A reply with headers of its own. */
export class ReplyWithHeaders {
  readonly body: unknown;
  readonly headers: Readonly<Record<string, string>>;

  constructor(body: unknown, headers: Readonly<Record<string, string>>) {
    this.body = body;
    this.headers = headers;
  }
}

/** A route of the admin surface: its fields are those of the query for GET and of the body for POST. */
export function defineRoute<Definition extends FieldsDefinition>(route: Omit<ManagementRoute, 'run' | 'fields' | 'reads'> & {
  readonly reads?: boolean;
  readonly fields: Definition;
  readonly handle: (call: ManagementCall<FieldsOf<Definition>>) => Promise<unknown>;
}): ManagementRoute {
  const { handle, ...facts } = route;
  return {
    ...facts,
    reads: route.reads ?? route.method === 'get',
    async run({ context, running: { exchange }, pathKey }, given) {
      const { fields, ignored } = parseFields(route.fields, given);
      const answer = await handle(new ManagementCall({ context, exchange, fields: fields as FieldsOf<Definition>, pathKey }));
      return answer instanceof ReplyWithHeaders ? { reply: answer.body, headers: answer.headers, ignored } : { reply: answer, headers: {}, ignored };
    },
  };
}

/** The handler of an admin route. The caller is judged before a byte of the body is read. */
export function serveManagement(context: GatewayContext, route: ManagementRoute): Handler {
  return (req: IncomingMessage & { readonly params?: Readonly<Record<string, string | readonly string[] | undefined>> }, res: ServerResponse) => {
    const param = req.params?.['key'];
    serve(context, { route: route.path }, async (running) => {
      const { exchange } = running;
      judge(context, running, route);
      // No await where nothing is waited for: the body must not arrive before somebody listens.
      const admission = admitManagement(context, exchange.principal);
      if (admission !== undefined) await admission;
      const pathKey = typeof param === 'string' ? param : '';
      if (pathKey.length > MAX_PATH_KEY || pathKey.includes('\0') || !pathKey.isWellFormed()) throw new AppError('invalid_request', 'invalid_value', "Invalid value for 'key': expected a key or its hash.", { param: 'key' });
      if (route.method === 'get') {
        await answer(context, running, route, pathKey, queryOf(req.url ?? '/'));
        return;
      }
      readBody(req, Math.min(MAX_MANAGEMENT_BODY_BYTES, exchange.snapshot.config.maxRequestBytes), (error, raw) => {
        if (raw === undefined) {
          if (error !== undefined) failExchange(context, exchange, new AppError('payload_too_large', 'request_too_large', 'The body of an admin request may have at most 1 MB.', { param: 'request_body' }));
          return;
        }
        respond(context, running, route, pathKey, raw);
      });
    })(req, res);
  };
}

function respond(context: GatewayContext, running: Running, route: ManagementRoute, pathKey: string, raw: Buffer): void {
  const fail = (thrown: unknown): void => failExchange(context, running.exchange, thrown);
  try {
    // `curl -X POST` without a body is an empty object: what is missing is then named.
    answer(context, running, route, pathKey, raw.length === 0 ? {} : parseJsonBody(raw).value).catch(fail);
  } catch (error) {
    fail(error);
  }
}

async function answer(context: GatewayContext, running: Running, route: ManagementRoute, pathKey: string, given: Readonly<Record<string, unknown>>): Promise<void> {
  const { exchange } = running;
  const { reply, ignored, headers } = await route.run({ context, running, pathKey }, given);
  if (exchange.res.destroyed) return;
  sendJson(exchange.res, 200, reply, {
    'x-request-id': exchange.requestId, 'x-litellm-call-id': exchange.requestId, 'cache-control': 'no-store', ...headers,
    // LiteLLM would act on these fields: what is accepted without effect is said.
    ...(ignored.length === 0 ? {} : { 'x-pointsman-ignored-fields': ignored.join(', ') }),
  });
}

/** @throws AppError `forbidden` for callers who may not use the route, whatever they ask of it. */
function judge(context: GatewayContext, { exchange }: Running, route: ManagementRoute): void {
  const { role, access } = exchange.principal;
  if (access !== undefined && !allowsRoute(access.key.allowed_routes, route)) {
    throw denied(context, exchange, `route:${route.path}`, `This key is not allowed to call this route. Allowed routes of the key: ${access.key.allowed_routes.join(', ').slice(0, 500)}.`);
  }
  if (role === 'admin' || (role === 'viewer' && route.reads && route.audience !== 'admin')) return;
  if (route.audience === 'anyone' && (role === 'user' || route.reads)) return;
  const who = route.audience === 'reader' ? 'Only the master key, an admin key or a viewer key' : 'Only the master key or an admin key';
  throw denied(context, exchange, `route:${route.path}`, `${who} may use ${route.method.toUpperCase()} ${route.path}. Your role is ${role === 'user' ? 'internal_user' : 'proxy_admin_viewer'}.`);
}

/** @throws AppError `invalid_request` for a parameter that comes twice. An empty one counts as absent: it is what forms and UIs send. */
function queryOf(url: string): Record<string, unknown> {
  const query = new Map<string, string>();
  const start = url.indexOf('?');
  if (start === -1) return {};
  for (const [field, value] of new URLSearchParams(url.slice(start + 1))) {
    if (value === '') continue;
    if (query.has(field)) throw new AppError('invalid_request', 'invalid_value', `The parameter '${field.slice(0, 64)}' is given more than once.`, { param: field.slice(0, 64) });
    query.set(field, value);
  }
  return Object.fromEntries(query);
}
