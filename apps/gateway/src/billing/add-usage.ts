import type { Usage } from '@pointsman/wire-formats';

/** What two attempts of one request used together. The service tier is that of the later one: costs are added up per attempt, before. */
export function addUsage(a: Usage, b: Usage): Usage {
  return {
    promptTokens: a.promptTokens + b.promptTokens, completionTokens: a.completionTokens + b.completionTokens, totalTokens: a.totalTokens + b.totalTokens,
    cachedTokens: a.cachedTokens + b.cachedTokens, cacheCreationTokens: a.cacheCreationTokens + b.cacheCreationTokens,
    cacheCreation1hTokens: a.cacheCreation1hTokens + b.cacheCreation1hTokens, reasoningTokens: a.reasoningTokens + b.reasoningTokens,
    audioInputTokens: a.audioInputTokens + b.audioInputTokens, audioOutputTokens: a.audioOutputTokens + b.audioOutputTokens,
    imageInputTokens: sum(a.imageInputTokens, b.imageInputTokens), imageOutputTokens: sum(a.imageOutputTokens, b.imageOutputTokens),
    serviceTier: b.serviceTier, webSearches: sum(a.webSearches, b.webSearches), webSearchContext: b.webSearchContext ?? a.webSearchContext,
  };
}

function sum(a: number | undefined, b: number | undefined): number | undefined {
  return a === undefined ? b : b === undefined ? a : a + b;
}
