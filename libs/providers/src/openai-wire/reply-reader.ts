import { isJsonObject, type JsonObject } from '@pointsman/schemas';
import type { Clock } from '@pointsman/timing';
import { SseParser, type SseEvent } from '@pointsman/wire-formats';
import { errorFromReply, errorFromValue, MAX_ERROR_BODY_BYTES } from '../error-reply.ts';
import { ProviderError } from '../provider-error.ts';
import type { ProviderCall, ProviderRequest, ReplySink } from '../provider.ts';
import type { WireHeaders, WireListener } from '../wire-call.ts';
import type { ReplyChange, ReplyQuirk } from './quirks/reply-quirks.ts';

export interface ReplyRules {
  readonly provider: string;
  readonly secret: string | undefined;
  readonly maxReplyBytes: number;
  readonly clock: Clock;
  readonly quirks: readonly ReplyQuirk[];
}

type ReplyKind = 'undecided' | 'json' | 'events' | 'error';

/** Reads one reply: errors, whole JSON or events, and hands it to the sink as soon as it is complete. */
export class ReplyReader implements WireListener {
  /** Set by whoever started the call, so that a reply that is of no use can be given up. */
  call: Pick<ProviderCall, 'cancel'> = { cancel: () => undefined };
  readonly #request: ProviderRequest;
  readonly #sink: ReplySink;
  readonly #rules: ReplyRules;
  #kind: ReplyKind = 'json';
  #status = 0;
  #headers: WireHeaders = {};
  #parts: Buffer[] = [];
  #size = 0;
  #parser: SseParser | undefined;
  #streamChanges: readonly { readonly marks: readonly string[]; readonly change: ReplyChange }[] | undefined;
  #done = false;

  constructor(request: ProviderRequest, sink: ReplySink, rules: ReplyRules) {
    this.#request = request;
    this.#sink = sink;
    this.#rules = rules;
  }

  onHead(status: number, headers: WireHeaders): void {
    this.#status = status;
    this.#headers = headers;
    if (status < 200 || status >= 300) {
      this.#kind = 'error';
      return;
    }
    if (this.#request.stream) {
      const type = headers['content-type'];
      if (typeof type === 'string' && type.startsWith('text/event-stream')) this.#expectEvents();
      else this.#kind = 'undecided';
    }
    this.#sink.onStart({ status, headers: headersForClients(headers) });
  }

