import { createGate, cutEvery, startScriptedUpstream, type Script, type ScriptedUpstream, type ScriptStep } from '@pointsman/testing';
import { isJsonObject, type JsonObject } from '@pointsman/schemas';
import type { SseEvent } from '@pointsman/wire-formats';
import { describe, expect, test } from 'vitest';
import type { ProviderError, ProviderFault } from './provider-error.ts';
import type { Provider, ProviderCall, ProviderRequest, ReplySink, WireFormat } from './provider.ts';

/**
 * The promises that every provider adapter keeps, told as fixtures of wire bytes.
 *
 * A fixture is one exchange: the request as the gateway holds it, what must arrive at the provider, the provider's reply byte for byte,
 * and what the sink must hear. Replies are compared after normalisation (`normaliseChat`), so that an adapter may cut a stream into
 * other chunks than another one. Each success is replayed whole and cut into pieces of 1, 3, 7 and 1000 bytes.
 */
export interface ConformanceFixture {
  readonly case: ConformanceCase;
  /** `chat` by default. */
  readonly format?: WireFormat;
  /** The body as the client sent it. `stream: true` in it makes this a stream. */
  readonly request: JsonObject;
  readonly expectUpstream: {
    readonly path: string;
    /** Lower-case names; an undefined value means that the header must not be there. */
    readonly headers?: Readonly<Record<string, string | RegExp | undefined>>;
    /** Must be contained in the body that the provider received (vitest's `toMatchObject`). */
    readonly body?: JsonObject;
    /** Top-level fields that must not reach the provider. */
    readonly absent?: readonly string[];
  };
  readonly reply: { readonly status?: number; readonly headers?: Readonly<Record<string, string>>; readonly body: string | Uint8Array };
  readonly expect:
    | { readonly chat: NormalisedChat }
    /** For formats other than chat: must be contained in the reply's JSON. */
    | { readonly json: JsonObject }
    /** For streams of formats other than chat: the `data` of the events, parsed, each containing its counterpart. */
    | { readonly events: readonly JsonObject[] }
    | { readonly fault: ProviderFault; readonly upstreamStatus?: number; readonly retryAfterMs?: number; readonly message?: RegExp };
}

/** What a fixture may be about. An adapter brings one of each, or says in `without` why the provider has no such thing. */
export const CONFORMANCE_CASES = [
  'reply', 'stream',
  'parallel-tools', 'parallel-tools-stream', 'tool-results', 'json-schema', 'image',
  'reasoning', 'reasoning-stream', 'usage-details', 'usage-details-stream',
  'error-context-window', 'error-auth', 'error-not-found', 'error-rate-limited', 'error-server', 'error-overloaded', 'error-html',
  'error-in-stream',
] as const;
export type ConformanceCase = (typeof CONFORMANCE_CASES)[number] | (string & {});

export interface NormalisedChat {
  readonly choices: readonly {
    readonly content: string | null;
    readonly reasoning?: string;
    readonly toolCalls?: readonly { readonly id: string; readonly name: string; readonly arguments: unknown }[];
    readonly finishReason: string | null;
  }[];
  readonly usage?: { readonly prompt: number; readonly completion: number; readonly cached?: number; readonly reasoning?: number };
}

export interface ConformanceSubject {
  readonly name: string;
  /** A provider whose base URL is that of a scripted server on the loopback interface. */
  createProvider(baseUrl: string): Provider | Promise<Provider>;
  readonly fixtures: readonly ConformanceFixture[];
  /** Cases without a fixture, each with the reason. */
  readonly without?: Readonly<Partial<Record<(typeof CONFORMANCE_CASES)[number], string>>>;
}

const CUTS = [1, 3, 7, 1000] as const;

/** What a sink heard, in order; `settled` resolves with the end, the reply or the error. */
export class RecordingSink implements ReplySink {
  status: number | undefined;
  headers: Readonly<Record<string, string>> = {};
  json: JsonObject | undefined;
  text: string | undefined;
  readonly events: SseEvent[] = [];
  ended = false;
  error: ProviderError | undefined;
  readonly order: string[] = [];
  readonly settled: Promise<void>;
  readonly #settle: () => void;
  readonly #watchers = new Set<() => void>();

