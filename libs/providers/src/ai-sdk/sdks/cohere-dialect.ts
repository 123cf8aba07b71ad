import { isJsonObject, type JsonObject, type JsonValue } from '@pointsman/schemas';
import { passOnRest } from '../call-options.ts';
import type { Dialect, RequestDraft } from '../dialect.ts';
import { thinkingOf } from './reasoning-budget.ts';

/** Chat requests in the words of `@ai-sdk/cohere` (Cohere's v2 API). */
export const cohereDialect: Dialect = {
  name: 'cohere',
  systemFirst: false,
  takesUnsignedReasoning: false,
  cacheOptions: undefined,
  thinkingOptions: undefined,
  signatureOf: undefined,
  thoughtSignatures: false,
  hostedTool: undefined,
  refine,
  knownEvents: new Set(['message-start', 'content-start', 'content-delta', 'content-end', 'tool-plan-delta', 'tool-call-start', 'tool-call-delta', 'tool-call-end', 'citation-start', 'citation-end', 'message-end']),
  // The plan before a tool call is the model's reasoning; the SDK drops it, in streams and whole replies.
  planOf(raw) {
    if (!isJsonObject(raw)) return undefined;
    const holder = raw['type'] === 'tool-plan-delta' && isJsonObject(raw['delta']) ? raw['delta'] : raw;
    const message = holder['message'];
    const plan = isJsonObject(message) ? message['tool_plan'] : undefined;
    return typeof plan === 'string' && plan !== '' ? plan : undefined;
  },
  embeddingOptions({ body, rest }) {
    const inputType = rest.get('input_type');
    const truncate = rest.get('truncate');
    const dimensions = body['dimensions'];
    return {
      cohere: {
        // LiteLLM's default; the SDK's is search_query, which finds documents embedded by LiteLLM badly.
        inputType: typeof inputType === 'string' ? inputType : 'search_document',
        ...(typeof truncate === 'string' ? { truncate } : {}),
        ...(typeof dimensions === 'number' ? { outputDimension: dimensions } : {}),
      },
    };
  },
};

function refine(draft: RequestDraft): void {
  const { body, own, rest, warn, patch } = draft;
  const thinking = thinkingOf(rest.get('thinking'));
  rest.delete('thinking');
  if (thinking !== undefined) own['thinking'] = { type: thinking.type, ...(thinking.budgetTokens === undefined ? {} : { tokenBudget: thinking.budgetTokens }) };
  if (rest.get('parallel_tool_calls') === false) warn('parallel_tool_calls is not supported by this provider');
  rest.delete('parallel_tool_calls');
  rest.delete('service_tier');
  const plans = toolPlans(body['messages']);
  if (plans.some((plan) => plan !== undefined)) patch((sent) => withToolPlans(sent, plans));
  passOnRest(draft);
}

/** What each assistant message said beside its tool calls. */
function toolPlans(messages: unknown): (string | undefined)[] {
  if (!Array.isArray(messages)) return [];
  return (messages as unknown[]).filter((message) => isJsonObject(message) && message['role'] === 'assistant').map((message) => {
    if (!isJsonObject(message) || !Array.isArray(message['tool_calls']) || message['tool_calls'].length === 0) return undefined;
    const content = message['content'];
    const text = typeof content === 'string' ? content : Array.isArray(content) ? content.map((part) => (isJsonObject(part) && typeof part['text'] === 'string' ? part['text'] : '')).join('') : '';
    return text === '' ? undefined : text;
  });
}

/** The SDK drops the text of an assistant message that has tool calls; Cohere's place for it is the tool plan. */
function withToolPlans(sent: JsonObject, plans: readonly (string | undefined)[]): JsonObject {
  if (!Array.isArray(sent['messages'])) return sent;
  let assistant = -1;
  const messages = sent['messages'].map((message): JsonValue => {
    if (!isJsonObject(message) || message['role'] !== 'assistant') return message;
    assistant += 1;
    const plan = plans[assistant];
    return plan === undefined ? message : { ...message, tool_plan: plan };
  });
  return { ...sent, messages };
}
