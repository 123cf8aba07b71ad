import type { SseEvent } from './sse.ts';

/**
 * The bytes of events as text, ready for one `response.write`: an `event:` line where the event has a name, then `data:`, then a blank line.
 * A line break inside `data` becomes a second `data:` line, as the SSE rules ask, so that no value can forge a frame.
 */
export function formatSse(events: readonly SseEvent[]): string {
  let text = '';
  for (const { event, data } of events) {
    if (event !== '') text += `event: ${event}\n`;
    text += data.includes('\n') || data.includes('\r') ? `data: ${data.replaceAll(/\r\n?|\n/g, '\ndata: ')}\n\n` : `data: ${data}\n\n`;
  }
  return text;
}

/** The last frame of an OpenAI chat or completions stream. */
export const DONE_EVENT: SseEvent = { event: '', data: '[DONE]' };

/** An event of the OpenAI chat and completions formats, which name none. Keeps `value`, so that the next reader need not parse. */
export function dataEvent(value: unknown): SseEvent {
  return { event: '', data: JSON.stringify(value), value };
}

/** An event of the Anthropic and Responses formats, where the `event:` line repeats `type`. */
export function typedEvent<T extends { readonly type: string }>(value: T): SseEvent {
  return { event: value.type, data: JSON.stringify(value), value };
}
