import { AppError } from '@pointsman/errors';
import type { SseEvent } from './sse.ts';

const LINE_FEED = 0x0a;
const CARRIAGE_RETURN = 0x0d;
const NOTHING: readonly SseEvent[] = [];
const DEFAULT_MAX_EVENT_CHARACTERS = 16 * 1024 * 1024;

export interface SseParserOptions {
  /** Longest event the parser holds while it waits for its end, in UTF-16 units; default 16 Mi. Images in a stream are the large ones. */
  readonly maxEventCharacters?: number;
}

/** What `SseParser.end` found. */
export interface SseEnd {
  /** True when the bytes stopped inside an event: whatever came after the last blank line was not delivered. */
  readonly incomplete: boolean;
  /**
   * The event that was cut, as far as it had arrived. The SSE specification drops it, and so must a caller, with one exception worth making:
   * several servers end with `data: [DONE]` and no blank line, and that text cannot be the beginning of anything else.
   */
  readonly leftover: SseEvent | undefined;
}

/**
 * Reads `text/event-stream` bytes as they come, cut anywhere: inside a character, a line ending or a field name.
 * Follows the WHATWG event stream rules (BOM, comments, LF, CRLF and CR, several `data` lines, `id` and `retry` ignored).
 * The usual chunk, whole frames of `data: …\n\n`, costs one string and one slice per event.
 */
export class SseParser {
  readonly #maxEventCharacters: number;
  /** The first bytes of a character whose rest is still to come: at most three. */
  #cutCharacter: Buffer | undefined;
  /** The last chunk ended with CR, which already ended a line: a LF at the start of the next chunk belongs to it. */
  #skipLineFeed = false;
  #atStart = true;
  #line = '';
  #event = '';
  #data: string | undefined;

  constructor(options: SseParserOptions = {}) {
    this.#maxEventCharacters = options.maxEventCharacters ?? DEFAULT_MAX_EVENT_CHARACTERS;
  }

  /**
   * Takes the next bytes and returns the events that they completed, in order.
   * @throws AppError `upstream_failed` / `stream_event_too_large` when an event grows past the limit; the parser is of no use afterwards.
   */
  push(chunk: Buffer): readonly SseEvent[] {
    let text = this.#decode(chunk);
    if (this.#atStart && text !== '') {
      this.#atStart = false;
      if (text.charCodeAt(0) === 0xfeff) text = text.slice(1);
    }
    if (text === '') return NOTHING;
    if (this.#skipLineFeed || text.includes('\r')) text = this.#withLineFeedsOnly(text);

    const events: SseEvent[] = [];
    let position = 0;
    const length = text.length;
    while (position < length) {
      const lineEnd = text.indexOf('\n', position);
      if (lineEnd === -1) {
        this.#line += position === 0 ? text : text.slice(position);
        break;
      }
      if (this.#line !== '') {
        this.#takeLine(this.#line + text.slice(position, lineEnd), events);
        this.#line = '';
        position = lineEnd + 1;
      } else if (lineEnd > position && text.charCodeAt(lineEnd + 1) === LINE_FEED && this.#data === undefined && text.startsWith('data: ', position)) {
        // The whole event is one line: `data: …` and the blank line after it.
        events.push({ event: this.#event, data: text.slice(position + 6, lineEnd) });
        if (this.#event !== '') this.#event = '';
        position = lineEnd + 2;
      } else {
        this.#takeLine(text.slice(position, lineEnd), events);
        position = lineEnd + 1;
      }
    }
    if (this.#line.length + (this.#data?.length ?? 0) > this.#maxEventCharacters) {
      throw new AppError('upstream_failed', 'stream_event_too_large', `An event of the model provider's stream is longer than ${this.#maxEventCharacters} characters.`);
    }
    return events;
  }

  /** Tells whether the bytes ended where an event ended. Call it once, when no more bytes will come. */
  end(): SseEnd {
    const incomplete = this.#line !== '' || this.#data !== undefined || this.#event !== '' || this.#cutCharacter !== undefined;
    if (!incomplete) return { incomplete, leftover: undefined };
    const ignored: SseEvent[] = [];
    if (this.#line !== '') this.#takeLine(this.#line, ignored);
    return { incomplete, leftover: { event: this.#event, data: this.#data ?? '' } };
  }

  #decode(chunk: Buffer): string {
    let bytes = chunk;
    if (this.#cutCharacter !== undefined) {
      bytes = Buffer.concat([this.#cutCharacter, chunk]);
      this.#cutCharacter = undefined;
    }
    const length = bytes.length;
    if (length === 0) return '';
    if ((bytes[length - 1] as number) < 0x80) return bytes.toString('utf8');
    const cut = cutTail(bytes);
    if (cut === 0) return bytes.toString('utf8');
    // A copy: the caller may reuse its buffer.
    this.#cutCharacter = Buffer.from(bytes.subarray(length - cut));
    return bytes.toString('utf8', 0, length - cut);
  }

  /** CR and CRLF become LF. A CR ends its line at once, so that a stream of bare CRs is not held back by one event. */
  #withLineFeedsOnly(text: string): string {
    const from = this.#skipLineFeed && text.charCodeAt(0) === LINE_FEED ? 1 : 0;
    this.#skipLineFeed = text.charCodeAt(text.length - 1) === CARRIAGE_RETURN;
    return text.slice(from).replaceAll(/\r\n?/g, '\n');
  }

  #takeLine(line: string, events: SseEvent[]): void {
    if (line === '') {
      if (this.#data !== undefined) events.push({ event: this.#event, data: this.#data });
      this.#data = undefined;
      this.#event = '';
      return;
    }
    const colon = line.indexOf(':');
    if (colon === 0) return; // a comment: providers and proxies send them to keep a connection alive
    const field = colon === -1 ? line : line.slice(0, colon);
    if (field === 'data') {
      const value = fieldValue(line, colon);
      this.#data = this.#data === undefined ? value : `${this.#data}\n${value}`;
    } else if (field === 'event') {
      this.#event = fieldValue(line, colon);
    }
  }
}

function fieldValue(line: string, colon: number): string {
  if (colon === -1) return '';
  return line.slice(line.charCodeAt(colon + 1) === 0x20 ? colon + 2 : colon + 1);
}

/** How many bytes at the end begin a UTF-8 character without finishing it: 0 to 3. */
function cutTail(bytes: Buffer): number {
  const length = bytes.length;
  for (let back = 1; back <= 3 && back <= length; back += 1) {
    const byte = bytes[length - back] as number;
    if ((byte & 0xc0) === 0x80) continue;
    if (byte < 0xc0) return 0;
    const size = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : 2;
    return size > back ? back : 0;
  }
  return 0;
}
