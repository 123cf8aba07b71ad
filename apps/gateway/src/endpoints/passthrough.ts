import type { IncomingMessage, ServerResponse } from 'node:http';
import { AppError } from '@pointsman/errors';
import type { Usage } from '@pointsman/wire-formats';
import { createProxyMiddleware } from 'http-proxy-middleware';
import type { Bounds } from '../access/key-limits.ts';
import type { Admission } from '../access/limits.ts';
import { matchesPattern } from '../access/name-pattern.ts';
import { mayUseModel, type Principal } from '../access/principal.ts';
import { resolveGroup } from '../access/resolve-group.ts';
import type { Exchange } from '../http/exchange.ts';
import { sendError } from '../http/send-error.ts';
import { serve, type Handler, type Running } from '../http/serve.ts';
import type { ExchangeRecord } from '../record/exchange-record.ts';
import type { Deployment, Snapshot } from '../snapshot/snapshot.ts';
import { admitWithoutTokens, limitHeaders, NOTHING_USED } from './admit-without-tokens.ts';
import type { GatewayContext } from './gateway-context.ts';
import { ownRouteFor, pathOf, safeSuffix, suffixOfRoute } from './passthrough-path.ts';

/** The request's way to a provider, found before a byte of its body is read. */
interface Passage {
  readonly exchange: Exchange;
  readonly target: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  /** The provider has answered, or will not. */
  readonly answered: (outcome: { readonly status: number } | AppError) => void;
  /** The client has left. */
  readonly gone: () => void;
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

/** Whose credentials a request travels with, and the model it names outside its body. */
interface Choice {
  readonly deployment: Deployment;
  /** '' where none is named: whatever the credentials may call. */
  readonly model: string;
}

function isRestricted({ models, ownerModels }: Principal): boolean {
  return models !== undefined || ownerModels !== undefined;
}

/**
 * Nobody looks into the body of an untouched request: it may name any model of the provider. So a key that may use some models only may use a
 * provider only when all models of that provider in this gateway are among them, whatever model is named outside the body.
 */
function mayUseAllModels(principal: Principal, snapshot: Snapshot, provider: string): boolean {
  return !isRestricted(principal) || snapshot.listed.every(({ name, models }) => !models.some((model) => model.provider === provider) || mayUseModel(principal, name, models));
}

/** @throws AppError 401 with LiteLLM's type. */
function requireAllModels(principal: Principal, snapshot: Snapshot, provider: string): void {
  if (mayUseAllModels(principal, snapshot, provider)) return;
  throw new AppError('forbidden', '401', `Key not allowed to access all models of provider '${provider}', which requests that are passed through untouched could name.`, {
    type: 'key_model_access_denied', param: 'model', status: 401, details: { denied: 'model_denied' },
  });
}

function isSpent({ budgets, tokens }: Bounds): boolean {
  return budgets.length > 0 || tokens.length > 0;
}

/** Whether a caller has a limit that has to know what a request uses: a budget or a token limit of its key, team or user, for all models or for one. */
function isMetered({ limits }: Principal): boolean {
  return limits !== undefined && limits.scopes.some(({ always, perModel }) => isSpent(always) || [...perModel.values()].some(isSpent));
}

/** An untouched request as `allowed_routes` may name it. */
interface Untouched {
  /** How all paths of the route begin. */
  readonly begins: readonly string[];
  /** The path, in each of its spellings. */
  readonly spellings: readonly string[];
  /** The route of this gateway that does the same, metered. */
  readonly ownRoute: string | undefined;
}

/** Whether an operator named the route: a star for all that there is does not. */
function isNamed({ routes }: Principal, { begins, spellings }: Untouched): boolean {
  return routes !== undefined && routes.paths.some((allowed) => {
    const literal = allowed.split('*', 1)[0] ?? '';
    return begins.some((begin) => literal.startsWith(begin)) && spellings.some((spelling) => matchesPattern(allowed, spelling));
  });
}

/**
 * What an untouched request uses is in bodies that nobody reads, so no budget or token limit can hold for it: callers that have one are refused, but for what
 * their `allowed_routes` names.
 * @throws AppError 403 `passthrough_not_metered`.
 */
function requireMeter(principal: Principal, untouched: Untouched): void {
  const { ownRoute } = untouched;
  if (!isMetered(principal) || (ownRoute === undefined && isNamed(principal, untouched))) return;
  const instead = ownRoute === undefined ? "An operator allows it by naming the path in the key's allowed_routes." : `Use ${ownRoute} with a model of this gateway instead.`;
  throw new AppError('forbidden', 'passthrough_not_metered', `Requests that are passed through untouched are not metered, and this key has a budget or a token limit. ${instead}`, {
    param: 'path', details: { denied: 'route_denied' },
  });
}

/**
 * Which deployment's provider gets an untouched request: the model of `x-litellm-model` or `?model=`, else one whose `model_info.mode` fits the
 * route, else the first OpenAI deployment, else the first that has such a surface. The body is not looked at: it may be a gigabyte of audio.
 * A restricted key is served by a provider only if it may use all of its models.
 */
async function chooseDeployment(exchange: Exchange, route: string): Promise<Choice> {
  const { snapshot, req, principal } = exchange;
  const mode = MODE_OF_ROUTE[route];
  const takesAnyModel = mode === undefined || mode === '';
  const header = req.headers['x-litellm-model'];
  const named = typeof header === 'string' ? header : new URL(req.url ?? '/', 'http://gateway').searchParams.get('model') ?? undefined;
  if (named !== undefined) {
    const plan = await resolveGroup(exchange, named, route);
    const usable = plan.deployments.find(canPass);
    if (usable === undefined) throw new AppError('not_supported', 'no_passthrough', `The providers of ${named.slice(0, 200)} have no HTTP surface to pass through to.`, { param: 'model' });
    requireAllModels(principal, snapshot, usable.configured.provider);
    return { deployment: usable, model: named };
  }
  if (!takesAnyModel) {
    for (const { name, models } of snapshot.listed) {
      if (!models.some(({ info }) => info['mode'] === mode) || !mayUseModel(principal, name, models)) continue;
      const fitting = (await snapshot.plan(name))?.deployments.find((deployment) => deployment.configured.info['mode'] === mode && canPass(deployment) && mayUseAllModels(principal, snapshot, deployment.configured.provider));
      if (fitting !== undefined) return { deployment: fitting, model: name };
    }
  }
  const chosen = [snapshot.byProvider.get('openai'), ...snapshot.byProvider.values()].find((deployment) => deployment !== undefined && canPass(deployment));
  if (chosen === undefined) throw new AppError('not_supported', 'no_passthrough_provider', `No configured provider serves ${route}.`);
  requireAllModels(principal, snapshot, chosen.configured.provider);
  return { deployment: chosen, model: '' };
}

function newRecord({ deployment, model }: Choice): ExchangeRecord {
  return {
    operation: 'passthrough', stream: false, requestedModel: model, group: model === '' ? '' : deployment.configured.group, decision: undefined, decisionAttributes: undefined, deployment, retries: 0, fallbacks: 0,
    upstreamMs: 0, ttftMs: undefined, usage: undefined, usageEstimated: false, costUsd: undefined, finishReason: undefined, responseId: undefined, error: undefined,
    clientGone: false, recovered: false, endUser: undefined, cacheHit: false, cacheKey: undefined,
  };
}

/** Tokens of an untouched reply are in its body, which nobody reads. */
const NO_TOKENS: Usage = {
  promptTokens: 0, completionTokens: 0, totalTokens: 0, cachedTokens: 0, cacheCreationTokens: 0, cacheCreation1hTokens: 0, reasoningTokens: 0,
  audioInputTokens: 0, audioOutputTokens: 0,
};

/** What is charged per request, where the model is known and priced that way: `input_cost_per_request`, and per query for a rerank. */
function costOf({ deployment, model }: Choice, route: string): number {
  if (model === '') return 0;
  return deployment.costOf?.(route === '/v1/rerank' ? { ...NO_TOKENS, queries: 1 } : NO_TOKENS) ?? 0;
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
        passage.exchange.runner = {
          clientGone: () => {
            outgoing.destroy();
            passage.gone();
          },
          endNow: () => passage.exchange.res.destroy(),
        };
      },
      proxyRes(incoming, req) {
        const passage = passages.get(req);
        for (const name of STRIPPED_FROM_REPLY) delete incoming.headers[name];
        if (passage === undefined) return;
        incoming.headers['x-request-id'] = passage.exchange.requestId;
        incoming.headers['traceparent'] = passage.exchange.trace.traceparent;
        Object.assign(incoming.headers, limitHeaders(passage.exchange));
        // Before the head is written: what is charged does not depend on what follows.
        passage.answered({ status: incoming.statusCode ?? 0 });
      },
      error(error, req, res) {
        const passage = passages.get(req);
        passage?.exchange.trace.fail('provider_unreachable', 'upstream_failed');
        const refused = new AppError('upstream_failed', 'provider_unreachable', 'The provider could not be reached.', { cause: error });
        passage?.answered(refused);
        if ('writeHead' in res && !res.headersSent) sendError(res, refused, { shape: 'openai', requestId: passage?.exchange.requestId, ...(passage === undefined ? {} : { traceparent: passage.exchange.trace.traceparent }) });
        else res.destroy();
      },
    },
  });

  const forward = async (running: Running, choice: Choice, path: string): Promise<void> => {
    const { exchange } = running;
    const { deployment } = choice;
    // The absolute form of a request line (`GET http://host/path`) is for forward proxies, which this is not.
    if (exchange.req.url?.startsWith('/') !== true) throw new AppError('invalid_request', 'invalid_path', 'The path is not acceptable.', { param: 'path' });
    const { passthrough } = deployment.provider;
    running.passedTo = deployment.configured.provider;
    if (passthrough === undefined) throw new AppError('not_supported', 'no_passthrough', `Provider '${deployment.configured.provider}' has no HTTP surface to pass through to.`);
    const base = new URL(passthrough.baseUrl);
    const headers = await passthrough.headers();
    const admission = await admit(exchange, deployment);
    const booking = begin(running, choice, admission);
    if (exchange.res.destroyed) return; // the client left meanwhile: nobody would stop a call to a provider
    passages.set(exchange.req, { exchange, target: base.origin, path: joinPath(base.pathname.replace(/\/+$/, ''), path), headers, ...booking });
    await proxy(exchange.req, exchange.res, (error?: unknown) => {
      if (error !== undefined) exchange.res.destroy();
    });
  };

  /** Takes a place under the caller's limits: a request with no tokens. @throws AppError of the limits. */
  const admit = async (exchange: Exchange, { configured }: Deployment): Promise<Admission> => {
    const plan = await exchange.snapshot.plan(configured.group);
    if (plan === undefined) throw new AppError('internal', 'group_without_plan', 'A configured group has no plan.');
    return admitWithoutTokens(context, exchange, plan);
  };

  /** Books the request once, at the head of its reply or at its end without one; gives its place back when the reply is over. */
  const begin = (running: Running, choice: Choice, admission: Admission): Pick<Passage, 'answered' | 'gone'> => {
    const { exchange } = running;
    const record = newRecord(choice);
    running.record = record;
    let booked = false;
    const book = (): void => {
      if (booked) return;
      booked = true;
      record.upstreamMs = exchange.elapsedMs();
      context.book(exchange, record);
    };
    const gone = (): void => {
      record.clientGone = true;
      book();
    };
    const answered: Passage['answered'] = (outcome) => {
      if (booked) return;
      if (outcome instanceof AppError) record.error = outcome;
      else if (outcome.status >= 400) record.error = new AppError('upstream_failed', `provider_status_${String(outcome.status)}`, 'The provider refused the request.');
      else record.costUsd = costOf(choice, exchange.route);
      book();
    };
    const over = (): void => {
      if (!booked) gone();
      admission.settle({ ...NOTHING_USED, costUsd: record.costUsd ?? 0 });
    };
    exchange.runner = { clientGone: gone, endNow: () => exchange.res.destroy() };
    if (exchange.res.destroyed) over();
    else exchange.res.once('close', over);
    return { answered, gone };
  };

  return {
    openAi: (route) => serve(context, { route }, async (running) => {
      const { exchange } = running;
      const url = exchange.req.url ?? '/';
      const path = suffixOfRoute(route, url.startsWith('/v1/') ? url.slice(3) : url);
      const bare = pathOf(path);
      requireMeter(exchange.principal, { begins: [route, route.slice(3)], spellings: [bare, `/v1${bare}`], ownRoute: undefined });
      await forward(running, await chooseDeployment(exchange, route), path);
    }),
    provider: (provider) => serve(context, { route: '/{provider}/*' }, async (running) => {
      const { exchange } = running;
      const deployment = exchange.snapshot.byProvider.get(provider);
      if (deployment === undefined) throw new AppError('not_found', 'not_found', 'Not Found');
      const path = safeSuffix((exchange.req.url ?? '/').slice(provider.length + 1));
      requireAllModels(exchange.principal, exchange.snapshot, provider);
      requireMeter(exchange.principal, { begins: [`/${provider}`, '/{provider}/'], spellings: [`/${provider}${pathOf(path)}`, '/{provider}/*'], ownRoute: ownRouteFor(path) });
      await forward(running, { deployment, model: '' }, path);
    }),
  };
}

/** Base and path, with a version that both have only once: `/v1` and `/v1/models` make `/v1/models`. */
function joinPath(basePath: string, path: string): string {
  const version = VERSION_SEGMENT.exec(basePath)?.[0];
  return version !== undefined && path.startsWith(`${version}/`) ? `${basePath.slice(0, -version.length)}${path}` : `${basePath}${path}`;
}
