import { closeSync, fstatSync, openSync, readSync } from 'node:fs';

/** Bytes that do not make a message: truncated, or nothing that protobuf wrote. */
export class WireFormatError extends Error {
  override readonly name = 'WireFormatError';
}

const WINDOW_BYTES = 64 * 1024;
const VARINT = 0;
const FIXED64 = 1;
const BYTES = 2;
const FIXED32 = 5;

/**
 * A file seen through a small window: what is skipped is never read, so that the structure of a file of gigabytes costs kilobytes of memory.
 * Reads block: for children and workers, not for a thread that serves.
 */
export class WindowedFile implements Disposable {
  readonly length: number;
  readonly #descriptor: number;
  readonly #window = Buffer.allocUnsafe(WINDOW_BYTES);
  #start = 0;
  #end = 0;
  #fieldsLeft: number;

  /** `maxFields` bounds the work that a hostile file can ask for. */
  constructor(path: string, maxFields: number) {
    this.#descriptor = openSync(path, 'r');
    const found = fstatSync(this.#descriptor);
    if (!found.isFile()) {
      closeSync(this.#descriptor);
      throw new WireFormatError('It is not a regular file.');
    }
    this.length = found.size;
    this.#fieldsLeft = maxFields;
  }

  byteAt(position: number): number {
    if (position < this.#start || position >= this.#end) {
      if (position >= this.length) throw new WireFormatError('The file ends in the middle of a field.');
      this.#start = position;
      this.#end = position + readSync(this.#descriptor, this.#window, 0, WINDOW_BYTES, position);
      if (this.#end === position) throw new WireFormatError('The file ends in the middle of a field.');
    }
    return this.#window[position - this.#start] ?? 0;
  }

  text(start: number, end: number, maxBytes: number): string {
    if (end - start > maxBytes) throw new WireFormatError(`A name of ${end - start} bytes is too long.`);
    const bytes = Buffer.allocUnsafe(end - start);
    for (let index = 0; index < bytes.length; index += 1) bytes[index] = this.byteAt(start + index);
    return bytes.toString('utf8');
  }

  /** A copy of a part of the file. */
  bytes(start: number, end: number): Buffer {
    const copy = Buffer.allocUnsafe(end - start);
    let filled = 0;
    while (filled < copy.length) {
      const read = readSync(this.#descriptor, copy, filled, copy.length - filled, start + filled);
      if (read === 0) throw new WireFormatError('The file ends in the middle of a field.');
      filled += read;
    }
    return copy;
  }

  /** Counts one field against the bound. */
  spend(): void {
    this.#fieldsLeft -= 1;
    if (this.#fieldsLeft < 0) throw new WireFormatError('The file has too many fields.');
  }

  [Symbol.dispose](): void {
    closeSync(this.#descriptor);
  }
}

/**
 * Walks the fields of one protobuf message (https://protobuf.dev/programming-guides/encoding/): `while (reader.next())`, then look at `field`.
 * Groups, which ONNX does not use, are refused.
 */
export class MessageReader {
  field = 0;
  /** Where the field begins, its number included. */
  begin = 0;
  /** Whether the field carries bytes from `start` to `end`; otherwise it is a number. */
  isBytes = false;
  start = 0;
  end = 0;
  /** A varint as protobuf's int64; of fixed-width fields 0. */
  value = 0n;
  readonly file: WindowedFile;
  readonly #limit: number;
  #position: number;

  constructor(file: WindowedFile, start: number, end: number) {
    this.file = file;
    this.#position = start;
    this.#limit = end;
  }

  next(): boolean {
    if (this.#position >= this.#limit) return false;
    this.file.spend();
    this.begin = this.#position;
    const key = Number(this.#varint());
    this.field = Math.floor(key / 8);
    if (this.field === 0 || key > 0xffff_ffff) throw new WireFormatError('A field has no valid number.');
    const wireType = key % 8;
    this.isBytes = wireType === BYTES;
    this.value = 0n;
    if (wireType === VARINT) this.value = BigInt.asIntN(64, this.#varint());
    else if (wireType === FIXED64) this.#skip(8);
    else if (wireType === FIXED32) this.#skip(4);
    else if (wireType === BYTES) {
      const length = this.#varint();
      this.start = this.#position;
      if (length > BigInt(this.#limit - this.#position)) throw new WireFormatError('A field is longer than what holds it.');
      this.end = this.start + Number(length);
      this.#position = this.end;
    } else throw new WireFormatError('A field has a kind that does not exist.');
    return true;
  }

  /** The field just read as it stands in the file, its number included. */
  whole(): Buffer {
    return this.file.bytes(this.begin, this.#position);
  }

  /** The message in the field just read. */
  message(): MessageReader {
    if (!this.isBytes) throw new WireFormatError('A number stands where a message belongs.');
    return new MessageReader(this.file, this.start, this.end);
  }

  /** The text in the field just read, at most 1,024 bytes. */
  text(): string {
    if (!this.isBytes) throw new WireFormatError('A number stands where a text belongs.');
    return this.file.text(this.start, this.end, 1024);
  }

  /** The numbers of a repeated varint field, packed or not, each given to `take`. */
  varints(take: (value: bigint) => void): void {
    if (!this.isBytes) {
      take(this.value);
      return;
    }
    const packed = new MessageReader(this.file, this.start, this.end);
    while (packed.#position < packed.#limit) take(BigInt.asIntN(64, packed.#varint()));
  }

  /** How many varints a packed field holds: each ends with a byte below 128. */
  countVarints(): number {
    if (!this.isBytes) return 1;
    let count = 0;
    for (let position = this.start; position < this.end; position += 1) if (this.file.byteAt(position) < 128) count += 1;
    return count;
  }

  #skip(bytes: number): void {
    this.#position += bytes;
    if (this.#position > this.#limit) throw new WireFormatError('The file ends in the middle of a field.');
  }

  #varint(): bigint {
    let low = 0;
    let factor = 1;
    for (let index = 0; index < 7; index += 1) {
      if (this.#position >= this.#limit) throw new WireFormatError('The file ends in the middle of a field.');
      const byte = this.file.byteAt(this.#position);
      this.#position += 1;
      low += (byte & 127) * factor;
      if (byte < 128) return BigInt(low);
      factor *= 128;
    }
    let value = BigInt(low);
    for (let shift = 49n; shift <= 63n; shift += 7n) {
      if (this.#position >= this.#limit) throw new WireFormatError('The file ends in the middle of a field.');
      const byte = this.file.byteAt(this.#position);
      this.#position += 1;
      value |= BigInt(byte & 127) << shift;
      if (byte < 128) return BigInt.asUintN(64, value);
    }
    throw new WireFormatError('A number is longer than 64 bits.');
  }
}
