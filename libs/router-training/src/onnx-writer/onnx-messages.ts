import protobuf from 'protobufjs';

/**
 * The part of the ONNX format that router heads need, with the field numbers of onnx.proto (github.com/onnx/onnx, onnx/onnx.proto, IR version 8).
 * protobufjs encodes it; packages that bundle the whole schema depend on a protobufjs of years ago.
 */
const root = protobuf.Root.fromJSON({
  nested: {
    onnx: {
      nested: {
        ModelProto: {
          fields: {
            irVersion: { id: 1, type: 'int64' }, producerName: { id: 2, type: 'string' }, producerVersion: { id: 3, type: 'string' },
            graph: { id: 7, type: 'GraphProto' }, opsetImport: { id: 8, rule: 'repeated', type: 'OperatorSetIdProto' },
          },
        },
        OperatorSetIdProto: { fields: { domain: { id: 1, type: 'string' }, version: { id: 2, type: 'int64' } } },
        GraphProto: {
          fields: {
            node: { id: 1, rule: 'repeated', type: 'NodeProto' }, name: { id: 2, type: 'string' }, initializer: { id: 5, rule: 'repeated', type: 'TensorProto' },
            input: { id: 11, rule: 'repeated', type: 'ValueInfoProto' }, output: { id: 12, rule: 'repeated', type: 'ValueInfoProto' },
          },
        },
        NodeProto: {
          fields: {
            input: { id: 1, rule: 'repeated', type: 'string' }, output: { id: 2, rule: 'repeated', type: 'string' }, name: { id: 3, type: 'string' },
            opType: { id: 4, type: 'string' }, attribute: { id: 5, rule: 'repeated', type: 'AttributeProto' },
          },
        },
        AttributeProto: {
          fields: {
            name: { id: 1, type: 'string' }, f: { id: 2, type: 'float' }, i: { id: 3, type: 'int64' },
            ints: { id: 8, rule: 'repeated', type: 'int64', options: { packed: false } }, type: { id: 20, type: 'int32' },
          },
        },
        TensorProto: {
          fields: {
            dims: { id: 1, rule: 'repeated', type: 'int64', options: { packed: false } }, dataType: { id: 2, type: 'int32' },
            name: { id: 8, type: 'string' }, rawData: { id: 9, type: 'bytes' },
          },
        },
        ValueInfoProto: { fields: { name: { id: 1, type: 'string' }, type: { id: 2, type: 'TypeProto' } } },
        TypeProto: { fields: { tensorType: { id: 1, type: 'TensorTypeProto' } } },
        TensorTypeProto: { fields: { elemType: { id: 1, type: 'int32' }, shape: { id: 2, type: 'TensorShapeProto' } } },
        TensorShapeProto: { fields: { dim: { id: 1, rule: 'repeated', type: 'DimensionProto' } } },
        DimensionProto: { fields: { dimValue: { id: 1, type: 'int64' }, dimParam: { id: 2, type: 'string' } } },
      },
    },
  },
});

const modelType = root.lookupType('onnx.ModelProto');

export interface OnnxAttribute { readonly name: string; readonly type: number; readonly f?: number; readonly i?: number; readonly ints?: readonly number[] }
export interface OnnxNode { readonly input: readonly string[]; readonly output: readonly string[]; readonly name: string; readonly opType: string; readonly attribute: readonly OnnxAttribute[] }
export interface OnnxTensor { readonly dims: readonly number[]; readonly dataType: number; readonly name: string; readonly rawData: Uint8Array }
export interface OnnxValueInfo {
  readonly name: string;
  readonly type: { readonly tensorType: { readonly elemType: number; readonly shape: { readonly dim: readonly ({ readonly dimValue: number } | { readonly dimParam: string })[] } } };
}
export interface OnnxModel {
  readonly irVersion: number;
  readonly producerName: string;
  readonly producerVersion: string;
  readonly opsetImport: readonly { readonly domain: string; readonly version: number }[];
  readonly graph: { readonly name: string; readonly node: readonly OnnxNode[]; readonly initializer: readonly OnnxTensor[]; readonly input: readonly OnnxValueInfo[]; readonly output: readonly OnnxValueInfo[] };
}

export function encodeModel(model: OnnxModel): Uint8Array {
  return modelType.encode(modelType.fromObject(model)).finish();
}
