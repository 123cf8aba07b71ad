/** Features of many prompts, column blocks as the head's inputs have them. Rows of n-grams are stored one after the other. */
export interface FeatureMatrix {
  readonly rows: number;
  readonly textWidth: number;
  /** rows × textWidth. */
  readonly text: Float32Array;
  /** 0 with the embedder `none`. */
  readonly embeddingWidth: number;
  readonly embedding: Float32Array;
  /** Row r owns `ngramIndex[ngramStart[r] .. ngramStart[r + 1])`; rows whose n-grams were not stored own nothing. */
  readonly ngramStart: Int32Array;
  readonly ngramIndex: Int32Array;
  readonly ngramValue: Float32Array;
}

/** What heads learn from. */
export interface TrainingSet {
  readonly features: FeatureMatrix;
  readonly candidates: readonly string[];
  /** rows × candidates, 0 to 1; NaN where nobody knows. */
  readonly quality: Float32Array;
  /** Per row, positive. */
  readonly weight: Float32Array;
  /** Rows of one group must not be parted when settings are chosen. */
  readonly groups: Int32Array;
}

/** The rows of `chosen`, in that order. */
export function selectFeatures(features: FeatureMatrix, chosen: Int32Array): FeatureMatrix {
  const start = new Int32Array(chosen.length + 1);
  chosen.forEach((row, index) => {
    start[index + 1] = start[index]! + features.ngramStart[row + 1]! - features.ngramStart[row]!;
  });
  const ngramIndex = new Int32Array(start[chosen.length]!);
  const ngramValue = new Float32Array(start[chosen.length]!);
  chosen.forEach((row, index) => {
    ngramIndex.set(features.ngramIndex.subarray(features.ngramStart[row], features.ngramStart[row + 1]), start[index]);
    ngramValue.set(features.ngramValue.subarray(features.ngramStart[row], features.ngramStart[row + 1]), start[index]);
  });
  return {
    rows: chosen.length, textWidth: features.textWidth, embeddingWidth: features.embeddingWidth,
    text: selectRows(features.text, features.textWidth, chosen), embedding: selectRows(features.embedding, features.embeddingWidth, chosen),
    ngramStart: start, ngramIndex, ngramValue,
  };
}

export function selectTrainingRows(set: TrainingSet, chosen: Int32Array): TrainingSet {
  return {
    features: selectFeatures(set.features, chosen), candidates: set.candidates,
    quality: selectRows(set.quality, set.candidates.length, chosen), weight: selectRows(set.weight, 1, chosen),
    groups: Int32Array.from(chosen, (row) => set.groups[row]!),
  };
}

export function selectRows(matrix: Float32Array, width: number, chosen: Int32Array): Float32Array {
  const result = new Float32Array(chosen.length * width);
  chosen.forEach((row, index) => result.set(matrix.subarray(row * width, (row + 1) * width), index * width));
  return result;
}
