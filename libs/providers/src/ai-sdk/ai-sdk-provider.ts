import type { LanguageModelV4, SharedV4Warning } from '@ai-sdk/provider';
import { JSONParseError, TypeValidationError } from '@ai-sdk/provider';
import { isJsonObject } from '@pointsman/schemas';
import type { SseEvent } from '@pointsman/wire-formats';
import { randomUUID } from 'node:crypto';
import { ProviderError } from '../provider-error.ts';
import type { DeploymentSettings, Provider, ProviderCall, ProviderRequest, ReplySink, WireFormat } from '../provider.ts';
import type { WireHeaders } from '../wire-call.ts';
import { callError } from './call-error.ts';
import { callOptionsOf } from './call-options.ts';
import { ChatChunks, type ChunkOptions } from './chat-chunks.ts';
import { chatCompletionOf } from './chat-completion.ts';
import type { NativeModels } from './dialect.ts';
import { createEmbeddings } from './embeddings.ts';
import type { OriginPools } from './origin-pools.ts';
import { inlineRemoteFiles, type FetchRemoteFile } from './remote-files.ts';
import { providerMessage } from './reply-error.ts';
import type { UpstreamCallContext, UpstreamFetch } from './upstream-fetch.ts';

export interface AiSdkProviderParts {
  readonly deployment: DeploymentSettings;
  readonly models: NativeModels;
  readonly upstream: UpstreamFetch;
  readonly pools: OriginPools;
  readonly fetchFile: FetchRemoteFile;
}

/** Headers of the client's request that must not replace the deployment's own. */
const OWN_HEADERS = new Set(['authorization', 'x-api-key', 'api-key', 'x-goog-api-key', 'cookie', 'host', 'content-type', 'content-length', 'transfer-encoding', 'connection', 'anthropic-version', 'accept-encoding']);
/** Headers of the provider's reply worth telling the client. */
const TOLD_HEADERS = ['retry-after', 'request-id', 'x-request-id', 'x-amzn-requestid', 'anthropic-organization-id'];

/** A provider behind an AI SDK model: OpenAI chat and embeddings in, OpenAI out. */
export class AiSdkProvider implements Provider {
  readonly id: string;
  readonly formats: ReadonlySet<WireFormat>;
  readonly passthrough: Provider['passthrough'];
  readonly #parts: AiSdkProviderParts;

  constructor(parts: AiSdkProviderParts) {
    this.id = parts.deployment.provider;
    this.formats = new Set<WireFormat>(parts.models.embedding === undefined ? ['chat'] : ['chat', 'embeddings']);
    this.passthrough = parts.models.passthrough;
    this.#parts = parts;
  }

  start(request: ProviderRequest, sink: ReplySink): ProviderCall {
    const call = new AiSdkCall(this.#parts, request, sink);
    // One turn later, so that nothing can be heard before start has returned.
    queueMicrotask(() => void call.run());
    return call;
  }

  close(): void {
    this.#parts.models.close?.();
    this.#parts.pools.close();
  }
}

class AiSdkCall implements ProviderCall {
  readonly #parts: AiSdkProviderParts;
  readonly #request: ProviderRequest;
  readonly #sink: ReplySink;
  readonly #abort = new AbortController();
  #done = false;
  #started = false;
  #resumed: PromiseWithResolvers<void> | undefined;
  #pending: SseEvent[] = [];
  #flushing = false;
  #warnings: string[] = [];
  readonly #context: UpstreamCallContext;

  constructor(parts: AiSdkProviderParts, request: ProviderRequest, sink: ReplySink) {
    this.#parts = parts;
    this.#request = request;
    this.#sink = sink;
    this.#context = {
      provider: parts.deployment.provider,
      headersTimeoutMs: request.headersTimeoutMs,
      idleTimeoutMs: request.idleTimeoutMs,
      stream: request.stream,
      secrets: parts.models.secrets,
      patchBody: undefined,
      sign: parts.models.sign,
      failure: undefined,
      status: undefined,
      headers: {},
    };
  }

