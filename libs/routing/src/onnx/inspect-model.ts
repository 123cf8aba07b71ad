import { describeUnknown } from '@pointsman/errors';
import { ModelRefusedError } from './model-refused-error.ts';
import type { OperatorList } from './operators.ts';
import { elementBits, elementName } from './element-types.ts';
import { MessageReader, WindowedFile, WireFormatError } from './wire-reader.ts';

export interface InspectModelOptions {
  /** Of the file, bytes. */
  readonly maxBytes: number;
  readonly operators: OperatorList;
}

/** An input or output as the file declares it. */
export interface DeclaredTensor {
  readonly name: string;
  /** `float32`, `int64`, …; undefined for what is no tensor. */
  readonly type: string | undefined;
  /** A number where the size is fixed; undefined where it is symbolic. The whole is undefined where no shape is declared. */
  readonly dims: readonly (number | undefined)[] | undefined;
}

export interface ModelFacts {
  readonly fileBytes: number;
  /** Of all weights and constants. */
  readonly weightBytes: number;
  readonly nodes: number;
  /** What a caller must feed: inputs that have no initializer. */
  readonly inputs: readonly DeclaredTensor[];
  readonly outputs: readonly DeclaredTensor[];
}

const MAX_FIELDS = 4_000_000;
const MAX_NODES = 20_000;
const MAX_TENSORS = 20_000;
const MAX_RANK = 8;
const MAX_DIM = 2 ** 31;
const MAX_INTERFACE = 512;
const MAX_IR_VERSION = 20n;

/** What is added up while a file is read. */
interface Tally {
  readonly operators: OperatorList;
  readonly initializers: Set<string>;
  readonly inputs: DeclaredTensor[];
  readonly outputs: DeclaredTensor[];
  nodes: number;
  tensors: number;
  weightBytes: number;
}

/**
 * Reads the structure of an ONNX file (ModelProto of https://github.com/onnx/onnx/blob/main/onnx/onnx.proto) before any runtime sees it, and refuses what a router
 * model has no use for: weights in other files, operators outside of the list, functions, subgraphs, training graphs, sparse tensors, shapes that disagree with their data.
 * Blocks while it reads and reads only the structure.
 * @throws ModelRefusedError `too_large`, `not_onnx`, `external_data`, `operator`, `structure`, `tensor`, `unreadable`
 */
export function inspectModel(path: string, { maxBytes, operators }: InspectModelOptions): ModelFacts {
  const tally: Tally = { operators, initializers: new Set(), inputs: [], outputs: [], nodes: 0, tensors: 0, weightBytes: 0 };
  try {
    using file = new WindowedFile(path, MAX_FIELDS);
    if (file.length > maxBytes) throw new ModelRefusedError('too_large', `The model has ${file.length} bytes; ${maxBytes} are allowed.`);
    readModel(new MessageReader(file, 0, file.length), tally);
    return {
      fileBytes: file.length, weightBytes: tally.weightBytes, nodes: tally.nodes,
      inputs: tally.inputs.filter(({ name }) => !tally.initializers.has(name)), outputs: tally.outputs,
    };
  } catch (error) {
    if (error instanceof ModelRefusedError) throw error;
    if (error instanceof WireFormatError) throw new ModelRefusedError('not_onnx', `The model is not a whole ONNX file: ${error.message}`, error);
    throw new ModelRefusedError('unreadable', `The model cannot be read: ${describeUnknown(error)}`, error);
  }
}

function readModel(model: MessageReader, tally: Tally): void {
  let graphs = 0;
  let opsets = 0;
  let irVersion = 0n;
  while (model.next()) {
    if (model.field === 1 && !model.isBytes) irVersion = model.value;
    else if (model.field === 8) {
      opsets += 1;
      checkOpset(model.message(), tally);
    } else if (model.field === 7) {
      graphs += 1;
      // Protobuf merges a message that comes twice: what was inspected would not be what runs.
      if (graphs > 1) throw new ModelRefusedError('structure', 'The model has more than one graph.');
      readGraph(model.message(), tally);
    } else if (model.field === 20) throw new ModelRefusedError('structure', 'The model carries a training graph.');
    else if (model.field === 25) throw new ModelRefusedError('structure', 'The model defines functions of its own.');
  }
  if (irVersion < 1n || irVersion > MAX_IR_VERSION || graphs === 0 || opsets === 0) throw new ModelRefusedError('not_onnx', 'The file is not an ONNX model: format version, operator set or graph is missing.');
  if (tally.nodes === 0) throw new ModelRefusedError('structure', 'The model computes nothing.');
}

