import type { JsonObject } from '@pointsman/schemas';
import type { Candidate, Decomposition } from '@pointsman/routing';
import { aggregatorPrompt, partsOfPlan, plannerPrompt, type AnsweredPart } from '@pointsman/routing';
import { addUsage } from '../billing/add-usage.ts';
import type { Exchange } from '../http/exchange.ts';
import type { ExchangeRecord } from '../record/exchange-record.ts';
import type { GroupPlan } from '../snapshot/snapshot.ts';
import { CapturedReply } from './captured-reply.ts';
import { Dispatch, type DispatchExchange, type DispatchParts, type DispatchRequest } from './dispatch.ts';
import { newRecord } from './new-record.ts';
import { promptOf } from './prompt-text.ts';
import { readReply } from './read-reply.ts';
import { changedBody, type RequestBody } from './request-body.ts';

/** Sent in the place of any fallback group: a part is asked for in its own group only. */
const NO_FALLBACKS: readonly string[] = [];
/** What an answer is taken to cost before there is one, tokens of output. */
const EXPECTED_TOKENS = 300;

export interface PartCallsOptions {
  readonly decomposition: Decomposition;
  readonly exchange: DispatchExchange;
  readonly request: DispatchRequest;
  readonly plan: GroupPlan;
  readonly parts: DispatchParts;
  /** Of the request as a whole: what parts use is added to it. */
  readonly record: ExchangeRecord;
}

export interface PartsOutcome {
  /** The client's request with what the parts found; undefined where it is to be answered as it came. */
  readonly body: RequestBody | undefined;
  readonly parts: number;
  readonly answered: number;
}

/**
 * The calls behind a question that is taken apart: perhaps one that finds the parts, then one for each part, all at once. They go the way of every call (strategy,
 * breakers, retries), are paid for by the request, and end with it.
 */
export class PartCalls {
  readonly #options: PartCallsOptions;
  readonly #running = new Set<Exchange['runner']>();
  readonly #startedAt = performance.now();
  #calls = 0;
  #cancelled = false;

  constructor(options: PartCallsOptions) {
    this.#options = options;
  }

