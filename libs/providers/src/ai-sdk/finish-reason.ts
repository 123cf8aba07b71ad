import type { LanguageModelV4FinishReason } from '@ai-sdk/provider';

/**
 * OpenAI's `finish_reason`, or what kind of end it was instead of one.
 * An SDK says `other` without the provider's own word when its stream simply stopped: that is a cut, never a stop.
 */
export function finishReasonOf(finish: LanguageModelV4FinishReason): { readonly reason: string } | { readonly failed: 'truncated' | 'provider-error'; readonly raw: string | undefined } {
  switch (finish.unified) {
    case 'stop':
    case 'length':
      return { reason: finish.unified };
    case 'tool-calls':
      return { reason: 'tool_calls' };
    case 'content-filter':
      return { reason: 'content_filter' };
    case 'error':
      return { failed: 'provider-error', raw: finish.raw };
    default:
      // Words that OpenAI has no counterpart for stay the provider's own.
      return finish.raw === undefined ? { failed: 'truncated', raw: undefined } : { reason: finish.raw.toLowerCase() };
  }
}
