import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

export type AttributeValue = string | number | boolean | readonly AttributeValue[] | null;

export interface ReceivedSpan {
  readonly traceId: string;
  readonly spanId: string;
  /** '' where the span has no parent. */
  readonly parentSpanId: string;
  readonly name: string;
  /** 1 internal, 2 server, 3 client. */
  readonly kind: number;
  readonly startNs: bigint;
  readonly endNs: bigint;
  readonly attributes: Readonly<Record<string, AttributeValue>>;
  /** 2 = error. */
  readonly status: number;
}

export interface OtlpReceiver extends AsyncDisposable {
  /** For `OTEL_EXPORTER_OTLP_ENDPOINT`. */
  readonly endpoint: string;
  readonly spans: readonly ReceivedSpan[];
  readonly resources: readonly Readonly<Record<string, AttributeValue>>[];
  /** Every byte that came, for looking for what must not be there. */
  bytes(): Buffer;
}

/** Takes traces as OTLP over HTTP, protobuf, and keeps them. */
export async function startOtlpReceiver(): Promise<OtlpReceiver> {
  const spans: ReceivedSpan[] = [];
  const resources: Readonly<Record<string, AttributeValue>>[] = [];
  const bodies: Buffer[] = [];
  const server = createServer((req, res) => {
    const chunks: Buffer[] = [];
    req.on('data', (chunk: Buffer) => chunks.push(chunk));
    req.on('end', () => {
      const body = Buffer.concat(chunks);
      const isTraces = req.method === 'POST' && req.url === '/v1/traces' && req.headers['content-type'] === 'application/x-protobuf';
      if (isTraces) {
        bodies.push(body);
        readTraces(body, spans, resources);
      }
      res.writeHead(isTraces ? 200 : 400, { 'content-type': 'application/x-protobuf' });
      res.end();
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    endpoint: `http://127.0.0.1:${String((server.address() as AddressInfo).port)}`,
    spans,
    resources,
    bytes: () => Buffer.concat(bodies),
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

/** The values of each field of one protobuf message, by field number: https://protobuf.dev/programming-guides/encoding/ */
type Message = ReadonlyMap<number, readonly (bigint | Buffer)[]>;

function readMessage(bytes: Buffer): Message {
  const fields = new Map<number, (bigint | Buffer)[]>();
  let at = 0;
  const varint = (): bigint => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = bytes[at];
      if (byte === undefined) throw new Error('a varint is cut');
      at += 1;
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
  };
  const take = (length: number): Buffer => {
    if (at + length > bytes.length) throw new Error('a field is cut');
    at += length;
    return bytes.subarray(at - length, at);
  };
  while (at < bytes.length) {
    const tag = Number(varint());
    const values = fields.get(tag >> 3) ?? [];
    fields.set(tag >> 3, values);
    switch (tag & 7) {
      case 0: values.push(varint()); break;
      case 1: values.push(take(8).readBigUInt64LE()); break;
      case 2: values.push(take(Number(varint()))); break;
      case 5: values.push(BigInt(take(4).readUInt32LE())); break;
      default: throw new Error(`wire type ${String(tag & 7)}`);
    }
  }
  return fields;
}

const messages = (message: Message, field: number): Message[] => (message.get(field) ?? []).flatMap((value) => (typeof value === 'bigint' ? [] : [readMessage(value)]));
const bytesOf = (message: Message, field: number): Buffer => {
  const value = message.get(field)?.[0];
  return value === undefined || typeof value === 'bigint' ? Buffer.alloc(0) : value;
};
const numberOf = (message: Message, field: number): bigint => {
  const value = message.get(field)?.[0];
  return typeof value === 'bigint' ? value : 0n;
};

/** Field numbers of opentelemetry/proto/{collector/trace,trace,common,resource}/v1. */
function readTraces(body: Buffer, spans: ReceivedSpan[], resources: Readonly<Record<string, AttributeValue>>[]): void {
  for (const resourceSpans of messages(readMessage(body), 1)) {
    resources.push(...messages(resourceSpans, 1).map((resource) => attributesOf(resource, 1)));
    for (const scopeSpans of messages(resourceSpans, 2)) {
      for (const span of messages(scopeSpans, 2)) {
        spans.push({
          traceId: bytesOf(span, 1).toString('hex'), spanId: bytesOf(span, 2).toString('hex'), parentSpanId: bytesOf(span, 4).toString('hex'), name: bytesOf(span, 5).toString('utf8'),
          kind: Number(numberOf(span, 6)), startNs: numberOf(span, 7), endNs: numberOf(span, 8), attributes: attributesOf(span, 9), status: Number(messages(span, 15).map((status) => numberOf(status, 3))[0] ?? 0n),
        });
      }
    }
  }
}

function attributesOf(message: Message, field: number): Readonly<Record<string, AttributeValue>> {
  return Object.fromEntries(messages(message, field).map((pair) => [bytesOf(pair, 1).toString('utf8'), valueOf(messages(pair, 2)[0] ?? new Map())]));
}

function valueOf(value: Message): AttributeValue {
  for (const [field, [content]] of value) {
    if (typeof content === 'bigint') return field === 2 ? content !== 0n : field === 4 ? new DataView(BigUint64Array.of(content).buffer).getFloat64(0, true) : Number(BigInt.asIntN(64, content));
    if (content === undefined) return null;
    return field === 5 ? messages(readMessage(content), 1).map(valueOf) : content.toString('utf8');
  }
  return null;
}
