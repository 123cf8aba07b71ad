/** https://docs.anthropic.com/en/api/handling-stop-reasons. A reason that no table knows still says that the model ended its turn. */
export function anthropicStopReason(finish: { readonly reason: string; readonly stopSequence: string | undefined; readonly sawToolCall: boolean; readonly refused: boolean }): string {
  switch (finish.reason) {
    case 'length': case 'max_tokens': return 'max_tokens';
    case 'content_filter': case 'refusal': return 'refusal';
    case 'tool_calls': case 'function_call': case 'tool_use': return 'tool_use';
    default:
      // Several servers finish with "stop" after tool calls; an Anthropic client runs tools only on tool_use.
      if (finish.sawToolCall) return 'tool_use';
      if (finish.refused) return 'refusal';
      return finish.stopSequence === undefined ? 'end_turn' : 'stop_sequence';
  }
}
