import { createHash, randomUUID } from 'node:crypto';
import { IncomingMessage, ServerResponse } from 'node:http';
import { Socket } from 'node:net';
import type { RouterSettings } from '@pointsman/gateway-config';
import type { Lease, LiveValue } from '@pointsman/live-value';
import type { Candidate, PromptFeatures } from '@pointsman/routing';
import type { JsonObject } from '@pointsman/schemas';
import { attribute, metric, type Logger, type Metrics, type RequestSpan, type Traces } from '@pointsman/telemetry';
import type { Principal } from '../access/principal.ts';
import { CapturedReply } from '../dispatch/captured-reply.ts';
import { Dispatch, type DispatchExchange, type DispatchParts } from '../dispatch/dispatch.ts';
import { NO_PARAMETERS } from '../dispatch/gateway-parameters.ts';
import { newRecord } from '../dispatch/new-record.ts';
import { promptOf } from '../dispatch/prompt-text.ts';
import { readReply } from '../dispatch/read-reply.ts';
import type { ReplyTap } from '../dispatch/reply-writer.ts';
import { changedBody } from '../dispatch/request-body.ts';
import type { ExchangeRecord } from '../record/exchange-record.ts';
import type { GroupPlan, Snapshot } from '../snapshot/snapshot.ts';
import type { JudgeBudget } from './judge-budget.ts';
import { MAX_VERDICT_TOKENS, readVerdict, verdictMessages } from './verdict.ts';

/** A request that was drawn: its reply is looked at as it passes. */
export interface JudgeSample {
  readonly tap: ReplyTap;
  /** The request is over; what follows is not waited for. */
  ended(record: ExchangeRecord): void;
}

export interface SampledCall {
  readonly requestId: string;
  readonly snapshot: Snapshot;
  readonly plan: GroupPlan;
  readonly format: string;
  readonly stream: boolean;
  /** Read only when the request is over and was drawn. */
  readonly body: () => JsonObject;
}

export interface Judge {
  /** Undefined for nearly every request: not drawn, not a chat request, no choice to make, no judge configured. */
  sample(call: SampledCall): JudgeSample | undefined;
  /** Ends what runs and begins nothing more: for a drain. Resolves when nothing runs. */
  close(): Promise<void>;
}

export interface OpenJudgeOptions {
  readonly live: LiveValue<Snapshot>;
  readonly dispatch: DispatchParts;
  readonly budget: JudgeBudget;
  readonly random: () => number;
  readonly traces: Traces;
  readonly logger: Logger;
  readonly metrics: Metrics;
  /** Books a call in the ledger. */
  readonly book: (exchange: Pick<DispatchExchange, 'principal' | 'trace' | 'requestId' | 'elapsedMs'>, record: ExchangeRecord) => void;
  /** A verdict, once for each of the two answers; with the request's id for the one that the client got. */
  readonly onScore: (answer: { readonly requestId: string | undefined; readonly candidate: Candidate; readonly features: PromptFeatures | undefined; readonly score: number }) => void;
}

type JudgeSettings = NonNullable<RouterSettings['judge']>;
type Outcome = 'judged' | 'bad_reply' | 'no_answer' | 'judge_failed' | 'over_budget' | 'busy' | 'unpriced' | 'aborted';

const MAX_RUNNING = 4;
const MAX_REPLY_CHARACTERS = 256 * 1024;
const MAX_ANSWER_TOKENS = 1_024;
const CALL_TIMEOUT_MS = 60_000;
/** Tokens of a chat template around the messages. */
const TEMPLATE_TOKENS = 256;
/** What a request may bring that a second answer or a judge in words cannot repeat. */
const NOT_JUDGED = ['tools', 'functions', 'audio', 'modalities', 'store', 'background', 'prediction'] as const;

