import { basename } from 'node:path';
import { MessageReader, WindowedFile } from './wire-reader.ts';

const MAX_FIELDS = 4_000_000;
/** Bytes. A smaller weight costs more as a mapping than as a copy. */
const MAPPED_WEIGHT_BYTES = 64 * 1024;
/** Bytes. A file whose small parts are larger than this gains nothing. */
const MAX_STRUCTURE_BYTES = 32 * 1024 * 1024;

const MODEL_GRAPH = 7;
const GRAPH_INITIALIZER = 5;
const TENSOR_RAW_DATA = 9;
const TENSOR_EXTERNAL_DATA = 13;
const TENSOR_DATA_LOCATION = 14;

/**
 * Rewrites an ONNX file that was inspected (so that no weight of it lies elsewhere) into one without its large weights: each of them refers to the place in the
 * same file where its data lies, as external data of ONNX (https://github.com/onnx/onnx/blob/main/docs/ExternalData.md), which onnxruntime maps instead of copying.
 * Undefined when the rest is large too. Blocks while it reads, and reads only the rest.
 * @throws WireFormatError
 */
export function mapWeights(path: string): Uint8Array | undefined {
  using file = new WindowedFile(path, MAX_FIELDS);
  const structure = new Structure();
  const model = new MessageReader(file, 0, file.length);
  while (model.next()) {
    if (model.field !== MODEL_GRAPH) {
      if (!structure.add(model)) return undefined;
      continue;
    }
    const inner = new Structure();
    const graph = model.message();
    while (graph.next()) {
      const mapped = graph.field === GRAPH_INITIALIZER ? mappedTensor(graph.message(), basename(path)) : undefined;
      if (mapped !== undefined) inner.addMessage(GRAPH_INITIALIZER, mapped);
      else if (!inner.add(graph)) return undefined;
    }
    structure.addMessage(MODEL_GRAPH, inner.bytes());
  }
  return structure.bytes();
}

/** Undefined for a tensor that stays as it is. */
function mappedTensor(tensor: MessageReader, fileName: string): Uint8Array | undefined {
  const rest = new Structure();
  let data: { readonly offset: number; readonly length: number } | undefined;
  while (tensor.next()) {
    if (tensor.field === TENSOR_RAW_DATA && tensor.end - tensor.start >= MAPPED_WEIGHT_BYTES) data = { offset: tensor.start, length: tensor.end - tensor.start };
    else if (tensor.field !== TENSOR_DATA_LOCATION && !rest.add(tensor)) return undefined;
  }
  if (data === undefined) return undefined;
  for (const [key, value] of [['location', fileName], ['offset', String(data.offset)], ['length', String(data.length)]] as const) rest.addMessage(TENSOR_EXTERNAL_DATA, entry(key, value));
  rest.addNumber(TENSOR_DATA_LOCATION, 1);
  return rest.bytes();
}

function entry(key: string, value: string): Uint8Array {
  const pair = new Structure();
  pair.addMessage(1, Buffer.from(key));
  pair.addMessage(2, Buffer.from(value));
  return pair.bytes();
}

/** A message that is being put together. */
class Structure {
  readonly #parts: Uint8Array[] = [];
  #length = 0;

  /** Copies a field as it is; false when that would be too much. */
  add(reader: MessageReader): boolean {
    if ((reader.isBytes ? reader.end - reader.start : 0) + this.#length > MAX_STRUCTURE_BYTES) return false;
    this.#push(reader.whole());
    return true;
  }

  addMessage(field: number, bytes: Uint8Array): void {
    this.#push(Uint8Array.from([...varint(field * 8 + 2), ...varint(bytes.length)]));
    this.#push(bytes);
  }

  addNumber(field: number, value: number): void {
    this.#push(Uint8Array.from([...varint(field * 8), ...varint(value)]));
  }

  bytes(): Uint8Array {
    return Buffer.concat(this.#parts, this.#length);
  }

  #push(bytes: Uint8Array): void {
    this.#parts.push(bytes);
    this.#length += bytes.length;
  }
}

function varint(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  for (; rest > 127; rest = Math.floor(rest / 128)) bytes.push((rest % 128) + 128);
  bytes.push(rest);
  return bytes;
}
