/** Which operators a model may use, by domain. Operators that run subgraphs (If, Loop, Scan) and those that reach outside of the model are in no list. */
export interface OperatorList {
  readonly name: string;
  /** Of the standard domain, `''` or `ai.onnx`. */
  readonly standard: ReadonlySet<string>;
  /** Of `com.microsoft`: what onnxruntime adds for transformers. */
  readonly microsoft: ReadonlySet<string>;
}

const ARITHMETIC = ['Add', 'Sub', 'Mul', 'Div', 'Neg', 'Abs', 'Pow', 'Sqrt', 'Reciprocal', 'Exp', 'Log', 'Min', 'Max', 'Mean', 'Sum', 'Clip', 'Sign', 'Floor', 'Ceil', 'Round', 'Mod', 'Sin', 'Cos'];
const LINEAR = ['MatMul', 'Gemm', 'Einsum'];
const REDUCTION = ['ReduceSum', 'ReduceMean', 'ReduceMax', 'ReduceMin', 'ReduceL1', 'ReduceL2', 'ReduceSumSquare', 'ReduceProd', 'ReduceLogSumExp', 'ArgMax', 'ArgMin', 'TopK', 'CumSum'];
const ACTIVATION = ['Relu', 'LeakyRelu', 'Elu', 'Selu', 'Sigmoid', 'HardSigmoid', 'Tanh', 'Softplus', 'Softmax', 'LogSoftmax', 'Erf', 'Gelu', 'LayerNormalization', 'RMSNormalization', 'LpNormalization'];
const SHAPE = [
  'Reshape', 'Flatten', 'Transpose', 'Squeeze', 'Unsqueeze', 'Concat', 'Split', 'Slice', 'Gather', 'GatherElements', 'GatherND', 'ScatterElements', 'ScatterND', 'Expand', 'Tile', 'Pad', 'Shape',
  'Size', 'Range', 'Identity', 'Cast', 'CastLike', 'Constant', 'ConstantOfShape', 'OneHot', 'EyeLike', 'Trilu',
];
const LOGIC = ['Where', 'Equal', 'Greater', 'GreaterOrEqual', 'Less', 'LessOrEqual', 'And', 'Or', 'Not', 'Xor', 'IsNaN', 'IsInf', 'NonZero'];
const QUANTISED = ['QuantizeLinear', 'DequantizeLinear', 'DynamicQuantizeLinear', 'MatMulInteger', 'QLinearMatMul'];

/** What the trainer may emit for the head of a router: arithmetic on tensors, nothing that is random, remembers or decides what runs. */
export const HEAD_OPERATORS: OperatorList = {
  name: 'head',
  standard: new Set([...ARITHMETIC, ...LINEAR, ...REDUCTION, ...ACTIVATION, ...SHAPE, ...LOGIC, ...QUANTISED]),
  microsoft: new Set(),
};

/** What exported sentence encoders and small causal language models need besides, int8 and int4 ones included. */
export const TRANSFORMER_OPERATORS: OperatorList = {
  name: 'transformer',
  standard: new Set([...HEAD_OPERATORS.standard, 'Attention', 'RotaryEmbedding', 'SimplifiedLayerNormalization', 'Conv', 'Dropout']),
  microsoft: new Set([
    'Attention', 'BiasGelu', 'DynamicQuantizeMatMul', 'EmbedLayerNormalization', 'FastGelu', 'FusedMatMul', 'GatherBlockQuantized', 'Gelu', 'GroupQueryAttention', 'MatMulIntegerToFloat', 'MatMulNBits',
    'MultiHeadAttention', 'QAttention', 'QEmbedLayerNormalization', 'QuickGelu', 'RotaryEmbedding', 'SkipLayerNormalization', 'SkipSimplifiedLayerNormalization',
  ]),
};