  constructor() {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.settled = promise;
    this.#settle = resolve;
  }
  onStart(start: Parameters<ReplySink['onStart']>[0]): void {
    this.status = start.status;
    this.headers = start.headers;
    this.#heard('start');
  }
  onJson(reply: { readonly value: JsonObject; readonly text: string | undefined }): void {
    this.json = reply.value;
    this.text = reply.text;
    this.#heard('json');
  }
  onEvents(events: readonly SseEvent[]): void {
    this.events.push(...events);
    if (this.order.at(-1) !== 'events') this.order.push('events');
    this.#notify();
  }
  onEnd(): void {
    this.ended = true;
    this.#heard('end');
    this.#settle();
  }
  onError(error: ProviderError): void {
    this.error = error;
    this.#heard('error');
    this.#settle();
  }
  /** Resolves when the condition holds; it is looked at after everything the sink hears. */
  async when(condition: () => boolean): Promise<void> {
    if (condition()) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    const look = (): void => {
      if (condition()) resolve();
    };
    this.#watchers.add(look);
    await promise;
    this.#watchers.delete(look);
  }
  #heard(what: string): void {
    this.order.push(what);
    this.#notify();
  }
  #notify(): void {
    for (const look of this.#watchers) look();
  }
}

/** A request as the gateway makes it: the parsed body together with its bytes. */
export function providerRequest(body: JsonObject, overrides: Partial<ProviderRequest> = {}): ProviderRequest {
  return {
    format: 'chat',
    body,
    rawBody: Buffer.from(JSON.stringify(body)),
    stream: body['stream'] === true,
    headers: {},
    headersTimeoutMs: 10_000,
    idleTimeoutMs: 10_000,
    ...overrides,
  };
}

/** Runs one request to its end and returns what the sink heard. */
export async function callProvider(provider: Provider, request: ProviderRequest): Promise<RecordingSink> {
  const sink = new RecordingSink();
  provider.start(request, sink);
  await sink.settled;
  return sink;
}

/** Brings a chat reply or the chunks of a chat stream into one comparable form: whole texts, whole tool calls, parsed arguments. */
export function normaliseChat(sink: Pick<RecordingSink, 'json' | 'events'>): NormalisedChat {
  const choices = new Map<number, ChoiceBuilder>();
  let usage: unknown;
  const values = sink.json === undefined ? sink.events.filter((event) => event.data !== '[DONE]').map((event) => event.value ?? (JSON.parse(event.data) as unknown)) : [sink.json];
  for (const value of values) {
    if (!isJsonObject(value)) continue;
    usage = value['usage'] ?? usage;
    for (const choice of asArray(value['choices'])) {
      if (!isJsonObject(choice)) continue;
      const index = typeof choice['index'] === 'number' ? choice['index'] : 0;
      const builder = choices.get(index) ?? new ChoiceBuilder();
      choices.set(index, builder);
      builder.add(choice);
    }
  }
  const normalisedUsage = normaliseUsage(usage);
  return {
    choices: [...choices.entries()].sort(([left], [right]) => left - right).map(([, builder]) => builder.build()),
    ...(normalisedUsage === undefined ? {} : { usage: normalisedUsage }),
  };
}

class ChoiceBuilder {
  #content: string | null = null;
  #reasoning = '';
  #finishReason: string | null = null;
  readonly #tools = new Map<number, { id: string; name: string; arguments: string }>();