  onBytes(chunk: Buffer): void {
    if (this.#done) return;
    if (this.#kind === 'undecided') this.#decide(chunk);
    if (this.#kind === 'events') this.#readEvents(chunk);
    else this.#gather(chunk);
  }

  onEnd(): void {
    if (this.#done) return;
    this.#done = true;
    if (this.#kind === 'events') this.#endEvents();
    else if (this.#kind === 'error') this.#sink.onError(this.#refusal());
    else this.#endJson();
  }

  onError(error: ProviderError): void {
    if (this.#done) return;
    this.#done = true;
    // A refusal whose body broke off is still a refusal; the status says more than the broken connection.
    this.#sink.onError(this.#kind === 'error' ? this.#refusal() : error);
  }

  /** Some servers stream without saying so in `content-type`, and some answer a stream with JSON: the first byte tells. */
  #decide(chunk: Buffer): void {
    const first = chunk.find((byte) => byte > 0x20);
    if (first === undefined) return;
    if (first === 0x3a || first === 0x64 || first === 0x65 || first === 0x69 || first === 0x72) this.#expectEvents();
    else this.#kind = 'json';
  }

  #expectEvents(): void {
    this.#kind = 'events';
    this.#parser = new SseParser();
    if (this.#rules.quirks.length === 0 || this.#request.format !== 'chat') return;
    this.#streamChanges = this.#rules.quirks.flatMap(({ stream }) => (stream === undefined ? [] : [{ marks: stream.marks, change: stream.begin() }]));
  }

  #readEvents(chunk: Buffer): void {
    let events: readonly SseEvent[];
    try {
      events = this.#parser?.push(chunk) ?? [];
    } catch (error) {
      this.#abort(this.#badReply('The provider sent an event that is too large.', error));
      return;
    }
    if (events.length > 0) this.#passOn(events);
  }

  #passOn(events: readonly SseEvent[]): void {
    for (let index = 0; index < events.length; index += 1) {
      const error = this.#errorIn(events[index] as SseEvent);
      if (error === undefined) continue;
      if (index > 0) this.#sink.onEvents(this.#changed(events.slice(0, index)));
      this.#abort(error);
      return;
    }
    this.#sink.onEvents(this.#changed(events));
  }

  #changed(events: readonly SseEvent[]): readonly SseEvent[] {
    const changes = this.#streamChanges;
    return changes === undefined || changes.length === 0 ? events : events.map((event) => this.#changedEvent(event, changes));
  }

  #changedEvent(event: SseEvent, changes: readonly { readonly marks: readonly string[]; readonly change: ReplyChange }[]): SseEvent {
    let value: JsonObject | undefined;
    let changed: JsonObject | undefined;
    for (const { marks, change } of changes) {
      if (!marks.some((mark) => event.data.includes(mark))) continue;
      value ??= parsedObject(event.data);
      if (value === undefined) return event;
      changed = change(changed ?? value, { request: this.#request.outline ?? this.#request.body });
    }
    return changed === undefined || changed === value ? event : { event: event.event, data: JSON.stringify(changed), value: changed };
  }

  /** The failure that an event reports. The text test is cheap and exact enough: inside a JSON string every quote has a backslash. */
  #errorIn({ event, data }: SseEvent): ProviderError | undefined {
    if (event !== 'error' && !data.includes('"error"')) return undefined;
    const value = parsedObject(data);
    const error = value?.['error'];
    const isError = value !== undefined && (event === 'error' || value['type'] === 'error' || value['object'] === 'error' || isJsonObject(error) || (typeof error === 'string' && error !== ''));
    if (!isError) return event === 'error' && value === undefined ? new ProviderError('stream_error', this.#rules.provider, data.slice(0, 500)) : undefined;
    return errorFromValue(value, { provider: this.#rules.provider, status: undefined, headers: {}, secret: this.#rules.secret, nowMs: this.#rules.clock.now() }, 'stream_error');
  }

  #endEvents(): void {
    const end = this.#parser?.end();
    if (end === undefined || !end.incomplete) {
      this.#sink.onEnd();
    } else if (end.leftover?.data === '[DONE]') {
      // Several servers leave out the blank line after it, and it cannot be the beginning of anything else.
      this.#sink.onEvents([end.leftover]);
      this.#sink.onEnd();
    } else {
      this.#sink.onError(new ProviderError('truncated', this.#rules.provider, "The provider's stream ended in the middle of an event."));
    }
  }

  #gather(chunk: Buffer): void {
    const limit = this.#kind === 'error' ? MAX_ERROR_BODY_BYTES : this.#rules.maxReplyBytes;
    this.#size += chunk.length;
    if (this.#size <= limit) {
      this.#parts.push(chunk);
      return;
    }
    if (this.#kind === 'error') {
      this.#parts.push(chunk.subarray(0, chunk.length - (this.#size - limit)));
      this.#abort(this.#refusal());
    } else {
      this.#abort(this.#badReply(`The provider's reply is larger than ${limit} bytes.`));
    }
  }

  #endJson(): void {
    const { provider, secret, clock, quirks } = this.#rules;
    const text = this.#text();
    if (text.trim() === '') {
      this.#sink.onError(this.#badReply('The provider answered with success and an empty body.'));
      return;
    }
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch (error) {
      this.#sink.onError(this.#unreadable(text, error));
      return;
    }
    if (!isJsonObject(value)) {
      this.#sink.onError(this.#badReply('The provider answered with success and JSON that is not an object.'));
      return;
    }
    if (isErrorObject(value)) {
      this.#sink.onError(errorFromValue(value, { provider, status: undefined, headers: this.#headers, secret, nowMs: clock.now() }, 'bad_reply'));
      return;
    }
    let changed = value;
    if (this.#request.format === 'chat') for (const quirk of quirks) changed = quirk.reply(changed, { request: this.#request.outline ?? this.#request.body });
    this.#sink.onJson({ value: changed, text: changed === value ? text : undefined });
    this.#sink.onEnd();
  }

  /** A body that only its connection delimits and that is no JSON may have been cut: undici ends it the same way after FIN and RST. */
  #unreadable(text: string, cause: unknown): ProviderError {
    const delimitedByClose = this.#headers['content-length'] === undefined && this.#headers['transfer-encoding'] === undefined;
    if (delimitedByClose && text.trimStart().startsWith('{')) return new ProviderError('truncated', this.#rules.provider, "The provider's connection ended before its reply was complete.", { cause });
    return this.#badReply('The provider answered with success and something that is not JSON.', cause);
  }

  #refusal(): ProviderError {
    const { provider, secret, clock } = this.#rules;
    if (this.#status < 400) return this.#badReply(`The provider answered with the redirect ${this.#status}, which is never followed: check api_base.`);
    return errorFromReply({ provider, status: this.#status, headers: this.#headers, body: this.#text(), secret, nowMs: clock.now() });
  }

  #badReply(message: string, cause?: unknown): ProviderError {
    return new ProviderError('bad_reply', this.#rules.provider, message, { upstreamStatus: this.#status, ...(cause === undefined ? {} : { cause }) });
  }

  #text(): string {
    const [first] = this.#parts;
    return (this.#parts.length === 1 && first !== undefined ? first : Buffer.concat(this.#parts)).toString('utf8');
  }

  #abort(error: ProviderError): void {
    this.#done = true;
    this.call.cancel();
    this.#sink.onError(error);
  }
}

function parsedObject(text: string): JsonObject | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return isJsonObject(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

/** An error under a success status: an `error` with nothing of a reply beside it. */
function isErrorObject(value: JsonObject): boolean {
  const error = value['error'];
  if (value['object'] === 'error' || value['type'] === 'error') return true;
  if (!isJsonObject(error) && (typeof error !== 'string' || error === '')) return false;
  return value['choices'] === undefined && value['data'] === undefined && value['output'] === undefined && value['content'] === undefined;
}

const TELLING_HEADERS: ReadonlySet<string> = new Set(['x-request-id', 'request-id', 'apim-request-id', 'cf-ray', 'openai-organization', 'openai-processing-ms', 'openai-version', 'x-ms-region']);

function headersForClients(headers: WireHeaders): Record<string, string> {
  const telling: Record<string, string> = {};
  for (const name in headers) {
    const value = headers[name];
    if (typeof value === 'string' && (TELLING_HEADERS.has(name) || name.startsWith('x-ratelimit-'))) telling[name] = value;
  }
  return telling;
}
