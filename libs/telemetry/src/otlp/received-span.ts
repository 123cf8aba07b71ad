/** What an attribute of a received span may hold. Bytes come as base64. */
export type ReceivedValue = string | number | boolean | null | readonly ReceivedValue[];

/** A span that somebody sent. Names and keys are the sender's. */
export interface ReceivedSpan {
  /** 32 lower-case hex digits. */
  readonly traceId: string;
  /** 16 lower-case hex digits. */
  readonly spanId: string;
  readonly name: string;
  /** Milliseconds since the epoch, with a fraction. */
  readonly startMs: number;
  readonly endMs: number;
  readonly attributes: ReadonlyMap<string, ReceivedValue>;
}

/** The bytes are not an ExportTraceServiceRequest. */
export class MalformedOtlpError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'MalformedOtlpError';
  }
}

/** Lists within lists are read so deep; what is deeper is null. */
export const MAX_DEPTH = 4;
/** More attributes of a span are not read: the SDKs' own limit is 128. */
export const MAX_SPAN_ATTRIBUTES = 512;
/** Most spans of one request. */
export const MAX_SPANS = 100_000;