function checkOpset(opset: MessageReader, { operators }: Tally): void {
  let domain = '';
  while (opset.next()) if (opset.field === 1) domain = opset.text();
  if (isStandard(domain) || domain === 'ai.onnx.ml' || (domain === 'com.microsoft' && operators.microsoft.size > 0)) return;
  throw new ModelRefusedError('operator', `The model uses the operator set ${quoted(domain)}, which is not allowed.`);
}

function readGraph(graph: MessageReader, tally: Tally): void {
  while (graph.next()) {
    switch (graph.field) {
      case 1:
        readNode(graph.message(), tally);
        break;
      case 5: {
        const name = readTensor(graph.message(), tally);
        if (tally.initializers.has(name)) throw new ModelRefusedError('structure', `The model has two initializers ${quoted(name)}.`);
        tally.initializers.add(name);
        break;
      }
      case 11:
        tally.inputs.push(readValueInfo(graph.message()));
        break;
      case 12:
        tally.outputs.push(readValueInfo(graph.message()));
        break;
      case 15:
        throw new ModelRefusedError('structure', 'The model has sparse tensors.');
    }
    // Old files declare every initializer as an input too.
    if (tally.inputs.length > MAX_TENSORS || tally.outputs.length > MAX_INTERFACE) throw new ModelRefusedError('structure', 'The model declares too many inputs or outputs.');
  }
}

function readNode(node: MessageReader, tally: Tally): void {
  tally.nodes += 1;
  if (tally.nodes > MAX_NODES) throw new ModelRefusedError('structure', `The model has more than ${MAX_NODES} nodes.`);
  let operator = '';
  let domain = '';
  // The operator is checked after its attributes are read: the order of fields in a message is free, and any field may come twice (the last one counts).
  while (node.next()) {
    if (node.field === 4) operator = node.text();
    else if (node.field === 7) domain = node.text();
    else if (node.field === 5) readAttribute(node.message(), tally);
  }
  const { operators } = tally;
  const allowed = isStandard(domain) ? operators.standard : domain === 'com.microsoft' ? operators.microsoft : undefined;
  if (allowed?.has(operator) !== true) {
    throw new ModelRefusedError('operator', `The model uses the operator ${quoted(isStandard(domain) ? operator : `${domain}.${operator}`)}, which is not allowed in a ${operators.name} model.`);
  }
}

function readAttribute(attribute: MessageReader, tally: Tally): void {
  while (attribute.next()) {
    if (attribute.field === 5 || attribute.field === 10) readTensor(attribute.message(), tally);
    else if (attribute.field === 6 || attribute.field === 11) throw new ModelRefusedError('structure', 'The model has a subgraph: If, Loop and Scan are not allowed.');
    else if (attribute.field === 22 || attribute.field === 23) throw new ModelRefusedError('structure', 'The model has sparse tensors.');
  }
}

