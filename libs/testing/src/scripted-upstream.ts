import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import { setImmediate as nextTurn, setTimeout as delay } from 'node:timers/promises';

/**
 * One thing that a scripted reply does. Bytes are written as they are (inside chunked framing: one chunk each);
 * an `end` step ends the reply there and then, without the last chunk: `reset` sends RST, `fin` closes, `stall` stays silent until the other side leaves.
 */
export type ScriptStep =
  | string
  | Uint8Array
  | { readonly waitMs: number }
  | { readonly until: PromiseLike<unknown> }
  | { readonly end: 'reset' | 'fin' | 'stall' };

/** The reply to one request, byte for byte. */
export interface Script {
  /** 200 by default. */
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string | readonly string[]>>;
  /**
   * How the body is delimited. `content-length` by default (the sum of all byte steps, unless `headers` sets another one),
   * `close` ends with the connection, `raw` writes no head at all: the steps are everything that goes over the wire.
   */
  readonly framing?: 'content-length' | 'chunked' | 'close' | 'raw';
  /** Done before the status line: a slow provider, a reset before any byte. */
  readonly before?: readonly ScriptStep[];
  readonly steps: readonly ScriptStep[];
}

/** One script for every call, a sequence (the last one repeats), or a decision per call. */
export type ScriptChoice = Script | readonly Script[] | ((call: UpstreamCall) => Script);

/** What the server saw of one request. Fields after `json` change while the reply is under way. */
export interface UpstreamCall {
  readonly method: string;
  /** Path and query, exactly as sent. */
  readonly path: string;
  /** Names in lower case; the last one wins. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  /** The parsed body, undefined when it is not JSON. */
  readonly json: unknown;
  /** Counts connections from 1: equal numbers mean a reused connection. */
  readonly connection: number;
  /** The other side went away before the script had ended. */
  aborted: boolean;
  /** The script ran to its end (or to its own `end` step). */
  finished: boolean;
  /** Body bytes handed to the socket so far. */
  bytesSent: number;
  /** The socket's buffer is full: the other side does not read. */
  blocked: boolean;
  /** `performance.now()` when the connection closed. */
  closedAt: number | undefined;
}

export interface ScriptedUpstreamOptions {
  /** For calls whose model has no script of its own. Without it such calls are answered 500. */
  readonly reply?: ScriptChoice;
  /** By the `model` of the request body, so that one server acts as many deployments. */
  readonly scripts?: Readonly<Record<string, ScriptChoice>>;
  /** 0 (any free port) by default. */
  readonly port?: number;
}

export interface ScriptedUpstream extends AsyncDisposable {
  /** `http://127.0.0.1:PORT`, no path. */
  readonly url: string;
  readonly port: number;
  /** In the order in which their bodies were complete. */
  readonly calls: readonly UpstreamCall[];
  readonly openConnections: number;
  /** Replaces the scripts for calls that arrive from now on. */
  use(options: Pick<ScriptedUpstreamOptions, 'reply' | 'scripts'>): void;
  /** Resets every open connection; the listener stays. */
  resetConnections(): void;
  close(): Promise<void>;
}

/** A JSON reply with a content length. Strings are sent as they are: for bodies that are not JSON. */
export function json(body: unknown, options: Pick<Script, 'status' | 'headers'> = {}): Script {
  return { status: options.status ?? 200, headers: { 'content-type': 'application/json', ...options.headers }, steps: [typeof body === 'string' ? body : JSON.stringify(body)] };
}

export interface SseOptions {
  /** Whether `data: [DONE]` follows the events. True by default. */
  readonly done?: boolean;
  /** A pause after each event. */
  readonly everyMs?: number;
  /** Cuts the bytes of the whole stream into pieces of this size, across event boundaries. */
  readonly cut?: number;
  readonly framing?: Script['framing'];
  readonly headers?: Script['headers'];
  /** How the stream ends instead of properly. */
  readonly end?: 'reset' | 'fin' | 'stall';
}

