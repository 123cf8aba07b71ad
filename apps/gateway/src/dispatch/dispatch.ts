import { AppError, toAppError } from '@pointsman/errors';
import { countsAgainstDeployment, type ProviderError, type ProviderFault, type WireFormat } from '@pointsman/providers';
import type { BreakerPermit, Cooldowns, RetryBudget } from '@pointsman/resilience';
import type { Candidate, Compound, Decision, Decomposition, PromptInput, RoutingInput, Session, Verdict } from '@pointsman/routing';
import { attribute, type AttributeSet, type Span } from '@pointsman/telemetry';
import { backoffMs } from '@pointsman/timing';
import { mayUseModel } from '../access/principal.ts';
import { addUsage } from '../billing/add-usage.ts';
import { usageOfAttempt } from '../billing/usage-of-attempt.ts';
import type { Exchange, Runner } from '../http/exchange.ts';
import type { ExchangeRecord } from '../record/exchange-record.ts';
import type { Deployment, GroupPlan, Snapshot } from '../snapshot/snapshot.ts';
import { annotateAttempt, decisionAttributes } from '../record/annotate-spans.ts';
import { Attempt, type AttemptListener } from './attempt.ts';
import { CascadeRun, TOO_LONG, type KeptReply } from './cascade-run.ts';
import { continuationOf, type Continuation } from './continue-stream.ts';
import { eligibleCandidates } from './eligible-candidates.ts';
import type { FallbackLimits } from './fallback-limits.ts';
import type { GatewayParameters } from './gateway-parameters.ts';
import { mockedDeployment } from './mocked-deployment.ts';
import { PartCalls, type PartsOutcome } from './part-calls.ts';
import { ReplyWriter, type ReplyOut, type ReplyTap, type WrittenExchange } from './reply-writer.ts';
import type { ReplyShape } from './reply-shape.ts';
import { AttemptRequest, type RequestBody } from './request-body.ts';
import { requestFor } from './request-for.ts';

/** Longest wait before a retry of the same deployment, as LiteLLM's. A provider that asks for more is not waited for. */
const MAX_RETRY_WAIT_MS = 8_000;
/** A deadline that a client chose shorter than this proves nothing about a provider that misses it. */
const TELLING_TIMEOUT_MS = 30_000;
/** With no `stream_timeout`, a silence longer than this is a dead provider. */
const DEFAULT_IDLE_TIMEOUT_MS = 300_000;

export interface DispatchRequest {
  /** The client's format. */
  readonly format: WireFormat;
  readonly body: RequestBody;
  readonly stream: boolean;
  readonly requestedModel: string;
  readonly plan: GroupPlan;
  readonly parameters: GatewayParameters;
  readonly prompt: () => string;
  readonly promptTokens: () => number;
  /** For strategies that decide by what is asked; nobody else calls them. */
  readonly about: () => PromptInput;
  readonly session: () => Session | undefined;
  readonly user: string | undefined;
  /** The client's `anthropic-beta` header, for providers that speak the Messages format themselves. */
  readonly anthropicBeta?: string | undefined;
  /** Sees the reply as the client gets it; undefined for most requests. */
  readonly tap?: ReplyTap | undefined;
  /** Asked before another group is tried; undefined for callers without limits per model. Whoever made it settles it when the dispatch has finished. */
  readonly fallbackLimits?: FallbackLimits | undefined;
  /** Takes the reply in the client's place. */
  readonly writer?: ReplyOut | undefined;
  /** Part of a request: whatever its strategy says, one model answers it. */
  readonly isPart?: boolean | undefined;
  /** Nobody decides: this one is asked. */
  readonly only?: Candidate | undefined;
}

/** What a dispatch needs of the exchange it works for. */
export type DispatchExchange = WrittenExchange & Pick<Exchange, 'snapshot' | 'principal' | 'startedAt'> & { runner: Runner | undefined };

/** What a dispatch needs that outlives requests and snapshots. */
export interface DispatchParts {
  readonly retryBudget: RetryBudget;
  readonly cooldowns: Cooldowns;
  readonly random: () => number;
  readonly onDecision: (decision: Decision) => void;
  readonly onFallback: (from: string, to: string) => void;
  readonly onRetry: (group: string, reason: ProviderFault) => void;
  readonly onAttemptEnd: (deployment: Deployment, outcome: 'ok' | ProviderFault | 'abandoned') => void;
}

