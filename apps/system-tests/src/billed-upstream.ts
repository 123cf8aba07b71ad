import { chatChunks, sse, startScriptedUpstream, type Script, type ScriptedUpstream, type UpstreamCall } from '@pointsman/testing';
import { deployment } from './gateway-under-test.ts';

/** USD per token that the provider wrote; what it read costs nothing, so that the sum needs no tokenizer. */
export const USD_PER_TOKEN = 0.001;

/** Words that are one token each for every tokenizer of OpenAI. */
const WORDS = ['one', ' two', ' three', ' four', ' five', ' six', ' seven'];

/** Models of the played provider, and how many tokens a reply of each has when it is over. */
const TOKENS_OF_REPLY: Readonly<Record<string, number>> = { whole: WORDS.length, 'left-by-client': 3, 'cut-by-provider': 3 };

/** A provider that remembers what it served. `whole` answers, `left-by-client` waits after three words, `cut-by-provider` breaks after three. */
export interface BilledUpstream extends AsyncDisposable {
  readonly upstream: ScriptedUpstream;
  /** What its calls cost, by its own book. */
  servedUsd(): number;
  /** `model_list` with one group per model. */
  readonly modelList: readonly object[];
}

function usage(tokens: number): object {
  return { prompt_tokens: 10, completion_tokens: tokens, total_tokens: 10 + tokens };
}

function modelOf({ json }: UpstreamCall): string {
  return (json as { readonly model: string }).model;
}

export async function startBilledUpstream({ everyMs = 5 }: { readonly everyMs?: number } = {}): Promise<BilledUpstream> {
  const answer = (call: UpstreamCall): Script => {
    const model = modelOf(call);
    const whole = { id: 'c', created: 1_700_000_000, model };
    if ((call.json as { readonly stream?: boolean }).stream !== true) {
      const body = { ...whole, object: 'chat.completion', choices: [{ index: 0, message: { role: 'assistant', content: WORDS.join('') }, finish_reason: 'stop' }], usage: usage(WORDS.length) };
      return { headers: { 'content-type': 'application/json' }, steps: [{ waitMs: everyMs }, JSON.stringify(body)].filter((step) => typeof step === 'string'), before: [{ waitMs: everyMs }] };
    }
    if (model === 'whole') return sse([...chatChunks(WORDS, { model }), { ...whole, object: 'chat.completion.chunk', choices: [], usage: usage(WORDS.length) }], { everyMs });
    return sse(chatChunks(WORDS.slice(0, 3), { model }).slice(0, 4), { everyMs, done: false, end: model === 'cut-by-provider' ? 'reset' : 'stall' });
  };
  const upstream = await startScriptedUpstream({ reply: answer });
  return {
    upstream,
    servedUsd: () => upstream.calls.reduce((sum, call) => sum + (TOKENS_OF_REPLY[modelOf(call)] ?? 0), 0) * USD_PER_TOKEN,
    modelList: Object.keys(TOKENS_OF_REPLY).map((model) => deployment(model, upstream, model, { params: { input_cost_per_token: 0, output_cost_per_token: USD_PER_TOKEN } })),
    [Symbol.asyncDispose]: () => upstream.close(),
  };
}
