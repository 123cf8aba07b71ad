import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import { AppError, toAppError } from '@pointsman/errors';
import type { WireFormat } from '@pointsman/providers';
import express, { type Express } from 'express';
import { apiDocument, docsPage } from '../endpoints/api-docs.ts';
import { countTokens } from '../endpoints/count-tokens.ts';
import { feedback } from '../endpoints/feedback.ts';
import type { GatewayContext } from '../endpoints/gateway-context.ts';
import { configHealth, deploymentHealth, liveness, metricsExposition, readiness, reloadNow } from '../endpoints/health.ts';
import { serveManagement } from '../endpoints/management/management-route.ts';
import { managementRoutes, UNSUPPORTED_MANAGEMENT } from '../endpoints/management/management-routes.ts';
import { listModels, modelInfo, showModel } from '../endpoints/models.ts';
import { createPassthrough, PASSTHROUGH_ROUTES } from '../endpoints/passthrough.ts';
import { startProxiedCall } from '../endpoints/proxied-call.ts';
import { routerExperiments } from '../endpoints/router-experiments.ts';
import { routeDryRun } from '../endpoints/route-dry-run.ts';
import type { ErrorShape } from './exchange.ts';
import { sendError } from './send-error.ts';
import { serveWithBody, type Handler } from './serve.ts';

const PROXIED: readonly { readonly format: WireFormat; readonly route: string; readonly paths: readonly string[]; readonly azure?: string }[] = [
  { format: 'chat', route: '/v1/chat/completions', paths: ['/v1/chat/completions', '/chat/completions'], azure: 'chat/completions' },
  { format: 'messages', route: '/v1/messages', paths: ['/v1/messages', '/anthropic/v1/messages'] },
  { format: 'embeddings', route: '/v1/embeddings', paths: ['/v1/embeddings', '/embeddings'], azure: 'embeddings' },
  { format: 'responses', route: '/v1/responses', paths: ['/v1/responses', '/responses'] },
  { format: 'completions', route: '/v1/completions', paths: ['/v1/completions', '/completions'], azure: 'completions' },
];

/** Surfaces of LiteLLM that this gateway does not have: said plainly, so that nobody searches for a typing mistake. */
const NOT_SUPPORTED = ['/v1/assistants', '/v1/threads', '/v1/fine_tuning', '/v1/vector_stores', '/v1/videos', '/v1/containers', '/v1/realtime', '/mcp', '/a2a'];

function notSupported(path: string): Handler {
  return (_req, res) => sendError(res, new AppError('not_supported', 'not_supported', `${path} is not supported by this gateway.`), { shape: 'openai', requestId: undefined });
}

/** Who asks below an Anthropic route reads Anthropic's errors, also where nothing answers. */
function shapeOf(path: string): ErrorShape {
  return path.startsWith('/v1/messages') || path.startsWith('/anthropic/v1/messages') ? 'anthropic' : 'openai';
}

/**
 * Every route on one screen. Exact POST paths that carry the traffic are found by one look into a map before Express sees the request:
 * its router and the prototypes it swaps cost as much as parsing the body. Everything else, and the same paths with other methods, goes through it.
 */
export function createRequestListener(context: GatewayContext): RequestListener {
  const direct = new Map<string, Handler>();
  const app = createApp(context, direct);
  return (req, res) => {
    const handler = req.method === 'POST' ? direct.get(req.url ?? '') : undefined;
    if (handler === undefined) app(req, res);
    else handler(req, res);
  };
}

