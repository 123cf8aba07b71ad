import type { ConfiguredModel, LlmCandidate } from '@pointsman/gateway-config';
import type { ModelFacts } from '@pointsman/pricing';
import type { Ability, Candidate } from '@pointsman/routing';

export type CandidateFacts = Pick<Candidate, 'knownAs' | 'priorQuality' | 'sizeB' | 'lacks' | 'inputCostPerToken' | 'outputCostPerToken' | 'maxInputTokens'>;

/** Words for abilities in candidates files, and the one that filters go by. */
const ABILITIES: Readonly<Record<string, Ability>> = {
  tools: 'tools', tool: 'tools', tool_calling: 'tools', 'tool-calling': 'tools', tool_use: 'tools', function_calling: 'tools', 'function-calling': 'tools', functions: 'tools',
  vision: 'vision', image: 'vision', images: 'vision', multimodal: 'vision', json: 'json', json_mode: 'json', json_schema: 'json', structured_output: 'json', structured_outputs: 'json',
};

/** What is known of a deployment from the price map and from its entry in `llm_candidates.json`, which wins: an operator wrote it. */
export function candidateFacts(configured: ConfiguredModel, facts: ModelFacts, entries: ReadonlyMap<string, LlmCandidate>): CandidateFacts {
  const found = entryOf(configured, entries);
  const knownAs = [...(found === undefined ? [] : [found.name]), configured.model];
  const prices = { inputCostPerToken: facts.inputCostPerToken, outputCostPerToken: facts.outputCostPerToken, maxInputTokens: facts.maxInputTokens };
  const listed = listedLacks(facts);
  if (found === undefined) return { ...prices, knownAs, lacks: listed };
  const { cost_per_1k_tokens: cost, context_window: window, quality_score: quality, capabilities } = found.entry;
  return {
    inputCostPerToken: perToken(cost?.input) ?? prices.inputCostPerToken,
    outputCostPerToken: perToken(cost?.output) ?? prices.outputCostPerToken,
    maxInputTokens: prices.maxInputTokens ?? window,
    knownAs,
    priorQuality: quality === undefined ? undefined : asShare(quality),
    sizeB: sizeOf(found.entry['size'] ?? found.entry['size_b']),
    lacks: statedLacks(capabilities) ?? listed,
  };
}

const FLAGS: Readonly<Record<Ability, string>> = { tools: 'function_calling', vision: 'vision', json: 'response_schema' };
const ALL: readonly Ability[] = ['tools', 'vision', 'json'];

function listedLacks({ lacks }: ModelFacts): ReadonlySet<Ability> | undefined {
  const found = ALL.filter((ability) => lacks.has(FLAGS[ability]));
  return found.length === 0 ? undefined : new Set(found);
}

/** What a list of capabilities leaves out. A list of what a model is good at (`coding`, `math`) says nothing about what it takes. */
function statedLacks(capabilities: readonly string[] | undefined): ReadonlySet<Ability> | undefined {
  const stated = new Set(capabilities?.map((word) => ABILITIES[word.toLowerCase()]));
  stated.delete(undefined);
  return stated.size === 0 ? undefined : new Set(ALL.filter((ability) => !stated.has(ability)));
}

/** By the entry's name (the group, or the model with or without its provider), else by the model that the entry names. */
function entryOf({ group, configuredModel, model, provider }: ConfiguredModel, entries: ReadonlyMap<string, LlmCandidate>): { readonly name: string; readonly entry: LlmCandidate } | undefined {
  for (const name of [configuredModel, model, group]) {
    const entry = entries.get(name);
    if (entry !== undefined) return { name, entry };
  }
  for (const [name, entry] of entries) {
    const { model_id: id } = entry;
    if (id === undefined || (id !== model && id !== configuredModel)) continue;
    if (entry.provider === undefined || entry.provider === provider || id === configuredModel) return { name, entry };
  }
  return undefined;
}

function perToken(per1k: number | undefined): number | undefined {
  return per1k === undefined ? undefined : per1k / 1_000;
}

/** Candidates files rate from 0 to 1, to 10 or to 100. */
function asShare(score: number): number {
  const share = score <= 1 ? score : score <= 10 ? score / 10 : score / 100;
  return Math.min(1, Math.max(0, share));
}

/** `70`, `"70B"`, `"8x7B"`, `"500M"` in billions. */
function sizeOf(size: unknown): number | undefined {
  if (typeof size === 'number') return size > 0 ? size : undefined;
  const match = typeof size === 'string' ? /^(?:(\d+)\s*x\s*)?(\d+(?:\.\d+)?)\s*([bm])?$/i.exec(size.trim()) : null;
  if (match === null) return undefined;
  return Number(match[1] ?? 1) * Number(match[2]) * (match[3]?.toLowerCase() === 'm' ? 1e-3 : 1);
}
