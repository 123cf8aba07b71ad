import { isJsonObject } from '@pointsman/schemas';
import { passOnRest } from '../call-options.ts';
import type { Dialect, RequestDraft } from '../dialect.ts';
import { budgetIn, callersLimit, thinkingOf } from './reasoning-budget.ts';

/** Chat requests in the words of `@ai-sdk/anthropic`: for Anthropic itself and for Claude on Vertex. */
export const anthropicDialect: Dialect = {
  name: 'anthropic',
  // The SDK sends a later system message with a beta header that older models refuse.
  systemFirst: true,
  takesUnsignedReasoning: false,
  cacheOptions: (cacheControl) => ({ anthropic: { cacheControl } }),
  thinkingOptions: (block) => ({ anthropic: block.type === 'thinking' ? { signature: block.signature ?? '' } : { redactedData: block.data } }),
  signatureOf(metadata) {
    const own = metadata['anthropic'];
    const signature = own?.['signature'];
    const redacted = own?.['redactedData'];
    if (typeof redacted === 'string') return { redacted };
    return typeof signature === 'string' && signature !== '' ? { signature } : undefined;
  },
  thoughtSignatures: false,
  hostedTool(tool) {
    const { type, name, cache_control: _cache, ...args } = tool;
    if (typeof type !== 'string' || !/^[a-z_]+_\d{8}$/.test(type)) return undefined;
    return { id: `anthropic.${type}`, name: typeof name === 'string' ? name : type, args: Object.fromEntries(Object.entries(args).map(([key, value]) => [camelCase(key), value])) };
  },
  refine,
  // https://docs.anthropic.com/en/docs/build-with-claude/streaming: "new event types may be added, and your code should handle unknown event types gracefully".
  knownEvents: new Set(['message_start', 'content_block_start', 'content_block_delta', 'content_block_stop', 'message_delta', 'message_stop', 'ping', 'error']),
  planOf: undefined,
  embeddingOptions: () => undefined,
};

function refine(draft: RequestDraft): void {
  const { body, options, own, rest, patch } = draft;
  const thinking = thinkingOf(rest.get('thinking'));
  rest.delete('thinking');
  if (thinking !== undefined) {
    own['thinking'] = { type: thinking.type, ...(thinking.budgetTokens === undefined ? {} : { budgetTokens: thinking.budgetTokens }), ...(thinking.display === undefined ? {} : { display: thinking.display }) };
  }
  if (rest.get('parallel_tool_calls') === false) own['disableParallelToolUse'] = true;
  rest.delete('parallel_tool_calls');
  const metadata = body['metadata'];
  const user = body['user'] ?? (isJsonObject(metadata) ? metadata['user_id'] : undefined);
  if (typeof user === 'string') own['metadata'] = { userId: user };
  const tier = rest.get('service_tier');
  rest.delete('service_tier');
  if (tier === 'auto' || tier === 'standard_only') own['serviceTier'] = tier;
  if (options.responseFormat?.type === 'json' && options.responseFormat.schema === undefined) {
    // Anthropic has no JSON mode without a schema: a tool whose input is any object is one.
    options.responseFormat = { ...options.responseFormat, schema: { type: 'object' } };
    own['structuredOutputMode'] = 'jsonTool';
  }
  if (options.toolChoice?.type === 'none') {
    // The SDK leaves the tools out, and Anthropic refuses a conversation with tool calls but without tools.
    delete options.toolChoice;
    patch((sent) => (sent['tools'] === undefined ? sent : { ...sent, tool_choice: { type: 'none' } }));
  }
  const limit = options.maxOutputTokens;
  if (limit !== undefined && (thinking !== undefined || options.reasoning !== undefined)) {
    patch((sent) => (typeof sent['max_tokens'] === 'number' && sent['max_tokens'] > limit ? { ...sent, max_tokens: callersLimit(limit, budgetIn(sent['thinking'])) } : sent));
  }
  passOnRest(draft);
}

function camelCase(name: string): string {
  return name.replaceAll(/_([a-z])/g, (_match, letter: string) => letter.toUpperCase());
}

