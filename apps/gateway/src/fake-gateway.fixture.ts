import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { parseGatewayConfig } from '@pointsman/gateway-config';
import { LiveValue } from '@pointsman/live-value';
import { createPriceMap, type PriceMap } from '@pointsman/pricing';
import {
  ProviderError, providerIds, UpstreamPools, type Provider, type ProviderCall, type ProviderFault, type ProviderRequest, type ReplySink, type WireFormat,
} from '@pointsman/providers';
import { CircuitBreaker, CircuitBreakers, Cooldowns, RetryBudget, type BreakerPermit } from '@pointsman/resilience';
import { Decider, DeploymentStats, type Candidate, type Strategy } from '@pointsman/routing';
import type { JsonObject, JsonValue } from '@pointsman/schemas';
import { startTelemetry, type AttributeSet, type AttributeValue, type Span } from '@pointsman/telemetry';
import { systemClock } from '@pointsman/timing';
import type { SseEvent, Usage } from '@pointsman/wire-formats';
import { MasterKeyStore, type KeyStore } from './access/key-store.ts';
import type { Admission, Limits } from './access/limits.ts';
import type { GatewayContext } from './endpoints/gateway-context.ts';
import { createRequestListener } from './http/create-app.ts';
import { noCache } from './cache/response-cache.ts';
import { noDatabase } from './state/gateway-database.ts';
import { noAudit } from './record/audit-sink.ts';
import { DrainGate } from './http/drain-gate.ts';
import type { ExchangeRecord } from './record/exchange-record.ts';
import { GatewayMetrics, type RequestOutcome } from './record/gateway-metrics.ts';
import type { Deployment, GroupPlan, Snapshot } from './snapshot/snapshot.ts';

/** The master key of a fake gateway. */
export const TEST_KEY = 'sk-fake-gateway-key';

/** One call to a fake provider: the test plays the provider by hand. */
export class FakeCall implements ProviderCall {
  readonly request: ProviderRequest;
  readonly sink: ReplySink;
  cancels = 0;
  pauses = 0;
  resumes = 0;

  constructor(request: ProviderRequest, sink: ReplySink) {
    this.request = request;
    this.sink = sink;
  }

  cancel(): void {
    this.cancels += 1;
  }

  pause(): void {
    this.pauses += 1;
  }

  resume(): void {
    this.resumes += 1;
  }

  accept(): this {
    this.sink.onStart({ status: 200, headers: {} });
    return this;
  }

  json(value: JsonObject): void {
    this.accept().sink.onJson({ value, text: JSON.stringify(value) });
    this.sink.onEnd();
  }

  /** One read from the network: strings are data as it came, objects become JSON. */
  events(...data: readonly (string | JsonObject)[]): this {
    this.sink.onEvents(data.map((item): SseEvent => ({ event: '', data: typeof item === 'string' ? item : JSON.stringify(item) })));
    return this;
  }

  end(): void {
    this.sink.onEnd();
  }

  fail(fault: ProviderFault, options: { readonly retryAfterMs?: number; readonly upstreamStatus?: number; readonly message?: string } = {}): void {
    const { message, ...rest } = options;
    this.sink.onError(new ProviderError(fault, 'openai', message ?? `the provider failed: ${fault}`, rest));
  }
}

export type Behaviour = (call: FakeCall, index: number) => void;

/** A provider that does what a test says. */
export class FakeProvider implements Provider {
  readonly id: string;
  readonly formats: ReadonlySet<WireFormat>;
  readonly passthrough = undefined;
  readonly calls: FakeCall[] = [];
  readonly #behave: Behaviour;
  closes = 0;

  constructor(behave: Behaviour, { id = 'openai', formats = ['chat', 'completions', 'embeddings'] }: { readonly id?: string; readonly formats?: readonly WireFormat[] } = {}) {
    this.#behave = behave;
    this.id = id;
    this.formats = new Set(formats);
  }

  start(request: ProviderRequest, sink: ReplySink): ProviderCall {
    const call = new FakeCall(request, sink);
    const index = this.calls.push(call) - 1;
    queueMicrotask(() => this.#behave(call, index));
    return call;
  }

  close(): void {
    this.closes += 1;
  }
}

/** A breaker that remembers every permit it gave and how often and how each was settled. */
export class CountingBreaker extends CircuitBreaker {
  readonly settlements: string[][] = [];

