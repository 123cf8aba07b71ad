import { connect, type Socket } from 'node:net';
import { percentile } from '../measure/statistics.ts';
import { checkCompletion, checkStream } from './check-reply.ts';
import { withSeed } from './request-bodies.ts';
import { HttpMessageReader, headerValue } from './http-message-reader.ts';

/** What to send: a fixed count of requests over kept-alive connections, each sending its next request when the last was answered. */
export interface Slice {
  readonly host: string;
  readonly port: number;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly bodies: readonly Buffer[];
  readonly stream: boolean;
  readonly connections: number;
  readonly requests: number;
  /** The whole slice is given up past it; what was not answered counts as failed. */
  readonly deadlineMs: number;
}

export interface SliceResult {
  /** Replies that were whole and right. */
  readonly succeeded: number;
  readonly failed: number;
  /** What went wrong, the first few. */
  readonly problems: readonly string[];
  readonly wallMs: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** Median time to the first byte of the body. */
  readonly firstByteP50Ms: number;
  /** Reads that delivered one reply, on average: near the chunk count when nothing on the way gathers chunks. */
  readonly readsPerReply: number;
  /** CPU time that the load generator itself spent. */
  readonly loadCpuMs: number;
}

const maxProblems = 3;
/** A contestant that fails this often in a slice is not asked further. */
const maxFailures = 20;
/** Every reply is checked; every so many-th is also parsed and compared in full. */
const thoroughEvery = 25;

/** Over all slices of this process: what was sent once is not sent again. */
let everSent = 0;

/** Raw sockets rather than an HTTP client: per request it must cost far less than what is measured. */
export function sendSlice(slice: Slice): Promise<SliceResult> {
  const requests = slice.bodies.map((body) => encodeRequest(slice, body));
  const check = slice.stream ? checkStream : checkCompletion;
  const latencies = new Float64Array(slice.requests);
  const firstBytes = new Float64Array(slice.requests);
  const problems: string[] = [];
  const sockets = new Set<Socket>();
  let [sent, succeeded, failed, reads] = [0, 0, 0, 0];
  const startedAt = performance.now();
  const cpuAtStart = process.cpuUsage();

  return new Promise((resolve) => {
    let isOver = false;
    const deadline = setTimeout(() => {
      fail(`not done after ${slice.deadlineMs} ms`);
      finish();
    }, slice.deadlineMs);

    function fail(problem: string): void {
      failed += 1;
      if (problems.length < maxProblems) problems.push(problem);
    }

    function finish(): void {
      if (isOver) return;
      isOver = true;
      clearTimeout(deadline);
      const wallMs = performance.now() - startedAt;
      const cpu = process.cpuUsage(cpuAtStart);
      for (const socket of sockets) socket.destroy();
      const sorted = latencies.subarray(0, succeeded).sort();
      resolve({
        succeeded,
        failed: slice.requests - succeeded,
        problems,
        wallMs,
        p50Ms: percentile(sorted, 0.5),
        p99Ms: percentile(sorted, 0.99),
        firstByteP50Ms: percentile(firstBytes.subarray(0, succeeded).sort(), 0.5),
        readsPerReply: reads / Math.max(1, succeeded),
        loadCpuMs: (cpu.user + cpu.system) / 1000,
      });
    }

    function open(): void {
      const socket = connect({ host: slice.host, port: slice.port, noDelay: true });
      sockets.add(socket);
      let status = 0;
      let mustClose = false;
      let isWaiting = false;
      let pieces: Buffer[] = [];
      let sentAt = 0;
      let firstByteAt = 0;
      let readsOfReply = 0;

      const next = (): void => {
        if (sent >= slice.requests || failed >= maxFailures) {
          socket.destroy();
          return;
        }
        const request = requests[sent % requests.length];
        sent += 1;
        if (request === undefined) return;
        isWaiting = true;
        [status, mustClose, pieces, firstByteAt, readsOfReply] = [0, false, [], 0, 0];
        sentAt = performance.now();
        everSent += 1;
        socket.write(withSeed(request, everSent));
      };
      const reader = new HttpMessageReader({
        onHead(head) {
          status = Number.parseInt(head.slice(9, 12), 10);
          mustClose = headerValue(head, 'connection') === 'close';
        },
        onBody(piece) {
          if (firstByteAt === 0) firstByteAt = performance.now();
          pieces.push(piece);
        },
        onEnd() {
          const now = performance.now();
          isWaiting = false;
          const body = pieces.length === 1 && pieces[0] !== undefined ? pieces[0] : Buffer.concat(pieces);
          const problem = check({ status, body }, (succeeded + failed) % thoroughEvery === 0);
          if (problem === undefined) {
            latencies[succeeded] = now - sentAt;
            firstBytes[succeeded] = firstByteAt - sentAt;
            reads += readsOfReply;
            succeeded += 1;
          } else fail(problem);
          if (succeeded + failed >= slice.requests) finish();
          else if (mustClose) socket.end();
          else if (!socket.destroyed) next();
        },
      });
      socket.on('connect', next);
      socket.on('data', (bytes) => {
        readsOfReply += 1;
        try {
          reader.push(bytes);
        } catch (error) {
          socket.destroy(error instanceof Error ? error : new Error(String(error)));
        }
      });
      socket.on('error', (error) => {
        if (isOver || isWaiting) return;
        fail(error.message);
      });
      socket.on('close', () => {
        sockets.delete(socket);
        if (isOver) return;
        reader.close();
        if (isWaiting) fail('the connection closed before the reply was whole');
        isWaiting = false;
        if (succeeded + failed >= slice.requests || failed >= maxFailures) finish();
        else if (sent < slice.requests) open();
      });
    }
    for (let index = 0; index < Math.min(slice.connections, slice.requests); index += 1) open();
  });
}

function encodeRequest(slice: Slice, body: Buffer): Buffer {
  const headers = { host: `${slice.host}:${slice.port}`, 'content-type': 'application/json', accept: slice.stream ? 'text/event-stream' : 'application/json', ...slice.headers, 'content-length': String(body.length) };
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  return Buffer.concat([Buffer.from(`POST ${slice.path} HTTP/1.1\r\n${lines.join('')}\r\n`), body]);
}
