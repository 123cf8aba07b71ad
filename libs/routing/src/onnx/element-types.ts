interface ElementType {
  readonly name: string;
  /** Undefined: a type without a fixed size, or one that no model here needs. */
  readonly bits?: number;
}

/** TensorProto.DataType of https://github.com/onnx/onnx/blob/main/onnx/onnx.proto. */
const TYPES = new Map<number, ElementType>([
  [1, { name: 'float32', bits: 32 }], [2, { name: 'uint8', bits: 8 }], [3, { name: 'int8', bits: 8 }], [4, { name: 'uint16', bits: 16 }], [5, { name: 'int16', bits: 16 }],
  [6, { name: 'int32', bits: 32 }], [7, { name: 'int64', bits: 64 }], [8, { name: 'string' }], [9, { name: 'bool', bits: 8 }], [10, { name: 'float16', bits: 16 }],
  [11, { name: 'float64', bits: 64 }], [12, { name: 'uint32', bits: 32 }], [13, { name: 'uint64', bits: 64 }], [14, { name: 'complex64' }], [15, { name: 'complex128' }],
  [16, { name: 'bfloat16', bits: 16 }], [21, { name: 'uint4', bits: 4 }], [22, { name: 'int4', bits: 4 }],
]);

export function elementName(type: number): string | undefined {
  return TYPES.get(type)?.name;
}

/** Bits of one element as raw data stores it; undefined for types that are refused. */
export function elementBits(type: number): number | undefined {
  return TYPES.get(type)?.bits;
}
