import type { IncomingMessage, ServerResponse } from 'node:http';
import { AppError, describeUnknown, toAppError } from '@pointsman/errors';
import { refuseRoute, routeKind, type RouteKind } from '../access/allowed-routes.ts';
import { authenticate } from '../access/authenticate.ts';
import type { Principal } from '../access/principal.ts';
import type { GatewayContext } from '../endpoints/gateway-context.ts';
import type { ExchangeRecord } from '../record/exchange-record.ts';
import { annotateHttp, annotateRequest } from '../record/annotate-spans.ts';
import { Exchange, type ErrorShape } from './exchange.ts';
import { readBody } from './read-body.ts';
import { sendError } from './send-error.ts';

export interface EndpointOptions {
  /** The route's pattern as metrics and spans call it. */
  readonly route: string;
  readonly errorShape?: ErrorShape;
  /** Answers before the first valid configuration and while draining too. */
  readonly beforeReady?: boolean;
}

export type Handler = (req: IncomingMessage, res: ServerResponse) => void;

/** Runs one authenticated request: `handle` gets the exchange once the caller is known. Whatever it throws becomes an error reply. */
export interface Running {
  readonly exchange: Exchange;
  /** Set by a dispatch when it knows what it did: read when the reply has closed. */
  record: ExchangeRecord | undefined;
  /** The provider that an untouched request was passed to. */
  passedTo?: string;
}

function refuseWhileDraining(): AppError {
  return new AppError('unavailable', 'gateway_draining', 'This gateway is shutting down: try again, another replica will answer.', { retryAfterMs: 1_000 });
}

function begin(context: GatewayContext, req: IncomingMessage, res: ServerResponse, { route, errorShape }: EndpointOptions): Running {
  const { headers } = req;
  const trace = context.telemetry.traces.begin(route, {
    traceparent: single(headers['traceparent']), tracestate: single(headers['tracestate']),
  });
  const exchange = new Exchange(req, res, { route, errorShape: errorShape ?? 'openai', lease: context.live.acquire(), trace });
  const running: Running = { exchange, record: undefined };
  context.gate.enter(exchange);
  res.once('close', () => end(context, running));
  return running;
}

function single(value: string | string[] | undefined): string | undefined {
  return Array.isArray(value) ? value[0] : value;
}

/** The reply is over, whole or cut: count, trace, give back. Runs exactly once per request, on every path. */
function end(context: GatewayContext, running: Running): void {
  const { exchange, record } = running;
  const { res } = exchange;
  if (!res.writableFinished) exchange.runner?.clientGone();
  const status = res.headersSent ? res.statusCode : 499;
  const { trace } = exchange;
  annotateHttp(trace, exchange.route, exchange.req.method, status);
  if (record !== undefined) annotateRequest(exchange, record);
  trace.end();
  const { logger } = context.telemetry;
  if (logger.isEnabled('debug')) {
    logger.forSpan(trace).debug('request ended', {
      route: exchange.route, status, duration_ms: Math.round(exchange.elapsedMs()), request_id: exchange.requestId,
      ...(record === undefined ? {} : { model_group: record.group, provider: record.deployment?.configured.provider, retries: record.retries, fallbacks: record.fallbacks, code: record.error?.code }),
    });
  }
  context.metrics.requestEnded({ route: exchange.route, status, durationMs: exchange.elapsedMs(), record, passedTo: running.passedTo });
  if (record !== undefined) context.metrics.arms.requestEnded(exchange, record);
  context.gate.leave(exchange);
  exchange.release();
}

/** Answers a failed request and logs it once: what the caller did wrong at debug, what we did wrong at error. */
export function failExchange(context: GatewayContext, exchange: Exchange, thrown: unknown): void {
  const error = toAppError(thrown);
  const logger = context.telemetry.logger.forSpan(exchange.trace);
  if (error.kind === 'internal') logger.error('request failed', { route: exchange.route, reason: describeUnknown(thrown) });
  else if (logger.isEnabled('debug')) logger.debug('request refused', { route: exchange.route, code: error.code, status: error.status });
  exchange.trace.fail(error.code, error.kind);
  reportDenied(context, exchange, error);
  sendError(exchange.res, error, { shape: exchange.errorShape, requestId: exchange.requestId, traceparent: exchange.trace.traceparent });
}

