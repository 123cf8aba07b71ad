import type { HeadTrainer } from './head.ts';

export interface ConstantChoiceSettings {
  /** Price (or size) per candidate, in their order: what is smallest or largest. */
  readonly sizes: readonly number[];
  readonly prefer: 'smallest' | 'largest';
}

/** Always the smallest or always the largest model: scores fall with the rank in size. The ends of every cost-quality curve. */
export const trainConstantChoice: HeadTrainer<ConstantChoiceSettings> = ({ candidates }, { sizes, prefer }) => {
  const width = candidates.length;
  const order = candidates.map((_, index) => index).sort((a, b) => (prefer === 'smallest' ? sizes[a]! - sizes[b]! : sizes[b]! - sizes[a]!) || a - b);
  const scores = new Float64Array(width);
  order.forEach((candidate, rank) => {
    scores[candidate] = 1 - rank / width;
  });
  return {
    predict: (features) => Float64Array.from({ length: features.rows * width }, (_, index) => scores[index % width]!),
    // The text input is asked for and counts nothing: a head without inputs could not be run like the others.
    write: (graph) => graph.op('Add', [graph.op('Mul', [graph.sum(graph.input('text'), [1]), graph.scalar(0)]), graph.floats(scores, [1, width])]),
  };
};
