/**
 * A minimal writer of ONNX files for tests: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto. It writes what it is told, also what no runtime would accept.
 */
export const ELEMENT = { float: 1, int8: 3, int32: 6, int64: 7, string: 8, double: 11 } as const;

/** One protobuf field: varint, bytes or nested message. */
export type Field = readonly [field: number, value: number | bigint | string | Uint8Array | readonly Field[]];

function varint(value: number | bigint): number[] {
  let rest = BigInt.asUintN(64, BigInt(value));
  const bytes: number[] = [];
  while (rest > 127n) {
    bytes.push(Number(rest & 127n) | 128);
    rest >>= 7n;
  }
  bytes.push(Number(rest));
  return bytes;
}

export function message(fields: readonly Field[]): Uint8Array {
  const parts: Uint8Array[] = [];
  for (const [field, value] of fields) {
    if (typeof value === 'number' || typeof value === 'bigint') {
      parts.push(Uint8Array.from([...varint(field * 8), ...varint(value)]));
      continue;
    }
    const bytes = typeof value === 'string' ? Buffer.from(value) : value instanceof Uint8Array ? value : message(value);
    parts.push(Uint8Array.from([...varint(field * 8 + 2), ...varint(bytes.byteLength)]), bytes);
  }
  return Buffer.concat(parts);
}

export interface TensorParts {
  readonly name?: string;
  readonly dims: readonly (number | bigint)[];
  readonly type?: number;
  readonly data?: Float32Array | Int32Array | BigInt64Array | Int8Array | Uint8Array;
  /** More fields of TensorProto, as they are. */
  readonly extra?: readonly Field[];
}

export function tensor({ name = '', dims, type = ELEMENT.float, data, extra = [] }: TensorParts): Field[] {
  return [
    ...dims.map((dim): Field => [1, dim]),
    [2, type],
    [8, name],
    ...(data === undefined ? [] : [[9, new Uint8Array(data.buffer, data.byteOffset, data.byteLength)] satisfies Field]),
    ...extra,
  ];
}

export function valueInfo(name: string, type: number, dims: readonly (number | string)[]): Field[] {
  const shape = dims.map((dim): Field => [1, [typeof dim === 'number' ? [1, dim] : [2, dim]]]);
  return [[1, name], [2, [[1, [[1, type], [2, shape]]]]]];
}

export const attribute = {
  int: (name: string, value: number): Field[] => [[1, name], [3, value], [20, 2]],
  tensor: (name: string, value: readonly Field[]): Field[] => [[1, name], [5, value], [20, 4]],
  graph: (name: string, value: readonly Field[]): Field[] => [[1, name], [6, value], [20, 5]],
};

export interface NodeParts {
  readonly op: string;
  readonly inputs?: readonly string[];
  readonly outputs: readonly string[];
  readonly domain?: string;
  readonly attributes?: readonly (readonly Field[])[];
}

export function node({ op, inputs = [], outputs, domain, attributes = [] }: NodeParts): Field[] {
  return [
    ...inputs.map((name): Field => [1, name]),
    ...outputs.map((name): Field => [2, name]),
    [4, op],
    ...attributes.map((value): Field => [5, value]),
    ...(domain === undefined ? [] : [[7, domain] satisfies Field]),
  ];
}

export interface GraphParts {
  readonly nodes: readonly (readonly Field[])[];
  readonly initializers?: readonly (readonly Field[])[];
  readonly inputs?: readonly (readonly Field[])[];
  readonly outputs?: readonly (readonly Field[])[];
  readonly extra?: readonly Field[];
}

export function graph({ nodes, initializers = [], inputs = [], outputs = [], extra = [] }: GraphParts): Field[] {
  return [
    ...nodes.map((value): Field => [1, value]),
    [2, 'head'],
    ...initializers.map((value): Field => [5, value]),
    ...inputs.map((value): Field => [11, value]),
    ...outputs.map((value): Field => [12, value]),
    ...extra,
  ];
}

export interface ModelParts extends GraphParts {
  readonly opsets?: readonly (readonly [domain: string, version: number])[];
  readonly modelExtra?: readonly Field[];
}

export function onnxModel({ opsets = [['', 17]], modelExtra = [], ...parts }: ModelParts): Uint8Array {
  return message([[1, 8], [2, 'fixture'], [7, graph(parts)], ...opsets.map(([domain, version]): Field => [8, [[1, domain], [2, version]]]), ...modelExtra]);
}

export interface LinearHeadOptions {
  readonly features: number;
  /** `features × bias.length`, row by row. */
  readonly weights: Float32Array;
  readonly bias: Float32Array;
}

