import type { ISerializer } from '@opentelemetry/otlp-transformer';
import { ProtobufTraceSerializer } from '@opentelemetry/otlp-transformer';
import type { HrTime } from '@opentelemetry/api';
import type { ReadableSpan } from '@opentelemetry/sdk-trace';
import { ProtobufWriter } from './protobuf-writer.ts';
import { RecordedSpan, toHrTime } from './recorded-span.ts';
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

function writeTime(writer: ProtobufWriter, time: HrTime): void {
  writer.nanoseconds(time[0], time[1]);
}

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

function writeAttribute(writer: ProtobufWriter, tag: number, key: string, value: unknown): void {
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
  writeTime(writer, toHrTime(span.startMs));
  writer.byte((8 << 3) | FIXED64);
  writeTime(writer, toHrTime(span.endMs));
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
    writeTime(writer, event.time);
    writer.byte((2 << 3) | DELIMITED);
    writer.string(event.name);
    for (const [key, value] of Object.entries(event.attributes ?? {})) writeAttribute(writer, (3 << 3) | DELIMITED, key, value);
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

/** ExportTraceServiceRequest of spans that share one resource and one scope. */
function writeRequest(writer: ProtobufWriter, first: RecordedSpan, spans: readonly RecordedSpan[]): void {
  writer.byte((1 << 3) | DELIMITED);
  const resourceSpans = writer.open();
  writer.byte((1 << 3) | DELIMITED);
  const resource = writer.open();
  for (const [key, value] of Object.entries(first.resource.attributes)) writeAttribute(writer, (1 << 3) | DELIMITED, key, value);
  writer.byte((2 << 3) | VARINT);
  writer.varint(0);
  writer.close(resource);
  writer.byte((2 << 3) | DELIMITED);
  const scopeSpans = writer.open();
  writer.byte((1 << 3) | DELIMITED);
  const scope = writer.open();
  writer.byte((1 << 3) | DELIMITED);
  writer.string(first.instrumentationScope.name);
  writer.byte((2 << 3) | DELIMITED);
  writer.string(first.instrumentationScope.version ?? '');
  writer.close(scope);
  for (const span of spans) {
    writer.byte((2 << 3) | DELIMITED);
    const start = writer.open();
    writeSpan(writer, span);
    writer.close(start);
  }
  writer.close(scopeSpans);
  writer.close(resourceSpans);
}

/**
 * Writes ExportTraceServiceRequest for spans of one process. Our own spans come out as the same bytes as from the SDK's serializer, which walks
 * every span twice and costs seven times as much: at three spans per request it was the dearest thing the gateway did.
 * Spans of libraries are few and may have links, scopes and attributes of any shape: the SDK's serializer writes those.
 */
export function createSpanSerializer(): ISerializer<ReadableSpan[], unknown> {
  const writer = new ProtobufWriter(INITIAL_BYTES);
  return {
    serializeRequest(spans) {
      const own: RecordedSpan[] = [];
      const foreign: ReadableSpan[] = [];
      for (const span of spans) {
        if (span instanceof RecordedSpan) own.push(span);
        else foreign.push(span);
      }
      const foreignBytes = foreign.length === 0 ? undefined : ProtobufTraceSerializer.serializeRequest(foreign);
      const first = own[0];
      if (first === undefined) return foreignBytes;
      writer.position = 0;
      writeRequest(writer, first, own);
      // Messages of one type that follow each other are one message with the repeated fields of both: https://protobuf.dev/programming-guides/encoding/#last-one-wins
      if (foreignBytes !== undefined) return new Uint8Array(Buffer.concat([writer.written(), foreignBytes]));
      // A copy: the transport may send it again while the next batch is being written.
      return Uint8Array.from(writer.written());
    },
    deserializeResponse: (data) => ProtobufTraceSerializer.deserializeResponse(data),
  };
}
