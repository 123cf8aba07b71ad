import type { IncomingMessage, ServerResponse } from 'node:http';
import { AppError } from '@pointsman/errors';
import { createProxyMiddleware } from 'http-proxy-middleware';
import { resolveGroup } from '../access/resolve-group.ts';
import type { Exchange } from '../http/exchange.ts';
import { sendError } from '../http/send-error.ts';
import { serve, type Handler, type Running } from '../http/serve.ts';
import type { Deployment } from '../snapshot/snapshot.ts';
import type { GatewayContext } from './gateway-context.ts';

/** The request's way to a provider, found before a byte of its body is read. */
interface Passage {
  readonly exchange: Exchange;
  readonly target: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
}

/** Credentials of the caller and of hops: none of them is the provider's business. */
const STRIPPED = [
  'authorization', 'api-key', 'x-api-key', 'x-litellm-api-key', 'x-goog-api-key', 'ocp-apim-subscription-key', 'cookie', 'proxy-authorization', 'x-litellm-model',
];

/** The version at the end of a base URL: clients of `/{provider}/*` may bring it along, as the provider's own SDK does. */
const VERSION_SEGMENT = /\/v\d+(?:alpha|beta)?\d*$/;

/** Headers of a provider's reply that speak for its own site, not for this one. */
const STRIPPED_FROM_REPLY = ['set-cookie', 'strict-transport-security', 'alt-svc', 'access-control-allow-origin'];

const MODE_OF_ROUTE: Readonly<Record<string, string>> = {
  '/v1/moderations': 'moderation', '/v1/images': 'image_generation', '/v1/audio': 'audio_transcription', '/v1/rerank': 'rerank', '/v1/files': '', '/v1/batches': '',
};

/** Untouched routes of the OpenAI surface that this gateway forwards. */
export const PASSTHROUGH_ROUTES = Object.keys(MODE_OF_ROUTE);

/** A request without a passage never gets this far; nothing listens there. */
const NOWHERE = 'http://127.0.0.1:9';

function canPass({ provider }: Deployment): boolean {
  return provider.passthrough !== undefined;
}

/**
 * Which deployment's provider gets an untouched request: the model of `x-litellm-model` or `?model=`, else one whose `model_info.mode` fits the
 * route, else the first OpenAI deployment, else the first that has such a surface. The body is not looked at: it may be a gigabyte of audio.
 */
async function chooseDeployment(exchange: Exchange, route: string): Promise<Deployment> {
  const { snapshot, req } = exchange;
  const header = req.headers['x-litellm-model'];
  const named = typeof header === 'string' ? header : new URL(req.url ?? '/', 'http://gateway').searchParams.get('model') ?? undefined;
  if (named !== undefined) {
    const plan = await resolveGroup(exchange, named, route);
    const usable = plan.deployments.find(canPass);
    if (usable === undefined) throw new AppError('not_supported', 'no_passthrough', `The providers of ${named.slice(0, 200)} have no HTTP surface to pass through to.`, { param: 'model' });
    return usable;
  }
  const mode = MODE_OF_ROUTE[route];
  const all = [...snapshot.byProvider.values()];
  if (mode !== undefined && mode !== '') {
    for (const { name, models } of snapshot.listed) {
      if (!models.some(({ info }) => info['mode'] === mode)) continue;
      const fitting = (await snapshot.plan(name))?.deployments.find((deployment) => deployment.configured.info['mode'] === mode && canPass(deployment));
      if (fitting !== undefined) return fitting;
    }
  }
  const chosen = [snapshot.byProvider.get('openai'), ...all].find((deployment) => deployment !== undefined && canPass(deployment));
  if (chosen === undefined) throw new AppError('not_supported', 'no_passthrough_provider', `No configured provider serves ${route}.`);
  return chosen;
}