/** An event stream. Objects are sent as JSON, strings as they are, each in one `data:` line. */
export function sse(events: readonly (string | object)[], options: SseOptions = {}): Script {
  const frames = events.map((event) => `data: ${typeof event === 'string' ? event : JSON.stringify(event)}\n\n`);
  if (options.done ?? true) frames.push('data: [DONE]\n\n');
  const steps: ScriptStep[] = [];
  if (options.cut !== undefined) steps.push(...cutEvery(options.cut)(frames.join('')));
  else for (const frame of frames) steps.push(frame, ...(options.everyMs === undefined ? [] : [{ waitMs: options.everyMs }]));
  if (options.end !== undefined) steps.push({ end: options.end });
  return { headers: { 'content-type': 'text/event-stream', ...options.headers }, framing: options.framing ?? 'chunked', steps };
}

/** Chat completion chunks: one per text, a role chunk before and a chunk with `finish_reason` after them. */
export function chatChunks(texts: readonly string[], { model = 'scripted', finishReason = 'stop' }: { readonly model?: string; readonly finishReason?: string } = {}): object[] {
  const chunk = (delta: object, finish: string | null): object => ({ id: 'chatcmpl-scripted', object: 'chat.completion.chunk', created: 1_700_000_000, model, choices: [{ index: 0, delta, finish_reason: finish }] });
  return [chunk({ role: 'assistant', content: '' }, null), ...texts.map((content) => chunk({ content }, null)), chunk({}, finishReason)];
}

/** Cuts bytes into pieces of `size`, also in the middle of a character. */
export function cutEvery(size: number): (bytes: string | Uint8Array) => Buffer[] {
  return (bytes) => {
    const whole = Buffer.from(bytes);
    const pieces: Buffer[] = [];
    for (let at = 0; at < whole.length; at += size) pieces.push(whole.subarray(at, at + size));
    return pieces;
  };
}

/** A promise that the test settles: `{ until: gate.opened }` holds a script until `gate.open()`. */
export function createGate(): { readonly opened: Promise<void>; open(): void } {
  const { promise, resolve } = Promise.withResolvers<void>();
  return { opened: promise, open: () => resolve() };
}

/**
 * An HTTP/1.1 server on 127.0.0.1 that answers with exactly the bytes of a script: cut anywhere, slow, truncated, reset or silent.
 * Written on raw sockets because an HTTP library repairs what a faulty provider breaks.
 */
export async function startScriptedUpstream(options: ScriptedUpstreamOptions = {}): Promise<ScriptedUpstream> {
  let choices: Pick<ScriptedUpstreamOptions, 'reply' | 'scripts'> = options;
  const served = new Map<readonly Script[], number>();
  const calls: UpstreamCall[] = [];
  const sockets = new Set<Socket>();
  const conversations = new Set<Promise<void>>();
  let connections = 0;

  const choose = (call: UpstreamCall): Script => {
    const model = modelOf(call.json);
    const own = model !== undefined && choices.scripts !== undefined && Object.hasOwn(choices.scripts, model) ? choices.scripts[model] : undefined;
    const choice = own ?? choices.reply;
    if (choice === undefined) return json({ error: { message: `no script for model ${model ?? '(none)'}`, type: 'test_error' } }, { status: 500 });
    if (typeof choice === 'function') return choice(call);
    if (!isSequence(choice)) return choice;
    const index = served.get(choice) ?? 0;
    served.set(choice, index + 1);
    return choice[Math.min(index, choice.length - 1)] ?? json('an empty sequence', { status: 500 });
  };

  const server = createServer({ noDelay: true }, (socket) => {
    connections += 1;
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
    socket.on('error', () => undefined); // a reset by the other side is what many scripts are for
    const conversation = converse(socket, connections, (call) => {
      calls.push(call);
      return choose(call);
    }).finally(() => conversations.delete(conversation));
    conversations.add(conversation);
  });
  server.listen(options.port ?? 0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('The scripted upstream has no port.');
  const { port } = address;

  const close = async (): Promise<void> => {
    const closed = server.listening ? once(server, 'close') : Promise.resolve();
    server.close();
    for (const socket of sockets) socket.destroy();
    await closed;
    await Promise.all(conversations);
  };
  return {
    url: `http://127.0.0.1:${port}`,
    port,
    calls,
    get openConnections() {
      return sockets.size;
    },
    use(next) {
      choices = next;
    },
    resetConnections() {
      for (const socket of sockets) socket.resetAndDestroy();
    },
    close,
    [Symbol.asyncDispose]: close,
  };
}

function isSequence(choice: Script | readonly Script[]): choice is readonly Script[] {
  return Array.isArray(choice);
}

function modelOf(body: unknown): string | undefined {
  if (typeof body !== 'object' || body === null) return undefined;
  const model: unknown = (body as { readonly model?: unknown }).model;
  return typeof model === 'string' ? model : undefined;
}

/** Reads requests off one connection and answers them one after the other until either side closes. */
async function converse(socket: Socket, connection: number, answer: (call: UpstreamCall) => Script): Promise<void> {
  const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()));
  const reader = new RequestReader(socket, closed);
  while (!socket.destroyed) {
    const request = await reader.next();
    if (request === undefined) return;
    const call: UpstreamCall = { ...request, connection, aborted: false, finished: false, bytesSent: 0, blocked: false, closedAt: undefined };
    const onClose = (): void => {
      call.closedAt = performance.now();
      if (!call.finished) call.aborted = true;
    };
    socket.once('close', onClose);
    const keepAlive = await play(socket, answer(call), call, closed);
    if (!keepAlive) {
      await closed;
      return;
    }
    socket.off('close', onClose);
  }
}

