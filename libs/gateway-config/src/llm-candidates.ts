import { isJsonObject, type JsonObject, type JsonValue } from '@pointsman/schemas';
import { z } from 'zod';
import { ConfigRejectedError } from './config-rejected-error.ts';
import type { ConfigProblem } from './gateway-config.ts';
import { showPath } from './path.ts';
import { expected } from './setting.ts';

const MAX_CHARACTERS = 4 * 1024 * 1024;

/**
 * One entry of `llm_candidates.json`, the candidates file of the LiteLLM + LLMRouter stack.
 * Tolerant: LLMRouter tools write it, with fields of their own; only what is read here is checked.
 */
export const llmCandidateSchema = z.looseObject({
  provider: z.string().optional(),
  model_id: z.string().optional(),
  /** USD per 1,000 tokens. */
  cost_per_1k_tokens: z.looseObject({ input: z.number().min(0).optional(), output: z.number().min(0).optional() }).optional(),
  context_window: z.number().min(0).optional(),
  quality_score: z.number().optional(),
  capabilities: z.array(z.string()).optional(),
  tier: z.union([z.string(), z.number()]).optional(),
}, { error: expected('a mapping such as {"provider": "openai", "model_id": "gpt-4o"}') });
export type LlmCandidate = z.infer<typeof llmCandidateSchema>;

/**
 * Reads the text of an `llm_candidates.json`: `{name: candidate}`, also wrapped as `{"candidates": …}` or `{"models": …}`.
 * Throws `ConfigRejectedError` listing every entry that cannot be used.
 */
export function parseLlmCandidates(text: string): ReadonlyMap<string, LlmCandidate> {
  const refuse = (message: string): ConfigRejectedError => new ConfigRejectedError([{ path: 'llm_candidates.json', message }]);
  if (text.length > MAX_CHARACTERS) throw refuse(`the file is longer than ${String(MAX_CHARACTERS / 1024 / 1024)} MiB`);
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    throw refuse('not valid JSON');
  }
  if (!isJsonObject(parsed)) throw refuse('expected a mapping from candidate name to candidate');
  const problems: ConfigProblem[] = [];
  const candidates = new Map<string, LlmCandidate>();
  for (const [name, entry] of Object.entries(unwrap(parsed))) {
    const at = (path: readonly (string | number)[]): string => `llm_candidates.json: ${showPath([name, ...path])}`;
    if (name === '__proto__' || name === '') {
      problems.push({ path: at([]), message: 'this name is not allowed' });
      continue;
    }
    const result = llmCandidateSchema.safeParse(entry);
    if (result.success) candidates.set(name, result.data);
    else for (const issue of result.error.issues) problems.push({ path: at(issue.path.map((step) => (typeof step === 'number' ? step : String(step)))), message: issue.message });
  }
  if (problems.length > 0) throw new ConfigRejectedError(problems);
  return candidates;
}

function unwrap(file: JsonObject): JsonObject {
  const keys = Object.keys(file);
  const inner: JsonValue | undefined = keys.length === 1 ? (file['candidates'] ?? file['models']) : undefined;
  return isJsonObject(inner) && Object.values(inner).every(isJsonObject) ? inner : file;
}