  override tryAcquire(): BreakerPermit | undefined {
    const permit = super.tryAcquire();
    if (permit === undefined) return undefined;
    const settled: string[] = [];
    this.settlements.push(settled);
    return {
      succeeded: () => { settled.push('succeeded'); permit.succeeded(); },
      failed: () => { settled.push('failed'); permit.failed(); },
      abandoned: () => { settled.push('abandoned'); permit.abandoned(); },
    };
  }
}

/** A span that remembers what it was told. */
export class FakeSpan implements Span {
  readonly traceId = '0af7651916cd43dd8448eb211c80319c';
  readonly spanId = 'b7ad6b7169203331';
  readonly sampled = true;
  readonly recording = true;
  readonly traceparent = `00-${this.traceId}-${this.spanId}-01`;
  readonly tracestate: string | undefined;
  readonly name: string;
  readonly attributes = new Map<string, AttributeValue>();
  readonly children: FakeSpan[] = [];
  readonly failures: string[] = [];
  ends = 0;

  constructor(name: string, tracestate: string | undefined) {
    this.name = name;
    this.tracestate = tracestate;
  }

  set(key: string, value: AttributeValue | undefined): void {
    if (value !== undefined) this.attributes.set(key, value);
  }

  add({ list }: AttributeSet): void {
    for (let index = 0; index + 1 < list.length; index += 2) this.set(String(list[index]), list[index + 1]);
  }

  child(name: string): FakeSpan {
    const child = new FakeSpan(name, this.tracestate);
    this.children.push(child);
    return child;
  }

  addEvent(): void {
    // events are not looked at
  }

  fail(code: string): void {
    this.failures.push(code);
  }

  end(): void {
    this.ends += 1;
  }
}

class RecordingMetrics extends GatewayMetrics {
  readonly outcomes: RequestOutcome[] = [];
  streamsRunning = 0;

  override requestEnded(outcome: RequestOutcome): void {
    this.outcomes.push(outcome);
    super.requestEnded(outcome);
  }

  override streamStarted(): void {
    this.streamsRunning += 1;
    super.streamStarted();
  }