/** Runs one script; true when the connection may serve another request. */
async function play(socket: Socket, script: Script, call: UpstreamCall, closed: Promise<void>): Promise<boolean> {
  const framing = script.framing ?? 'content-length';
  const run = async (steps: readonly ScriptStep[], isBody: boolean): Promise<boolean> => {
    for (const [index, step] of steps.entries()) {
      if (socket.destroyed) return false;
      if (typeof step === 'string' || step instanceof Uint8Array) {
        const bytes = Buffer.from(step);
        if (bytes.length === 0) continue;
        const framed = isBody && framing === 'chunked' ? Buffer.concat([Buffer.from(`${bytes.length.toString(16)}\r\n`), bytes, Buffer.from('\r\n')]) : bytes;
        await write(socket, framed, closed, {
          onFull: () => { call.blocked = true; },
          onTaken: () => {
            call.blocked = false;
            call.bytesSent += bytes.length;
            // A client may leave as soon as it has the last byte: that is no abort.
            if (isBody && framing !== 'chunked' && index === steps.length - 1) call.finished = true;
          },
        });
      } else if ('waitMs' in step) {
        await Promise.race([delay(step.waitMs), closed]);
      } else if ('until' in step) {
        await Promise.race([step.until, closed]);
      } else {
        // A stalled reply is not finished: whoever gives up on it shows as `aborted`.
        if (step.end !== 'stall') call.finished = true;
        if (step.end === 'reset') socket.resetAndDestroy();
        else if (step.end === 'fin') socket.end();
        return false;
      }
    }
    return !socket.destroyed;
  };
  if (!(await run(script.before ?? [], false))) return false;
  if (framing !== 'raw') await write(socket, Buffer.from(head(script, framing), 'latin1'), closed);
  if (!(await run(script.steps, true))) return false;
  call.finished = true;
  if (framing === 'chunked') await write(socket, Buffer.from('0\r\n\r\n'), closed);
  if (framing === 'close' || framing === 'raw') socket.end();
  return framing === 'content-length' || framing === 'chunked';
}

function head(script: Script, framing: 'content-length' | 'chunked' | 'close'): string {
  const lines = [`HTTP/1.1 ${script.status ?? 200} Scripted`];
  for (const [name, value] of Object.entries(script.headers ?? {})) for (const one of typeof value === 'string' ? [value] : value) lines.push(`${name}: ${one}`);
  const names = new Set(Object.keys(script.headers ?? {}).map((name) => name.toLowerCase()));
  if (framing === 'chunked') lines.push('transfer-encoding: chunked');
  if (framing === 'close') lines.push('connection: close');
  if (framing === 'content-length' && !names.has('content-length')) {
    let length = 0;
    for (const step of script.steps) if (typeof step === 'string' || step instanceof Uint8Array) length += Buffer.byteLength(step);
    lines.push(`content-length: ${length}`);
  }
  return `${lines.join('\r\n')}\r\n\r\n`;
}

