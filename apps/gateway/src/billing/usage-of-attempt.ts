import { countPrompt, countText, countTexts } from '@pointsman/tokens';
import { textsOfReply, type Usage } from '@pointsman/wire-formats';
import type { Attempt } from '../dispatch/attempt.ts';

/** Characters per token of the part of a reply that was too long to be kept. */
const CHARACTERS_PER_TOKEN = 4;

export interface AttemptUsage {
  readonly usage: Usage;
  /** Some of it was counted here because the provider did not say. */
  readonly estimated: boolean;
}

/**
 * What an attempt used, when it is over, however it ended: what its provider reported, and counted here what it did not report of a reply that was
 * given. Each side by itself: Anthropic names the prompt at the beginning of a stream and the output at its end, so a stream that is cut in between
 * has the one from the provider and the other from us. Undefined when there is nothing to pay: nothing was reported and nothing was said. A provider
 * may charge the prompt of a call that was cancelled before its first word; only those that report it at once are believed to.
 * @param model the name by which the tokenizer is chosen.
 */
export function usageOfAttempt(attempt: Attempt, model: string): AttemptUsage | undefined {
  const reported = attempt.usage;
  const answered = attempt.committed || attempt.uncountedReply !== undefined;
  if (!answered) return reported === undefined ? undefined : { usage: reported, estimated: false };
  const uncounted = uncountedTokens(attempt, model);
  if (uncounted === 0 && reported !== undefined && reported.promptTokens > 0) return { usage: reported, estimated: false };
  const promptTokens = reported !== undefined && reported.promptTokens > 0 ? reported.promptTokens : promptTokensOf(attempt, model);
  // The few output tokens that message_start names are part of what is counted.
  const completionTokens = uncounted === 0 ? reported?.completionTokens ?? 0 : Math.max(reported?.completionTokens ?? 0, (attempt.inspector?.unreported.reportedTokens ?? 0) + uncounted);
  return { usage: { ...(reported ?? NOTHING), promptTokens, completionTokens, totalTokens: promptTokens + completionTokens }, estimated: true };
}

/** Tokens of the reply that no report covers. */
function uncountedTokens(attempt: Attempt, model: string): number {
  const { uncountedReply, inspector } = attempt;
  if (uncountedReply !== undefined) return countTexts(textsOfReply(attempt.format, uncountedReply), model);
  if (inspector === undefined) return 0;
  const { text, droppedCharacters } = inspector.unreported;
  return (text === '' ? 0 : countText(text, model)) + Math.ceil(droppedCharacters / CHARACTERS_PER_TOKEN);
}

function promptTokensOf({ format, request }: Attempt, model: string): number {
  try {
    return countPrompt(format, request.body, model);
  } catch {
    // Broken inside a long string: the provider took it all the same, and what it read of it nobody knows.
    return 0;
  }
}

const NOTHING: Usage = {
  promptTokens: 0, completionTokens: 0, totalTokens: 0, cachedTokens: 0, cacheCreationTokens: 0, cacheCreation1hTokens: 0, reasoningTokens: 0,
  audioInputTokens: 0, audioOutputTokens: 0,
};
