/** An error reply of Redis: the server is there and did not do it. The message begins with its code, such as `WRONGTYPE`. */
export class ReplyError extends Error {
  override name = 'ReplyError';
}

export type Reply = string | Buffer | number | null | ReplyError | Reply[];

export interface ReplyParserOptions {
  /** Whether the strings of the next reply shall stay bytes. Asked once per reply. */
  readonly nextIsBinary: () => boolean;
  readonly onReply: (reply: Reply) => void;
}

const [CR, PLUS, MINUS, COLON, DOLLAR, STAR, ZERO] = [13, 43, 45, 58, 36, 42, 48];
/** Redis' own bound of one value (proto-max-bulk-len). */
const MAX_BULK_BYTES = 512 * 1_024 * 1_024;

/**
 * Reads RESP2 replies (https://redis.io/docs/latest/develop/reference/protocol-spec/) out of chunks of bytes that are cut anywhere.
 * Throws on what is not RESP2; the connection is of no use then.
 *
 * Why not the client's own: its reader keeps its state in WeakMaps and makes a promise and several closures per command. On the path of every request
 * that was most of the cost.
 */
export class ReplyParser {
  readonly #options: ReplyParserOptions;
  /** Chunks of a reply that is not whole yet; joined once all of it is there, so that a large value is copied once. */
  #held: Buffer[] = [];
  #heldBytes = 0;
  #neededBytes = 0;
  #bytes: Buffer = Buffer.alloc(0);
  #position = 0;
  #binary = false;

  constructor(options: ReplyParserOptions) {
    this.#options = options;
  }

  push(chunk: Buffer): void {
    if (this.#heldBytes > 0) {
      this.#held.push(chunk);
      this.#heldBytes += chunk.length;
      if (this.#heldBytes < this.#neededBytes) return;
      chunk = Buffer.concat(this.#held, this.#heldBytes);
      this.#held = [];
      this.#heldBytes = 0;
    }
    this.#bytes = chunk;
    this.#position = 0;
    while (this.#position < chunk.length) {
      const start = this.#position;
      this.#binary = this.#options.nextIsBinary();
      const reply = this.#read();
      if (reply === undefined) {
        this.#hold(chunk, start);
        break;
      }
      this.#options.onReply(reply);
    }
    this.#bytes = EMPTY;
  }

  #hold(chunk: Buffer, start: number): void {
    const rest = start === 0 ? chunk : chunk.subarray(start);
    this.#held.push(rest);
    this.#heldBytes = rest.length;
    // #position is where the missing part begins to be known: at least so much more is needed.
    this.#neededBytes = Math.max(rest.length + 1, this.#position - start);
  }

  /** The reply at the position, which moves behind it; undefined when it is not whole, and then the position is where it would at least end. */
  #read(): Reply | undefined {
    const bytes = this.#bytes;
    const type = bytes[this.#position];
    const end = bytes.indexOf(CR, this.#position);
    // The line feed after the carriage return has to be there too.
    if (end < 0 || end + 1 >= bytes.length) {
      this.#position = bytes.length + 1;
      return undefined;
    }
    const from = this.#position + 1;
    const next = end + 2;
    switch (type) {
      case PLUS:
        this.#position = next;
        return bytes.toString('latin1', from, end);
      case MINUS:
        this.#position = next;
        return new ReplyError(bytes.toString('utf8', from, end));
      case COLON:
        this.#position = next;
        return this.#integer(from, end);
      case DOLLAR: {
        const length = this.#integer(from, end);
        if (length > MAX_BULK_BYTES) throw new Error('Redis announced a value beyond all bounds.');
        if (length < 0) {
          this.#position = next;
          return null;
        }
        this.#position = next + length + 2;
        if (this.#position > bytes.length) return undefined;
        return this.#binary ? bytes.subarray(next, next + length) : bytes.toString('utf8', next, next + length);
      }
      case STAR: {
        const count = this.#integer(from, end);
        this.#position = next;
        if (count < 0) return null;
        const items: Reply[] = [];
        for (let index = 0; index < count; index += 1) {
          if (this.#position >= bytes.length) {
            this.#position = bytes.length + 1;
            return undefined;
          }
          const item = this.#read();
          if (item === undefined) return undefined;
          items.push(item);
        }
        return items;
      }
      default: throw new Error('What answers is not a Redis server.');
    }
  }

  #integer(from: number, end: number): number {
    const bytes = this.#bytes;
    const negative = bytes[from] === MINUS;
    let value = 0;
    for (let index = negative ? from + 1 : from; index < end; index += 1) {
      const digit = (bytes[index] ?? 0) - ZERO;
      if (digit < 0 || digit > 9) throw new Error('What answers is not a Redis server.');
      value = value * 10 + digit;
    }
    return negative ? -value : value;
  }
}

const EMPTY = Buffer.alloc(0);
