/// <reference lib="esnext.float16" />

/** The bits of IEEE half-precision numbers, rounded to nearest even. */
export function toFloat16Bits(values: ArrayLike<number>): Uint16Array<ArrayBuffer> {
  return new Uint16Array(Float16Array.from(values).buffer);
}

/** What half precision makes of a number: the trainer predicts with the weights that the artifact will hold. */
export function roundToFloat16(values: ArrayLike<number>): Float32Array<ArrayBuffer> {
  return Float32Array.from(Float16Array.from(values));
}

/** Numbers from base64 of little-endian float16. Undefined when the length is odd or something is not finite. */
export function decodeFloat16(base64: string): Float32Array<ArrayBuffer> | undefined {
  const bytes = Buffer.from(base64, 'base64');
  if (bytes.length % 2 !== 0) return undefined;
  const aligned = new Uint8Array(bytes);
  const values = Float32Array.from(new Float16Array(aligned.buffer, 0, aligned.length / 2));
  return values.every(Number.isFinite) ? values : undefined;
}
