/** What a reader tells about each message, in order: one head, any number of body pieces, one end. */
export interface HttpMessageSink {
  /** The start line and headers, latin1, lower case, without the empty line. */
  onHead(head: string): void;
  /** Body bytes with chunk framing removed. The buffer is a view of what was pushed: copy it to keep it. */
  onBody(piece: Buffer): void;
  onEnd(): void;
}

type State = 'head' | 'sized-body' | 'chunk-size' | 'chunk-data' | 'chunk-end' | 'trailers' | 'until-close';

const headEnd = Buffer.from('\r\n\r\n');
const lineEnd = Buffer.from('\r\n');
const maxHeadBytes = 64 * 1024;
const none = Buffer.alloc(0);

/**
 * Reads HTTP/1.1 messages (RFC 9112) from one connection: requests and responses alike, kept alive, sized or chunked.
 * Both ends of the bench use it instead of `node:http`, whose own cost would be as large as that of what is measured.
 * Throws `Error` on bytes that are no such message.
 */
export class HttpMessageReader {
  readonly #sink: HttpMessageSink;
  #state: State = 'head';
  #rest: Buffer = none;
  #left = 0;

  constructor(sink: HttpMessageSink) {
    this.#sink = sink;
  }

  /** Whether the connection is between two messages: closing it now cuts nothing off. */
  get isIdle(): boolean {
    return this.#state === 'head' && this.#rest.length === 0;
  }

  /** The peer closed the connection. Returns false when that cut a message. */
  close(): boolean {
    if (this.#state === 'until-close') {
      this.#state = 'head';
      this.#sink.onEnd();
      return true;
    }
    return this.isIdle;
  }

  push(bytes: Buffer): void {
    let data = this.#rest.length === 0 ? bytes : Buffer.concat([this.#rest, bytes]);
    this.#rest = none;
    while (data.length > 0) {
      const used = this.#step(data);
      if (used === undefined) {
        if (data.length > maxHeadBytes) throw new Error('HTTP head or chunk line is too long.');
        this.#rest = data;
        return;
      }
      data = used === data.length ? none : data.subarray(used);
    }
  }

  /** Consumes from the start of `data`; returns the bytes used, or undefined when more must arrive first. */
  #step(data: Buffer): number | undefined {
    switch (this.#state) {
      case 'head':
        return this.#head(data);
      case 'sized-body':
      case 'chunk-data': {
        const piece = data.length <= this.#left ? data : data.subarray(0, this.#left);
        this.#left -= piece.length;
        this.#sink.onBody(piece);
        if (this.#left === 0) {
          if (this.#state === 'sized-body') this.#finish();
          else this.#state = 'chunk-end';
        }
        return piece.length;
      }
      case 'until-close':
        this.#sink.onBody(data);
        return data.length;
      case 'chunk-end':
        if (data.length < 2) return undefined;
        if (data[0] !== 13 || data[1] !== 10) throw new Error('A chunk is longer than it said.');
        this.#state = 'chunk-size';
        return 2;
      case 'chunk-size': {
        const end = data.indexOf(lineEnd);
        if (end < 0) return undefined;
        const size = Number.parseInt(data.toString('latin1', 0, end), 16);
        if (Number.isNaN(size)) throw new Error('A chunk size is not a hexadecimal number.');
        this.#left = size;
        this.#state = size === 0 ? 'trailers' : 'chunk-data';
        return end + 2;
      }
      case 'trailers': {
        const end = data.indexOf(lineEnd);
        if (end < 0) return undefined;
        if (end === 0) this.#finish();
        return end + 2;
      }
    }
  }

  #head(data: Buffer): number | undefined {
    const end = data.indexOf(headEnd);
    if (end < 0) return undefined;
    const head = data.toString('latin1', 0, end).toLowerCase();
    const length = headerValue(head, 'content-length');
    if (headerValue(head, 'transfer-encoding')?.includes('chunked') === true) this.#state = 'chunk-size';
    else if (length !== undefined) {
      this.#left = Number.parseInt(length, 10);
      if (!Number.isSafeInteger(this.#left) || this.#left < 0) throw new Error('content-length is not a number.');
      this.#state = 'sized-body';
    } else if (head.startsWith('http/')) this.#state = 'until-close';
    else this.#left = 0;
    this.#sink.onHead(head);
    if (this.#left === 0 && (this.#state === 'sized-body' || this.#state === 'head')) this.#finish();
    return end + 4;
  }

  #finish(): void {
    this.#state = 'head';
    this.#sink.onEnd();
  }
}

/** The value of a header in a lower-cased head, trimmed; undefined when absent. The first one where a header is repeated. */
export function headerValue(head: string, name: string): string | undefined {
  const at = head.indexOf(`\r\n${name}:`);
  if (at < 0) return undefined;
  const from = at + name.length + 3;
  const end = head.indexOf('\r\n', from);
  return head.slice(from, end < 0 ? undefined : end).trim();
}