  cancel(): void {
    if (this.#done) return;
    this.#done = true;
    this.#pending = [];
    this.#abort.abort();
    this.resume();
  }

  pause(): void {
    if (!this.#done) this.#resumed ??= Promise.withResolvers<void>();
  }

  resume(): void {
    const waiting = this.#resumed;
    this.#resumed = undefined;
    waiting?.resolve();
    this.#flushSoon();
  }

  async run(): Promise<void> {
    if (this.#done) return;
    try {
      if (this.#request.format === 'embeddings') await this.#embed();
      else if (this.#request.format === 'chat') await this.#chat();
      else throw new ProviderError('bad_request', this.#context.provider, `This provider does not speak the format ${this.#request.format}.`);
    } catch (error) {
      this.#fail(callError(error, this.#context));
    }
  }

  async #chat(): Promise<void> {
    const { models, deployment, fetchFile } = this.#parts;
    const mapped = callOptionsOf(this.#request.body, models.dialect);
    this.#warnings = [...mapped.warnings];
    this.#context.patchBody = mapped.patchBody;
    this.#parts.upstream.register(this.#abort.signal, this.#context);
    const language = models.language;
    const options = await inlineRemoteFiles({ ...mapped.options, headers: this.#headers(), abortSignal: this.#abort.signal }, await language.supportedUrls, fetchFile);
    if (this.#done) return;
    const naming: ChunkOptions = { dialect: models.dialect, model: deployment.model, created: Math.floor(Date.now() / 1000), id: `chatcmpl-${randomUUID()}` };
    if (this.#request.stream) await this.#stream(language, options, naming);
    else await this.#whole(language, options, naming);
  }

  async #whole(language: LanguageModelV4, options: Parameters<LanguageModelV4['doGenerate']>[0], naming: ChunkOptions): Promise<void> {
    const result = await language.doGenerate(options);
    if (this.#done) return;
    const reply = chatCompletionOf(result, naming);
    if ('failed' in reply) throw endError(reply.failed === 'truncated' ? 'empty' : reply.failed, reply.raw, this.#context);
    this.#start(result.warnings);
    this.#sink.onJson({ value: reply.completion, text: undefined });
    this.#end();
  }

  async #stream(language: LanguageModelV4, options: Parameters<LanguageModelV4['doStream']>[0], naming: ChunkOptions): Promise<void> {
    const { dialect } = naming;
    const { stream } = await language.doStream(dialect.planOf === undefined ? options : { ...options, includeRawChunks: true });
    const reader = stream.getReader();
    const chunks = new ChatChunks(naming);
    try {
      for (;;) {
        if (this.#resumed !== undefined) await this.#resumed.promise;
        if (this.#done) return;
        const { done, value: part } = await reader.read();
        if (this.#done) return;
        if (done) break;
        if (part.type === 'stream-start') this.#start(part.warnings);
        else if (part.type === 'error') {
          if (!isUnknownEvent(part.error, dialect.knownEvents)) throw part.error;
        } else {
          chunks.take(part, this.#pending);
          if (this.#pending.length > 0) this.#flushSoon();
        }
      }
    } catch (error) {
      reader.cancel().catch(() => undefined);
      throw error;
    }
    // A connection that broke after the provider's last word is still a broken one.
    if (this.#context.failure !== undefined) throw this.#context.failure;
    const end = chunks.end();
    if ('failed' in end) throw endError(end.failed, end.raw, this.#context);
    this.#start([]);
    this.#pending.push(...end.events);
    while (this.#resumed !== undefined) await this.#resumed.promise;
    this.#flush();
    this.#end();
  }

  async #embed(): Promise<void> {
    const { models, deployment } = this.#parts;
    if (models.embedding === undefined) throw new ProviderError('bad_request', deployment.provider, 'This provider has no embeddings.');
    this.#parts.upstream.register(this.#abort.signal, this.#context);
    const value = await createEmbeddings({ body: this.#request.body, model: deployment.model, embedding: models.embedding, dialect: models.dialect, headers: this.#headers(), signal: this.#abort.signal });
    if (this.#done) return;
    this.#start([]);
    this.#sink.onJson({ value, text: undefined });
    this.#end();
  }

  #headers(): Record<string, string> {
    const headers: Record<string, string> = {};
    for (const [name, value] of Object.entries(this.#request.headers)) if (!OWN_HEADERS.has(name)) headers[name] = value;
    return headers;
  }

  #start(warnings: readonly SharedV4Warning[]): void {
    if (this.#started || this.#done) return;
    this.#started = true;
    for (const warning of warnings) this.#warnings.push(warningText(warning));
    this.#sink.onStart({ status: this.#context.status ?? 200, headers: toldHeaders(this.#context.headers, this.#warnings) });
  }

  /** All parts of one read from the network become one call of the sink: they are ready within the same turn of the loop. */
  #flushSoon(): void {
    if (this.#flushing || this.#done || this.#pending.length === 0) return;
    this.#flushing = true;
    setImmediate(() => {
      this.#flushing = false;
      if (this.#resumed === undefined) this.#flush();
    });
  }

  #flush(): void {
    if (this.#done || this.#pending.length === 0) return;
    const events = this.#pending;
    this.#pending = [];
    this.#start([]);
    this.#sink.onEvents(events);
  }

  #end(): void {
    if (this.#done) return;
    this.#done = true;
    this.#sink.onEnd();
  }

  #fail(error: ProviderError): void {
    if (this.#done) return;
    // The provider had accepted the call and its events so far were true: they are told before the failure is.
    if (this.#request.stream && this.#context.status !== undefined && this.#context.status < 300) this.#start([]);
    this.#flush();
    this.#done = true;
    this.#abort.abort();
    this.#sink.onError(error);
  }
}

function endError(failed: 'empty' | 'truncated' | 'provider-error', raw: string | undefined, context: UpstreamCallContext): ProviderError {
  if (failed === 'empty') return new ProviderError('bad_reply', context.provider, 'The provider accepted the call and answered nothing.');
  if (failed === 'truncated') return new ProviderError('truncated', context.provider, 'The provider ended its reply without saying that it was complete.');
  return new ProviderError('stream_error', context.provider, `The provider stopped because of an error${raw === undefined ? '' : ` (${raw.slice(0, 60)})`}.`);
}

/** Providers announce that they will add event types; one that an SDK's schema does not know must not end the stream. */
function isUnknownEvent(error: unknown, known: ReadonlySet<string> | undefined): boolean {
  if (known === undefined || !TypeValidationError.isInstance(error) || JSONParseError.isInstance(error)) return false;
  const value = error.value;
  return isJsonObject(value) && typeof value['type'] === 'string' && !known.has(value['type']);
}

function warningText(warning: SharedV4Warning): string {
  switch (warning.type) {
    case 'unsupported':
    case 'compatibility':
      return warning.details ?? `${warning.feature} is not supported by this provider`;
    case 'deprecated':
      return `${warning.setting} is deprecated: ${warning.message}`;
    default:
      return warning.message;
  }
}

function toldHeaders(headers: WireHeaders, warnings: readonly string[]): Record<string, string> {
  const told: Record<string, string> = {};
  for (const [name, value] of Object.entries(headers)) {
    if (typeof value === 'string' && (TOLD_HEADERS.includes(name) || name.startsWith('anthropic-ratelimit-') || name.startsWith('x-ratelimit-'))) told[name] = value;
  }
  // Header values are Latin-1 without control characters; a warning may quote a client's own words.
  if (warnings.length > 0) told['x-pointsman-warnings'] = providerMessage(warnings.join('; ')).replaceAll(/[^\x20-\x7e]/g, '?');
  return told;
}
