import { codeAt } from './code-at.ts';

/** Strings up to this length are written character by character; longer ones by the runtime, whose call costs as much as some forty characters. */
const SHORT_STRING = 48;
const TWO_32 = 2 ** 32;
/** What has one byte for its length is shorter. */
const ONE_BYTE = 128;

/** The value of a lower-case hex digit by its character code. A table, because whether a digit of an id is a letter is what no processor can foretell. */
const HEX_VALUES = Uint8Array.from({ length: ONE_BYTE }, (_, code) => (code >= 48 && code <= 57 ? code - 48 : code >= 97 && code <= 102 ? code - 87 : 0));

/** Attributes of a span and items of a list are `KeyValue` and `AnyValue` of opentelemetry/proto/common/v1/common.proto. */
type AnyValue = string | number | boolean | readonly unknown[];

/** Copies a text of ASCII characters to `at` and returns where it ends, or -1 where it holds anything else. */
function putAscii(buffer: Buffer, at: number, text: string): number {
  let end = at;
  for (let index = 0; index < text.length; index += 1) {
    const code = codeAt(text, index);
    if (code >= ONE_BYTE) return -1;
    buffer[end++] = code;
  }
  return end;
}

/**
 * Writes protobuf (https://protobuf.dev/programming-guides/encoding/) into one buffer that grows and is used again.
 * A message is opened with one byte for its length; closing it moves the content when the length needs more.
 */
export class ProtobufWriter {
  #buffer: Buffer;
  #view: DataView;
  position = 0;

  constructor(initialBytes: number) {
    this.#buffer = Buffer.allocUnsafeSlow(initialBytes);
    this.#view = new DataView(this.#buffer.buffer, this.#buffer.byteOffset, this.#buffer.byteLength);
  }

  /** The bytes so far; valid until the next write. */
  written(): Buffer {
    return this.#buffer.subarray(0, this.position);
  }

  /** Gives the buffer away, with all that was written, and goes on at the beginning of another one, of at least a kilobyte. */
  exchange(buffer: Buffer): Buffer {
    const full = this.#buffer;
    this.#buffer = buffer;
    this.#view = new DataView(buffer.buffer, buffer.byteOffset, buffer.byteLength);
    this.position = 0;
    return full;
  }

