import { AppError } from '@pointsman/errors';
import type { WireFormat } from '@pointsman/providers';
import { isJsonObject, type JsonObject } from '@pointsman/schemas';
import type { Deployment } from '../snapshot/snapshot.ts';
import { ContinuedReply, continuationBody, type Continuation } from './continue-stream.ts';
import type { DispatchRequest } from './dispatch.ts';
import { changedBody, type RequestBody } from './request-body.ts';
import { PassThroughReply, type ReplyShape } from './reply-shape.ts';
import { translate } from './translate.ts';

export interface RequestForContext {
  /** The name that the reply carries. */
  readonly servingName: string;
  readonly requestId: string;
  readonly continuing: Continuation | undefined;
}

export interface PreparedRequest {
  readonly format: WireFormat;
  readonly body: RequestBody;
  readonly shape: ReplyShape;
}

/**
 * Puts a client's request into the words of one deployment: its native format where it speaks that, else chat through a translation.
 * The common request (native format, no defaults) comes back as it is, bytes included.
 * @throws AppError `not_supported` where neither the format nor a translation exists, `invalid_request` where the translation refuses a field.
 */
export function requestFor(deployment: Deployment, request: DispatchRequest, context: RequestForContext): PreparedRequest {
  const { provider } = deployment;
  const { continuing } = context;
  const native = provider.formats.has(request.format) && (continuing === undefined || request.format === 'chat');
  if (!native && (request.format === 'embeddings' || !provider.formats.has('chat'))) {
    throw new AppError('not_supported', 'format_not_supported', `Provider '${provider.id}' does not serve ${request.format}.`, { param: 'model' });
  }
  if (native) {
    const body = withDefaults(request.body, deployment);
    if (continuing !== undefined) return continued(body, continuing, provider.id);
    const shape = new PassThroughReply({ format: request.format, requestedModel: context.servingName, wantsUsage: wantsUsage(body.outline), requestId: context.requestId });
    return { format: request.format, body, shape };
  }
  const translated = translate({
    format: request.format, body: request.body.value, requestedModel: context.servingName, requestId: context.requestId, provider: provider.id,
  });
  const body = withDefaults(changedBody(translated.body), deployment);
  if (continuing !== undefined) return continued(body, continuing, provider.id);
  return { format: 'chat', body, shape: translated.shape };
}

function continued(body: RequestBody, continuing: Continuation, provider: string): PreparedRequest {
  return { format: 'chat', body: changedBody(continuationBody(body.value, continuing, provider)), shape: new ContinuedReply(continuing) };
}

function withDefaults(body: RequestBody, { bodyDefaults }: Deployment): RequestBody {
  if (bodyDefaults === undefined) return body;
  const missing = [...bodyDefaults].filter(([key]) => body.outline[key] === undefined);
  return missing.length === 0 ? body : changedBody({ ...body.value, ...Object.fromEntries(missing) });
}

function wantsUsage(body: JsonObject): boolean {
  const options = body['stream_options'];
  return isJsonObject(options) && options['include_usage'] === true;
}