/** Whose name stands in the ledger: no key of anybody's. */
export const JUDGE_PRINCIPAL: Principal = {
  keyHash: createHash('sha256').update('pointsman:judge').digest('hex'), keyAlias: 'judge', role: 'user', models: undefined, aliases: undefined, userId: 'system:judge', teamId: undefined, tags: ['judge'], access: undefined,
};

interface Work {
  readonly requestId: string;
  readonly group: string;
  readonly body: JsonObject;
  readonly answer: string;
  readonly candidate: Candidate;
  /** Ids of those that could have served the request: filters kept the others from its prompt. */
  readonly eligible: ReadonlySet<string>;
  readonly features: PromptFeatures | undefined;
  readonly settings: JudgeSettings;
}

interface Call {
  readonly plan: GroupPlan;
  readonly candidate: Candidate;
  readonly body: JsonObject;
  readonly maxTokens: number;
  readonly maxUsd: number;
}

export function openJudge(options: OpenJudgeOptions): Judge {
  return new OpenedJudge(options);
}

/**
 * Second answers and verdicts for a share of the requests. Everything begins when the client has its reply; what it costs is set aside before each call, at the
 * most it can cost, and booked under the judge's own name and tag. Nothing of a prompt or answer is kept, logged or put on a span: it goes to the provider of
 * another candidate of the same group and to the judge's.
 */
class OpenedJudge implements Judge {
  readonly #options: OpenJudgeOptions;
  readonly #running = new Set<Promise<void>>();
  readonly #calls = new Set<Dispatch>();
  readonly #verdicts;
  readonly #spend;
  #closed = false;

  constructor(options: OpenJudgeOptions) {
    this.#options = options;
    this.#verdicts = options.metrics.counter(metric.ROUTER_JUDGE_VERDICTS);
    this.#spend = options.metrics.counter(metric.ROUTER_JUDGE_SPEND).labels();
  }

