import { isJsonObject, type JsonObject } from '@pointsman/schemas';
import type { SseEvent, StreamFacts } from '@pointsman/wire-formats';
import type { AppError } from '@pointsman/errors';
import type { Attempt } from './attempt.ts';
import type { ReplyShape } from './reply-shape.ts';

/** A stream that broke after content had gone out, and what another deployment needs to go on from there. */
export interface Continuation {
  /** All the text that the client has. */
  readonly text: string;
  /** The shape that wrote it: the client sees one stream, so one shape writes all of it. */
  readonly shape: ReplyShape;
  /** The id of the first chunks; undefined until known. */
  readonly replyId: string | undefined;
}

/** Providers that want a trailing assistant message marked as a beginning to go on from. */
const MARKS_PREFIX: ReadonlySet<string> = new Set(['mistral', 'deepseek']);

/**
 * What can be continued: one choice of plain text on the chat format. A tool call or a reasoning block cut in the middle cannot be prefilled.
 * `earlier` is set when the stream that broke was itself a continuation.
 */
export function continuationOf(attempt: Attempt, earlier: Continuation | undefined): Continuation | undefined {
  const { inspector } = attempt;
  if (attempt.format !== 'chat' || inspector === undefined || !inspector.canContinue()) return undefined;
  const shape = attempt.shape instanceof ContinuedReply ? attempt.shape.inner : attempt.shape;
  return { text: (earlier?.text ?? '') + inspector.collectedText(), shape, replyId: earlier?.replyId ?? attempt.responseId };
}

/** The chat body that asks for the rest of an answer: the partial answer as the last assistant message (assistant prefill). */
export function continuationBody(body: JsonObject, { text }: Continuation, provider: string): JsonObject {
  const messages = Array.isArray(body['messages']) ? body['messages'] : [];
  const prefill: JsonObject = { role: 'assistant', content: text };
  if (MARKS_PREFIX.has(provider)) prefill['prefix'] = true;
  return { ...body, messages: [...messages, prefill] };
}

/** Writes the continuing stream through the shape of the first one, so that the client sees one whole answer: one id, one role, one end. */
export class ContinuedReply implements ReplyShape {
  readonly #continuation: Continuation;

  constructor(continuation: Continuation) {
    this.#continuation = continuation;
  }

  get inner(): ReplyShape {
    return this.#continuation.shape;
  }

  json(value: JsonObject, text: string | undefined): string {
    return this.inner.json(value, text);
  }

  event(event: SseEvent, facts: StreamFacts): string {
    const { value } = facts;
    if (!isJsonObject(value)) return this.inner.event(event, facts);
    const choices = Array.isArray(value['choices']) ? value['choices'].map((choice) => withoutRole(choice)) : [];
    const first = choices[0];
    // The first chunk of a reply only announces the role, which the client knows.
    if (choices.length === 1 && isJsonObject(first) && !facts.hasContent && facts.finishReason === undefined && facts.usage === undefined) return '';
    const next: JsonObject = { ...value, choices };
    if (this.#continuation.replyId !== undefined) next['id'] = this.#continuation.replyId;
    const data = JSON.stringify(next);
    return this.inner.event({ event: event.event, data, value: next }, { ...facts, value: next });
  }

  finish(): string {
    return this.inner.finish();
  }

  fail(error: AppError): string {
    return this.inner.fail(error);
  }
}

function withoutRole(choice: unknown): JsonObject {
  if (!isJsonObject(choice)) return {};
  const { delta } = choice;
  if (!isJsonObject(delta)) return choice;
  const { role: _role, ...rest } = delta;
  return { ...choice, delta: rest };
}
