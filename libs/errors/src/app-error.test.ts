import { describe, expect, test } from 'vitest';
import { AppError, describeUnknown, ERROR_KINDS, toAppError, type ErrorKind } from './index.ts';

describe('an error says what the caller should do', () => {
  test.each(Object.keys(ERROR_KINDS) as ErrorKind[])('%s has the status, type and retryability of its kind', (kind) => {
    const error = new AppError(kind, 'some_code', 'Some words.');
    expect(error).toMatchObject({ ...ERROR_KINDS[kind], code: 'some_code', message: 'Some words.', param: undefined });
    expect(error.status).toBeGreaterThanOrEqual(400);
  });

  test('a wire format may fix another status and type', () => {
    expect(new AppError('forbidden', '401', 'No.', { status: 401, type: 'key_model_access_denied' })).toMatchObject({ status: 401, type: 'key_model_access_denied' });
  });

  test('what is not ours becomes an internal error that tells a client nothing and keeps its cause', () => {
    const cause = new TypeError('the password is hunter2');
    const error = toAppError(cause);
    expect(error).toMatchObject({ kind: 'internal', status: 500, cause });
    expect(error.message).not.toContain('hunter2');
    expect(toAppError(error)).toBe(error);
  });
});

describe('a description for the log', () => {
  test('names the chain of causes with their codes on one line', () => {
    const reset = Object.assign(new Error('read\nECONNRESET'), { code: 'ECONNRESET' });
    expect(describeUnknown(new TypeError('fetch failed', { cause: reset }))).toBe('TypeError: fetch failed <- Error[ECONNRESET]: read ECONNRESET');
  });

  test.each([['text', 'text'], [undefined, ''], [null, ''], [42, '[object Number]'], [{ secret: 'x' }, '[object Object]']])('of %j is short', (thrown, expected) => {
    expect(describeUnknown(thrown)).toBe(expected);
  });

  test('is bounded, also for endless causes', () => {
    const loop = new Error('x'.repeat(1_000));
    loop.cause = loop;
    expect(describeUnknown(loop).length).toBeLessThanOrEqual(500);
  });
});
