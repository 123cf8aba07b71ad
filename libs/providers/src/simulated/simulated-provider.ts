import type { JsonObject, JsonValue } from '@pointsman/schemas';
import { systemClock, type Clock } from '@pointsman/timing';
import { ProviderError } from '../provider-error.ts';
import type { DeploymentSettings, Provider, ProviderCall, ProviderRequest, ReplySink, WireFormat } from '../provider.ts';
import { cutAnswer, streamedReply, wholeReply, type ChatReply } from './chat-reply.ts';
import { composeAnswer } from './compose-answer.ts';
import { embedText, toBase64Floats } from './embed-text.ts';
import { playReply, systemAfter, type After, type Play } from './play-reply.ts';
import { readPrompt } from './read-prompt.ts';
import { hash32, seededRandom } from './seeded-random.ts';
import { breaksMidway, simulatedFault } from './simulated-faults.ts';
import { SIMULATED_MODELS } from './simulated-models.ts';
import { simulatedTokens } from './simulated-tokens.ts';

export interface SimulatedParts {
  readonly clock?: Clock;
  readonly after?: After;
}

const FORMATS: ReadonlySet<WireFormat> = new Set(['chat', 'embeddings']);
const MOST_CHOICES = 8;
const MOST_DIMENSIONS = 4_096;
const DEFAULT_DIMENSIONS = 384;

/**
 * A provider without a provider: models that run in this process, call nobody and cost nothing. For a first start without keys, for
 * demonstrations of routing and for load tests. The same conversation gets the same answer from the same model.
 *
 * `litellm_params` it reads: `simulated_ttft_ms` (milliseconds), `simulated_tokens_per_s` (0 = all at once),
 * `simulated_error_rate` (0..1, share of calls that fail), `simulated_error` (how they fail, see `SIMULATED_FAULTS`).
 */
export function createSimulatedProvider(settings: DeploymentSettings, parts: SimulatedParts = {}): Promise<Provider> {
  return Promise.resolve(new SimulatedProvider(settings, parts.clock ?? systemClock, parts.after ?? systemAfter));
}

class SimulatedProvider implements Provider {
  readonly id = 'simulated';
  readonly formats = FORMATS;
  readonly passthrough = undefined;
  readonly #settings: DeploymentSettings;
  readonly #clock: Clock;
  readonly #after: After;
  /** Counts calls, so that ids differ and so that a retry of a failing call may succeed. */
  #calls = 0;

  constructor(settings: DeploymentSettings, clock: Clock, after: After) {
    this.#settings = settings;
    this.#clock = clock;
    this.#after = after;
  }

