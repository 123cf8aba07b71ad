import type { InstrumentationScope } from '@opentelemetry/core';
import type { Resource } from '@opentelemetry/resources';
import type { AttributeSet } from './attribute-set.ts';
import { ProtobufWriter } from './protobuf-writer.ts';
import type { RecordedSpan } from './recorded-span.ts';
import type { AttributeValue } from './span.ts';

// Tags of opentelemetry/proto/trace/v1/trace.proto and common/v1/common.proto: field number << 3 | wire type.
const VARINT = 0;
const FIXED64 = 1;
const DELIMITED = 2;
const FIXED32 = 5;
/** `flags`: the sampled bit, that the next bit means something, and that the parent is remote. */
const FLAGS = 0x101;
const FLAG_REMOTE = 0x200;
const INITIAL_BYTES = 512 * 1024;

/** AnyValue: string 1, bool 2, int 3, double 4, array 5. */
function writeValue(writer: ProtobufWriter, value: unknown): void {
  switch (typeof value) {
    case 'string':
      writer.byte((1 << 3) | DELIMITED);
      writer.string(value);
      return;
    case 'number':
      if (Number.isSafeInteger(value)) {
        writer.byte((3 << 3) | VARINT);
        writer.int64(value);
      } else {
        writer.byte((4 << 3) | FIXED64);
        writer.double(value);
      }
      return;
    case 'boolean':
      writer.byte((2 << 3) | VARINT);
      writer.byte(value ? 1 : 0);
      return;
    default:
  }
  if (!Array.isArray(value)) return;
  writer.byte((5 << 3) | DELIMITED);
  const list = writer.open();
  for (const item of value) {
    writer.byte((1 << 3) | DELIMITED);
    const start = writer.open();
    writeValue(writer, item);
    writer.close(start);
  }
  writer.close(list);
}

function writeAttribute(writer: ProtobufWriter, tag: number, key: string, value: AttributeValue): void {
  if (writer.shortAttribute(tag, key, value)) return;
  writer.byte(tag);
  const pair = writer.open();
  writer.byte((1 << 3) | DELIMITED);
  writer.string(key);
  writer.byte((2 << 3) | DELIMITED);
  const start = writer.open();
  writeValue(writer, value);
  writer.close(start);
  writer.close(pair);
}

/** Shared attributes: encoded by the first span that has them, copied by all others. */
function writeSet(writer: ProtobufWriter, set: AttributeSet): void {
  if (set.encoded !== undefined) {
    writer.bytes(set.encoded);
    return;
  }
  const start = writer.position;
  const { list } = set;
  for (let index = 0; index + 1 < list.length; index += 2) writeAttribute(writer, (9 << 3) | DELIMITED, list[index] as string, list[index + 1] as AttributeValue);
  set.encoded = Buffer.from(writer.written().subarray(start));
}

function writeSpan(writer: ProtobufWriter, span: RecordedSpan): void {
  writer.byte((1 << 3) | DELIMITED);
  writer.hex(span.traceId);
  writer.byte((2 << 3) | DELIMITED);
  writer.hex(span.spanId);
  if (span.tracestate !== undefined) {
    writer.byte((3 << 3) | DELIMITED);
    writer.string(span.tracestate);
  }
  if (span.parentSpanId !== undefined) {
    writer.byte((4 << 3) | DELIMITED);
    writer.hex(span.parentSpanId);
  }
  writer.byte((5 << 3) | DELIMITED);
  writer.string(span.name);
  writer.byte((6 << 3) | VARINT);
  // SpanKind of the wire starts with "unspecified".
  writer.varint(span.kind + 1);
  writer.byte((7 << 3) | FIXED64);
  writer.epochMs(span.startMs);
  writer.byte((8 << 3) | FIXED64);
  writer.epochMs(span.endMs);
  for (const set of span.attributeSets) writeSet(writer, set);
  const attributes = span.attributeList;
  for (let index = 0; index + 1 < attributes.length; index += 2) {
    writeAttribute(writer, (9 << 3) | DELIMITED, attributes[index] as string, attributes[index + 1] as AttributeValue);
  }
  writer.byte((10 << 3) | VARINT);
  writer.varint(span.droppedAttributesCount);
  for (const event of span.events) {
    writer.byte((11 << 3) | DELIMITED);
    const start = writer.open();
    writer.byte((1 << 3) | FIXED64);
    writer.nanoseconds(event.time[0], event.time[1]);
    writer.byte((2 << 3) | DELIMITED);
    writer.string(event.name);
    for (const [key, value] of Object.entries(event.attributes ?? {})) writeAttribute(writer, (3 << 3) | DELIMITED, key, value as AttributeValue);
    writer.byte((4 << 3) | VARINT);
    writer.varint(event.droppedAttributesCount ?? 0);
    writer.close(start);
  }
  writer.byte((12 << 3) | VARINT);
  writer.varint(span.droppedEventsCount);
  writer.byte((14 << 3) | VARINT);
  writer.varint(0);
  writer.byte((15 << 3) | DELIMITED);
  const status = writer.open();
  if (span.statusMessage !== undefined && span.statusMessage !== '') {
    writer.byte((2 << 3) | DELIMITED);
    writer.string(span.statusMessage);
  }
  writer.byte((3 << 3) | VARINT);
  writer.varint(span.statusCode);
  writer.close(status);
  writer.varint((16 << 3) | FIXED32);
  writer.fixed32(span.parentIsRemote ? FLAGS | FLAG_REMOTE : FLAGS);
}