  #reserve(bytes: number): void {
    const needed = this.position + bytes;
    if (needed <= this.#buffer.length) return;
    const larger = Buffer.allocUnsafeSlow(Math.max(needed, this.#buffer.length * 2));
    this.#buffer.copy(larger, 0, 0, this.position);
    this.#buffer = larger;
    this.#view = new DataView(larger.buffer, larger.byteOffset, larger.byteLength);
  }

  /** One byte, such as a field's tag below 16. */
  byte(value: number): void {
    this.#reserve(1);
    this.#buffer[this.position++] = value;
  }

  /** A whole number from 0 to 2^53. */
  varint(value: number): void {
    this.#reserve(8);
    let rest = value;
    while (rest > 127) {
      // Above 32 bits the operators would cut; those numbers are rare.
      this.#buffer[this.position++] = (rest % 128) | 128;
      rest = rest < TWO_32 ? rest >>> 7 : Math.floor(rest / 128);
    }
    this.#buffer[this.position++] = rest;
  }

  /** An int64 as protobuf writes it: a negative number takes ten bytes. `value` must be a safe integer. */
  int64(value: number): void {
    if (value >= 0) {
      this.varint(value);
      return;
    }
    this.#reserve(10);
    let rest = BigInt.asUintN(64, BigInt(value));
    while (rest > 127n) {
      this.#buffer[this.position++] = Number(rest & 127n) | 128;
      rest >>= 7n;
    }
    this.#buffer[this.position++] = Number(rest);
  }

  double(value: number): void {
    this.#reserve(8);
    this.#view.setFloat64(this.position, value, true);
    this.position += 8;
  }

  fixed32(value: number): void {
    this.#reserve(4);
    this.#view.setUint32(this.position, value, true);
    this.position += 4;
  }

  /** Milliseconds since the epoch, with a fraction, as nanoseconds in a fixed64. */
  epochMs(epochMs: number): void {
    const seconds = Math.floor(epochMs / 1000);
    this.nanoseconds(seconds, Math.round((epochMs - seconds * 1000) * 1e6));
  }

  /** Nanoseconds since the epoch as fixed64, from whole seconds and nanoseconds within the second. */
  nanoseconds(seconds: number, nanos: number): void {
    // seconds * 1e9 does not fit a double: multiply the upper and the lower 16 bits of the seconds apart.
    const upper = Math.floor(seconds / 65_536) * 1e9;
    const lower = (seconds % 65_536) * 1e9 + nanos;
    const low = (upper % 65_536) * 65_536 + (lower % TWO_32);
    const high = Math.floor(upper / 65_536) + Math.floor(lower / TWO_32) + (low >= TWO_32 ? 1 : 0);
    this.#reserve(8);
    this.#view.setUint32(this.position, low % TWO_32, true);
    this.#view.setUint32(this.position + 4, high, true);
    this.position += 8;
  }

  /** A length and the bytes of a text in UTF-8. */
  string(text: string): void {
    const length = text.length;
    this.#reserve(length * 3 + 8);
    if (length <= SHORT_STRING) {
      const buffer = this.#buffer;
      const start = this.position;
      let at = start + 1;
      let index = 0;
      for (; index < length; index += 1) {
        const code = codeAt(text, index);
        if (code > 127) break;
        buffer[at++] = code;
      }
      if (index === length) {
        buffer[start] = length;
        this.position = at;
        return;
      }
    }
    const start = this.open();
    this.position += this.#buffer.write(text, this.position, 'utf8');
    this.close(start);
  }

  /** A length and the bytes that lower-case hex digits stand for. */
  hex(digits: string): void {
    const bytes = digits.length >>> 1;
    this.#reserve(bytes + 1);
    const buffer = this.#buffer;
    let at = this.position;
    buffer[at++] = bytes;
    for (let index = 0; index < digits.length; index += 2) {
      buffer[at++] = ((HEX_VALUES[codeAt(digits, index)] ?? 0) << 4) | (HEX_VALUES[codeAt(digits, index + 1)] ?? 0);
    }
    this.position = at;
  }

  /** Bytes as they are. */
  bytes(bytes: Uint8Array): void {
    this.#reserve(bytes.length);
    this.#buffer.set(bytes, this.position);
    this.position += bytes.length;
  }

  /**
   * Writes a field `KeyValue` where key and value are short and ASCII, as nearly all are, so that every length within takes one byte: one pass
   * over local variables. Returns false, with nothing written, for any other.
   */
  shortAttribute(tag: number, key: string, value: AnyValue): boolean {
    if (key.length > SHORT_STRING) return false;
    // No text of more than a byte's length is begun, so nothing goes further than the key and two lengths.
    this.#reserve(SHORT_STRING + 3 * ONE_BYTE);
    const buffer = this.#buffer;
    const start = this.position;
    buffer[start] = tag;
    buffer[start + 2] = (1 << 3) | 2;
    buffer[start + 3] = key.length;
    let at = putAscii(buffer, start + 4, key);
    if (at < 0) return false;
    buffer[at] = (2 << 3) | 2;
    const valueStart = at + 2;
    at = this.#shortValue(valueStart, value, start + 2 + ONE_BYTE);
    if (at < 0 || at - start - 2 >= ONE_BYTE) return false;
    buffer[valueStart - 1] = at - valueStart;
    buffer[start + 1] = at - start - 2;
    this.position = at;
    return true;
  }

  /** An `AnyValue` (string 1, bool 2, int 3, double 4, array 5) at `at`; returns where it ends, or -1 where it does not end before `limit` or has no short form. */
  #shortValue(at: number, value: unknown, limit: number): number {
    const buffer = this.#buffer;
    if (typeof value === 'string') {
      if (at + value.length >= limit) return -1;
      buffer[at] = (1 << 3) | 2;
      buffer[at + 1] = value.length;
      return putAscii(buffer, at + 2, value);
    }
    if (typeof value === 'number') {
      if (!Number.isSafeInteger(value)) {
        buffer[at] = (4 << 3) | 1;
        this.#view.setFloat64(at + 1, value, true);
        return at + 9;
      }
      if (value < 0 || value >= TWO_32) return -1;
      buffer[at] = 3 << 3;
      let end = at + 1;
      let rest = value;
      while (rest > 127) {
        buffer[end++] = (rest & 127) | 128;
        rest >>>= 7;
      }
      buffer[end++] = rest;
      return end;
    }
    if (typeof value === 'boolean') {
      buffer[at] = 2 << 3;
      buffer[at + 1] = value ? 1 : 0;
      return at + 2;
    }
    if (!Array.isArray(value)) return -1;
    buffer[at] = (5 << 3) | 2;
    let end = at + 2;
    for (const item of value) {
      if (end + 12 >= limit) return -1;
      buffer[end] = (1 << 3) | 2;
      const itemStart = end + 2;
      end = this.#shortValue(itemStart, item, limit);
      if (end < 0) return -1;
      buffer[itemStart - 1] = end - itemStart;
    }
    if (end >= limit) return -1;
    buffer[at + 1] = end - at - 2;
    return end;
  }

  /** Like `open`, for a field that is expected to take two bytes for its length: then `closeLong` moves nothing. */
  openLong(): number {
    this.#reserve(2);
    this.position += 2;
    return this.position;
  }

  closeLong(start: number): void {
    const length = this.position - start;
    if (length >= ONE_BYTE && length < ONE_BYTE * ONE_BYTE) {
      this.#buffer[start - 2] = (length & 127) | 128;
      this.#buffer[start - 1] = length >>> 7;
      return;
    }
    this.#buffer.copyWithin(start - 1, start, start + length);
    this.position -= 1;
    this.close(start - 1);
  }

  /** Opens a length-delimited field whose tag was written; hand the result to `close`. */
  open(): number {
    this.#reserve(1);
    this.position += 1;
    return this.position;
  }

  close(start: number): void {
    const length = this.position - start;
    if (length < 128) {
      this.#buffer[start - 1] = length;
      return;
    }
    const extra = length < 16_384 ? 1 : length < 2_097_152 ? 2 : length < 268_435_456 ? 3 : 4;
    this.#reserve(extra);
    this.#buffer.copyWithin(start + extra, start, start + length);
    this.position = start - 1;
    this.varint(length);
    this.position += length;
  }
}