interface WriteListener {
  /** The socket's buffer is full. */
  onFull(): void;
  /** The socket has taken the bytes and has room again. */
  onTaken(): void;
}

/** Writes and then lets the loop turn, so that two writes do not arrive as one read. */
async function write(socket: Socket, bytes: Buffer, closed: Promise<void>, listener?: WriteListener): Promise<void> {
  if (socket.destroyed) return;
  if (!socket.write(bytes)) {
    listener?.onFull();
    const drained = Promise.withResolvers<void>();
    const onDrain = (): void => drained.resolve();
    socket.once('drain', onDrain);
    await Promise.race([drained.promise, closed]);
    socket.off('drain', onDrain);
    if (socket.destroyed) return;
  }
  listener?.onTaken();
  await nextTurn();
}

type ReadRequest = Pick<UpstreamCall, 'method' | 'path' | 'headers' | 'body' | 'json'>;

/** The little of HTTP/1.1 that a client of providers sends: a head, then a body with a length or in chunks. */
class RequestReader {
  readonly #socket: Socket;
  readonly #closed: Promise<void>;
  #buffer: Buffer = Buffer.alloc(0);
  #ended = false;
  #wake: (() => void) | undefined;

  constructor(socket: Socket, closed: Promise<void>) {
    this.#socket = socket;
    this.#closed = closed;
    socket.on('data', (chunk: Buffer) => {
      this.#buffer = this.#buffer.length === 0 ? chunk : Buffer.concat([this.#buffer, chunk]);
      this.#wake?.();
    });
    socket.once('end', () => {
      this.#ended = true;
      this.#wake?.();
    });
  }

  /** The next request, or undefined once the other side has closed. */
  async next(): Promise<ReadRequest | undefined> {
    let headEnd = this.#buffer.indexOf('\r\n\r\n');
    while (headEnd === -1) {
      if (!(await this.#more())) return undefined;
      headEnd = this.#buffer.indexOf('\r\n\r\n');
    }
    const [requestLine = '', ...lines] = this.#buffer.subarray(0, headEnd).toString('latin1').split('\r\n');
    this.#buffer = this.#buffer.subarray(headEnd + 4);
    const headers = new Map<string, string>();
    for (const line of lines) {
      const colon = line.indexOf(':');
      headers.set(line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim());
    }
    const [method = '', path = ''] = requestLine.split(' ');
    const body = headers.get('transfer-encoding') === 'chunked' ? await this.#chunked() : await this.#exactly(Number(headers.get('content-length') ?? 0));
    if (body === undefined) return undefined;
    const text = body.toString('utf8');
    return { method, path, headers: Object.fromEntries(headers), body: text, json: parsedOrUndefined(text) };
  }

  async #exactly(length: number): Promise<Buffer | undefined> {
    while (this.#buffer.length < length) if (!(await this.#more())) return undefined;
    const body = this.#buffer.subarray(0, length);
    this.#buffer = this.#buffer.subarray(length);
    return body;
  }

  async #chunked(): Promise<Buffer | undefined> {
    const parts: Buffer[] = [];
    for (;;) {
      let lineEnd = this.#buffer.indexOf('\r\n');
      while (lineEnd === -1) {
        if (!(await this.#more())) return undefined;
        lineEnd = this.#buffer.indexOf('\r\n');
      }
      const size = Number.parseInt(this.#buffer.subarray(0, lineEnd).toString('latin1'), 16);
      this.#buffer = this.#buffer.subarray(lineEnd + 2);
      const part = await this.#exactly(size + 2);
      if (part === undefined) return undefined;
      if (size === 0) return Buffer.concat(parts);
      parts.push(part.subarray(0, size));
    }
  }

  async #more(): Promise<boolean> {
    if (this.#ended || this.#socket.destroyed) return false;
    const before = this.#buffer.length;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#wake = resolve;
    await Promise.race([promise, this.#closed]);
    this.#wake = undefined;
    return this.#buffer.length > before;
  }
}

function parsedOrUndefined(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}
