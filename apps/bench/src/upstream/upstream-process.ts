import { createServer, type AddressInfo, type Socket } from 'node:net';
import { HttpMessageReader } from '../load/http-message-reader.ts';
import { completion, streamFrames } from './openai-replies.ts';

/**
 * The provider of every contestant: answers each POST with a fixed chat completion, or with a stream when the body asks for one.
 * Argument: milliseconds between two chunks of a stream; 0 writes one chunk per turn of the event loop.
 * Raw sockets rather than `node:http`: it must cost so little that the contestant is what is measured.
 */
const chunkIntervalMs = Number(process.argv[2] ?? '1');

const reply = (status: string, headers: string, body: Buffer): Buffer =>
  Buffer.concat([Buffer.from(`HTTP/1.1 ${status}\r\n${headers}content-length: ${body.length}\r\n\r\n`), body]);
const completionReply = reply('200 OK', 'content-type: application/json\r\nx-request-id: req_bench\r\n', completion);
const otherReply = reply('200 OK', 'content-type: application/json\r\n', Buffer.from('{"object":"list","data":[]}'));
const streamHead = Buffer.from('HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ncache-control: no-cache\r\nx-request-id: req_bench\r\ntransfer-encoding: chunked\r\n\r\n');

const asWrites = (frames: readonly Buffer[]): readonly Buffer[] =>
  frames.map((frame, index) => {
    const last = index === frames.length - 1 ? '0\r\n\r\n' : '';
    const chunk = Buffer.concat([Buffer.from(`${frame.length.toString(16)}\r\n`), frame, Buffer.from(`\r\n${last}`)]);
    return index === 0 ? Buffer.concat([streamHead, chunk]) : chunk;
  });
const plainWrites = asWrites(streamFrames({ includeUsage: false }));
const usageWrites = asWrites(streamFrames({ includeUsage: true }));

/** Streams under way. One ticker for all: each tick writes the next chunk of every stream, so that each arrives as its own read. */
const streams = new Map<Socket, { readonly writes: readonly Buffer[]; next: number }>();
let isTicking = false;

function tick(): void {
  for (const [socket, stream] of streams) {
    const write = stream.writes[stream.next];
    stream.next += 1;
    // The first write carries the head, and goes out at once: see `answer`.
    if (write !== undefined) socket.write(write);
    if (stream.next >= stream.writes.length) streams.delete(socket);
  }
  isTicking = streams.size > 0;
  if (isTicking) scheduleTick();
}

function scheduleTick(): void {
  if (chunkIntervalMs > 0) setTimeout(tick, chunkIntervalMs);
  else setImmediate(tick);
}

function answer(socket: Socket, isPost: boolean, wantsStream: boolean, wantsUsage: boolean): void {
  if (!isPost) socket.write(otherReply);
  else if (!wantsStream) socket.write(completionReply);
  else {
    streams.set(socket, { writes: wantsUsage ? usageWrites : plainWrites, next: 0 });
    if (!isTicking) {
      isTicking = true;
      scheduleTick();
    }
  }
}

const says = (piece: Buffer, key: string): boolean => piece.includes(`"${key}":true`) || piece.includes(`"${key}": true`);

const server = createServer({ noDelay: true }, (socket) => {
  let isPost = false;
  let pieces: Buffer[] = [];
  const reader = new HttpMessageReader({
    onHead(head) {
      isPost = head.startsWith('post ');
      pieces = [];
      if (head.includes('\r\nexpect: 100-continue')) socket.write('HTTP/1.1 100 Continue\r\n\r\n');
    },
    onBody(piece) {
      pieces.push(piece);
    },
    onEnd() {
      const body = pieces.length === 1 && pieces[0] !== undefined ? pieces[0] : Buffer.concat(pieces);
      pieces = [];
      answer(socket, isPost, says(body, 'stream'), says(body, 'include_usage'));
    },
  });
  socket.on('data', (bytes) => {
    try {
      reader.push(bytes);
    } catch {
      socket.destroy();
    }
  });
  socket.on('close', () => streams.delete(socket));
  socket.on('error', () => socket.destroy());
});
server.listen(0, '127.0.0.1', () => {
  const { port } = server.address() as AddressInfo;
  console.log(JSON.stringify({ msg: 'listening', url: `http://127.0.0.1:${port}` }));
});