/** Routes through http-proxy-middleware: streamed both ways, never buffered, credentials swapped, counted like every request. */
export function createPassthrough(context: GatewayContext): { readonly openAi: (route: string) => Handler; readonly provider: (provider: string) => Handler } {
  const passages = new WeakMap<IncomingMessage, Passage>();
  const proxy = createProxyMiddleware<IncomingMessage, ServerResponse>({
    changeOrigin: true,
    xfwd: false,
    followRedirects: false,
    proxyTimeout: 600_000,
    router: (req) => passages.get(req)?.target ?? NOWHERE,
    pathRewrite: (_path, req) => passages.get(req)?.path ?? '/',
    on: {
      proxyReq(outgoing, req) {
        const passage = passages.get(req);
        if (passage === undefined) {
          outgoing.destroy();
          return;
        }
        for (const name of STRIPPED) outgoing.removeHeader(name);
        // A client's list of hop-by-hop headers could name the credential that is set here.
        outgoing.setHeader('connection', 'close');
        const { keyHeaderName } = passage.exchange.snapshot.config;
        if (keyHeaderName !== undefined) outgoing.removeHeader(keyHeaderName);
        for (const [name, value] of Object.entries(passage.headers)) outgoing.setHeader(name, value);
        outgoing.setHeader('traceparent', passage.exchange.trace.traceparent);
        // A client that leaves takes its call with it.
        passage.exchange.runner = { clientGone: () => outgoing.destroy(), endNow: () => passage.exchange.res.destroy() };
      },
      proxyRes(incoming, req) {
        const passage = passages.get(req);
        for (const name of STRIPPED_FROM_REPLY) delete incoming.headers[name];
        if (passage === undefined) return;
        incoming.headers['x-request-id'] = passage.exchange.requestId;
        incoming.headers['traceparent'] = passage.exchange.trace.traceparent;
      },
      error(error, req, res) {
        const passage = passages.get(req);
        passage?.exchange.trace.fail('provider_unreachable', 'upstream_failed');
        const refused = new AppError('upstream_failed', 'provider_unreachable', 'The provider could not be reached.', { cause: error });
        if ('writeHead' in res && !res.headersSent) sendError(res, refused, { shape: 'openai', requestId: passage?.exchange.requestId, ...(passage === undefined ? {} : { traceparent: passage.exchange.trace.traceparent }) });
        else res.destroy();
      },
    },
  });

  const forward = async (running: Running, deployment: Deployment, path: string): Promise<void> => {
    const { exchange } = running;
    // The absolute form of a request line (`GET http://host/path`) is for forward proxies, which this is not.
    if (exchange.req.url?.startsWith('/') !== true) throw new AppError('invalid_request', 'invalid_path', 'The path is not acceptable.', { param: 'path' });
    const { passthrough } = deployment.provider;
    running.passedTo = deployment.configured.provider;
    if (passthrough === undefined) throw new AppError('not_supported', 'no_passthrough', `Provider '${deployment.configured.provider}' has no HTTP surface to pass through to.`);
    const base = new URL(passthrough.baseUrl);
    const headers = await passthrough.headers();
    passages.set(exchange.req, { exchange, target: base.origin, path: joinPath(base.pathname.replace(/\/+$/, ''), path), headers });
    await proxy(exchange.req, exchange.res, (error?: unknown) => {
      if (error !== undefined) exchange.res.destroy();
    });
  };

  return {
    openAi: (route) => serve(context, { route }, async (running) => {
      const { exchange } = running;
      const url = exchange.req.url ?? '/';
      const path = safeSuffix(url.startsWith('/v1/') ? url.slice(3) : url);
      await forward(running, await chooseDeployment(exchange, route), path);
    }),
    provider: (provider) => serve(context, { route: '/{provider}/*' }, async (running) => {
      const { exchange } = running;
      const deployment = exchange.snapshot.byProvider.get(provider);
      if (deployment === undefined) throw new AppError('not_found', 'not_found', 'Not Found');
      await forward(running, deployment, safeSuffix((exchange.req.url ?? '/').slice(provider.length + 1)));
    }),
  };
}

/** Base and path, with a version that both have only once: `/v1` and `/v1/models` make `/v1/models`. */
function joinPath(basePath: string, path: string): string {
  const version = VERSION_SEGMENT.exec(basePath)?.[0];
  return version !== undefined && path.startsWith(`${version}/`) ? `${basePath.slice(0, -version.length)}${path}` : `${basePath}${path}`;
}

/** The rest of a path below a provider's base URL. @throws AppError for one that would climb out of it. */
function safeSuffix(suffix: string): string {
  const path = suffix === '' ? '/' : suffix;
  const decoded = decodeURIComponentSafely(path.split('?', 1)[0] ?? '');
  if (!path.startsWith('/') || decoded === undefined || decoded.split(/[/\\]/).includes('..')) {
    throw new AppError('invalid_request', 'invalid_path', 'The path is not acceptable.', { param: 'path' });
  }
  return path;
}

function decodeURIComponentSafely(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}