/** Returns the tensor's name. */
function readTensor(tensor: MessageReader, tally: Tally): string {
  tally.tensors += 1;
  if (tally.tensors > MAX_TENSORS) throw new ModelRefusedError('structure', `The model has more than ${MAX_TENSORS} weights.`);
  let name = '';
  let type = 0;
  const dims: number[] = [];
  let rawBytes: number | undefined;
  let elements = 0;
  const take = (dim: bigint): void => {
    if (dims.length >= MAX_RANK) throw new ModelRefusedError('tensor', `A weight has more than ${MAX_RANK} dimensions.`);
    if (dim < 0n || dim > MAX_DIM) throw new ModelRefusedError('tensor', `A weight declares the size ${String(dim)}.`);
    dims.push(Number(dim));
  };
  while (tensor.next()) {
    switch (tensor.field) {
      case 1:
        tensor.varints(take);
        break;
      case 2:
        type = Number(tensor.value);
        break;
      case 3:
        throw new ModelRefusedError('tensor', 'A weight comes in segments.');
      case 4:
        elements += tensor.isBytes ? (tensor.end - tensor.start) / 4 : 1;
        break;
      case 10:
        elements += tensor.isBytes ? (tensor.end - tensor.start) / 8 : 1;
        break;
      case 5:
      case 7:
      case 11:
        elements += tensor.countVarints();
        break;
      case 6:
        throw new ModelRefusedError('tensor', 'A weight holds text.');
      case 8:
        name = tensor.text();
        break;
      case 9:
        if (rawBytes !== undefined) throw new ModelRefusedError('tensor', `The weight ${quoted(name)} has its data twice.`);
        rawBytes = tensor.isBytes ? tensor.end - tensor.start : 0;
        break;
      case 13:
        throw new ModelRefusedError('external_data', 'The model keeps weights in another file.');
      case 14:
        if (tensor.value !== 0n) throw new ModelRefusedError('external_data', 'The model keeps weights in another file.');
        break;
    }
  }
  checkTensor({ name, type, dims, rawBytes, elements }, tally);
  return name;
}

interface TensorData {
  readonly name: string;
  readonly type: number;
  readonly dims: readonly number[];
  readonly rawBytes: number | undefined;
  /** In typed fields. */
  readonly elements: number;
}

function checkTensor({ name, type, dims, rawBytes, elements }: TensorData, tally: Tally): void {
  const bits = elementBits(type);
  if (bits === undefined) throw new ModelRefusedError('tensor', `The weight ${quoted(name)} has the element type ${elementName(type) ?? String(type)}, which is not allowed.`);
  // Numbers are exact to 2^53: a product beyond that is beyond any file, whatever its digits.
  const declared = dims.reduce((product, dim) => product * dim, 1);
  const bytes = Math.ceil((declared * bits) / 8);
  // Two 4-bit numbers share an element of a typed field.
  const typed = bits === 4 ? Math.ceil(declared / 2) : declared;
  const agrees = rawBytes === undefined ? elements === typed : rawBytes === bytes && elements === 0;
  if (!agrees) {
    throw new ModelRefusedError('tensor', `The weight ${quoted(name)} declares the shape [${dims.join(', ')}] and has ${rawBytes === undefined ? `${elements} elements` : `${rawBytes} bytes`}.`);
  }
  tally.weightBytes += bytes;
}

function readValueInfo(info: MessageReader): DeclaredTensor {
  let name = '';
  let type: string | undefined;
  let dims: (number | undefined)[] | undefined;
  while (info.next()) {
    if (info.field === 1) name = info.text();
    if (info.field !== 2) continue;
    const typeProto = info.message();
    while (typeProto.next()) {
      if (typeProto.field !== 1) continue;
      const tensor = typeProto.message();
      while (tensor.next()) {
        if (tensor.field === 1) type = elementName(Number(tensor.value));
        else if (tensor.field === 2) dims = readShape(tensor.message());
      }
    }
  }
  return { name, type, dims };
}

function readShape(shape: MessageReader): (number | undefined)[] {
  const dims: (number | undefined)[] = [];
  while (shape.next()) {
    if (shape.field !== 1) continue;
    const dim = shape.message();
    let size: number | undefined;
    while (dim.next()) {
      if (dim.field !== 1) continue;
      if (dim.value > MAX_DIM || dim.value < -1n) throw new ModelRefusedError('interface', `The model declares an input or output of the size ${String(dim.value)}.`);
      size = dim.value < 0n ? undefined : Number(dim.value);
    }
    dims.push(size);
    if (dims.length > MAX_RANK) throw new ModelRefusedError('interface', `The model declares an input or output of more than ${MAX_RANK} dimensions.`);
  }
  return dims;
}

function isStandard(domain: string): boolean {
  return domain === '' || domain === 'ai.onnx';
}

/** A name of the file as a message may show it. */
function quoted(text: string): string {
  return JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}…` : text);
}
