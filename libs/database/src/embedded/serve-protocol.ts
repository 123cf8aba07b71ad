import type { Socket } from 'node:net';

/** What runs frontend messages of the Postgres protocol and returns the answer's bytes: PGlite, which has a single session. */
export interface ProtocolEngine {
  execProtocolRaw(message: Uint8Array): Promise<Uint8Array>;
}

/** One connection after another may use the engine; a turn lasts until the server is ready for a query outside a transaction. */
export class Turns {
  #busy = false;
  readonly #waiting: (() => void)[] = [];

  async take(): Promise<void> {
    if (this.#busy) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    this.#busy = true;
  }

  give(): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#busy = false;
    else next();
  }
}

const LARGEST_MESSAGE_BYTES = 256 * 1_048_576;
const IDLE_IN_TRANSACTION_MS = 10_000;
const SSL_REQUEST = 80_877_103;
const GSS_REQUEST = 80_877_104;
const CANCEL_REQUEST = 80_877_102;

const message = (type: string, body: Buffer): Buffer => {
  const head = Buffer.alloc(5);
  head.write(type, 'latin1');
  head.writeInt32BE(body.length + 4, 1);
  return Buffer.concat([head, body]);
};
const parameter = (name: string, value: string): Buffer => message('S', Buffer.from(`${name}\0${value}\0`));
const rollback = message('Q', Buffer.from('ROLLBACK\0'));
const READY = message('Z', Buffer.from('I'));
/** The answer to a startup packet: no password, what drivers want to know, and a key for cancelling that does nothing here. */
const WELCOME = Buffer.concat([
  message('R', Buffer.alloc(4)), parameter('server_version', '18.0'), parameter('server_encoding', 'UTF8'), parameter('client_encoding', 'UTF8'), parameter('DateStyle', 'ISO, MDY'),
  parameter('integer_datetimes', 'on'), parameter('standard_conforming_strings', 'on'), message('K', Buffer.alloc(8)), READY,
]);

/**
 * Speaks the Postgres protocol (version 3, "Frontend/Backend Protocol") on a socket for an engine with one session. Messages are handed over in whole exchanges, up to the Sync or
 * simple query that ends each, and in a transaction the engine stays with this connection: nothing of another can come between a Parse and its Execute, or into a transaction.
 */
export function serveProtocol(socket: Socket, engine: ProtocolEngine, turns: Turns): void {
  const input = new MessageQueue();
  let working = false;
  let holding = false;
  let inTransaction = false;
  let idle: NodeJS.Timeout | undefined;

  socket.setNoDelay(true);
  socket.on('error', () => socket.destroy());
  socket.on('data', (chunk: Buffer) => {
    input.push(chunk);
    if (!working) void work();
  });
  socket.on('close', () => {
    clearTimeout(idle);
    if (!working) void work();
  });

  async function work(): Promise<void> {
    working = true;
    try {
      while (!socket.destroyed) {
        const exchange = input.next(socket);
        if (exchange === undefined) break;
        clearTimeout(idle);
        if (!holding) {
          await turns.take();
          holding = true;
          if (socket.destroyed) break;
        }
        const answer = Buffer.from(await engine.execProtocolRaw(exchange));
        const status = answer.length >= 6 && answer[answer.length - 6] === 0x5a ? String.fromCharCode(answer[answer.length - 1] ?? 0) : undefined;
        inTransaction = status !== 'I';
        socket.write(answer);
        // No status: it waits for COPY data or the like, which nobody here sends.
        if (status === undefined) socket.destroy();
        if (!inTransaction) giveTurn();
      }
      if (socket.destroyed && holding) {
        if (inTransaction) await engine.execProtocolRaw(rollback);
        inTransaction = false;
        giveTurn();
      } else if (holding) {
        idle = setTimeout(() => socket.destroy(), IDLE_IN_TRANSACTION_MS);
      }
    } finally {
      working = false;
    }
  }

  function giveTurn(): void {
    holding = false;
    turns.give();
  }
}

/** Cuts what arrives into startup packets, answered here, and exchanges for the engine. */
class MessageQueue {
  #chunks: Buffer[] = [];
  #bytes = 0;
  /** Bytes from which on it is worth looking again. */
  #wanted = 1;
  #started = false;

  push(chunk: Buffer): void {
    this.#chunks.push(chunk);
    this.#bytes += chunk.length;
  }

  /** The next whole exchange; undefined when more must arrive. Answers startup packets and ends the connection where that is the answer. */
  next(socket: Socket): Buffer | undefined {
    while (this.#bytes >= this.#wanted && !socket.destroyed) {
      const all = this.#chunks.length === 1 && this.#chunks[0] !== undefined ? this.#chunks[0] : Buffer.concat(this.#chunks);
      this.#chunks = [all];
      if (!this.#started) {
        if (!this.#startup(all, socket)) return undefined;
        continue;
      }
      let end = 0;
      for (;;) {
        if (all.length < end + 5) return this.#waitFor(end + 5);
        const type = String.fromCharCode(all[end] ?? 0);
        const next = end + 1 + all.readInt32BE(end + 1);
        if (next < end + 5 || next - end > LARGEST_MESSAGE_BYTES || type === 'X') {
          socket.destroy();
          return undefined;
        }
        if (all.length < next) return this.#waitFor(next);
        end = next;
        if (type === 'S' || type === 'Q') break;
      }
      this.#cut(all, end);
      return all.subarray(0, end);
    }
    return undefined;
  }

  #startup(all: Buffer, socket: Socket): boolean {
    if (all.length < 8) return this.#waitFor(8) !== undefined;
    const [length, code] = [all.readInt32BE(0), all.readInt32BE(4)];
    if (length < 8 || length > 10_000 || code === CANCEL_REQUEST) {
      socket.destroy();
      return false;
    }
    if (all.length < length) return this.#waitFor(length) !== undefined;
    this.#cut(all, length);
    if (code === SSL_REQUEST || code === GSS_REQUEST) {
      socket.write('N');
    } else {
      this.#started = true;
      socket.write(WELCOME);
    }
    return true;
  }

  #waitFor(bytes: number): undefined {
    this.#wanted = bytes;
    return undefined;
  }

  #cut(all: Buffer, at: number): void {
    const rest = all.subarray(at);
    this.#chunks = rest.length === 0 ? [] : [rest];
    this.#bytes = rest.length;
    this.#wanted = 1;
  }
}