interface RunningAttempt {
  readonly attempt: Attempt;
  readonly deployment: Deployment;
  readonly permit: BreakerPermit;
  readonly span: Span;
}

interface MadeDecision {
  /** Both monotonic milliseconds. */
  readonly startedAt: number;
  readonly endedAt: number;
  readonly attributes: AttributeSet;
}

function traceDecision(trace: Span, { startedAt, endedAt, attributes }: MadeDecision): void {
  const span = trace.child('router.decide', 'internal', startedAt);
  span.add(attributes);
  span.end(endedAt);
}

/**
 * Gets one request answered: asks the strategy for an order, tries candidates, retries within budget and deadline, falls back to other groups,
 * and tells the client the truth about how it ended. Nothing here knows HTTP routes or Express.
 */
export class Dispatch implements AttemptListener, Runner {
  readonly #exchange: DispatchExchange;
  readonly #snapshot: Snapshot;
  #request: DispatchRequest;
  readonly #parts: DispatchParts;
  readonly #record: ExchangeRecord;
  readonly #writer: ReplyOut;
  readonly #timeoutMs: number;
  /** Monotonic milliseconds. Bounds the wait for the first content; a broken stream that is continued gets as long again. */
  #deadlineAt: number;
  /** The name that replies carry: what the client asked for, or the fallback group that served instead. */
  #servingName: string;
  #deadline: NodeJS.Timeout | undefined;
  #waiting: NodeJS.Timeout | undefined;
  /** Monotonic milliseconds; set while a retry is waited for. */
  #waitingSince: number | undefined;
  #running: RunningAttempt | undefined;
  #plan: GroupPlan;
  #order: readonly Deployment[] = [];
  #tried = 0;
  /** Retries made in the group that is being tried. */
  #retriesMade = 0;
  #fallbackQueue: string[] | undefined;
  #visited: Set<string> | undefined;
  #lastError: AppError | undefined;
  #done = false;
  /** Text that reached the client from an attempt that then broke: `stream_recovery: continue` goes on from it. */
  #continuing: Continuation | undefined;
  /** The shape of the last attempt that reached the client: writes the error frame, if it comes to that. */
  #failing: ReplyShape | undefined;
  /** Set while a strategy has several models work on the answer. */
  #cascade: CascadeRun | undefined;
  #partCalls: PartCalls | undefined;
  /** The only decision so far, while nothing but the request's own span tells of it. */
  #onRequestOnly: MadeDecision | undefined;
  readonly #finished: (record: ExchangeRecord) => void;

  constructor(exchange: DispatchExchange, request: DispatchRequest, parts: DispatchParts, record: ExchangeRecord, finished: (record: ExchangeRecord) => void) {
    this.#exchange = exchange;
    this.#snapshot = exchange.snapshot;
    this.#request = request;
    this.#parts = parts;
    this.#record = record;
    this.#finished = finished;
    this.#plan = request.plan;
    this.#servingName = request.requestedModel;
    this.#writer = request.writer ?? new ReplyWriter(exchange, record, request.tap);
    const { router } = this.#snapshot.config;
    this.#timeoutMs = request.parameters.timeoutMs ?? router.timeoutMs;
    this.#deadlineAt = exchange.startedAt + this.#timeoutMs;
  }