  override streamEnded(): void {
    this.streamsRunning -= 1;
    super.streamEnded();
  }
}

/** Keeps the order of the configuration. */
export const inOrder: Strategy = {
  name: 'in-order',
  decide: ({ candidates }) => ({ order: candidates, scores: candidates.map(() => 1), strategy: 'in-order', modelVersion: '', propensity: 1 }),
};

/** USD as a fake gateway counts them: 1 per prompt token, 10 per completion token. */
export const fakeCost = (usage: Usage): number => usage.promptTokens + 10 * usage.completionTokens;

const servedProviders: ReadonlySet<string> = new Set(providerIds);

export function parseConfig(yaml: string): ReturnType<typeof parseGatewayConfig>['config'] {
  return parseGatewayConfig({ files: yaml, env: {}, providerIds: servedProviders }).config;
}

export interface FakeSnapshot extends Snapshot {
  readonly breakers: ReadonlyMap<string, CountingBreaker>;
  closes: number;
}

export interface FakeSnapshotOptions {
  /** What plays each deployment, by `model_info.id`. */
  readonly providers?: Readonly<Record<string, FakeProvider>>;
  readonly strategy?: Strategy;
  /** Names that take a promise to find, as a wildcard's do. */
  readonly slowPlans?: Readonly<Record<string, (plans: ReadonlyMap<string, GroupPlan>) => Promise<GroupPlan>>>;
  readonly ready?: boolean;
  readonly bodyDefaults?: ReadonlyMap<string, JsonValue>;
}

const unanswered = new FakeProvider(() => undefined);

/** A snapshot whose deployments are played by a test. */
export function fakeSnapshot(yaml: string, { providers = {}, strategy = inOrder, slowPlans = {}, ready = true, bodyDefaults }: FakeSnapshotOptions = {}): FakeSnapshot {
  const config = parseConfig(yaml);
  const breakers = new Map<string, CountingBreaker>();
  const plans = new Map<string, GroupPlan>();
  const byProvider = new Map<string, Deployment>();
  const decider = new Decider({ strategy, clock: systemClock });
  for (const group of new Set(config.models.map((model) => model.group))) {
    const deployments = config.models.filter((model) => model.group === group).map((configured): Deployment => {
      const breaker = new CountingBreaker({ name: configured.id, clock: systemClock, ...config.router.breaker });
      breakers.set(configured.id, breaker);
      const candidate: Candidate = {
        id: configured.id, group, model: configured.configuredModel, provider: configured.provider, weight: undefined, rpm: undefined, tpm: undefined,
        order: configured.order, tags: configured.tags, inputCostPerToken: undefined, outputCostPerToken: undefined, maxInputTokens: undefined, stats: new DeploymentStats(),
      };
      return { configured, candidate, provider: providers[configured.id] ?? unanswered, breaker, costOf: fakeCost, bodyDefaults };
    });
    plans.set(group, {
      group, deployments, candidates: deployments.map(({ candidate }) => candidate),
      deploymentOf: new Map(deployments.map((deployment) => [deployment.candidate, deployment])), decider, enforcesRateLimits: false, readsPrompt: false,
    });
    for (const deployment of deployments) if (!byProvider.has(deployment.configured.provider)) byProvider.set(deployment.configured.provider, deployment);
  }
  const snapshot: FakeSnapshot = {
    revision: config.revision, appliedAtMs: 1, config, ready, breakers, closes: 0,
    plan: (name) => (Object.hasOwn(slowPlans, name) ? slowPlans[name]?.(plans) : plans.get(name)),
    withClientSide: (plan) => Promise.resolve(plan),
    listed: [...plans.keys()].map((name) => ({ name, models: config.models.filter(({ group }) => group === name) })),
    byProvider,
    close: () => { snapshot.closes += 1; },
  };
  return snapshot;
}

export interface FakeGatewayOptions extends FakeSnapshotOptions {
  readonly keys?: KeyStore;
  readonly prices?: PriceMap;
  readonly retryBudget?: RetryBudget;
  readonly limits?: Limits;
  readonly cache?: GatewayContext['cache'];
  readonly database?: GatewayContext['database'];
  readonly audit?: GatewayContext['audit'];
  readonly book?: GatewayContext['book'];
  readonly accessChanged?: GatewayContext['accessChanged'];
}

export interface FakeGateway extends AsyncDisposable {
  readonly url: string;
  readonly context: GatewayContext;
  readonly live: LiveValue<Snapshot>;
  readonly snapshot: FakeSnapshot;
  readonly metrics: RecordingMetrics;
  readonly spans: readonly FakeSpan[];
  readonly lines: readonly string[];
  /** What each dispatch used, told when it ended. */
  readonly settled: readonly { readonly totalTokens: number; readonly costUsd: number }[];
  readonly retries: readonly string[];
  readonly fallbacks: readonly string[];
  readonly attempts: readonly string[];
  /** The record of the only call so far, once its reply is over. */
  record(): ExchangeRecord;
  post(path: string, body: unknown, init?: { readonly headers?: Readonly<Record<string, string>>; readonly signal?: AbortSignal }): Promise<Response>;
  chat(body?: JsonObject, init?: { readonly headers?: Readonly<Record<string, string>>; readonly signal?: AbortSignal }): Promise<Response>;
}

/** The real routes, dispatch and server over providers that a test plays. */
export async function startFakeGateway(yaml: string, options: FakeGatewayOptions = {}): Promise<FakeGateway> {
  const lines: string[] = [];
  const spans: FakeSpan[] = [];
  const telemetry = {
    ...startTelemetry({ serviceName: 'test', serviceVersion: '0', logLevel: 'debug', processMetrics: false, writeLine: (line) => void lines.push(line) }),
    traces: {
      begin: (name: string, { tracestate }: { readonly tracestate?: string | undefined } = {}) => {
        const span = new FakeSpan(name, tracestate);
        spans.push(span);
        return span;
      },
    },
  };
  const metrics = new RecordingMetrics(telemetry.metrics);
  const snapshot = fakeSnapshot(yaml, options);
  const live = new LiveValue<Snapshot>(snapshot, (old) => old.close());
  const pools = new UpstreamPools();
  const settled: { totalTokens: number; costUsd: number }[] = [];
  const retries: string[] = [];
  const fallbacks: string[] = [];
  const attempts: string[] = [];
  const admission: Admission = { headers: undefined, settle: (used) => void settled.push(used) };
  const { router } = snapshot.config;
  const context: GatewayContext = {
    live, gate: new DrainGate(), telemetry, metrics, pools, breakers: new CircuitBreakers({ clock: systemClock }),
    keys: options.keys ?? new MasterKeyStore(TEST_KEY), limits: options.limits ?? { admit: () => admission }, prices: options.prices ?? createPriceMap({}),
    cache: options.cache ?? noCache, database: options.database ?? noDatabase, audit: options.audit ?? noAudit, book: options.book ?? (() => undefined), accessChanged: options.accessChanged ?? (() => undefined),
    dispatch: {
      retryBudget: options.retryBudget ?? new RetryBudget({ clock: systemClock }),
      cooldowns: new Cooldowns({ clock: systemClock, allowedFails: router.allowedFails, cooldownMs: router.cooldownMs, disabled: router.disableCooldowns }),
      random: () => 0, // no backoff: a test does not wait
      onRetry: (group, reason) => void retries.push(`${group} ${reason}`),
      onDecision: () => undefined,
      onFallback: (from, to) => void fallbacks.push(`${from} > ${to}`),
      onAttemptEnd: ({ configured }, outcome) => void attempts.push(`${configured.id} ${outcome}`),
    },
    reloadReport: () => ({ config_revision: null, applied_at: null, models: [], warnings: [] }),
    reload: () => Promise.resolve(),
  };
  const server = createServer(createRequestListener(context));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const url = `http://127.0.0.1:${String((server.address() as AddressInfo).port)}`;
  const post: FakeGateway['post'] = (path, body, { headers = {}, signal } = {}) => fetch(url + path, {
    method: 'POST', body: typeof body === 'string' ? body : JSON.stringify(body),
    headers: { 'content-type': 'application/json', authorization: `Bearer ${TEST_KEY}`, ...headers }, ...(signal === undefined ? {} : { signal }),
  });
  return {
    url, context, live, snapshot, metrics, spans, lines, settled, retries, fallbacks, attempts, post,
    record() {
      const records = metrics.outcomes.map(({ record }) => record).filter((record) => record !== undefined);
      const [only] = records;
      if (records.length !== 1 || only === undefined) throw new Error(`one record was expected, ${String(records.length)} are there`);
      return only;
    },
    chat: (body = {}, init = {}) => post('/v1/chat/completions', { model: 'chat', messages: [{ role: 'user', content: 'hello' }], ...body }, init),
    async [Symbol.asyncDispose]() {
      const closed = once(server, 'close');
      server.close();
      server.closeAllConnections();
      await closed;
      live.close();
      await pools.close();
    },
  };
}

/** A chat completion as a provider sends it. */
export function chatReply(content: string, more: JsonObject = {}): JsonObject {
  return {
    id: 'chatcmpl-1', object: 'chat.completion', created: 1, model: 'gpt-4o-2024-08-06',
    choices: [{ index: 0, message: { role: 'assistant', content }, finish_reason: 'stop' }],
    usage: { prompt_tokens: 5, completion_tokens: 2, total_tokens: 7 }, ...more,
  };
}

/** A chunk of a chat stream with one choice. */
export function chunk(delta: JsonObject, finishReason: string | null = null, more: JsonObject = {}): JsonObject {
  return {
    id: 'chatcmpl-1', object: 'chat.completion.chunk', created: 1, model: 'gpt-4o-2024-08-06',
    choices: [{ index: 0, delta, finish_reason: finishReason }], ...more,
  };
}

/** The last chunk of a stream whose usage was asked for. */
export function usageChunk(promptTokens: number, completionTokens: number): JsonObject {
  return {
    id: 'chatcmpl-1', object: 'chat.completion.chunk', created: 1, model: 'gpt-4o-2024-08-06', choices: [],
    usage: { prompt_tokens: promptTokens, completion_tokens: completionTokens, total_tokens: promptTokens + completionTokens },
  };
}

/** The JSON of every `data:` line of a stream, `[DONE]` as that word. */
export function dataOf(stream: string): unknown[] {
  return stream.split('\n').filter((line) => line.startsWith('data: ')).map((line) => line === 'data: [DONE]' ? '[DONE]' : JSON.parse(line.slice(6)) as unknown);
}

/** A configuration with one group `chat` of the named deployments, and whatever `more` adds (top-level YAML). */
export function chatConfig(ids: readonly string[], more = ''): string {
  return `model_list:\n${ids.map((id) => entry('chat', id)).join('')}${more}`;
}

export function entry(group: string, id: string, params = ''): string {
  return `  - model_name: "${group}"\n    litellm_params: { model: openai/gpt-4o, api_key: sk-upstream${params === '' ? '' : `, ${params}`} }\n    model_info: { id: ${id} }\n`;
}
