import type { GraphBuilder, Tensor } from '../onnx-writer/graph-builder.ts';
import type { FeatureMatrix } from './feature-matrix.ts';

/** Standardised features are cut here: one absurd prompt must not decide a sum. */
const MAX_DEVIATIONS = 4;

export interface DenseSettings {
  /** Text features are standardised to this deviation; 0 leaves them out. */
  readonly textScale: number;
  /** The embedding, of length 1, is multiplied by this; 0 leaves it out. */
  readonly embeddingScale: number;
}

/** Text features, standardised by what the training rows look like, next to the embedding: the dense input of most heads. The statistics live in the graph. */
export interface DenseInputs {
  readonly width: number;
  /** rows × width. */
  matrix(features: FeatureMatrix): Float64Array;
  /** Shape [1, width]. */
  write(graph: GraphBuilder): Tensor;
  /** Shape [1, width] before scaling, the same tensor for all heads that read the same blocks, and the scale of each column: for heads that fold it into their weights. */
  writeUnscaled(graph: GraphBuilder): { readonly tensor: Tensor; readonly scale: Float64Array };
}

export function fitDenseInputs(training: FeatureMatrix, { textScale, embeddingScale }: DenseSettings): DenseInputs {
  const textWidth = textScale === 0 ? 0 : training.textWidth;
  const embeddingWidth = embeddingScale === 0 ? 0 : training.embeddingWidth;
  const width = textWidth + embeddingWidth;
  const { mean, inverse } = standardisation(training, textWidth);
  return {
    width,
    matrix(features) {
      const result = new Float64Array(features.rows * width);
      for (let row = 0; row < features.rows; row += 1) {
        for (let column = 0; column < textWidth; column += 1) {
          const value = (features.text[row * features.textWidth + column]! - mean[column]!) * inverse[column]!;
          result[row * width + column] = Math.min(MAX_DEVIATIONS, Math.max(-MAX_DEVIATIONS, value)) * textScale;
        }
        for (let column = 0; column < embeddingWidth; column += 1) {
          result[row * width + textWidth + column] = features.embedding[row * features.embeddingWidth + column]! * embeddingScale;
        }
      }
      return result;
    },
    write(graph) {
      const { tensor, scale } = writeUnscaled(graph);
      return scale.every((factor) => factor === 1) ? tensor : graph.op('Mul', [tensor, graph.floats(scale, [1, width])]);
    },
    writeUnscaled,
  };

  function writeUnscaled(graph: GraphBuilder): { readonly tensor: Tensor; readonly scale: Float64Array } {
    const parts: Tensor[] = [];
    if (textWidth > 0) {
      const centred = graph.op('Sub', [graph.input('text'), graph.floats(mean, [1, textWidth])]);
      const standard = graph.op('Mul', [centred, graph.floats(inverse, [1, textWidth])]);
      parts.push(graph.op('Clip', [standard, graph.scalar(-MAX_DEVIATIONS), graph.scalar(MAX_DEVIATIONS)]));
    }
    if (embeddingWidth > 0) parts.push(graph.input('embedding'));
    const scale = Float64Array.from({ length: width }, (_, column) => (column < textWidth ? textScale : embeddingScale));
    return { tensor: parts.length === 1 ? parts[0]! : graph.op('Concat', parts, { axis: { int: 1 } }), scale };
  }
}

function standardisation({ text, textWidth: stride, rows }: FeatureMatrix, width: number): { readonly mean: Float32Array; readonly inverse: Float32Array } {
  const mean = new Float64Array(width);
  const squares = new Float64Array(width);
  for (let row = 0; row < rows; row += 1) for (let column = 0; column < width; column += 1) mean[column]! += text[row * stride + column]! / rows;
  for (let row = 0; row < rows; row += 1) for (let column = 0; column < width; column += 1) squares[column]! += (text[row * stride + column]! - mean[column]!) ** 2 / rows;
  // A feature that never varied says nothing yet: it stays out instead of exploding when it first does.
  return { mean: Float32Array.from(mean), inverse: Float32Array.from(squares, (square) => (square < 1e-10 ? 0 : 1 / Math.sqrt(square))) };
}