function createApp(context: GatewayContext, direct: Map<string, Handler>): Express {
  const app = express();
  app.disable('x-powered-by');
  app.disable('etag');
  app.set('query parser', 'simple');
  const allowed = new Map<string, Set<string>>();
  const on = (method: 'get' | 'post', paths: readonly string[], handler: Handler): void => {
    for (const path of paths) {
      app[method](path, handler);
      const methods = allowed.get(path) ?? new Set<string>();
      allowed.set(path, methods.add(method.toUpperCase()));
    }
  };

  for (const { format, route, paths, azure } of PROXIED) {
    const path = paths[1] ?? route;
    const errorShape = format === 'messages' ? 'anthropic' : 'openai';
    const handler = serveWithBody(context, { route, errorShape }, (running, raw) => startProxiedCall(context, running, raw, { format, path: format === 'messages' ? route : path }));
    on('post', paths, handler);
    for (const exact of paths) direct.set(exact, handler);
    if (azure === undefined) continue;
    for (const prefix of ['/openai/deployments', '/engines']) {
      // A wildcard: names of groups may hold slashes (`openai/gpt-4o`).
      app.post(`${prefix}/*model/${azure}`, (req, res) => {
        const modelFromPath = [req.params['model']].flat().join('/');
        serveWithBody(context, { route, errorShape }, (running, raw) => startProxiedCall(context, running, raw, { format, path, modelFromPath }))(req, res);
      });
    }
  }
  on('post', ['/v1/messages/count_tokens', '/anthropic/v1/messages/count_tokens'], countTokens(context));
  on('post', ['/v1/route'], routeDryRun(context));
  on('post', ['/v1/feedback', '/feedback'], feedback(context));
  on('get', ['/router/experiments'], routerExperiments(context));
  on('get', ['/v1/models', '/models'], listModels(context));
  for (const path of ['/v1/models/*id', '/models/*id']) {
    app.get(path, (req, res) => showModel(context, [req.params['id']].flat().join('/'))(req, res));
  }
  on('get', ['/model/info', '/v1/model/info'], modelInfo(context));
  on('get', ['/health/liveliness', '/health/liveness'], liveness());
  on('get', ['/health/readiness'], readiness(context));
  on('get', ['/health/config'], configHealth(context));
  on('post', ['/config/reload'], reloadNow(context));
  on('get', ['/health'], deploymentHealth(context));
  on('get', ['/metrics'], metricsExposition(context));
  for (const route of managementRoutes) on(route.method, [route.path.replace('{key}', ':key')], serveManagement(context, route));
  on('get', ['/openapi.json'], apiDocument());
  on('get', ['/docs', '/'], docsPage());

  // The right path with the wrong method, before anything that matches whole prefixes.
  for (const [path, methods] of allowed) {
    app.all(path, (_req: IncomingMessage, res: ServerResponse) => {
      sendError(res, new AppError('method_not_allowed', 'method_not_allowed', `Method Not Allowed. Allowed: ${[...methods].join(', ')}.`), {
        shape: shapeOf(path), requestId: undefined, extra: ['allow', [...methods].join(', ')],
      });
    });
  }
  const passthrough = createPassthrough(context);
  for (const route of PASSTHROUGH_ROUTES) {
    const handler = passthrough.openAi(route);
    app.all([route, `${route}/*rest`, route.slice(3), `${route.slice(3)}/*rest`], handler);
  }
  for (const path of [...NOT_SUPPORTED, ...UNSUPPORTED_MANAGEMENT]) app.all([path, `${path}/*rest`], notSupported(path));
  app.all('/:provider/*rest', (req, res, next) => {
    const { provider } = req.params;
    if (context.live.current.byProvider.has(provider)) passthrough.provider(provider)(req, res);
    else next();
  });

  app.use((req: IncomingMessage, res: ServerResponse) => {
    sendError(res, new AppError('not_found', 'not_found', 'Not Found'), { shape: shapeOf(req.url ?? ''), requestId: undefined });
  });
  // Express tells an error handler by its four parameters. What gets here is a broken URL or a mistake of ours.
  app.use((thrown: unknown, _req: IncomingMessage, res: ServerResponse, _next: () => void) => {
    const malformed = thrown instanceof URIError;
    sendError(res, malformed ? new AppError('invalid_request', 'invalid_path', 'The path is not valid percent-encoding.', { param: 'path' }) : toAppError(thrown), { shape: 'openai', requestId: undefined });
  });
  return app;
}