/** `scores = text · weights + bias`. */
export function linearHead({ features, weights, bias }: LinearHeadOptions): Uint8Array {
  const columns = bias.length;
  return onnxModel({
    nodes: [node({ op: 'MatMul', inputs: ['text', 'w'], outputs: ['product'] }), node({ op: 'Add', inputs: ['product', 'b'], outputs: ['scores'] })],
    initializers: [tensor({ name: 'w', dims: [features, columns], data: weights }), tensor({ name: 'b', dims: [columns], data: bias })],
    inputs: [valueInfo('text', ELEMENT.float, [1, features])],
    outputs: [valueInfo('scores', ELEMENT.float, [1, columns])],
  });
}

export interface MixedHeadOptions {
  readonly textFeatures: number;
  readonly embedding: number;
  readonly hidden: number;
  readonly buckets: number;
  readonly columns: number;
  /** One weight for everything: what the head answers can be worked out by hand. */
  readonly weight?: number;
}

/** A two-layer head over text features and embedding plus a table of n-gram weights: every input of the interface, the shape that the trainer writes. */
export function mixedHead({ textFeatures, embedding, hidden, buckets, columns, weight = 0.01 }: MixedHeadOptions): Uint8Array {
  const filled = (length: number): Float32Array => new Float32Array(length).fill(weight);
  return onnxModel({
    nodes: [
      node({ op: 'Concat', inputs: ['text', 'embedding'], outputs: ['dense'], attributes: [attribute.int('axis', 1)] }),
      node({ op: 'MatMul', inputs: ['dense', 'w1'], outputs: ['h0'] }),
      node({ op: 'Add', inputs: ['h0', 'b1'], outputs: ['h1'] }),
      node({ op: 'Relu', inputs: ['h1'], outputs: ['h2'] }),
      node({ op: 'MatMul', inputs: ['h2', 'w2'], outputs: ['deep'] }),
      node({ op: 'Gather', inputs: ['table', 'ngram_index'], outputs: ['rows'] }),
      node({ op: 'Unsqueeze', inputs: ['ngram_value', 'one'], outputs: ['column'] }),
      node({ op: 'Mul', inputs: ['rows', 'column'], outputs: ['weighted'] }),
      node({ op: 'ReduceSum', inputs: ['weighted', 'zero'], outputs: ['wide'] }),
      node({ op: 'Add', inputs: ['deep', 'wide'], outputs: ['scores'] }),
    ],
    initializers: [
      tensor({ name: 'w1', dims: [textFeatures + embedding, hidden], data: filled((textFeatures + embedding) * hidden) }),
      tensor({ name: 'b1', dims: [hidden], data: filled(hidden) }),
      tensor({ name: 'w2', dims: [hidden, columns], data: filled(hidden * columns) }),
      tensor({ name: 'table', dims: [buckets, columns], data: filled(buckets * columns) }),
      tensor({ name: 'one', dims: [1], type: ELEMENT.int64, data: BigInt64Array.of(1n) }),
      tensor({ name: 'zero', dims: [1], type: ELEMENT.int64, data: BigInt64Array.of(0n) }),
    ],
    inputs: [
      valueInfo('text', ELEMENT.float, [1, textFeatures]), valueInfo('embedding', ELEMENT.float, [1, embedding]),
      valueInfo('ngram_index', ELEMENT.int32, ['N']), valueInfo('ngram_value', ELEMENT.float, ['N']),
    ],
    outputs: [valueInfo('scores', ELEMENT.float, [1, columns])],
  });
}

/** A head that says the same of every prompt: `scores`, in the order of the manifest's candidates. */
export function constantHead(scores: readonly number[]): Uint8Array {
  return onnxModel({
    nodes: [
      node({ op: 'ReduceSum', inputs: ['text', 'axis'], outputs: ['sum'] }),
      node({ op: 'Mul', inputs: ['sum', 'zero'], outputs: ['nothing'] }),
      node({ op: 'Add', inputs: ['nothing', 'b'], outputs: ['scores'] }),
    ],
    initializers: [
      tensor({ name: 'axis', dims: [1], type: ELEMENT.int64, data: BigInt64Array.of(1n) }), tensor({ name: 'zero', dims: [1], data: Float32Array.of(0) }),
      tensor({ name: 'b', dims: [scores.length], data: Float32Array.from(scores) }),
    ],
    inputs: [valueInfo('text', ELEMENT.float, [1, 'F'])],
    outputs: [valueInfo('scores', ELEMENT.float, [1, scores.length])],
  });
}
