import { AISDKError, APICallError, InvalidArgumentError, InvalidPromptError, JSONParseError, LoadAPIKeyError, LoadSettingError, TooManyEmbeddingValuesForCallError, TypeValidationError, UnsupportedFunctionalityError } from '@ai-sdk/provider';
import { isJsonObject, type JsonObject } from '@pointsman/schemas';
import { ProviderError, type ProviderFault } from '../provider-error.ts';
import { UnmappableRequestError } from './bad-request.ts';
import { providerMessage, streamError } from './reply-error.ts';
import type { UpstreamCallContext } from './upstream-fetch.ts';

/** Turns whatever an SDK threw into the fault behind it. What the transport saw goes before what the SDK made of it. */
export function callError(thrown: unknown, context: Pick<UpstreamCallContext, 'provider' | 'failure' | 'secrets' | 'status'>): ProviderError {
  if (context.failure !== undefined) return context.failure;
  if (thrown instanceof ProviderError) return thrown;
  const { provider, secrets } = context;
  if (thrown instanceof UnmappableRequestError) {
    return new ProviderError('bad_request', provider, thrown.message, { cause: thrown, ...(thrown.param === undefined ? {} : { param: thrown.param }) });
  }
  const make = (fault: ProviderFault, message: string): ProviderError => new ProviderError(fault, provider, providerMessage(message, secrets), { cause: thrown });
  if (UnsupportedFunctionalityError.isInstance(thrown) || InvalidPromptError.isInstance(thrown) || TooManyEmbeddingValuesForCallError.isInstance(thrown)) return make('bad_request', thrown.message);
  // Its own message repeats the values that it found wrong.
  if (InvalidArgumentError.isInstance(thrown)) return make('bad_request', `The parameter '${thrown.argument}' is not valid for this provider.`);
  if (LoadAPIKeyError.isInstance(thrown) || LoadSettingError.isInstance(thrown)) return make('auth', 'The deployment has no credentials for this provider.');
  if (APICallError.isInstance(thrown)) {
    if (thrown.statusCode !== undefined && thrown.statusCode >= 400 && (context.status ?? 0) < 300) return streamError(provider, { ...parsedObject(thrown.responseBody), message: thrown.message }, secrets);
    return make('bad_reply', 'The provider answered with something that is not a reply.');
  }
  if (JSONParseError.isInstance(thrown) || TypeValidationError.isInstance(thrown)) return make('bad_reply', 'The provider sent a malformed event.');
  if (AISDKError.isInstance(thrown)) return make('bad_reply', 'The provider answered with something that is not a reply.');
  if (thrown instanceof Error) {
    if (thrown.message.startsWith('Incomplete Amazon Bedrock event-stream frame')) return make('truncated', 'The provider ended its reply inside an event.');
    return context.status === undefined ? make('bad_request', 'The request could not be prepared for this provider.') : make('bad_reply', 'The provider answered with something that is not a reply.');
  }
  // What is left is an error object that the provider put into its stream.
  if (isJsonObject(thrown)) return streamError(provider, { ...(isJsonObject(thrown['data']) ? thrown['data'] : {}), ...thrown }, secrets);
  return streamError(provider, { message: typeof thrown === 'string' ? thrown : 'The provider reported an error inside its stream.' }, secrets);
}

function parsedObject(text: string | undefined): JsonObject {
  try {
    const value: unknown = JSON.parse(text ?? '');
    return isJsonObject(value) ? value : {};
  } catch {
    return {};
  }
}
