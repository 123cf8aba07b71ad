import { isJsonObject, type JsonObject } from '@pointsman/schemas';

/** Anthropic's `thinking` parameter in the SDKs' camel case. */
export function thinkingOf(value: unknown): { readonly type: string; readonly budgetTokens: number | undefined; readonly display: string | undefined } | undefined {
  if (!isJsonObject(value) || typeof value['type'] !== 'string') return undefined;
  const budget = value['budget_tokens'];
  return { type: value['type'], budgetTokens: typeof budget === 'number' ? budget : undefined, display: typeof value['display'] === 'string' ? value['display'] : undefined };
}

/**
 * The SDKs add the thinking budget to the caller's token limit. OpenAI's and Anthropic's limit includes thinking, so the caller's number is put back,
 * raised only where Anthropic demands more than the budget.
 */
export function callersLimit(limit: number, budget: unknown): number {
  return typeof budget === 'number' && budget >= limit ? budget + 1 : limit;
}

export function budgetIn(thinking: unknown): JsonObject[string] {
  return isJsonObject(thinking) ? thinking['budget_tokens'] : undefined;
}
