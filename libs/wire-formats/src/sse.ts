/** One server-sent event. `event` is '' where the format names none (OpenAI chat); `data` is the text after `data: `, JSON or `[DONE]`. */
export interface SseEvent {
  readonly event: string;
  readonly data: string;
  /** The parsed `data`, where the producer has it already: saves the consumer a parse. */
  readonly value?: unknown;
}
