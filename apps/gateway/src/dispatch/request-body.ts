import type { ProviderRequest, WireFormat } from '@pointsman/providers';
import type { JsonObject } from '@pointsman/schemas';

/** A client's body on its way to a provider. */
export interface RequestBody {
  /** The client's bytes, where they still say the same as `value`. */
  readonly raw: Buffer | undefined;
  /** The object with stand-ins for very long strings: right for every question but what such a string says, and free. */
  readonly outline: JsonObject;
  /** The whole object. May have to be parsed first. */
  readonly value: JsonObject;
}

/** A body that no longer says what the client's bytes say. */
export function changedBody(value: JsonObject): RequestBody {
  return { raw: undefined, outline: value, value };
}

/** What one attempt hands to a provider. A class, because `body` must be parsed only when read and a getter on every object of its own is dear. */
export class AttemptRequest implements ProviderRequest {
  readonly format: WireFormat;
  readonly stream: boolean;
  readonly headers: Readonly<Record<string, string>>;
  readonly headersTimeoutMs: number;
  readonly idleTimeoutMs: number;
  readonly #body: RequestBody;

  constructor(format: WireFormat, body: RequestBody, stream: boolean, call: Pick<ProviderRequest, 'headers' | 'headersTimeoutMs' | 'idleTimeoutMs'>) {
    this.format = format;
    this.stream = stream;
    this.headers = call.headers;
    this.headersTimeoutMs = call.headersTimeoutMs;
    this.idleTimeoutMs = call.idleTimeoutMs;
    this.#body = body;
  }

  get body(): JsonObject {
    return this.#body.value;
  }

  get outline(): JsonObject {
    return this.#body.outline;
  }

  get rawBody(): Buffer | undefined {
    return this.#body.raw;
  }
}