  start(request: ProviderRequest, sink: ReplySink): ProviderCall {
    this.#calls += 1;
    return playReply(this.#plan(request), sink, { clock: this.#clock, after: this.#after });
  }

  close(): void {
    // Nothing is held between calls.
  }

  #plan(request: ProviderRequest): Play {
    const { model, params } = this.#settings;
    const known = SIMULATED_MODELS.get(model);
    if (known === undefined) return refusal(new ProviderError('not_found', 'simulated', `There is no simulated model ${JSON.stringify(model)}; there are ${[...SIMULATED_MODELS.keys()].join(', ')}.`, { upstreamStatus: 404 }));
    if (!FORMATS.has(request.format)) return refusal(new ProviderError('bad_request', 'simulated', `Simulated models answer chat and embeddings requests, not ${request.format}.`, { upstreamStatus: 400 }));
    const ttftMs = numberOf(params['simulated_ttft_ms'], known.ttftMs);
    const perSecond = numberOf(params['simulated_tokens_per_s'], known.tokensPerSecond);
    const stepMs = perSecond > 0 ? 1_000 / perSecond : 0;
    const play: Play = { ttftMs, stepMs, headers: {}, reply: request.format === 'embeddings' ? { kind: 'json', value: this.#embeddings(request.body), steps: 0 } : this.#chat(request, known.style) };
    return this.#withLimits(this.#withFault(play, request), request);
  }

  #chat(request: ProviderRequest, style: Parameters<typeof composeAnswer>[0]['style']): Play['reply'] {
    const { model } = this.#settings;
    const { body } = request;
    const prompt = readPrompt(body);
    const seed = hash32(`${model}\n${typeof body['seed'] === 'number' ? body['seed'] : ''}\n${prompt.turns}\n${prompt.question}\n${prompt.toolResult ?? ''}`);
    const random = seededRandom(seed);
    const wanted = typeof body['n'] === 'number' && Number.isInteger(body['n']) ? Math.min(Math.max(body['n'], 1), MOST_CHOICES) : 1;
    const choices = Array.from({ length: wanted }, () => cutAnswer(composeAnswer({ model, style, body, prompt, random }), body));
    const completion = choices.reduce((sum, { pieces }) => sum + pieces.length, 0);
    const reply: ChatReply = {
      id: `chatcmpl-sim${seed.toString(16).padStart(8, '0')}${this.#calls.toString(16).padStart(6, '0')}`,
      created: Math.floor(this.#clock.now() / 1_000),
      model,
      choices,
      usage: { prompt_tokens: prompt.tokens, completion_tokens: completion, total_tokens: prompt.tokens + completion },
    };
    if (request.stream) return { kind: 'events', steps: streamedReply(reply, body) };
    return { kind: 'json', value: wholeReply(reply), steps: Math.max(...choices.map(({ pieces }) => pieces.length)) };
  }

  #embeddings(body: JsonObject): JsonObject {
    const texts = inputsOf(body['input']);
    const dimensions = Math.min(MOST_DIMENSIONS, Math.max(1, Math.floor(numberOf(body['dimensions'], DEFAULT_DIMENSIONS))));
    const tokens = texts.reduce((sum, text) => sum + simulatedTokens(text).length, 0);
    const data = texts.map((text, index) => {
      const vector = embedText(text, dimensions);
      return { object: 'embedding', index, embedding: body['encoding_format'] === 'base64' ? toBase64Floats(vector) : vector };
    });
    return { object: 'list', data, model: this.#settings.model, usage: { prompt_tokens: tokens, total_tokens: tokens } };
  }

  #withFault(play: Play, request: ProviderRequest): Play {
    const { model, params } = this.#settings;
    const rate = numberOf(params['simulated_error_rate'], 0);
    if (rate <= 0 || seededRandom(hash32(`${model} ${this.#calls} ${request.format}`))() >= rate) return play;
    const name = typeof params['simulated_error'] === 'string' ? params['simulated_error'] : 'server_error';
    if (!breaksMidway(name)) return { ...play, failure: { afterSteps: 0, error: simulatedFault(name) } };
    // Without a stream there is no midway: the bytes of a cut JSON are not a reply.
    if (play.reply.kind === 'json') return { ...play, failure: { afterSteps: 0, error: new ProviderError('truncated', 'simulated', 'The simulated model broke off its reply, as simulated_error_rate asked.') } };
    return { ...play, failure: { afterSteps: Math.max(1, Math.floor(play.reply.steps.length / 2)), error: simulatedFault(name) } };
  }

  /** A simulated model is as impatiently waited for as a real one: too slow for the request's limits is a timeout. */
  #withLimits(play: Play, { headersTimeoutMs, idleTimeoutMs }: ProviderRequest): Play {
    const firstByteMs = play.reply.kind === 'json' ? play.ttftMs + play.reply.steps * play.stepMs : play.ttftMs;
    const tooSlow = (): ProviderError => new ProviderError('timeout', 'simulated', 'The simulated model did not answer in time.');
    if (firstByteMs > headersTimeoutMs) return { ...play, ttftMs: headersTimeoutMs, failure: { afterSteps: 0, error: tooSlow() } };
    if (play.reply.kind === 'events' && play.stepMs > idleTimeoutMs) return { ...play, stepMs: idleTimeoutMs, failure: { afterSteps: 1, error: tooSlow() } };
    return play;
  }
}

/** A call that fails at once. */
function refusal(error: ProviderError): Play {
  return { ttftMs: 0, stepMs: 0, headers: {}, reply: { kind: 'events', steps: [] }, failure: { afterSteps: 0, error } };
}

/** The texts of an embeddings request: a text, texts, or token numbers, which stand for themselves. */
function inputsOf(input: JsonValue | undefined): string[] {
  if (!Array.isArray(input)) return [typeof input === 'string' ? input : ''];
  if (input.every((item) => typeof item === 'number')) return [input.join(' ')];
  return input.map((item) => (Array.isArray(item) ? item.join(' ') : String(item)));
}

/** Configuration values may come from the environment, where numbers are text. */
function numberOf(value: JsonValue | undefined, otherwise: number): number {
  const number = typeof value === 'string' && value.trim() !== '' ? Number(value) : value;
  return typeof number === 'number' && Number.isFinite(number) && number >= 0 ? number : otherwise;
}
