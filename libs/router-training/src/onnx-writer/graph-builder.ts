import { hash } from 'node:crypto';
import type { HEAD_INPUTS } from '@pointsman/routing';
import { toFloat16Bits } from '../dataset/float16.ts';
import { encodeModel, type OnnxAttribute, type OnnxNode, type OnnxTensor, type OnnxValueInfo } from './onnx-messages.ts';

/** `TensorProto.DataType`. */
export const ELEMENT_TYPES = { float: 1, int8: 3, int32: 6, int64: 7, float16: 10 } as const;
const ATTRIBUTE_FLOAT = 1;
const ATTRIBUTE_INT = 2;
const ATTRIBUTE_INTS = 7;

type HeadInput = (typeof HEAD_INPUTS)[number];

/** A tensor inside the graph, by name. */
export type Tensor = string;

export interface GraphWidths {
  readonly text: number;
  readonly embedding: number;
  readonly candidates: number;
}

type AttributeValue = { readonly float: number } | { readonly int: number } | { readonly ints: readonly number[] };

/**
 * Builds the ONNX graph of a head: opset 17, no control flow, no custom operators, inputs as `router-model.ts` describes them. An input exists once
 * something asks for it. Equal weights give equal bytes: names are counted, nothing depends on time or chance. What was written before is not written
 * again: an operator costs the runtime about half a microsecond, and the parts of a hybrid begin alike.
 */
export class GraphBuilder {
  readonly #widths: GraphWidths;
  readonly #nodes: OnnxNode[] = [];
  readonly #tensors: OnnxTensor[] = [];
  readonly #inputs = new Map<HeadInput, OnnxValueInfo>();
  readonly #written = new Map<string, readonly Tensor[]>();
  #counter = 0;

  constructor(widths: GraphWidths) {
    this.#widths = widths;
  }

  /** An input of the head, declared on first use. */
  input(name: HeadInput): Tensor {
    const shape = { text: [1, this.#widths.text], embedding: [1, this.#widths.embedding], ngram_index: ['N'], ngram_value: ['N'] }[name];
    this.#inputs.set(name, valueInfo(name, name === 'ngram_index' ? ELEMENT_TYPES.int32 : ELEMENT_TYPES.float, shape));
    return name;
  }

  /** Weights in float32. */
  floats(values: ArrayLike<number>, dims: readonly number[]): Tensor {
    return this.#initializer(ELEMENT_TYPES.float, bytesOf(Float32Array.from(values)), values.length, dims);
  }

  /** Weights in half precision; cast to float32 before use. */
  halves(values: ArrayLike<number>, dims: readonly number[]): Tensor {
    return this.#initializer(ELEMENT_TYPES.float16, bytesOf(toFloat16Bits(values)), values.length, dims);
  }

  bytes(values: Int8Array<ArrayBuffer>, dims: readonly number[]): Tensor {
    return this.#initializer(ELEMENT_TYPES.int8, bytesOf(values), values.length, dims);
  }

  integers(values: readonly number[], dims: readonly number[] = [values.length]): Tensor {
    return this.#initializer(ELEMENT_TYPES.int64, bytesOf(BigInt64Array.from(values, BigInt)), values.length, dims);
  }

  /** One number, shape []. */
  scalar(value: number): Tensor {
    return this.floats([value], []);
  }

  /** Adds an operator with one output. */
  op(type: string, inputs: readonly Tensor[], attributes: Readonly<Record<string, AttributeValue>> = {}): Tensor {
    return this.ops(type, inputs, attributes, 1)[0]!;
  }

  /** Adds an operator with several outputs. */
  ops(type: string, inputs: readonly Tensor[], attributes: Readonly<Record<string, AttributeValue>>, outputs: number): readonly Tensor[] {
    return this.#once(JSON.stringify([type, inputs, attributes]), () => {
      const names = Array.from({ length: outputs }, () => this.#name('t'));
      this.#nodes.push({ input: inputs, output: names, name: this.#name('n'), opType: type, attribute: Object.entries(attributes).map(toAttribute) });
      return names;
    });
  }

  cast(tensor: Tensor, to: keyof typeof ELEMENT_TYPES): Tensor {
    return this.op('Cast', [tensor], { to: { int: ELEMENT_TYPES[to] } });
  }

  /** Sum over axes, which stay as size 1. */
  sum(tensor: Tensor, axes: readonly number[]): Tensor {
    return this.op('ReduceSum', [tensor, this.integers(axes)], { keepdims: { int: 1 } });
  }

  mean(tensor: Tensor, axes: readonly number[]): Tensor {
    return this.op('ReduceMean', [tensor], { axes: { ints: axes }, keepdims: { int: 1 } });
  }

  /** The model file, with `scores` as the head's output, shape [1, candidates]. */
  finish(scores: Tensor): Uint8Array {
    this.#nodes.push({ input: [scores], output: ['scores'], name: this.#name('n'), opType: 'Identity', attribute: [] });
    return encodeModel({
      irVersion: 8, producerName: 'pointsman', producerVersion: '1', opsetImport: [{ domain: '', version: 17 }],
      graph: {
        name: 'router-head', node: this.#nodes, initializer: this.#tensors, input: [...this.#inputs.values()],
        output: [valueInfo('scores', ELEMENT_TYPES.float, [1, this.#widths.candidates])],
      },
    });
  }

  #initializer(dataType: number, rawData: Uint8Array, length: number, dims: readonly number[]): Tensor {
    const expected = dims.reduce((size, dim) => size * dim, 1);
    if (expected !== length) throw new RangeError(`A tensor of shape [${dims.join(', ')}] holds ${expected} numbers, not ${length}.`);
    return this.#once(JSON.stringify([dataType, dims, hash('sha256', rawData)]), () => {
      const name = this.#name('w');
      this.#tensors.push({ dims, dataType, name, rawData });
      return [name];
    })[0]!;
  }

  #once(key: string, write: () => readonly Tensor[]): readonly Tensor[] {
    let names = this.#written.get(key);
    if (names === undefined) this.#written.set(key, (names = write()));
    return names;
  }

  #name(prefix: string): string {
    this.#counter += 1;
    return `${prefix}${this.#counter}`;
  }
}

function toAttribute([name, value]: [string, AttributeValue]): OnnxAttribute {
  if ('float' in value) return { name, type: ATTRIBUTE_FLOAT, f: value.float };
  if ('int' in value) return { name, type: ATTRIBUTE_INT, i: value.int };
  return { name, type: ATTRIBUTE_INTS, ints: value.ints };
}

function valueInfo(name: string, elemType: number, shape: readonly (number | string)[]): OnnxValueInfo {
  return { name, type: { tensorType: { elemType, shape: { dim: shape.map((dim) => (typeof dim === 'number' ? { dimValue: dim } : { dimParam: dim })) } } } };
}

function bytesOf(values: ArrayBufferView): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}