/** Refusals of access say why in `details.denied`: the one place from which they get into the audit log. */
function reportDenied({ audit }: GatewayContext, exchange: Exchange, { details }: AppError): void {
  const { denied, model } = details;
  if (typeof denied !== 'string') return;
  const { req, route, requestId, trace } = exchange;
  const caller = exchange.isAuthenticated ? exchange.principal : undefined;
  audit.denied({
    reason: denied, requestId, traceId: trace.traceId, ip: req.socket.remoteAddress,
    actor: caller === undefined ? 'anonymous' : caller.keyAlias === 'master' && caller.access === undefined ? 'master' : `key:${caller.keyAlias ?? caller.keyHash.slice(0, 8)}`,
    resource: typeof model === 'string' ? `model:${model}` : `route:${route}`,
  });
}

/** @throws AppError for a key that may not use the route. */
function admitTo(exchange: Exchange, principal: Principal, kind: RouteKind): void {
  exchange.authenticatedAs(principal);
  // The master key and ordinary keys on routes of models: nothing to ask, which is nearly every request.
  if (principal.routes === undefined && (principal.role === 'admin' || kind === 'llm')) return;
  const refused = refuseRoute(principal, { route: exchange.route, kind, method: exchange.req.method, url: exchange.req.url });
  if (refused !== undefined) throw refused;
}

/**
 * The start of every authenticated route: drain gate, trace, lease, key. `handle` may answer at once or later;
 * a rejection or throw becomes the reply. No await where nothing is waited for.
 */
export function serve(context: GatewayContext, options: EndpointOptions, handle: (running: Running) => void | Promise<void>): Handler {
  const kind = routeKind(options.route);
  return (req, res) => {
    if (context.gate.draining && options.beforeReady !== true) {
      // Kept-alive sockets still deliver requests: answer here so that the balancer goes elsewhere.
      sendError(res, refuseWhileDraining(), { shape: options.errorShape ?? 'openai', requestId: undefined });
      return;
    }
    const running = begin(context, req, res, options);
    const { exchange } = running;
    const fail = (thrown: unknown): void => failExchange(context, exchange, thrown);
    const proceed = (): void => {
      const result = handle(running);
      if (result instanceof Promise) result.catch(fail);
    };
    try {
      if (!exchange.snapshot.ready && options.beforeReady !== true) throw new AppError('unavailable', 'no_configuration', 'This gateway has no valid configuration yet.', { retryAfterMs: 5_000 });
      const principal = authenticate(req.headers, context.keys, exchange.snapshot.config.keyHeaderName);
      if (principal instanceof Promise) {
        principal.then((found) => {
          if (res.destroyed) return; // the client left meanwhile, and what it held was given back
          admitTo(exchange, found, kind);
          proceed();
        }).catch(fail);
        return;
      }
      admitTo(exchange, principal, kind);
      proceed();
    } catch (thrown) {
      fail(thrown);
    }
  };
}

/** Like `serve`, with the body collected first. The body is read only after the key was found good. */
export function serveWithBody(context: GatewayContext, options: EndpointOptions, handle: (running: Running, raw: Buffer) => void | Promise<void>): Handler {
  return serve(context, options, (running) => {
    const { exchange } = running;
    readBody(exchange.req, exchange.snapshot.config.maxRequestBytes, (error, raw) => {
      if (raw === undefined) {
        if (error !== undefined) failExchange(context, exchange, error);
        return;
      }
      try {
        const result = handle(running, raw);
        if (result instanceof Promise) result.catch((thrown: unknown) => failExchange(context, exchange, thrown));
      } catch (thrown) {
        failExchange(context, exchange, thrown);
      }
    });
  });
}
