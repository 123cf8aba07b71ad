import { outOfFold } from './choose-by-folds.ts';
import type { HeadTrainer, TrainedHead } from './head.ts';
import { neighbourBank, type BankSettings } from './nearest-neighbours.ts';
import { fitQualityMap } from './quality-map.ts';
import { softmax } from './knn.ts';

export interface SimilarityEloSettings extends BankSettings {
  /** Training prompts that take part in a prompt's tournament. */
  readonly neighbours: number;
  readonly temperature: number;
  /** Drawn games per pair that every tournament starts with. */
  readonly drawnGames: number;
}

const ITERATIONS = 12;

/**
 * Ratings fitted anew for each prompt: a Bradley-Terry tournament among the models in which games on similar training prompts weigh more (RouteLLM's
 * similarity-weighted ranking, arXiv 2406.18665, section 4.2). A game on a prompt is won by the better answer, equal ones are drawn. Strengths by the
 * minorise-maximise steps of Hunter (Annals of Statistics 2004), a fixed number of them, inside the graph. Ordinary Elo knows no prompt and would always pick one model.
 */
export const trainSimilarityElo: HeadTrainer<SimilarityEloSettings> = (set, settings, { seed, progress }) => {
  const width = set.candidates.length;
  const train = (part: typeof set): TrainedHead => {
    const bank = neighbourBank(part.features, settings);
    const count = Math.min(settings.neighbours, bank.rows);
    const pairs = width * width;
    const wins = new Float64Array(bank.rows * pairs);
    const overall = new Float64Array(pairs);
    let total = 0;
    for (let row = 0; row < bank.rows; row += 1) {
      for (let a = 0; a < width; a += 1) {
        for (let b = 0; b < width; b += 1) {
          const ours = part.quality[row * width + a]!;
          const theirs = part.quality[row * width + b]!;
          if (a === b || Number.isNaN(ours) || Number.isNaN(theirs)) continue;
          wins[row * pairs + a * width + b] = part.weight[row]! * (0.5 + (ours - theirs) / 2);
          overall[a * width + b]! += wins[row * pairs + a * width + b]!;
        }
      }
      total += part.weight[row]!;
    }
    // Every tournament starts from the games all prompts played, a little of each, so that no strength is zero.
    const start = overall.map((games) => settings.drawnGames * (games / Math.max(total, 1e-9)) + 1e-3);
    for (let model = 0; model < width; model += 1) start[model * width + model] = 0;
    return {
      predict(features) {
        const { index, cosine } = bank.nearest(features, count);
        const result = new Float64Array(features.rows * width);
        for (let row = 0; row < features.rows; row += 1) {
          const weights = softmax(cosine.subarray(row * count, (row + 1) * count), settings.temperature);
          const games = Float64Array.from(start);
          for (let position = 0; position < count; position += 1) {
            const at = index[row * count + position]! * pairs;
            for (let pair = 0; pair < pairs; pair += 1) games[pair]! += weights[position]! * wins[at + pair]!;
          }
          let strength = new Float64Array(width).fill(1);
          for (let iteration = 0; iteration < ITERATIONS; iteration += 1) {
            const next = new Float64Array(width);
            for (let a = 0; a < width; a += 1) {
              let won = 0;
              let expected = 0;
              for (let b = 0; b < width; b += 1) {
                won += games[a * width + b]!;
                expected += (games[a * width + b]! + games[b * width + a]!) / (strength[a]! + strength[b]!);
              }
              next[a] = won / expected;
            }
            strength = next;
          }
          for (let model = 0; model < width; model += 1) result[row * width + model] = Math.log(strength[model]!);
        }
        return result;
      },
      write(graph) {
        const { index, cosine } = bank.write(graph, count);
        const weights = graph.op('Softmax', [graph.op('Mul', [cosine, graph.scalar(1 / settings.temperature)])], { axis: { int: 1 } });
        const rows = graph.op('Gather', [graph.floats(wins, [bank.rows, pairs]), graph.op('Reshape', [index, graph.integers([count])])]);
        const games = graph.op('Reshape', [graph.op('Add', [graph.op('MatMul', [weights, rows]), graph.floats(start, [1, pairs])]), graph.integers([width, width])]);
        const played = graph.op('Add', [games, graph.op('Transpose', [games], { perm: { ints: [1, 0] } })]);
        const won = graph.sum(games, [1]);
        let strength = graph.floats(new Float64Array(width).fill(1), [width, 1]);
        for (let iteration = 0; iteration < ITERATIONS; iteration += 1) {
          const both = graph.op('Add', [strength, graph.op('Reshape', [strength, graph.integers([1, width])])]);
          strength = graph.op('Div', [won, graph.sum(graph.op('Div', [played, both]), [1])]);
        }
        return graph.op('Reshape', [graph.op('Log', [strength]), graph.integers([1, width])]);
      },
    };
  };
  const map = fitQualityMap(set, outOfFold(set, 3, seed, train));
  progress?.(0.75);
  const ratings = train(set);
  progress?.(1);
  return { predict: (features) => map.apply(ratings.predict(features)), write: (graph) => map.write(graph, ratings.write(graph)) };
};
