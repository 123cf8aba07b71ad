import { isJsonObject, type JsonObject } from '@pointsman/schemas';
import { DONE_EVENT, dataEvent, type SseEvent } from '@pointsman/wire-formats';
import type { Answer } from './compose-answer.ts';
import { simulatedTokens } from './simulated-tokens.ts';

/** One of the `n` choices, cut to what the request allows. */
export interface Choice {
  readonly answer: Answer;
  readonly pieces: readonly string[];
  readonly finishReason: 'stop' | 'length' | 'tool_calls';
}

export interface ChatReply {
  readonly id: string;
  /** Seconds since the epoch. */
  readonly created: number;
  readonly model: string;
  readonly choices: readonly Choice[];
  readonly usage: { readonly prompt_tokens: number; readonly completion_tokens: number; readonly total_tokens: number };
}

/** Cuts an answer at the first stop sequence, then at `max_completion_tokens` (or the older `max_tokens`). */
export function cutAnswer(answer: Answer, body: JsonObject): Choice {
  const most = limitOf(body['max_completion_tokens']) ?? limitOf(body['max_tokens']) ?? Infinity;
  if (answer.kind === 'tool-call') {
    const pieces = simulatedTokens(answer.argumentsJson);
    return { answer, pieces: pieces.slice(0, most), finishReason: pieces.length > most ? 'length' : 'tool_calls' };
  }
  const stops = (Array.isArray(body['stop']) ? body['stop'] : [body['stop']]).filter((stop): stop is string => typeof stop === 'string' && stop !== '');
  const ends = stops.map((stop) => answer.text.indexOf(stop)).filter((at) => at >= 0);
  const pieces = simulatedTokens(ends.length === 0 ? answer.text : answer.text.slice(0, Math.min(...ends)));
  return { answer, pieces: pieces.slice(0, most), finishReason: pieces.length > most ? 'length' : 'stop' };
}

function limitOf(value: unknown): number | undefined {
  return typeof value === 'number' && Number.isInteger(value) && value > 0 ? value : undefined;
}

/** The reply as one `chat.completion` object. */
export function wholeReply(reply: ChatReply): JsonObject {
  return {
    id: reply.id,
    object: 'chat.completion',
    created: reply.created,
    model: reply.model,
    choices: reply.choices.map((choice, index) => ({
      index,
      message: messageOf(choice, reply.id, index),
      logprobs: null,
      finish_reason: choice.finishReason,
    })),
    usage: { ...reply.usage },
  };
}

function messageOf({ answer, pieces }: Choice, id: string, index: number): JsonObject {
  const text = pieces.join('');
  if (answer.kind === 'text') return { role: 'assistant', content: text, refusal: null };
  return { role: 'assistant', content: null, refusal: null, tool_calls: [{ id: callId(id, index), type: 'function', function: { name: answer.name, arguments: text } }] };
}

/** Step by step what a stream of the reply sends: per step one token of every choice that still has one, then the ends, usage and `[DONE]`. */
export function streamedReply(reply: ChatReply, body: JsonObject): SseEvent[][] {
  const withUsage = isJsonObject(body['stream_options']) && body['stream_options']['include_usage'] === true;
  const chunk = (index: number, delta: JsonObject, finishReason: string | null): SseEvent =>
    dataEvent({
      id: reply.id,
      object: 'chat.completion.chunk',
      created: reply.created,
      model: reply.model,
      choices: [{ index, delta, logprobs: null, finish_reason: finishReason }],
      // OpenAI sends the field as null on every chunk once usage was asked for.
      ...(withUsage ? { usage: null } : {}),
    });
  // The ends come a step after the last token, so that a stream can break between the two.
  const length = 1 + Math.max(0, ...reply.choices.map(({ pieces }) => pieces.length));
  const steps = Array.from({ length }, (_, step) =>
    reply.choices.flatMap((choice, index) => {
      const events = step === 0 ? [chunk(index, openingOf(choice, reply.id, index), null)] : [];
      const piece = choice.pieces[step];
      if (piece !== undefined) events.push(chunk(index, choice.answer.kind === 'text' ? { content: piece } : { tool_calls: [{ index: 0, function: { arguments: piece } }] }, null));
      if (step === choice.pieces.length) events.push(chunk(index, {}, choice.finishReason));
      return events;
    }),
  );
  const end: SseEvent[] = withUsage ? [dataEvent({ id: reply.id, object: 'chat.completion.chunk', created: reply.created, model: reply.model, choices: [], usage: { ...reply.usage } })] : [];
  steps.at(-1)?.push(...end, DONE_EVENT);
  return steps;
}

function openingOf({ answer }: Choice, id: string, index: number): JsonObject {
  if (answer.kind === 'text') return { role: 'assistant', content: '', refusal: null };
  return { role: 'assistant', content: null, tool_calls: [{ index: 0, id: callId(id, index), type: 'function', function: { name: answer.name, arguments: '' } }] };
}

function callId(replyId: string, index: number): string {
  return `call_${replyId.slice(-12)}${index}`;
}
