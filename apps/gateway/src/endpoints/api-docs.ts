import { chatBodySchema, completionBodySchema, countTokensBodySchema, embeddingBodySchema, feedbackFields, messagesBodySchema, responsesBodySchema } from '@pointsman/schemas';
import { z } from 'zod';
import type { Handler } from '../http/serve.ts';
import { managementRoutes } from './management/management-routes.ts';
import { version } from '../version.ts';

interface Operation {
  readonly method: 'get' | 'post';
  readonly path: string;
  readonly summary: string;
  readonly body?: z.ZodType;
  readonly query?: z.ZodObject;
  readonly open?: boolean;
  readonly tag: string;
}

const OPERATIONS: readonly Operation[] = [
  { method: 'post', path: '/v1/chat/completions', summary: 'Chat completion, JSON or server-sent events', body: chatBodySchema, tag: 'OpenAI' },
  { method: 'post', path: '/v1/completions', summary: 'Legacy text completion', body: completionBodySchema, tag: 'OpenAI' },
  { method: 'post', path: '/v1/embeddings', summary: 'Embeddings', body: embeddingBodySchema, tag: 'OpenAI' },
  { method: 'post', path: '/v1/responses', summary: 'Responses API, for every provider', body: responsesBodySchema, tag: 'OpenAI' },
  { method: 'post', path: '/v1/messages', summary: 'Anthropic Messages, for every provider', body: messagesBodySchema, tag: 'Anthropic' },
  { method: 'post', path: '/v1/messages/count_tokens', summary: 'Count the tokens of a Messages request', body: countTokensBodySchema, tag: 'Anthropic' },
  { method: 'get', path: '/v1/models', summary: 'Models that this key may use', tag: 'OpenAI' },
  { method: 'get', path: '/v1/models/{id}', summary: 'One model', tag: 'OpenAI' },
  { method: 'get', path: '/model/info', summary: 'Deployments with prices and limits', tag: 'Operation' },
  { method: 'post', path: '/v1/route', summary: 'Dry run: the routing decision for a chat request, nothing is called', body: chatBodySchema, tag: 'Routing' },
  { method: 'post', path: '/v1/feedback', summary: 'What a reply was worth: the signal that routing learns from', body: feedbackFields.schema, tag: 'Routing' },
  { method: 'get', path: '/router/experiments', summary: 'Groups whose router model has a canary: both versions with errors, latency, scores and cost', tag: 'Routing' },
  { method: 'get', path: '/health/liveliness', summary: 'The process lives', open: true, tag: 'Operation' },
  { method: 'get', path: '/health/readiness', summary: 'The replica wants traffic', open: true, tag: 'Operation' },
  { method: 'get', path: '/health/config', summary: 'The configuration that serves, and the last one refused', tag: 'Operation' },
  { method: 'get', path: '/health', summary: 'State of every deployment', tag: 'Operation' },
  { method: 'get', path: '/metrics', summary: 'Prometheus metrics', open: true, tag: 'Operation' },
  ...managementRoutes.map(({ method, path, summary, tag, fields }): Operation => ({ method, path, summary, tag, ...(method === 'get' ? { query: fields.schema } : { body: fields.schema }) })),
];

// The schemas are checks over bodies that travel on as they came: what JSON Schema cannot express of them is left open.
function jsonSchema(schema: z.ZodType): object {
  return z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any', target: 'openapi-3.0' });
}

function parametersOf({ path, query }: Operation): readonly object[] {
  const inPath = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => ({ name, in: 'path', required: true, schema: { type: 'string' } }));
  const inQuery = Object.entries(query?.shape ?? {}).map(([name, schema]) => {
    const type = schema as z.ZodType;
    return { name, in: 'query', required: !type.safeParse(undefined).success, schema: jsonSchema(type) };
  });
  return [...inPath, ...inQuery];
}

function operationObject(operation: Operation): object {
  const { summary, body, open, tag } = operation;
  const parameters = parametersOf(operation);
  return {
    summary, tags: [tag],
    security: open === true ? [] : [{ bearer: [] }, { apiKey: [] }],
    ...(parameters.length === 0 ? {} : { parameters }),
    ...(body === undefined ? {} : { requestBody: { required: true, content: { 'application/json': { schema: jsonSchema(body) } } } }),
    responses: {
      200: { description: 'Success' },
      default: { description: 'Error', content: { 'application/json': { schema: { $ref: '#/components/schemas/Error' } } } },
    },
  };
}

function document(): object {
  const paths: Record<string, Record<string, object>> = {};
  for (const operation of OPERATIONS) (paths[operation.path] ??= {})[operation.method] = operationObject(operation);
  return {
    openapi: '3.0.3',
    info: { title: 'Pointsman gateway', version, description: 'OpenAI- and Anthropic-compatible LLM gateway. Any OpenAI or Anthropic SDK pointed at it works unchanged.' },
    paths,
    components: {
      securitySchemes: { bearer: { type: 'http', scheme: 'bearer' }, apiKey: { type: 'apiKey', in: 'header', name: 'x-api-key' } },
      schemas: {
        Error: {
          type: 'object', required: ['error'],
          properties: { error: { type: 'object', properties: { message: { type: 'string' }, type: { type: 'string' }, param: { type: 'string', nullable: true }, code: { type: 'string' } } } },
        },
      },
    },
  };
}

/** `GET /openapi.json`, generated from the zod schemas once. */
export function apiDocument(): Handler {
  let text: string | undefined;
  return (_req, res) => {
    text ??= JSON.stringify(document());
    res.writeHead(200, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) });
    res.end(text);
  };
}

function escapeHtml(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}

/** `GET /docs`: the routes on one page without a script, an image or another host. */
export function docsPage(): Handler {
  const rows = OPERATIONS.map(({ method, path, summary, open }) => `<tr><td><b>${method.toUpperCase()}</b></td><td><code>${escapeHtml(path)}</code></td><td>${escapeHtml(summary)}</td><td>${open === true ? 'open' : 'key'}</td></tr>`).join('\n');
  const page = `<!doctype html><html lang="en"><meta charset="utf-8"><title>Pointsman gateway</title>
<style>body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:3rem auto;padding:0 1rem;color:#1a202c;background:#fff}table{border-collapse:collapse;width:100%}td{padding:.4rem .8rem;border-bottom:1px solid #e2e8f0}code,pre{font:14px ui-monospace,monospace;background:#f7fafc}pre{padding:1rem;overflow-x:auto}</style>
<h1>Pointsman gateway ${escapeHtml(version)}</h1>
<p>OpenAI- and Anthropic-compatible. Point an SDK at this address; send your key as <code>Authorization: Bearer</code> or <code>x-api-key</code>. Machine-readable: <a href="/openapi.json">/openapi.json</a>.</p>
<pre>curl -s $GATEWAY/v1/chat/completions -H "Authorization: Bearer $KEY" -H 'content-type: application/json' \\
  -d '{"model":"auto","messages":[{"role":"user","content":"Hello"}]}'</pre>
<table>${rows}</table>
<p>Also forwarded untouched, with the provider's credentials: <code>/v1/moderations</code>, <code>/v1/images/*</code>, <code>/v1/audio/*</code>, <code>/v1/rerank</code>, <code>/v1/files*</code>, <code>/v1/batches*</code>, <code>/{provider}/*</code>.</p></html>`;
  return (_req, res) => {
    res.writeHead(200, {
      'content-type': 'text/html; charset=utf-8', 'content-length': Buffer.byteLength(page), 'x-content-type-options': 'nosniff',
      'content-security-policy': "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
    });
    res.end(page);
  };
}