/** What the spans of one process share, and what an encoded batch begins with. */
export interface SpanOrigin {
  readonly resource: Resource;
  readonly scope: InstrumentationScope;
}

/** Field 1 of ResourceSpans and field 1 of ScopeSpans, with their tags and lengths: the same for every batch. */
function encodeOrigin({ resource, scope }: SpanOrigin): { readonly resource: Buffer; readonly scope: Buffer } {
  const writer = new ProtobufWriter(1024);
  writer.byte((1 << 3) | DELIMITED);
  const resourceStart = writer.open();
  for (const [key, value] of Object.entries(resource.attributes)) writeAttribute(writer, (1 << 3) | DELIMITED, key, value as AttributeValue);
  writer.byte((2 << 3) | VARINT);
  writer.varint(0);
  writer.close(resourceStart);
  const resourceBytes = Buffer.from(writer.written());
  writer.position = 0;
  writer.byte((1 << 3) | DELIMITED);
  const scopeStart = writer.open();
  writer.byte((1 << 3) | DELIMITED);
  writer.string(scope.name);
  writer.byte((2 << 3) | DELIMITED);
  writer.string(scope.version ?? '');
  writer.close(scopeStart);
  return { resource: resourceBytes, scope: Buffer.from(writer.written()) };
}

/** Room in front of the spans for what a request begins with: its lengths are known only when the last span is there. */
const HEAD_LENGTHS = 16;
/** Buffers that wait for their next batch; a receiver that is slow may have many more under way, which are then left to the garbage collector. */
const MAX_SPARE_BUFFERS = 2;
/** A buffer that one batch of huge spans made larger than this is not kept. */
const MAX_SPARE_BYTES = 2 * 1024 * 1024;

/**
 * Encodes spans the moment they end, into one buffer of bytes that is sent as a batch. Same bytes as the SDK's own serializer writes.
 *
 * Keeping the span objects until a batch is full, as the SDK does, costs several times the encoding: at a thousand requests a second they live just
 * long enough to be copied twice by the garbage collector, and are cold in the cache when they are encoded. This way they die young.
 * A batch is sent from the buffer it was written to, and `reuse` brings the buffer back: a busy process takes no memory for spans any more.
 */
export class SpanEncoder {
  readonly #origin: { readonly resource: Buffer; readonly scope: Buffer };
  readonly #head: ProtobufWriter;
  readonly #headRoom: number;
  readonly #spans: ProtobufWriter;
  readonly #spare: Buffer[] = [];
  #count = 0;

  constructor(origin: SpanOrigin) {
    this.#origin = encodeOrigin(origin);
    this.#headRoom = this.#origin.resource.length + this.#origin.scope.length + HEAD_LENGTHS;
    this.#head = new ProtobufWriter(this.#headRoom);
    this.#spans = new ProtobufWriter(INITIAL_BYTES + this.#headRoom);
    this.#spans.position = this.#headRoom;
  }

  /** Spans encoded since the last `take`. */
  get count(): number {
    return this.#count;
  }

  get bytes(): number {
    return this.#spans.position - this.#headRoom;
  }

  add(span: RecordedSpan): void {
    const writer = this.#spans;
    writer.byte((2 << 3) | DELIMITED);
    const start = writer.openLong();
    writeSpan(writer, span);
    writer.closeLong(start);
    this.#count += 1;
  }

  /** ExportTraceServiceRequest of what was added; the encoder is empty afterwards. Hand it to `reuse` once nothing reads it any more. */
  take(): Buffer {
    const { resource, scope } = this.#origin;
    const head = this.#head;
    const scopeSpansBytes = scope.length + this.bytes;
    head.position = 0;
    head.byte((1 << 3) | DELIMITED);
    head.varint(resource.length + 1 + varintBytes(scopeSpansBytes) + scopeSpansBytes);
    head.bytes(resource);
    head.byte((2 << 3) | DELIMITED);
    head.varint(scopeSpansBytes);
    head.bytes(scope);
    const prefix = head.written();
    const end = this.#spans.position;
    const buffer = this.#spans.exchange(this.#spare.pop() ?? Buffer.allocUnsafeSlow(INITIAL_BYTES + this.#headRoom));
    this.#spans.position = this.#headRoom;
    this.#count = 0;
    prefix.copy(buffer, this.#headRoom - prefix.length);
    return buffer.subarray(this.#headRoom - prefix.length, end);
  }

  /** Takes back the memory of a request that `take` gave. The caller must not read it again. */
  reuse(request: Uint8Array): void {
    if (this.#spare.length < MAX_SPARE_BUFFERS && request.buffer.byteLength <= MAX_SPARE_BYTES) this.#spare.push(Buffer.from(request.buffer));
  }
}

/** How many bytes a whole number takes as a varint. */
function varintBytes(value: number): number {
  let bytes = 1;
  for (let rest = value; rest > 127; rest = Math.floor(rest / 128)) bytes += 1;
  return bytes;
}
