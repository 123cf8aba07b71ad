import protobuf from 'protobufjs/minimal.js';
import { decodeTracesJson } from './decode-traces-json.ts';
import { decodeTracesProtobuf } from './decode-traces-protobuf.ts';
import type { ReceivedSpan } from './received-span.ts';

/** The two encodings of OTLP over HTTP. */
export type OtlpEncoding = 'protobuf' | 'json';

/** The spans of an ExportTraceServiceRequest. @throws MalformedOtlpError */
export function decodeTraces(encoding: OtlpEncoding, body: Buffer): ReceivedSpan[] {
  return encoding === 'protobuf' ? decodeTracesProtobuf(body) : decodeTracesJson(body.toString('utf8'));
}

/** What of a request was not taken, for good: the sender must not send it again. */
export interface OtlpPartialSuccess {
  readonly rejected: number;
  readonly message: string;
}

/**
 * An Export…ServiceResponse; the same bytes for traces, metrics and logs (`partial_success` is field 1, in it the count 1 and the message 2).
 * https://opentelemetry.io/docs/specs/otlp/#partial-success-1
 */
export function encodeOtlpResponse(encoding: OtlpEncoding, partial?: OtlpPartialSuccess): Buffer {
  if (encoding === 'json') return Buffer.from(JSON.stringify(partial === undefined ? {} : { partialSuccess: { rejectedSpans: String(partial.rejected), errorMessage: partial.message } }));
  if (partial === undefined) return Buffer.alloc(0);
  const writer = protobuf.Writer.create().uint32(10).fork().uint32(8).int64(partial.rejected).uint32(18).string(partial.message).ldelim();
  return Buffer.from(writer.finish());
}

/** The google.rpc.Status of a refusal, in the encoding of the request: https://opentelemetry.io/docs/specs/otlp/#failures-1 */
export function encodeOtlpStatus(encoding: OtlpEncoding, message: string): Buffer {
  if (encoding === 'json') return Buffer.from(JSON.stringify({ message }));
  return Buffer.from(protobuf.Writer.create().uint32(18).string(message).finish());
}
