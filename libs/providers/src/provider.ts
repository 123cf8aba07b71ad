import type { JsonObject } from '@pointsman/schemas';
import type { SseEvent } from '@pointsman/wire-formats';
import type { ProviderError } from './provider-error.ts';

/** The formats in which the gateway can hold a request: the OpenAI ones, and Anthropic's `messages`. */
export type WireFormat = 'chat' | 'completions' | 'embeddings' | 'responses' | 'messages';

export interface ProviderRequest {
  readonly format: WireFormat;
  /** The parsed body as the client sent it (or as a translation made it). Never changed by an adapter. */
  readonly body: JsonObject;
  /**
   * `body` with stand-ins for very long strings: right for every question but what such a string says. Where it is there, reading `body` may
   * have to parse it first, which an adapter that forwards `rawBody` can do without.
   */
  readonly outline?: JsonObject;
  /** The exact bytes of `body`, when nothing was changed since they arrived: lets an adapter forward them without serialising again. */
  readonly rawBody: Buffer | undefined;
  /** Whether the client asked for a stream: exactly `body.stream === true`. */
  readonly stream: boolean;
  /** Headers for the provider besides content type and credentials, lower case: `traceparent`, `tracestate`. */
  readonly headers: Readonly<Record<string, string>>;
  /** Longest wait for the status line, in milliseconds. */
  readonly headersTimeoutMs: number;
  /** Longest silence between two pieces of a reply, in milliseconds. */
  readonly idleTimeoutMs: number;
}

/**
 * Where an adapter puts a reply. Calls come in this order:
 * `onStart`, then either one `onJson` or any number of `onEvents`, then `onEnd`; or `onError` at any point, after which nothing follows.
 * Push rather than async iteration: at 100 events a reply the promises would cost more than the work.
 */
export interface ReplySink {
  /** The provider accepted the call (2xx). Header names lower case; only those worth telling the client. */
  onStart(start: { readonly status: number; readonly headers: Readonly<Record<string, string>> }): void;
  /** A whole reply. `text` is the exact JSON of `value`, when the adapter has it. */
  onJson(reply: { readonly value: JsonObject; readonly text: string | undefined }): void;
  /** The events that one read from the network completed, in the request's own format. Bytes of a cut event never arrive here. */
  onEvents(events: readonly SseEvent[]): void;
  /** The provider's connection ended cleanly after a complete event. Says nothing about whether the reply was complete: the gateway decides that. */
  onEnd(): void;
  onError(error: ProviderError): void;
}

/** A call under way. All three may be called at any time, also after the end. */
export interface ProviderCall {
  /** Aborts the call to the provider; the sink hears nothing more. */
  cancel(): void;
  /** Asks the provider's connection to stop sending until `resume`: the client reads more slowly than the provider writes. */
  pause(): void;
  resume(): void;
}

/** One deployment of the configuration, ready to be called. */
export interface Provider {
  /** The provider id of the configuration: `openai`, `anthropic`, … */
  readonly id: string;
  /** Formats the provider speaks itself; anything else the gateway translates to `chat` first. */
  readonly formats: ReadonlySet<WireFormat>;
  /** What the operator has to do before calls can succeed, one sentence each, without secrets: for the log. Calls answer `auth` until then. */
  readonly problems?: readonly string[];
  /** Never throws: failures go to `sink.onError`, never before `start` has returned. */
  start(request: ProviderRequest, sink: ReplySink): ProviderCall;
  /**
   * What a pass-through route needs to forward untouched bytes: where to, and with which credentials. `baseUrl` has no slash at its end and includes the
   * API's version (`https://api.openai.com/v1`): append the rest of the path. Undefined where the provider has no HTTP surface of that kind.
   */
  readonly passthrough: { readonly baseUrl: string; readonly headers: () => Readonly<Record<string, string>> | Promise<Readonly<Record<string, string>>> } | undefined;
  /**
   * The number of input tokens of a `messages` body, counted by the provider. Missing where the provider has no such endpoint.
   * Rejects with a ProviderError, or with the signal's reason once it aborts.
   */
  readonly countTokens?: (body: JsonObject, signal: AbortSignal) => Promise<number>;
  /** Gives back connection pools; the last holder of a pool closes it once idle. */
  close(): void;
}

/** One entry of `model_list`, resolved: secrets read, provider prefix split off. */
export interface DeploymentSettings {
  /** Provider id: `openai`, `groq`, `anthropic`, … */
  readonly provider: string;
  /** The model's name at the provider, without the provider prefix: `gpt-4o`. */
  readonly model: string;
  readonly apiKey: string | undefined;
  readonly apiBase: string | undefined;
  readonly apiVersion: string | undefined;
  /** All of `litellm_params`, for what only one provider needs (`aws_region_name`, `vertex_project`, `organization`, `extra_headers`, …). */
  readonly params: JsonObject;
}
