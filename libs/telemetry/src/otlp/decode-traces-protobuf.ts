import protobuf, { type Reader } from 'protobufjs/minimal.js';
import { MalformedOtlpError, MAX_DEPTH, MAX_SPAN_ATTRIBUTES, MAX_SPANS, type ReceivedSpan, type ReceivedValue } from './received-span.ts';

// Field numbers: https://github.com/open-telemetry/opentelemetry-proto (collector/trace/v1, trace/v1, common/v1). Unknown fields are skipped, as protobuf asks.

/** Calls `read` for every field of a message; it returns false for what it did not read. */
function eachField(reader: Reader, end: number, read: (field: number, wireType: number) => boolean): void {
  while (reader.pos < end) {
    const tag = reader.uint32();
    if (!read(tag >>> 3, tag & 7)) reader.skipType(tag & 7);
  }
  if (reader.pos > end) throw new RangeError('a message is longer than it says');
}

/** The end of the message that begins with its length here. */
function messageEnd(reader: Reader): number {
  const length = reader.uint32();
  const end = reader.pos + length;
  if (end > reader.len) throw new RangeError('a message is cut');
  return end;
}

const DELIMITED = 2;

/** The spans of an ExportTraceServiceRequest. @throws MalformedOtlpError */
export function decodeTracesProtobuf(bytes: Uint8Array): ReceivedSpan[] {
  const spans: ReceivedSpan[] = [];
  try {
    const reader = protobuf.Reader.create(bytes);
    eachField(reader, reader.len, (field, type) => field === 1 && type === DELIMITED && readResourceSpans(reader, spans));
  } catch (error) {
    if (error instanceof MalformedOtlpError) throw error;
    throw new MalformedOtlpError('The body is not an ExportTraceServiceRequest in protobuf.', { cause: error });
  }
  return spans;
}

function readResourceSpans(reader: Reader, spans: ReceivedSpan[]): true {
  eachField(reader, messageEnd(reader), (field, type) => field === 2 && type === DELIMITED && readScopeSpans(reader, spans));
  return true;
}

function readScopeSpans(reader: Reader, spans: ReceivedSpan[]): true {
  eachField(reader, messageEnd(reader), (field, type) => {
    if (field !== 2 || type !== DELIMITED) return false;
    if (spans.length >= MAX_SPANS) throw new MalformedOtlpError(`More than ${String(MAX_SPANS)} spans in one request.`);
    spans.push(readSpan(reader));
    return true;
  });
  return true;
}

function readSpan(reader: Reader): ReceivedSpan {
  let [traceId, spanId, name, startMs, endMs] = ['', '', '', 0, 0];
  const attributes = new Map<string, ReceivedValue>();
  eachField(reader, messageEnd(reader), (field, type) => {
    if (field === 1 && type === DELIMITED) traceId = hex(reader.bytes());
    else if (field === 2 && type === DELIMITED) spanId = hex(reader.bytes());
    else if (field === 5 && type === DELIMITED) name = reader.string();
    else if (field === 7 && type === 1) startMs = nanoseconds(reader);
    else if (field === 8 && type === 1) endMs = nanoseconds(reader);
    else if (field === 9 && type === DELIMITED && attributes.size < MAX_SPAN_ATTRIBUTES) readAttribute(reader, attributes);
    else return false;
    return true;
  });
  return { traceId, spanId, name, startMs, endMs, attributes };
}

function readAttribute(reader: Reader, attributes: Map<string, ReceivedValue>): void {
  let key = '';
  let value: ReceivedValue = null;
  eachField(reader, messageEnd(reader), (field, type) => {
    if (type !== DELIMITED || (field !== 1 && field !== 2)) return false;
    if (field === 1) key = reader.string();
    else value = readValue(reader, 0);
    return true;
  });
  attributes.set(key, value);
}

/** AnyValue: string 1, bool 2, int 3, double 4, array 5, key-value list 6, bytes 7. */
function readValue(reader: Reader, depth: number): ReceivedValue {
  let value: ReceivedValue = null;
  eachField(reader, messageEnd(reader), (field, type) => {
    if (field === 1 && type === DELIMITED) value = reader.string();
    else if (field === 2 && type === 0) value = reader.bool();
    else if (field === 3 && type === 0) value = Number(reader.int64().toString());
    else if (field === 4 && type === 1) value = reader.double();
    else if (field === 5 && type === DELIMITED && depth < MAX_DEPTH) value = readList(reader, depth);
    else if (field === 7 && type === DELIMITED) value = Buffer.from(reader.bytes()).toString('base64');
    else return false;
    return true;
  });
  return value;
}

function readList(reader: Reader, depth: number): ReceivedValue[] {
  const items: ReceivedValue[] = [];
  eachField(reader, messageEnd(reader), (field, type) => {
    if (field !== 1 || type !== DELIMITED) return false;
    items.push(readValue(reader, depth + 1));
    return true;
  });
  return items;
}

/** As two halves: 64-bit integers of this library are objects where another library is installed. */
function nanoseconds(reader: Reader): number {
  const low = reader.fixed32();
  const high = reader.fixed32();
  return (high * 2 ** 32 + low) / 1e6;
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex');
}
