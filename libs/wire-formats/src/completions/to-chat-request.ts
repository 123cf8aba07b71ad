import { isJsonObject, type JsonObject } from '@pointsman/schemas';
import { withoutAbsent } from '../chat/content-parts.ts';
import { untranslatable } from '../chat/translation.ts';

const ELSEWHERE = 'the model of this request only speaks chat completions';

/** What completions and chat call by the same name and mean alike. */
const SHARED = [
  'model', 'max_tokens', 'temperature', 'top_p', 'n', 'stop', 'presence_penalty', 'frequency_penalty', 'logit_bias', 'seed', 'user',
] as const;

/**
 * A legacy completions body with one text prompt as a chat completions body.
 * @throws AppError `invalid_request` / `unsupported_parameter` naming the field that a chat model cannot honour.
 */
export function completionsToChat(body: JsonObject): JsonObject {
  const { echo, suffix, logprobs, best_of: bestOf } = body;
  if (echo === true) throw untranslatable('echo', `'echo' cannot be honoured: ${ELSEWHERE}.`);
  if (typeof suffix === 'string' && suffix !== '') throw untranslatable('suffix', `'suffix' cannot be honoured: ${ELSEWHERE}.`);
  if (typeof logprobs === 'number') throw untranslatable('logprobs', `'logprobs' cannot be honoured: ${ELSEWHERE}, whose log probabilities have another shape.`);
  if (typeof bestOf === 'number' && bestOf > (typeof body['n'] === 'number' ? body['n'] : 1)) throw untranslatable('best_of', `'best_of' cannot be honoured: ${ELSEWHERE}.`);
  const shared: JsonObject = {};
  for (const field of SHARED) shared[field] = body[field];
  const isStream = body['stream'] === true;
  return withoutAbsent({
    ...shared,
    messages: [{ role: 'user', content: promptText(body['prompt']) }],
    stream: isStream ? true : undefined,
    stream_options: isStream ? { ...(isJsonObject(body['stream_options']) ? body['stream_options'] : {}), include_usage: true } : undefined,
  });
}

function promptText(prompt: unknown): string {
  if (typeof prompt === 'string') return prompt;
  const [first, ...more] = Array.isArray(prompt) ? (prompt as unknown[]) : [];
  if (typeof first === 'string' && more.length === 0) return first;
  if (typeof first === 'string') throw untranslatable('prompt', `Several prompts in one request cannot be honoured: ${ELSEWHERE}. Send one request for each prompt.`);
  throw untranslatable('prompt', `A prompt of tokens cannot be honoured: ${ELSEWHERE}. Send the prompt as text.`);
}
