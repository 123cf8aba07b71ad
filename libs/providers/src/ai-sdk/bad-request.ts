import { AppError } from '@pointsman/errors';

/** A field of the client's body that cannot be mapped; becomes a ProviderError `bad_request` that names the field. */
export class UnmappableRequestError extends AppError {
  constructor(param: string, message: string) {
    super('invalid_request', 'unsupported_parameter', message, { param });
    this.name = 'UnmappableRequestError';
  }
}

export function badRequest(param: string, expected: string): UnmappableRequestError {
  return new UnmappableRequestError(param, `Invalid value for '${param}': expected ${expected}.`);
}
