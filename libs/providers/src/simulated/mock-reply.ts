import { systemClock } from '@pointsman/timing';
import { ProviderError } from '../provider-error.ts';
import type { Provider, WireFormat } from '../provider.ts';
import { cutAnswer, streamedReply, wholeReply, type ChatReply } from './chat-reply.ts';
import { playReply, systemAfter, type Play } from './play-reply.ts';
import { hash32 } from './seeded-random.ts';
import type { SimulatedParts } from './simulated-provider.ts';

const FORMATS: ReadonlySet<WireFormat> = new Set(['chat']);

/** Texts that LiteLLM's `mock_response` takes as an order to fail rather than as a reply. */
const ORDERED_FAILURES: ReadonlyMap<string, () => ProviderError> = new Map([
  ['litellm.RateLimitError', () => new ProviderError('rate_limited', 'mock', 'this is a mock rate limit error', { upstreamStatus: 429 })],
  ['litellm.InternalServerError', () => new ProviderError('server_error', 'mock', 'this is a mock internal server error', { upstreamStatus: 500 })],
  ['litellm.ContextWindowExceededError', () => new ProviderError('context_window', 'mock', 'this is a mock context window exceeded error', { upstreamStatus: 400 })],
  ['Exception: content_filter_policy', () => new ProviderError('content_policy', 'mock', 'this is a mock content policy violation', { upstreamStatus: 400 })],
]);
const BREAKS_MIDWAY = 'Exception: mock_streaming_error';

/**
 * LiteLLM's `mock_response`: a deployment or a request that names one gets this text at once instead of a call to the provider,
 * whole or as a stream, with LiteLLM's fixed usage of 10 + 20 tokens. Some texts order a failure (`litellm.RateLimitError`, …).
 */
export function createMockReplyProvider(text: string, parts: SimulatedParts = {}): Provider {
  const clock = parts.clock ?? systemClock;
  const after = parts.after ?? systemAfter;
  let calls = 0;
  return {
    id: 'mock',
    formats: FORMATS,
    passthrough: undefined,
    start(request, sink) {
      calls += 1;
      const model = typeof request.body['model'] === 'string' ? request.body['model'] : 'mock';
      // LiteLLM does not apply max_tokens and stop to a mock.
      const reply: ChatReply = {
        id: `chatcmpl-mock${hash32(text).toString(16).padStart(8, '0')}${calls.toString(16).padStart(6, '0')}`,
        created: Math.floor(clock.now() / 1_000),
        model,
        choices: Array.from({ length: choicesOf(request.body['n']) }, () => cutAnswer({ kind: 'text', text: text === BREAKS_MIDWAY ? 'This is a mock streaming error' : text }, {})),
        usage: { prompt_tokens: 10, completion_tokens: 20, total_tokens: 30 },
      };
      const body: Play['reply'] = request.stream ? { kind: 'events', steps: streamedReply(reply, request.body) } : { kind: 'json', value: wholeReply(reply), steps: 0 };
      return playReply({ ttftMs: 0, stepMs: 0, headers: {}, reply: body, ...failureOf(text, request.stream) }, sink, { clock, after });
    },
    close() {
      // Nothing is held between calls.
    },
  };
}

function failureOf(text: string, stream: boolean): Pick<Play, 'failure'> {
  const ordered = ORDERED_FAILURES.get(text)?.();
  if (ordered !== undefined) return { failure: { afterSteps: 0, error: ordered } };
  if (text === BREAKS_MIDWAY && stream) return { failure: { afterSteps: 2, error: new ProviderError('stream_error', 'mock', 'this is a mock streaming error') } };
  return {};
}

function choicesOf(n: unknown): number {
  return typeof n === 'number' && Number.isInteger(n) ? Math.min(Math.max(n, 1), 8) : 1;
}
