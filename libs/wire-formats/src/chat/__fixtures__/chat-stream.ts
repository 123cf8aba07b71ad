/** One chat stream as a provider sends it, for the tests of all translations: reasoning, text, two parallel tool calls, usage last. */
export function chatChunk(delta: object, finishReason: string | null = null, rest: object = {}): object {
  return { id: 'chatcmpl-1', object: 'chat.completion.chunk', created: 1, model: 'up-model', choices: [{ index: 0, delta, logprobs: null, finish_reason: finishReason, ...rest }] };
}

export const chatUsage = {
  prompt_tokens: 20, completion_tokens: 30, total_tokens: 50,
  prompt_tokens_details: { cached_tokens: 8 }, completion_tokens_details: { reasoning_tokens: 12 },
};

export const usageChunk = { id: 'chatcmpl-1', object: 'chat.completion.chunk', created: 1, model: 'up-model', choices: [], usage: chatUsage };

export const everythingStream: readonly object[] = [
  chatChunk({ role: 'assistant', content: '' }),
  chatChunk({ reasoning_content: 'Let me ' }),
  chatChunk({ reasoning_content: 'look.' }),
  chatChunk({ content: 'I will ' }),
  chatChunk({ content: 'check "both".' }),
  chatChunk({ tool_calls: [{ index: 0, id: 'call_a', type: 'function', function: { name: 'weather', arguments: '' } }] }),
  chatChunk({ tool_calls: [{ index: 0, function: { arguments: '{"city":' } }] }),
  chatChunk({ tool_calls: [{ index: 0, function: { arguments: '"Rome"}' } }] }),
  chatChunk({ tool_calls: [{ index: 1, id: 'call_b', type: 'function', function: { name: 'time', arguments: '{}' } }] }),
  chatChunk({}, 'tool_calls'),
  usageChunk,
];

/** The same reply in one piece. */
export const everythingReply = {
  id: 'chatcmpl-1', object: 'chat.completion', created: 1, model: 'up-model',
  choices: [{
    index: 0, finish_reason: 'tool_calls', logprobs: null,
    message: {
      role: 'assistant', content: 'I will check "both".', refusal: null, reasoning_content: 'Let me look.',
      tool_calls: [
        { id: 'call_a', type: 'function', function: { name: 'weather', arguments: '{"city":"Rome"}' } },
        { id: 'call_b', type: 'function', function: { name: 'time', arguments: '{}' } },
      ],
    },
  }],
  usage: chatUsage,
};