  /** Never rejects. Anything that does not work out leaves the question as it came. */
  async run(): Promise<PartsOutcome> {
    const { decomposition, request } = this.#options;
    const question = request.prompt();
    const found = decomposition.parts ?? await this.#plan(question, decomposition);
    const parts = found.slice(0, decomposition.maxParts);
    const affordable = this.#affordable(parts);
    if (parts.length < 2 || affordable === 0 || this.#cancelled) return { body: undefined, parts: Math.max(1, parts.length), answered: 0 };
    const answers = await Promise.all(parts.slice(0, affordable).map((part) => this.#ask(part, undefined)));
    const answered: AnsweredPart[] = parts.map((part, index) => ({ part, answer: answers[index] }));
    const count = answers.filter((answer) => answer !== undefined).length;
    return { body: count === 0 ? undefined : withContext(request, aggregatorPrompt(answered)), parts: parts.length, answered: count };
  }

  /** Stops what is under way; it is paid for as far as it came. */
  cancel(): void {
    this.#cancelled = true;
    for (const runner of this.#running) runner?.clientGone();
  }

  async #plan(question: string, { planner, maxParts }: Decomposition): Promise<readonly string[]> {
    if (planner === undefined || this.#options.decomposition.maxCalls < 4) return [];
    const reply = await this.#ask(plannerPrompt(question, maxParts), planner);
    return reply === undefined ? [] : partsOfPlan(reply, maxParts);
  }

  /** How many parts the limits on calls and cost allow, the aggregator's call set aside. What is not known to cost anything costs nothing. */
  #affordable(parts: readonly string[]): number {
    const { decomposition: { maxCalls, maxCostUsd, aggregators }, record } = this.#options;
    const calls = Math.min(parts.length, maxCalls - 1 - this.#calls);
    if (maxCostUsd === undefined) return Math.max(0, calls);
    let left = maxCostUsd - (record.costUsd ?? 0);
    let affordable = 0;
    for (const part of parts.slice(0, Math.max(0, calls))) {
      left -= Math.max(...aggregators.map((candidate) => (candidate.inputCostPerToken ?? 0) * part.length / 4 + (candidate.outputCostPerToken ?? 0) * EXPECTED_TOKENS));
      if (left < 0) break;
      affordable += 1;
    }
    return affordable;
  }

  /** One call: its answer in words, or undefined. */
  #ask(text: string, only: Candidate | undefined): Promise<string | undefined> {
    const { exchange, request, plan, parts, record, decomposition } = this.#options;
    const remainingMs = decomposition.partsTimeoutMs - (performance.now() - this.#startedAt);
    if (this.#cancelled || remainingMs <= 0) return Promise.resolve(undefined);
    this.#calls += 1;
    const value: JsonObject = { model: request.requestedModel, messages: [{ role: 'user', content: text }] };
    const prompt = promptOf('chat', { value });
    const own = newRecord({ operation: 'chat', stream: false, requestedModel: request.requestedModel, group: plan.group, endUser: record.endUser });
    const captured = new CapturedReply();
    const startedAt = performance.now();
    const sub: DispatchExchange = {
      snapshot: exchange.snapshot, res: exchange.res, trace: exchange.trace, requestId: exchange.requestId, principal: exchange.principal, runner: undefined, startedAt,
      errorShape: 'openai', admissionHeaders: undefined, elapsedMs: () => performance.now() - startedAt,
    };
    return new Promise((resolve) => {
      const dispatch = new Dispatch(sub, {
        format: 'chat', body: changedBody(value), stream: false, requestedModel: request.requestedModel, plan,
        parameters: { ...request.parameters, timeoutMs: remainingMs, disableFallbacks: true, fallbacks: NO_FALLBACKS },
        prompt: prompt.text, promptTokens: prompt.tokens, about: prompt.about, session: () => undefined, user: request.user, writer: captured, isPart: true, ...(only === undefined ? {} : { only }),
      }, parts, own, () => {
        this.#running.delete(dispatch);
        this.#book(own);
        // The reply is written right after it was booked.
        queueMicrotask(() => {
          const answer = captured.text === undefined ? '' : readReply('chat', captured.text, false).text.trim();
          resolve(answer === '' ? undefined : answer);
        });
      });
      this.#running.add(dispatch);
      dispatch.start();
    });
  }

  #book({ usage, costUsd, usageEstimated, retries }: ExchangeRecord): void {
    const { record } = this.#options;
    if (usage !== undefined) record.usage = record.usage === undefined ? usage : addUsage(record.usage, usage);
    if (costUsd !== undefined) record.costUsd = (record.costUsd ?? 0) + costUsd;
    record.usageEstimated ||= usageEstimated;
    record.retries += retries;
  }
}

/** The client's body with words of ours behind its last message. Undefined where there is no place for them. */
function withContext({ format, body }: DispatchRequest, context: string): RequestBody | undefined {
  const key = format === 'responses' ? 'input' : 'messages';
  const { value } = body;
  const turns = value[key];
  if (typeof turns === 'string') return changedBody({ ...value, [key]: `${turns}\n\n${context}` });
  if (!Array.isArray(turns)) return undefined;
  const last = turns.findLastIndex((turn) => typeof turn === 'object' && turn !== null && !Array.isArray(turn) && turn['role'] === 'user');
  const turn = turns[last];
  if (typeof turn !== 'object' || turn === null || Array.isArray(turn)) return undefined;
  const { content } = turn;
  const type = format === 'responses' ? 'input_text' : 'text';
  const more = typeof content === 'string' ? `${content}\n\n${context}` : Array.isArray(content) ? [...content, { type, text: context }] : undefined;
  return more === undefined ? undefined : changedBody({ ...value, [key]: turns.with(last, { ...turn, content: more }) });
}
