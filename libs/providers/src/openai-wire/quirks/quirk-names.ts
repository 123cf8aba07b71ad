/** Every way in which a provider's OpenAI body is known to differ. Requests: `body-quirks.ts`. Replies: `reply-quirks.ts`. */
export const QUIRK_NAMES = [
  'cache_control_into_content',
  'content_list_to_string',
  'drop_empty_assistant_messages',
  'drop_non_function_tools',
  'drop_null_function_call_fields',
  'echo_reasoning_content',
  'force_store_false',
  'name_only_on_tool_role',
  'no_stop_or_penalties_on_reasoning_models',
  'openai_model_rules',
  'seed_to_random_seed',
  'strip_cache_control',
  'strip_cache_control_unless_claude',
  'strip_schema_fields',
  'temperature_at_most_1',
  'temperature_at_most_1_99',
  'thinking_param',
  'tool_choice_auto_only',
  'tool_choice_required_to_any',
  'tool_choice_required_via_message',
  'tool_message_content_to_string',
  // Requests and replies
  'thinking_blocks',
  // Replies
  'citations_to_annotations',
  'finish_reason_for_tools',
  'reasoning_field',
  'reasoning_tokens_into_completion',
  'search_queries_in_usage',
  'tool_calls_in_content',
] as const;

export type QuirkName = (typeof QUIRK_NAMES)[number];
