import { AppError } from '@pointsman/errors';

// LiteLLM's words and types (contract b3). Each tells the audit log why: `details.denied`.

export function expiredKey(expiredAt: number, now: number): AppError {
  return new AppError('unauthenticated', '401', `Authentication Error - Expired Key. Key Expiry time ${new Date(expiredAt).toISOString()} and current time ${new Date(now).toISOString()}`, {
    type: 'expired_key', param: 'key', details: { denied: 'expired_key' },
  });
}

export function blockedKey(): AppError {
  return new AppError('unauthenticated', '401', 'Authentication Error, Key is blocked. Update via `/key/unblock` if you\'re an admin.', { type: 'auth_error', param: 'key', details: { denied: 'blocked' } });
}

export function blockedTeam(teamId: string): AppError {
  return new AppError('unauthenticated', '401', `Authentication Error, Team=${teamId.slice(0, 200)} is blocked. Update via \`/team/unblock\` if you're an admin.`, {
    type: 'auth_error', param: 'key', details: { denied: 'blocked' },
  });
}

/** The database is away and nothing vouches for the key: refused, as an unknown key is, but said so that the holder of a good one knows to try again. */
export function uncheckableKey(token: string): AppError {
  return new AppError('unauthenticated', '401', `Authentication Error, this key cannot be checked now: the database of keys cannot be reached, and this gateway has not seen the key lately. Key Hash (Token) =${token}.`, {
    type: 'token_not_checkable', param: 'key', retryAfterMs: 5_000, details: { denied: 'uncheckable_key' },
  });
}

/** The database did not answer this once: nobody knows whether the key is good, and it may be in a moment. SDKs try a 503 again, a 401 never. */
export function keyNotCheckable(cause: unknown): AppError {
  return new AppError('unavailable', 'key_not_checkable', 'The key cannot be checked in this moment: the database of keys did not answer in time. Try again soon.', { retryAfterMs: 1_000, cause });
}

export function tooManyLookups(): AppError {
  return new AppError('unavailable', 'key_lookups_busy', 'Too many unknown keys are being looked up now. Try again soon.', { retryAfterMs: 1_000 });
}
