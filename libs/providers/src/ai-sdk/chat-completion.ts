import type { LanguageModelV4GenerateResult } from '@ai-sdk/provider';
import type { JsonObject, JsonValue } from '@pointsman/schemas';
import type { ChunkOptions } from './chat-chunks.ts';
import { finishReasonOf } from './finish-reason.ts';
import { annotationOf, imageOf, thoughtSignatureOf, toolCallExtras } from './reply-parts.ts';
import { openAiUsageOf } from './usage.ts';

/** A whole reply as an OpenAI chat completion, or what failed when the provider did not say how it ended. */
export function chatCompletionOf(result: LanguageModelV4GenerateResult, { dialect, model, created, id }: ChunkOptions): { readonly completion: JsonObject } | { readonly failed: 'truncated' | 'provider-error'; readonly raw: string | undefined } {
  const outcome = finishReasonOf(result.finishReason);
  if ('failed' in outcome) return outcome;
  let text = '';
  let reasoning = dialect.planOf?.(result.response?.body) ?? '';
  const thinkingBlocks: JsonValue[] = [];
  const toolCalls: JsonValue[] = [];
  const images: JsonValue[] = [];
  const annotations: JsonValue[] = [];
  const signatures: JsonValue[] = [];
  for (const part of result.content) {
    switch (part.type) {
      case 'text': {
        text += part.text;
        const signature = thoughtSignatureOf(part.providerMetadata, dialect);
        if (signature !== undefined) signatures.push(signature);
        break;
      }
      case 'reasoning': {
        reasoning += part.text;
        const found = part.providerMetadata === undefined ? undefined : dialect.signatureOf?.(part.providerMetadata);
        if (found?.redacted !== undefined) thinkingBlocks.push({ type: 'redacted_thinking', data: found.redacted });
        else if (found?.signature !== undefined) thinkingBlocks.push({ type: 'thinking', thinking: part.text, signature: found.signature });
        else if (dialect.signatureOf !== undefined) thinkingBlocks.push({ type: 'thinking', thinking: part.text });
        break;
      }
      case 'tool-call':
        if (part.providerExecuted !== true) toolCalls.push({ id: part.toolCallId, type: 'function', function: { name: part.toolName, arguments: part.input }, ...toolCallExtras(part.providerMetadata, dialect) });
        break;
      case 'file':
        images.push(imageOf(part, images.length));
        break;
      case 'source': {
        const annotation = annotationOf(part);
        if (annotation !== undefined) annotations.push(annotation);
        break;
      }
      default:
    }
  }
  const usage = openAiUsageOf(result.usage);
  return {
    completion: {
      id: result.response?.id ?? id,
      object: 'chat.completion',
      created,
      model,
      choices: [{
        index: 0,
        message: {
          role: 'assistant',
          content: text === '' ? null : text,
          ...(reasoning === '' ? {} : { reasoning_content: reasoning }),
          ...(thinkingBlocks.length === 0 ? {} : { thinking_blocks: thinkingBlocks }),
          ...(toolCalls.length === 0 ? {} : { tool_calls: toolCalls }),
          ...(images.length === 0 ? {} : { images }),
          ...(annotations.length === 0 ? {} : { annotations }),
          ...(signatures.length === 0 ? {} : { provider_specific_fields: { thought_signatures: signatures } }),
        },
        finish_reason: outcome.reason,
      }],
      ...(usage === undefined ? {} : { usage }),
    },
  };
}