  sample({ requestId, snapshot, plan, format, stream, body }: SampledCall): JudgeSample | undefined {
    const settings = snapshot.config.router.judge;
    if (settings === undefined || this.#closed || format !== 'chat' || plan.candidates.length < 2) return undefined;
    if (this.#options.random() >= settings.sampleRate) return undefined;
    const gathered = new GatheredReply();
    return {
      tap: gathered,
      ended: (record) => {
        const { decision, deployment, error, clientGone, cacheHit } = record;
        if (error !== undefined || clientGone || cacheHit || deployment === undefined || decision === undefined || decision.compound !== undefined) return;
        // The last of the reply is written right after this.
        setImmediate(() => {
          if (!gathered.isWhole) return;
          const asked = body();
          if (NOT_JUDGED.some((name) => asked[name] !== undefined && asked[name] !== null) || (typeof asked['n'] === 'number' && asked['n'] > 1)) return;
          const { text, isToolCall } = readReply('chat', gathered.text, stream);
          if (text === '' || isToolCall) return;
          this.#begin({ requestId, group: plan.group, body: asked, answer: text, candidate: deployment.candidate, eligible: new Set(decision.order.map(({ id }) => id)), features: decision.features, settings });
        });
      },
    };
  }

  async close(): Promise<void> {
    this.#closed = true;
    for (const call of this.#calls) call.clientGone();
    await Promise.all(this.#running);
  }

  #begin(work: Work): void {
    if (this.#closed) return this.#count('aborted');
    if (this.#running.size >= MAX_RUNNING) return this.#count('busy');
    const lease = this.#options.live.acquire();
    const trace = this.#options.traces.begin('router.judge', { kind: 'internal' });
    const running = this.#judge(work, lease, trace).catch((error: unknown) => {
      this.#options.logger.oncePerState('judge').change('failing', 'error', 'judging failed', { reason: error instanceof Error ? error.name : 'unknown' });
      return 'judge_failed' as const;
    }).then((outcome) => {
      this.#count(this.#closed && outcome !== 'judged' ? 'aborted' : outcome);
      trace.end();
      lease.release();
      this.#running.delete(running);
    });
    this.#running.add(running);
  }

  #count(outcome: Outcome): void {
    this.#verdicts.labels(outcome).inc();
  }

  async #judge(work: Work, lease: Lease<Snapshot>, trace: RequestSpan): Promise<Outcome> {
    const { settings, body, answer, candidate } = work;
    const snapshot = lease.value;
    const [plan, judgePlan] = await Promise.all([snapshot.plan(work.group), snapshot.plan(settings.model)]);
    if (plan === undefined || judgePlan === undefined) return 'judge_failed';
    const second = this.#secondOf(plan, work);
    if (second === undefined) return 'no_answer';
    const { max_completion_tokens: _completion, stream_options: _options, ...rest } = body;
    const askedTokens = [body['max_tokens'], body['max_completion_tokens']].find((value) => typeof value === 'number');
    const maxTokens = Math.min(MAX_ANSWER_TOKENS, typeof askedTokens === 'number' ? askedTokens : MAX_ANSWER_TOKENS);
    const other = await this.#ask({ ...rest, model: plan.group, stream: false, max_tokens: maxTokens }, { plan, candidate: second, maxTokens, work, snapshot, trace });
    if (typeof other !== 'string') return other.outcome ?? 'no_answer';
    const judge = judgePlan.candidates[0];
    if (judge === undefined) return 'judge_failed';
    // Judges like what stands first: which answer that is, chance decides.
    const isFirst = this.#options.random() < 0.5;
    const question = promptOf('chat', { value: body }).text();
    const messages = verdictMessages({ question, a: isFirst ? answer : other, b: isFirst ? other : answer, rubric: settings.rubric });
    const reply = await this.#ask({ model: judgePlan.group, messages, stream: false, temperature: 0, max_tokens: MAX_VERDICT_TOKENS }, { plan: judgePlan, candidate: judge, maxTokens: MAX_VERDICT_TOKENS, work, snapshot, trace });
    if (typeof reply !== 'string') return reply.outcome ?? 'judge_failed';
    const verdict = readVerdict(reply);
    if (verdict === undefined) return 'bad_reply';
    const [own, others] = isFirst ? [verdict.a, verdict.b] : [verdict.b, verdict.a];
    const span = trace.recording ? trace.child('router.feedback', 'internal') : this.#options.traces.begin('router.feedback', { kind: 'internal' });
    span.set(attribute.ROUTER_FEEDBACK_REQUEST_ID, work.requestId);
    span.set(attribute.ROUTER_FEEDBACK_SCORE, own);
    span.set(attribute.ROUTER_FEEDBACK_SOURCE, 'judge');
    span.end();
    this.#options.onScore({ requestId: work.requestId, candidate, features: work.features, score: own });
    this.#options.onScore({ requestId: undefined, candidate: second, features: work.features, score: others });
    return 'judged';
  }

  #secondOf({ candidates, deploymentOf }: GroupPlan, { candidate, eligible, settings }: Work): Candidate | undefined {
    const others = candidates.filter((other) => eligible.has(other.id) && other.model !== candidate.model && deploymentOf.get(other)?.breaker.state !== 'open');
    if (settings.secondCandidate === 'random') return others[Math.floor(this.#options.random() * others.length)];
    const sign = settings.secondCandidate === 'cheapest' ? 1 : -1;
    const priceOf = ({ inputCostPerToken = 0, outputCostPerToken = 0 }: Candidate): number => inputCostPerToken + outputCostPerToken;
    return others.toSorted((left, right) => sign * (priceOf(left) - priceOf(right)))[0];
  }

  /** One call within the day's budget: the answer in words, or why there is none. */
  async #ask(body: JsonObject, { plan, candidate, maxTokens, work, snapshot, trace }: Omit<Call, 'body' | 'maxUsd'> & { readonly work: Work; readonly snapshot: Snapshot; readonly trace: RequestSpan }): Promise<string | { readonly outcome?: Outcome }> {
    const { inputCostPerToken, outputCostPerToken } = candidate;
    if (inputCostPerToken === undefined || outputCostPerToken === undefined) return { outcome: 'unpriced' };
    // No tokenizer makes more tokens than there are bytes.
    const maxUsd = (Buffer.byteLength(JSON.stringify(body)) + TEMPLATE_TOKENS) * inputCostPerToken + maxTokens * outputCostPerToken;
    const reserved = await this.#options.budget.reserve(maxUsd, work.settings.maxUsdPerDay);
    if (reserved === undefined) return { outcome: 'over_budget' };
    if (this.#closed) {
      reserved.settle(0);
      return { outcome: 'aborted' };
    }
    const { record, text } = await this.#call(body, plan, candidate, snapshot, trace);
    // Where nobody says what it cost, it cost what was set aside.
    const spent = record.costUsd ?? (record.deployment === undefined || (record.error !== undefined && record.usage === undefined) ? 0 : maxUsd);
    reserved.settle(spent);
    this.#spend.inc(spent);
    return text === '' ? {} : text;
  }

  #call(body: JsonObject, plan: GroupPlan, candidate: Candidate, snapshot: Snapshot, trace: RequestSpan): Promise<{ readonly record: ExchangeRecord; readonly text: string }> {
    const startedAt = performance.now();
    const exchange: DispatchExchange = {
      snapshot, trace, principal: JUDGE_PRINCIPAL, requestId: randomUUID(), startedAt, runner: undefined, errorShape: 'openai', admissionHeaders: undefined,
      // Nobody is at the other end: a reply that is taken by a writer of ours never gets here.
      res: new ServerResponse(new IncomingMessage(new Socket())), elapsedMs: () => performance.now() - startedAt,
    };
    const record = newRecord({ operation: 'chat', stream: false, requestedModel: plan.group, group: plan.group, endUser: undefined });
    const prompt = promptOf('chat', { value: body });
    const captured = new CapturedReply();
    return new Promise((resolve) => {
      const dispatch = new Dispatch(exchange, {
        format: 'chat', body: changedBody(body), stream: false, requestedModel: plan.group, plan, parameters: { ...NO_PARAMETERS, timeoutMs: CALL_TIMEOUT_MS, disableFallbacks: true, fallbacks: [], numRetries: 0 },
        prompt: prompt.text, promptTokens: prompt.tokens, about: prompt.about, session: () => undefined, user: undefined, writer: captured, isPart: true, only: candidate,
      }, this.#options.dispatch, record, () => {
        this.#calls.delete(dispatch);
        this.#options.book(exchange, record);
        // The reply is written right after it was booked.
        queueMicrotask(() => resolve({ record, text: captured.text === undefined ? '' : readReply('chat', captured.text, false).text.trim() }));
      });
      this.#calls.add(dispatch);
      dispatch.start();
    });
  }
}

/** A reply on its way to the client, kept as far as a judge reads. */
class GatheredReply implements ReplyTap {
  #pieces: string[] | undefined = [];
  #length = 0;
  isWhole = false;

  get text(): string {
    return this.#pieces?.join('') ?? '';
  }

  json(text: string): void {
    this.piece(text);
    this.isWhole = true;
  }

  piece(text: string): void {
    this.#length += text.length;
    if (this.#length > MAX_REPLY_CHARACTERS) this.#pieces = undefined;
    else this.#pieces?.push(text);
  }

  whole(): void {
    this.isWhole = true;
  }
}

/** One tap for both; undefined where there is none. */
export function joinTaps(one: ReplyTap | undefined, other: ReplyTap | undefined): ReplyTap | undefined {
  if (one === undefined || other === undefined) return one ?? other;
  return {
    json: (text) => {
      one.json(text);
      other.json(text);
    },
    piece: (text) => {
      one.piece(text);
      other.piece(text);
    },
    whole: () => {
      one.whole();
      other.whole();
    },
  };
}
