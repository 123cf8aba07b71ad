import { ERROR_KINDS, type ErrorKind } from './error-kinds.ts';

export interface AppErrorOptions {
  /** The field of the request or configuration that is wrong, as a path such as `messages[0].role`. */
  readonly param?: string;
  /** The `type` of the OpenAI error envelope, when the kind's own type does not say enough. */
  readonly type?: string;
  /** The HTTP status, when a wire format fixes another one than the kind does. */
  readonly status?: number;
  /** How long the caller should wait before it tries again, in milliseconds. */
  readonly retryAfterMs?: number;
  /** Headers of the reply that tell more than the body: name, value, name, value. */
  readonly headers?: readonly string[];
  /** Facts for the log. Never secrets, prompts or provider bodies. */
  readonly details?: Readonly<Record<string, unknown>>;
  readonly cause?: unknown;
}

/**
 * The one error type whose message may be shown to a client.
 * `kind` says what the caller should do and fixes HTTP status and retryability; `code` is stable and searchable.
 */
export class AppError extends Error {
  readonly kind: ErrorKind;
  readonly code: string;
  readonly param: string | undefined;
  readonly status: number;
  readonly type: string;
  readonly retryAfterMs: number | undefined;
  readonly headers: readonly string[] | undefined;
  readonly details: Readonly<Record<string, unknown>>;

  constructor(kind: ErrorKind, code: string, message: string, options: AppErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'AppError';
    this.kind = kind;
    this.code = code;
    this.param = options.param;
    this.status = options.status ?? ERROR_KINDS[kind].status;
    this.type = options.type ?? ERROR_KINDS[kind].type;
    this.retryAfterMs = options.retryAfterMs;
    this.headers = options.headers;
    this.details = options.details ?? {};
  }

  /** Whether the same request may succeed when it is sent again, here or elsewhere. */
  get retryable(): boolean {
    return ERROR_KINDS[this.kind].retryable;
  }
}

/** Turns anything thrown into an AppError; what is not ours becomes a plain `internal` that tells a client nothing. */
export function toAppError(thrown: unknown): AppError {
  if (thrown instanceof AppError) return thrown;
  return new AppError('internal', 'internal_error', 'The gateway failed to handle this request.', { cause: thrown });
}