  start(): void {
    if (this.#exchange.res.destroyed) {
      // The client left while a key, a limit or a plan was waited for: its end has been told already, and nobody would stop a call to a provider.
      this.clientGone();
      return;
    }
    this.#exchange.runner = this;
    // Timers beyond 2^31 ms fire at once.
    const untilDeadline = Math.min(this.#deadlineAt - performance.now(), 2 ** 31 - 1);
    this.#deadline = setTimeout(() => this.#pastDeadline(), Math.max(0, untilDeadline));
    this.#enterGroup();
  }

  #enterGroup(): void {
    this.#tried = 0;
    this.#retriesMade = 0;
    this.#parts.retryBudget.firstTry();
    this.#record.group = this.#plan.group;
    const plan = this.#plan;
    const eligible = eligibleCandidates(plan, this.#snapshot, this.#parts.cooldowns, { tags: this.#request.parameters.tags, promptTokens: this.#request.promptTokens, about: this.#request.about });
    if (eligible instanceof AppError) {
      this.#lastError ??= eligible;
      // Nobody could be chosen from: said in the same words, so that a search for decisions finds it.
      if (this.#record.decision === undefined && this.#exchange.trace.recording) this.#record.decisionAttributes = decisionAttributes(noDecision(plan));
      this.#fallBack(eligible);
      return;
    }
    const { only } = this.#request;
    if (only !== undefined) {
      this.#setOrder([only]);
      this.#tryNext();
      return;
    }
    const { prompt, promptTokens, about, session, user, stream } = this.#request;
    const input: RoutingInput = { candidates: eligible, prompt, promptTokens, about, session, user, stream, traceId: this.#exchange.trace.traceId };
    const startedAt = performance.now();
    const decision = plan.decider.decide(input);
    if (decision instanceof Promise) void decision.then((made) => this.#decided(startedAt, made));
    else this.#decided(startedAt, decision);
  }

  #decided(startedAt: number, decision: Decision): void {
    const record = this.#record;
    const isFirst = record.decision === undefined;
    record.decision = decision;
    this.#parts.onDecision(decision);
    const { trace } = this.#exchange;
    if (trace.recording) {
      const made: MadeDecision = { startedAt, endedAt: startedAt + decision.tookMs, attributes: decisionAttributes(decision) };
      if (this.#onRequestOnly !== undefined) traceDecision(trace, this.#onRequestOnly);
      // The request's span says what was decided. A span of its own has what takes time, and whatever another group's decision would overwrite.
      this.#onRequestOnly = isFirst && decision.features === undefined ? made : undefined;
      if (this.#onRequestOnly === undefined) traceDecision(trace, made);
      record.decisionAttributes = made.attributes;
    }
    if (this.#done) return;
    this.#setOrder(decision.order);
    if (decision.compound === undefined || this.#request.isPart === true) this.#tryNext();
    else this.#beginCompound(decision.compound);
  }

  #setOrder(candidates: readonly Candidate[]): void {
    const { deploymentOf } = this.#plan;
    this.#order = candidates.map((candidate) => deploymentOf.get(candidate)).filter((deployment) => deployment !== undefined);
    this.#tried = 0;
  }

  /** The strategy wants several models to work on the answer. What cannot be answered that way is answered by the first of the order. */
  #beginCompound(compound: Compound): void {
    const { format, body, prompt, about } = this.#request;
    const choices = body.outline['n'];
    const isOneAnswer = format !== 'embeddings' && (typeof choices !== 'number' || choices === 1) && this.#request.parameters.mockResponse === undefined;
    if (isOneAnswer && compound.kind === 'cascade') this.#cascade = new CascadeRun({ cascade: compound, format, question: prompt, wantsJson: () => about().wantsJson });
    if (isOneAnswer && compound.kind === 'decomposition' && format !== 'completions') this.#beginParts(compound);
    else this.#tryNext();
  }

  #beginParts(decomposition: Decomposition): void {
    const span = this.#exchange.trace.child('router.parts', 'internal');
    const startedAt = performance.now();
    const calls = new PartCalls({ decomposition, exchange: this.#exchange, request: this.#request, plan: this.#plan, parts: this.#parts, record: this.#record });
    this.#partCalls = calls;
    void calls.run().then(({ body, parts, answered }: PartsOutcome) => {
      span.set(attribute.ROUTER_PARTS, parts);
      span.set(attribute.ROUTER_PARTS_ANSWERED, answered);
      span.end();
      if (this.#done) return;
      this.#partCalls = undefined;
      this.#record.upstreamMs += performance.now() - startedAt;
      this.#exchange.trace.set(attribute.ROUTER_PARTS, parts);
      this.#exchange.trace.set(attribute.ROUTER_PARTS_ANSWERED, answered);
      this.#writer.setHeaders(['x-router-parts', String(answered)]);
      if (body !== undefined) {
        this.#request = { ...this.#request, body };
        this.#setOrder(decomposition.aggregators);
      }
      this.#tryNext();
    });
  }

  /** Starts the next deployment of the order that may be called. */
  #tryNext(): void {
    while (this.#tried < this.#order.length) {
      const deployment = this.#order[this.#tried];
      this.#tried += 1;
      if (deployment === undefined) continue;
      const permit = deployment.breaker.tryAcquire();
      if (permit !== undefined) {
        this.#attempt(deployment, permit);
        return;
      }
    }
    this.#lastError ??= noneHealthy(this.#plan);
    this.#fallBack(this.#lastError);
  }

  #attempt(chosen: Deployment, permit: BreakerPermit): void {
    const { config } = this.#snapshot;
    const { mockResponse } = this.#request.parameters;
    const deployment = mockResponse === undefined ? chosen : mockedDeployment(chosen, mockResponse);
    const { configured, provider } = deployment;
    const remainingMs = Math.max(1, Math.ceil(this.#deadlineAt - performance.now()));
    const streamTimeoutMs = configured.streamTimeoutMs ?? config.router.streamTimeoutMs;
    const replyTimeoutMs = Math.min(configured.timeoutMs ?? remainingMs, remainingMs);
    const span = this.#exchange.trace.child('llm.attempt', 'client');
    let attempt: Attempt;
    try {
      const { format, body, shape } = requestFor(deployment, this.#request, {
        servingName: this.#servingName, requestId: this.#exchange.requestId, continuing: this.#continuing,
      });
      const request = new AttemptRequest(format, body, this.#request.stream, {
        headers: headersFor(config.forwardTraceparent ? span : undefined, format === 'messages' ? this.#request.anthropicBeta : undefined),
        headersTimeoutMs: this.#request.stream ? Math.min(streamTimeoutMs ?? replyTimeoutMs, replyTimeoutMs) : replyTimeoutMs,
        idleTimeoutMs: this.#request.stream ? streamTimeoutMs ?? Math.min(replyTimeoutMs, DEFAULT_IDLE_TIMEOUT_MS) : replyTimeoutMs,
      });
      attempt = new Attempt({
        provider, format, request, shape, listener: this,
        collectText: this.#request.stream && config.router.streamRecovery === 'continue',
        choices: typeof body.outline['n'] === 'number' ? body.outline['n'] : 1,
      });
    } catch (error) {
      permit.abandoned();
      span.fail('translation', 'the request cannot be put into the words of this provider');
      span.end();
      const failure = toAppError(error);
      // A request that this provider cannot take may be fine for the next one; the client hears of it only when nobody can.
      this.#lastError = failure;
      if (this.#tried < this.#order.length) this.#tryNext();
      else this.#fallBack(failure);
      return;
    }
    if (this.#cascade !== undefined && !this.#writer.headSent) this.#cascade.begin(attempt, chosen.candidate);
    this.#running = { attempt, deployment, permit, span };
    this.#record.deployment = deployment;
    deployment.candidate.stats.begin(Date.now());
    attempt.start();
  }

  onReply(attempt: Attempt, text: string): void {
    const running = this.#settle(attempt, 'ok');
    if (running === undefined) return;
    if (this.#cascade?.holds(attempt) === true) {
      this.#look(running, this.#cascade, { text, isStream: false });
      return;
    }
    this.#finish();
    this.#writer.sendJson(text);
  }

  onText(attempt: Attempt, text: string): boolean {
    const running = this.#running;
    if (running === undefined || running.attempt !== attempt) return false;
    let ready = text;
    if (this.#cascade?.holds(attempt) === true) {
      if (this.#cascade.add(text)) return true;
      // More than may be held back: it is on its way to the client from here on.
      this.#tellVerdict(TOO_LONG, 0);
      ready = this.#cascade.takeAll().join('');
    }
    if (!this.#writer.headSent) {
      clearTimeout(this.#deadline);
      this.#record.ttftMs = this.#exchange.elapsedMs();
      this.#record.upstreamMs += performance.now() - attempt.startedAt;
      this.#writer.startStream();
    }
    if (this.#writer.write(ready)) return true;
    this.#exchange.res.once('drain', () => attempt.resume());
    return false;
  }

  onComplete(attempt: Attempt, text: string): void {
    const running = this.#settle(attempt, 'ok');
    if (running === undefined) return;
    if (this.#cascade?.holds(attempt) === true) {
      this.#look(running, this.#cascade, { text, isStream: true });
      return;
    }
    if (this.#continuing !== undefined) this.#record.recovered = true;
    if (!this.#writer.headSent) {
      this.#record.ttftMs = this.#exchange.elapsedMs();
      this.#writer.startStream();
    }
    this.#finish();
    this.#writer.endWhole(text);
  }

  onFailed(attempt: Attempt, error: ProviderError): void {
    const running = this.#settle(attempt, error.fault, error);
    if (running === undefined) return;
    this.#lastError = error;
    const wasHeld = this.#cascade?.holds(attempt) === true;
    this.#cascade?.drop();
    if (attempt.committed && !wasHeld) this.#recover(running, error);
    else this.#retryOrFallBack(error);
  }

  /** A whole answer that nobody has seen: the client gets it, or a dearer model is asked. */
  #look({ attempt, deployment }: RunningAttempt, cascade: CascadeRun, { text, isStream }: { readonly text: string; readonly isStream: boolean }): void {
    const span = this.#exchange.trace.child('router.verdict', 'internal');
    const startedAt = performance.now();
    const kept = cascade.keep(attempt, deployment, { end: text, isStream });
    void cascade.judge(kept).then((verdict) => {
      span.set(attribute.ROUTER_VERDICT, verdict.reason);
      span.set(attribute.ROUTER_VERDICT_GAIN, verdict.gain);
      span.end();
      if (this.#done || this.#writer.headSent) return; // gone, or past its deadline and released
      this.#tellVerdict(verdict, performance.now() - startedAt);
      if (!verdict.escalate) {
        this.#release(kept);
        return;
      }
      cascade.escalated = true;
      this.#retriesMade = 0;
      this.#setOrder(cascade.dearer(kept));
      this.#tryNext();
    });
  }

  #tellVerdict({ reason, gain, escalate, modelVersion }: Verdict, tookMs: number): void {
    const { trace } = this.#exchange;
    const escalated = escalate || this.#cascade?.escalated === true;
    trace.set(attribute.ROUTER_ESCALATED, escalated);
    trace.set(attribute.ROUTER_VERDICT, reason);
    trace.set(attribute.ROUTER_VERDICT_GAIN, gain);
    trace.set(attribute.ROUTER_VERIFIER_VERSION, modelVersion);
    trace.set(attribute.ROUTER_VERDICT_MS, tookMs);
    this.#writer.setHeaders(['x-router-escalated', String(escalated), 'x-router-verdict', reason]);
  }

  /** Gives the client an answer that was held back, as it came, no faster than it reads. */
  #release(kept: KeptReply): void {
    const { deployment, finishReason, responseId, shape, isStream, end } = kept;
    clearTimeout(this.#deadline);
    this.#record.deployment = deployment;
    this.#record.finishReason = finishReason;
    this.#record.responseId = responseId;
    this.#failing = shape;
    if (!isStream) {
      this.#finish();
      this.#writer.sendJson(end);
      return;
    }
    this.#record.ttftMs = this.#exchange.elapsedMs();
    this.#writer.startStream();
    this.#releasePieces(kept, 0);
  }

  #releasePieces(kept: KeptReply, from: number): void {
    if (this.#done) return;
    const { pieces, end } = kept;
    for (let index = from; index < pieces.length; index += 1) {
      if (this.#writer.write(pieces[index] ?? '')) continue;
      this.#exchange.res.once('drain', () => this.#releasePieces(kept, index + 1));
      return;
    }
    this.#finish();
    this.#writer.endWhole(end);
  }

  /** Gives the client the answer that was not thought good enough, where nobody dearer can answer: better than none. False where there is none. */
  #releaseKept(): boolean {
    const kept = this.#cascade?.kept;
    if (kept === undefined || this.#writer.headSent || this.#done) return false;
    this.#exchange.trace.set(attribute.ROUTER_ESCALATED, false);
    this.#writer.setHeaders(['x-router-escalated', 'false', 'x-router-verdict', 'escalation_failed']);
    this.#release(kept);
    return true;
  }

  /** After content: go on from the partial answer with another deployment where that is asked for and possible, else one error frame. */
  #recover({ attempt }: RunningAttempt, error: ProviderError): void {
    this.#failing = attempt.shape;
    const continuation = this.#snapshot.config.router.streamRecovery === 'continue' ? continuationOf(attempt, this.#continuing) : undefined;
    if (continuation === undefined) {
      this.#fail(error);
      return;
    }
    this.#continuing = continuation;
    this.#deadlineAt = performance.now() + this.#timeoutMs;
    this.#retryOrFallBack(error);
  }

  #retryOrFallBack(error: ProviderError): void {
    if (this.#tried >= this.#order.length && this.#releaseKept()) return;
    if (error.fault === 'bad_request') {
      // The caller's mistake: another deployment would say the same, and its words are the ones that help.
      this.#fail(error);
      return;
    }
    const specific = error.fault === 'context_window' || error.fault === 'content_policy';
    const policy = retriesFor(error.fault, this.#snapshot, this.#plan.group);
    const allowed = policy ?? this.#request.parameters.numRetries ?? this.#snapshot.config.router.numRetries;
    const fresh = this.#tried < this.#order.length;
    // A wrong key or model name is as wrong the second time: only somebody else is worth asking.
    const hopeless = !fresh && ((error.fault === 'auth' && policy === undefined) || error.fault === 'not_found');
    if (specific || hopeless || this.#retriesMade >= allowed) {
      this.#fallBack(error);
      return;
    }
    const waitMs = fresh ? 0 : this.#retryWaitMs(error);
    if (waitMs === undefined || !this.#parts.retryBudget.tryRetry()) {
      this.#fallBack(error);
      return;
    }
    this.#retriesMade += 1;
    this.#record.retries += 1;
    this.#parts.onRetry(this.#plan.group, error.fault);
    if (!fresh) this.#tried = 0;
    if (waitMs === 0) this.#tryNext();
    else {
      this.#waitingSince = performance.now();
      this.#waiting = setTimeout(() => {
        this.#endWait();
        this.#tryNext();
      }, waitMs);
    }
  }

  /** A wait for a provider counts as the provider's time: as long as it lasted, which is less than was planned when the client left. */
  #endWait(): void {
    if (this.#waitingSince === undefined) return;
    clearTimeout(this.#waiting);
    this.#record.upstreamMs += performance.now() - this.#waitingSince;
    this.#waitingSince = undefined;
  }

  /** Milliseconds to wait before the same deployments are tried again; undefined when that is longer than anybody should wait. */
  #retryWaitMs(error: ProviderError): number | undefined {
    const { router } = this.#snapshot.config;
    const wait = Math.max(router.retryAfterMs, error.retryAfterMs ?? backoffMs(this.#record.retries, { baseMs: 500, maxMs: MAX_RETRY_WAIT_MS }, this.#parts.random));
    if (wait > MAX_RETRY_WAIT_MS || performance.now() + wait >= this.#deadlineAt) return undefined;
    return wait;
  }

  #fallBack(error: AppError): void {
    if (this.#done || this.#releaseKept()) return;
    const next = this.#nextFallback(error);
    if (next === undefined) {
      this.#fail(this.#lastError ?? error);
      return;
    }
    if (next.plan instanceof Promise) {
      next.plan.then((plan) => this.#askForFallback(next.name, plan), (thrown: unknown) => this.#fallBack(toAppError(thrown)));
      return;
    }
    this.#askForFallback(next.name, next.plan);
  }

  /** Limits per model hold for every group that is tried, not only for the one that was asked for. */
  #askForFallback(name: string, plan: GroupPlan): void {
    if (this.#done) return;
    const answer = this.#request.fallbackLimits?.admit(plan, this.#record);
    if (answer === undefined) this.#enterFallback(name, plan);
    else if (answer instanceof Promise) answer.then((late) => this.#answeredForFallback(name, plan, late), (thrown: unknown) => this.#fallBack(toAppError(thrown)));
    else this.#answeredForFallback(name, plan, answer);
  }

  #answeredForFallback(name: string, plan: GroupPlan, answer: true | AppError): void {
    if (this.#done) {
      this.#request.fallbackLimits?.settle(this.#record); // the place came after the end
      return;
    }
    if (answer === true) {
      this.#enterFallback(name, plan);
      return;
    }
    this.#lastError = answer;
    this.#fallBack(answer);
  }

  #enterFallback(name: string, plan: GroupPlan): void {
    this.#servingName = name;
    this.#parts.onFallback(this.#plan.group, plan.group);
    this.#record.fallbacks += 1;
    this.#cascade = undefined;
    this.#plan = plan;
    this.#enterGroup();
  }

  /** The next group to try that was not tried yet, by what went wrong. */
  #nextFallback(error: AppError): { readonly name: string; readonly plan: GroupPlan | Promise<GroupPlan> } | undefined {
    const { router } = this.#snapshot.config;
    const { parameters, requestedModel, plan } = this.#request;
    if (parameters.disableFallbacks || this.#record.fallbacks >= router.maxFallbacks) return undefined;
    const configured = (map: ReadonlyMap<string, readonly string[]>): readonly string[] | undefined => map.get(requestedModel) ?? map.get(plan.group) ?? map.get('*');
    const special = error.code === 'context_length_exceeded' ? configured(router.contextWindowFallbacks)
      : error.code === 'content_policy_violation' ? configured(router.contentPolicyFallbacks) : undefined;
    if (special !== undefined) this.#fallbackQueue = [...special];
    this.#fallbackQueue ??= [...parameters.fallbacks ?? configured(router.fallbacks) ?? router.defaultFallbacks];
    this.#visited ??= new Set([plan.group, requestedModel]);
    for (let name = this.#fallbackQueue.shift(); name !== undefined; name = this.#fallbackQueue.shift()) {
      if (this.#visited.has(name) || !this.#mayUse(name)) continue;
      this.#visited.add(name);
      const next = this.#snapshot.plan(name);
      if (next !== undefined) return { name, plan: next };
    }
    return undefined;
  }

  /** Fallbacks of the configuration are the operator's choice; those of the request must be within what the key may use. */
  #mayUse(name: string): boolean {
    return this.#request.parameters.fallbacks === undefined || mayUseModel(this.#exchange.principal, name);
  }

  #fail(error: AppError): void {
    if (this.#done || this.#releaseKept()) return;
    this.#record.error = error;
    this.#finish();
    if (this.#writer.headSent) this.#writer.end(this.#failing?.fail(error) ?? '');
    else this.#writer.sendError(error);
  }

  #pastDeadline(): void {
    this.#cancelRunning('timeout');
    const waited = Math.round(this.#exchange.elapsedMs());
    this.#fail(new AppError('deadline_exceeded', 'request_timeout', `No reply within ${String(waited)} ms, the deadline of this request.`, { cause: this.#lastError }));
  }

  clientGone(): void {
    if (this.#done) return;
    this.#record.clientGone = true;
    this.#cancelRunning('abandoned');
    this.#finish();
  }

  /** The drain limit has passed: the client gets a defined end. */
  endNow(): void {
    if (this.#done) return;
    const running = this.#cancelRunning('abandoned');
    this.#failing = running?.attempt.shape ?? this.#failing;
    this.#fail(new AppError('unavailable', 'gateway_draining', 'The gateway is shutting down and could not finish this reply in time.', { retryAfterMs: 1_000 }));
  }

  #cancelRunning(outcome: 'abandoned' | 'timeout'): RunningAttempt | undefined {
    this.#endWait();
    this.#partCalls?.cancel();
    this.#partCalls = undefined;
    const running = this.#running;
    if (running === undefined) return undefined;
    running.attempt.cancel();
    this.#settle(running.attempt, outcome);
    return running;
  }

  /**
   * Whether an outcome says something about the request rather than the deployment: a mock, a server or credentials of the client's own, a deadline
   * so short that the client made it fail, a model that a client made up below a wildcard. One client must not take a deployment away from all.
   */
  #isClientsDoing({ configured }: Deployment, outcome: 'ok' | ProviderFault | 'abandoned'): boolean {
    const { mockResponse, clientSide, timeoutMs } = this.#request.parameters;
    if (mockResponse !== undefined || clientSide !== undefined) return true;
    if (outcome === 'timeout') return timeoutMs !== undefined && timeoutMs < TELLING_TIMEOUT_MS;
    return outcome === 'not_found' && configured.group.includes('*');
  }

  /** Books the end of an attempt exactly once: breaker, cooldown, statistics, span, usage. Undefined when it is not the running one. */
  #settle(attempt: Attempt, outcome: 'ok' | ProviderFault | 'abandoned', error?: ProviderError): RunningAttempt | undefined {
    const running = this.#running;
    if (running === undefined || running.attempt !== attempt) return undefined;
    this.#running = undefined;
    const { deployment, permit, span } = running;
    const nowMs = Date.now();
    const tookMs = performance.now() - attempt.startedAt;
    // A stream's wait for its provider was booked when its first content came.
    if (!this.#writer.headSent) this.#record.upstreamMs += tookMs;
    const isTelling = !this.#isClientsDoing(deployment, outcome);
    const ok = outcome === 'ok' && isTelling;
    const deploymentsFault = outcome !== 'ok' && outcome !== 'abandoned' && isTelling && countsAgainstDeployment(outcome);
    if (ok) permit.succeeded();
    else if (deploymentsFault) permit.failed();
    else permit.abandoned();
    this.#bill(attempt, deployment);
    deployment.candidate.stats.end({
      nowMs, latencyMs: !isTelling || outcome === 'abandoned' || attempt.acceptedAt === undefined ? undefined : tookMs,
      ttftMs: !isTelling || attempt.firstContentAt === undefined ? undefined : attempt.firstContentAt - attempt.startedAt,
      tokens: !isTelling ? 0 : attempt.usage?.totalTokens ?? 0, completionTokens: attempt.usage?.completionTokens, ok: !deploymentsFault, timedOut: outcome === 'timeout',
    });
    if (ok) this.#parts.cooldowns.succeeded(deployment.configured.id);
    else if (deploymentsFault) {
      this.#parts.cooldowns.failed({
        id: deployment.configured.id, status: outcome === 'timeout' ? 408 : error?.upstreamStatus, groupSize: this.#plan.deployments.length,
        retryAfterMs: error?.retryAfterMs, cooldownMs: deployment.configured.cooldownMs,
      });
    }
    annotateAttempt(span, deployment, attempt, outcome, error);
    span.end();
    this.#parts.onAttemptEnd(deployment, outcome);
    return running;
  }

  /** What a deployment produced is paid for, also when it broke or the client left. Attempts that produced nothing cost nothing. */
  #bill(attempt: Attempt, { configured, costOf }: Deployment): void {
    const baseModel = configured.info['base_model'];
    const billed = usageOfAttempt(attempt, typeof baseModel === 'string' ? baseModel : configured.model);
    if (billed === undefined) return;
    const { usage, estimated } = billed;
    if (estimated) this.#record.usageEstimated = true;
    const cost = costOf?.(usage);
    if (cost !== undefined) this.#record.costUsd = (this.#record.costUsd ?? 0) + cost;
    const before = this.#record.usage;
    this.#record.usage = before === undefined ? usage : addUsage(before, usage);
    this.#record.finishReason = attempt.finishReason ?? this.#record.finishReason;
    this.#record.responseId = attempt.responseId ?? this.#record.responseId;
  }

  /** Books the request before its last byte is written: who has the whole reply can rely on its being in the ledger, whatever happens to this process. */
  #finish(): void {
    if (this.#done) return;
    this.#done = true;
    clearTimeout(this.#deadline);
    this.#endWait();
    this.#exchange.runner = undefined;
    this.#finished(this.#record);
  }
}

const NO_HEADERS: Readonly<Record<string, string>> = {};

function headersFor(span: Span | undefined, anthropicBeta: string | undefined): Readonly<Record<string, string>> {
  if (span === undefined && anthropicBeta === undefined) return NO_HEADERS;
  const headers: Record<string, string> = {};
  if (span !== undefined) {
    headers['traceparent'] = span.traceparent;
    if (span.tracestate !== undefined) headers['tracestate'] = span.tracestate;
  }
  if (anthropicBeta !== undefined) headers['anthropic-beta'] = anthropicBeta;
  return headers;
}

function noDecision({ decider }: GroupPlan): Decision {
  return { order: [], scores: [], strategy: decider.strategyName, modelVersion: '', propensity: 1, tookMs: 0, problem: undefined };
}

function noneHealthy(plan: GroupPlan): AppError {
  return new AppError('rate_limited', 'no_healthy_deployment', `No healthy deployment available for model group '${plan.group}': each of its ${String(plan.deployments.length)} has an open circuit breaker.`, {
    retryAfterMs: Math.max(1_000, Math.min(...plan.deployments.map(({ breaker }) => (breaker.retryAt ?? 0) - Date.now()))),
  });
}

/** What `retry_policy` says about a fault; undefined where it says nothing. */
function retriesFor(fault: ProviderFault, snapshot: Snapshot, group: string): number | undefined {
  const { retryPolicy, groupRetryPolicy } = snapshot.config.router;
  const policy = Object.hasOwn(groupRetryPolicy, group) ? groupRetryPolicy[group] ?? retryPolicy : retryPolicy;
  switch (fault) {
    case 'auth': return policy.authentication;
    case 'timeout': return policy.timeout;
    case 'rate_limited': return policy.rateLimit;
    case 'content_policy': return policy.contentPolicy;
    case 'bad_request': case 'context_window': return policy.badRequest;
    default: return policy.serverError;
  }
}