  add(choice: JsonObject): void {
    const part = choice['delta'] ?? choice['message'];
    if (typeof choice['finish_reason'] === 'string') this.#finishReason = choice['finish_reason'];
    if (!isJsonObject(part)) return;
    if (typeof part['content'] === 'string' && part['content'] !== '') this.#content = (this.#content ?? '') + part['content'];
    if (typeof part['reasoning_content'] === 'string') this.#reasoning += part['reasoning_content'];
    asArray(part['tool_calls']).forEach((call, position) => {
      if (!isJsonObject(call)) return;
      const index = typeof call['index'] === 'number' ? call['index'] : position;
      const tool = this.#tools.get(index) ?? { id: '', name: '', arguments: '' };
      this.#tools.set(index, tool);
      if (typeof call['id'] === 'string' && call['id'] !== '') tool.id = call['id'];
      const fn = call['function'];
      if (!isJsonObject(fn)) return;
      if (typeof fn['name'] === 'string') tool.name += fn['name'];
      if (typeof fn['arguments'] === 'string') tool.arguments += fn['arguments'];
    });
  }

  build(): NormalisedChat['choices'][number] {
    const toolCalls = [...this.#tools.entries()].sort(([left], [right]) => left - right).map(([, tool]) => ({ id: tool.id, name: tool.name, arguments: JSON.parse(tool.arguments === '' ? '{}' : tool.arguments) as unknown }));
    return {
      content: this.#content,
      ...(this.#reasoning === '' ? {} : { reasoning: this.#reasoning }),
      ...(toolCalls.length === 0 ? {} : { toolCalls }),
      finishReason: this.#finishReason,
    };
  }
}

function normaliseUsage(usage: unknown): NormalisedChat['usage'] {
  if (!isJsonObject(usage)) return undefined;
  const inputDetails = usage['prompt_tokens_details'];
  const outputDetails = usage['completion_tokens_details'];
  const cached = isJsonObject(inputDetails) ? inputDetails['cached_tokens'] : undefined;
  const reasoning = isJsonObject(outputDetails) ? outputDetails['reasoning_tokens'] : undefined;
  return {
    prompt: Number(usage['prompt_tokens']),
    completion: Number(usage['completion_tokens']),
    ...(typeof cached === 'number' && cached > 0 ? { cached } : {}),
    ...(typeof reasoning === 'number' && reasoning > 0 ? { reasoning } : {}),
  };
}

function asArray(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

/** Declares the suite for one adapter. Call it at the top level of a test file. */
export function describeProviderConformance(subject: ConformanceSubject): void {
  describe(`provider conformance: ${subject.name}`, () => {
    test('has a fixture, or a reason, for every case', () => {
      const covered = new Set(subject.fixtures.map((fixture) => fixture.case));
      expect(CONFORMANCE_CASES.filter((name) => !covered.has(name) && subject.without?.[name] === undefined)).toEqual([]);
    });

    for (const fixture of subject.fixtures) {
      if ('fault' in fixture.expect && fixture.case !== 'error-in-stream') describeFailure(subject, fixture);
      else if (fixture.case === 'error-in-stream') describeStreamError(subject, fixture);
      else describeSuccess(subject, fixture);
    }

    const stream = subject.fixtures.find((fixture) => fixture.case === 'stream');
    if (stream !== undefined) describeBrokenStreams(subject, stream);
    const reply = subject.fixtures.find((fixture) => fixture.case === 'reply');
    if (reply !== undefined) describeBrokenReplies(subject, reply);
  });
}

function describeSuccess(subject: ConformanceSubject, fixture: ConformanceFixture): void {
  for (const cut of [undefined, ...CUTS]) {
    test(`${fixture.case}${cut === undefined ? '' : `, in pieces of ${cut} bytes`}`, async () => {
      await using stage = await setStage(subject, scriptOf(fixture, cut));
      const sink = await stage.call(requestOf(fixture));
      expect(sink.error).toBeUndefined();
      expect(sink.status).toBe(200);
      expect(sink.order).toEqual(requestOf(fixture).stream ? ['start', 'events', 'end'] : ['start', 'json', 'end']);
      if ('chat' in fixture.expect) expect(normaliseChat(sink)).toEqual(fixture.expect.chat);
      else if ('json' in fixture.expect) expect(sink.json).toMatchObject(fixture.expect.json);
      else if ('events' in fixture.expect) expect(sink.events.filter((event) => event.data !== '[DONE]').map((event) => JSON.parse(event.data) as unknown)).toMatchObject(fixture.expect.events);
      if (sink.text !== undefined) expect(JSON.parse(sink.text)).toEqual(sink.json);
      expectUpstream(stage.upstream, fixture);
    });
  }
}

function describeFailure(subject: ConformanceSubject, fixture: ConformanceFixture): void {
  for (const cut of [undefined, 7]) {
    test(`${fixture.case}${cut === undefined ? '' : `, in pieces of ${cut} bytes`}`, async () => {
      await using stage = await setStage(subject, scriptOf(fixture, cut));
      const sink = await stage.call(requestOf(fixture));
      expect(sink.order).toEqual(['error']);
      expectFault(sink, fixture);
      expectUpstream(stage.upstream, fixture);
    });
  }
}

function describeStreamError(subject: ConformanceSubject, fixture: ConformanceFixture): void {
  for (const cut of [undefined, ...CUTS]) {
    test(`an error inside a stream ends it as that error${cut === undefined ? '' : `, in pieces of ${cut} bytes`}`, async () => {
      await using stage = await setStage(subject, scriptOf(fixture, cut));
      const sink = await stage.call(requestOf(fixture));
      expect(sink.order.at(-1)).toBe('error');
      expect(sink.ended).toBe(false);
      expectFault(sink, fixture);
    });
  }
}

function describeBrokenStreams(subject: ConformanceSubject, fixture: ConformanceFixture): void {
  const bytes = Buffer.from(fixture.reply.body);
  const half = bytes.subarray(0, Math.floor(bytes.length / 2));
  const broken = (steps: readonly ScriptStep[], overrides: Partial<Script> = {}): Script => ({ ...scriptOf(fixture, undefined), framing: 'chunked', steps, ...overrides });

  for (const end of ['fin', 'reset'] as const) {
    test(`a stream cut by ${end} is truncated, not ended`, async () => {
      const gate = createGate(); // a reset throws away what has not been read yet
      await using stage = await setStage(subject, broken([half, { until: gate.opened }, { end }]));
      const sink = new RecordingSink();
      stage.provider.start(requestOf(fixture), sink);
      await sink.when(() => sink.status !== undefined);
      gate.open();
      await sink.settled;
      expect(sink.ended).toBe(false);
      expect(sink.error?.fault).toBe('truncated');
      expect(sink.order[0]).toBe('start');
    });
  }

  test('a stream without its last chunk is truncated although every event arrived', async () => {
    await using stage = await setStage(subject, broken([bytes.subarray(0, bytes.length - 1), { end: 'fin' }]));
    const sink = await stage.call(requestOf(fixture));
    expect(sink.ended).toBe(false);
    expect(sink.error?.fault).toBe('truncated');
  });

  test('a stream that goes silent is a timeout', async () => {
    await using stage = await setStage(subject, broken([half, { end: 'stall' }]));
    const sink = await stage.call({ ...requestOf(fixture), idleTimeoutMs: 100 });
    expect(sink.error?.fault).toBe('timeout');
    await stage.upstreamLeft();
  });

  test('a provider that never answers is a timeout', async () => {
    await using stage = await setStage(subject, broken([], { before: [{ end: 'stall' }] }));
    const sink = await stage.call({ ...requestOf(fixture), headersTimeoutMs: 100 });
    expect(sink.order).toEqual(['error']);
    expect(sink.error?.fault).toBe('timeout');
    await stage.upstreamLeft();
  });

  test('cancel closes the connection to the provider and the sink hears nothing more', async () => {
    await using stage = await setStage(subject, broken([half, { end: 'stall' }]));
    const sink = new RecordingSink();
    const call = stage.provider.start(requestOf(fixture), sink);
    await sink.when(() => sink.status !== undefined);
    call.cancel();
    const heard = [...sink.order];
    await stage.upstreamLeft();
    expect(sink.order).toEqual(heard);
    call.cancel();
    call.pause();
    call.resume();
  });

  test('cancel right after the start closes the connection too', async () => {
    await using stage = await setStage(subject, broken([half, { end: 'stall' }]));
    const sink = new RecordingSink();
    stage.provider.start(requestOf(fixture), sink).cancel();
    // The connection may never have been opened; if it was, it must not stay.
    await waitFor(() => stage.upstream.calls.every((call) => call.aborted));
    expect(sink.order).toEqual([]);
  });

  test('pause holds the stream back and resume lets the rest come', async () => {
    const gate = createGate();
    await using stage = await setStage(subject, broken([half, { until: gate.opened }, bytes.subarray(half.length)]));
    const sink = new RecordingSink();
    const call: ProviderCall = stage.provider.start(requestOf(fixture), sink);
    await sink.when(() => sink.status !== undefined);
    call.pause();
    gate.open();
    await waitFor(() => stage.upstream.calls[0]?.finished === true);
    expect(sink.ended).toBe(false);
    call.resume();
    await sink.settled;
    expect(sink.error).toBeUndefined();
    if ('chat' in fixture.expect) expect(normaliseChat(sink)).toEqual(fixture.expect.chat);
  });

  test('a slow stream passes on what has come, event by event', async () => {
    const gate = createGate();
    await using stage = await setStage(subject, broken([half, { until: gate.opened }, bytes.subarray(half.length)]));
    const sink = new RecordingSink();
    stage.provider.start(requestOf(fixture), sink);
    await sink.when(() => sink.events.length > 0);
    expect(sink.ended).toBe(false);
    gate.open();
    await sink.settled;
    expect(sink.error).toBeUndefined();
  });
}

function describeBrokenReplies(subject: ConformanceSubject, fixture: ConformanceFixture): void {
  const whole = scriptOf(fixture, undefined);
  test.each([
    ['garbage', { ...whole, steps: ['<<< not json >>>'] }],
    ['empty', { ...whole, steps: [] }],
    ['a JSON string', { ...whole, steps: ['"hello"'] }],
  ] as const)('a success status with %s is a bad reply', async (_name, script) => {
    await using stage = await setStage(subject, script);
    const sink = await stage.call(requestOf(fixture));
    expect(sink.error?.fault).toBe('bad_reply');
    expect(sink.json).toBeUndefined();
  });

  test('a reply that stops short of its content length is truncated', async () => {
    const bytes = Buffer.from(fixture.reply.body);
    await using stage = await setStage(subject, { ...whole, headers: { ...whole.headers, 'content-length': String(bytes.length) }, steps: [bytes.subarray(0, bytes.length - 5), { end: 'fin' }] });
    const sink = await stage.call(requestOf(fixture));
    expect(sink.error?.fault).toBe('truncated');
  });

  test('bytes that are not HTTP are no reply', async () => {
    await using stage = await setStage(subject, { framing: 'raw', steps: ['\u0000\u0001 this is not HTTP\r\n\r\n'] });
    const sink = await stage.call(requestOf(fixture));
    expect(['bad_reply', 'unreachable']).toContain(sink.error?.fault);
  });

  test('a connection closed before the status line is unreachable', async () => {
    await using stage = await setStage(subject, { ...whole, before: [{ end: 'reset' }] });
    const sink = await stage.call(requestOf(fixture));
    expect(sink.order).toEqual(['error']);
    expect(sink.error?.fault).toBe('unreachable');
  });

  test('nobody listening is unreachable', async () => {
    const upstream = await startScriptedUpstream();
    const provider = await subject.createProvider(upstream.url);
    await upstream.close();
    const sink = await callProvider(provider, requestOf(fixture));
    expect(sink.error?.fault).toBe('unreachable');
    provider.close();
  });

  test('a redirect is not followed', async () => {
    await using stage = await setStage(subject, { status: 307, headers: { location: '/elsewhere' }, steps: [] });
    const sink = await stage.call(requestOf(fixture));
    expect(sink.error).toBeDefined();
    expect(stage.upstream.calls).toHaveLength(1);
  });

  test('failures are never told before start has returned', async () => {
    await using stage = await setStage(subject, { ...whole, before: [{ end: 'reset' }] });
    const sink = new RecordingSink();
    stage.provider.start(requestOf(fixture), sink);
    expect(sink.order).toEqual([]);
    await sink.settled;
  });

  test('the request body is left as it was', async () => {
    await using stage = await setStage(subject, whole);
    const request = requestOf(fixture);
    const before = structuredClone(request.body);
    await stage.call(request);
    expect(request.body).toEqual(before);
  });
}

interface Stage extends AsyncDisposable {
  readonly upstream: ScriptedUpstream;
  readonly provider: Provider;
  call(request: ProviderRequest): Promise<RecordingSink>;
  /** Resolves once the adapter has closed the connection of the only call. */
  upstreamLeft(): Promise<void>;
}

async function setStage(subject: ConformanceSubject, script: Script): Promise<Stage> {
  const upstream = await startScriptedUpstream({ reply: script });
  const provider = await subject.createProvider(upstream.url);
  return {
    upstream,
    provider,
    call: (request) => callProvider(provider, request),
    upstreamLeft: () => waitFor(() => upstream.calls[0]?.aborted === true),
    async [Symbol.asyncDispose]() {
      provider.close();
      await upstream.close();
    },
  };
}

async function waitFor(condition: () => boolean): Promise<void> {
  await expect.poll(condition, { interval: 5, timeout: 5000 }).toBe(true);
}

function requestOf(fixture: ConformanceFixture): ProviderRequest {
  return providerRequest(fixture.request, { format: fixture.format ?? 'chat' });
}

function scriptOf(fixture: ConformanceFixture, cut: number | undefined): Script {
  const streamed = fixture.request['stream'] === true && (fixture.reply.status ?? 200) < 300;
  return {
    status: fixture.reply.status ?? 200,
    headers: { 'content-type': streamed ? 'text/event-stream' : 'application/json', ...fixture.reply.headers },
    framing: streamed ? 'chunked' : 'content-length',
    steps: cut === undefined ? [fixture.reply.body] : cutEvery(cut)(fixture.reply.body),
  };
}

function expectFault(sink: RecordingSink, fixture: ConformanceFixture): void {
  if (!('fault' in fixture.expect)) throw new Error(`The fixture ${fixture.case} expects no fault.`);
  const { fault, upstreamStatus, retryAfterMs, message } = fixture.expect;
  expect(sink.error?.fault).toBe(fault);
  if (upstreamStatus !== undefined) expect(sink.error?.upstreamStatus).toBe(upstreamStatus);
  if (retryAfterMs !== undefined) expect(sink.error?.retryAfterMs).toBe(retryAfterMs);
  if (message !== undefined) expect(sink.error?.message).toMatch(message);
  expect(sink.error?.message.length).toBeLessThanOrEqual(600);
}

function expectUpstream(upstream: ScriptedUpstream, fixture: ConformanceFixture): void {
  const [call] = upstream.calls;
  expect(upstream.calls).toHaveLength(1);
  expect(call?.method).toBe('POST');
  expect(call?.path).toBe(fixture.expectUpstream.path);
  for (const [name, value] of Object.entries(fixture.expectUpstream.headers ?? {})) {
    if (value === undefined) expect(call?.headers).not.toHaveProperty(name);
    else if (typeof value === 'string') expect(call?.headers[name]).toBe(value);
    else expect(call?.headers[name]).toMatch(value);
  }
  if (fixture.expectUpstream.body !== undefined) expect(call?.json).toMatchObject(fixture.expectUpstream.body);
  for (const name of fixture.expectUpstream.absent ?? []) expect(call?.json).not.toHaveProperty(name);
}
