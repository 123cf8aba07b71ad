import type { IncomingHttpHeaders } from 'node:http';
import { AppError } from '@pointsman/errors';
import { digestKey, type KeyStore } from './key-store.ts';
import type { Principal } from './principal.ts';

/** Longer values are not keys; hashing them would be work done for an attacker. */
const MAX_KEY_LENGTH = 512;

function withoutBearer(value: string): string {
  return value.startsWith('Bearer ') || value.startsWith('bearer ') ? value.slice(7).trim() : value;
}

function single(value: string | string[] | undefined): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined;
}

/**
 * The key a request carries, in LiteLLM's order of precedence: the renamed header of `litellm_key_header_name`, `x-litellm-api-key`,
 * `Authorization: Bearer`, `api-key` (Azure SDKs), `x-api-key` (Anthropic SDKs), `x-goog-api-key`, `Ocp-Apim-Subscription-Key`.
 */
export function presentedKey(headers: IncomingHttpHeaders, keyHeaderName: string | undefined): string | undefined {
  const renamed = keyHeaderName === undefined ? undefined : single(headers[keyHeaderName]);
  if (renamed !== undefined) return withoutBearer(renamed);
  const own = single(headers['x-litellm-api-key']);
  if (own !== undefined) return withoutBearer(own);
  const authorization = headers.authorization;
  if (authorization !== undefined && authorization !== '') return withoutBearer(authorization);
  return single(headers['api-key']) ?? single(headers['x-api-key']) ?? single(headers['x-goog-api-key'])
    ?? single(headers['ocp-apim-subscription-key']);
}

function refuseUnknown(key: string, digest: Buffer, hasKeys: boolean): AppError {
  const shown = key.length > 12 ? `sk-...${key.slice(-4)}` : 'sk-...';
  const where = hasKeys ? 'Unable to find token in cache or `LiteLLM_VerificationTokenTable`' : 'No virtual keys are stored: only the master key is accepted';
  return new AppError('unauthenticated', '401',
    `Authentication Error, Invalid proxy server token passed. Received API Key = ${shown}, Key Hash (Token) =${digest.toString('hex')}. ${where}`,
    { type: 'token_not_found_in_db', param: 'key', details: { denied: 'unknown_key' } });
}

/**
 * Finds out who is calling. Answers without a promise whenever the store does.
 * @throws AppError `unauthenticated` when no key came, or nobody has it.
 */
export function authenticate(headers: IncomingHttpHeaders, store: KeyStore, keyHeaderName: string | undefined): Principal | Promise<Principal> {
  const key = presentedKey(headers, keyHeaderName);
  if (key === undefined) {
    throw new AppError('unauthenticated', '401', 'Authentication Error, No api key passed in.', { type: 'auth_error', param: 'None', details: { denied: 'no_key' } });
  }
  if (key.length > MAX_KEY_LENGTH) {
    throw new AppError('unauthenticated', '401', `Authentication Error, the key is longer than ${String(MAX_KEY_LENGTH)} characters.`, { type: 'auth_error', param: 'key', details: { denied: 'unknown_key' } });
  }
  const digest = digestKey(key);
  const found = store.find(digest);
  if (found instanceof Promise) {
    return found.then((principal) => {
      if (principal === undefined) throw refuseUnknown(key, digest, store.hasKeys);
      return principal;
    });
  }
  if (found === undefined) throw refuseUnknown(key, digest, store.hasKeys);
  return found;
}
