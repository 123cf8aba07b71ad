import { AppError } from '@pointsman/errors';
import { z } from 'zod';
import type { TrainingSet } from './features/feature-matrix.ts';
import { chooseByFolds, type Chosen } from './heads/choose-by-folds.ts';
import { trainConstantChoice } from './heads/constant-choice.ts';
import type { TrainedHead, TrainParts } from './heads/head.ts';
import { trainHybrid, type HybridPart } from './heads/hybrid.ts';
import { trainKernelRidge, type KernelRidgeSettings } from './heads/kernel-ridge.ts';
import { trainKnn } from './heads/knn.ts';
import { trainLinearSvm } from './heads/linear-svm.ts';
import { trainMatrixFactorisation } from './heads/matrix-factorisation.ts';
import { trainMlp } from './heads/mlp.ts';
import { trainNgramLogistic } from './heads/ngram-logistic.ts';
import { trainRouterDc } from './heads/router-dc.ts';
import { trainSimilarityElo } from './heads/similarity-elo.ts';
import { trainTaskGraph } from './heads/task-graph.ts';

/** Settings an operator may change. Everything else is fixed by what was measured (docs/routing-quality.md) or chosen by cross-validation. */
export const trainingArgsSchema = z.strictObject({
  /** Neighbours of knn, elo and graph. */
  neighbours: z.number().int().min(1).max(10_000).optional(),
  /** Training rows that the kernel keeps. */
  landmarks: z.number().int().min(10).max(4_000).optional(),
  hidden: z.number().int().min(2).max(1_024).optional(),
  networks: z.number().int().min(1).max(16).optional(),
  epochs: z.number().int().min(1).max(200).optional(),
  /** Length of the vectors of mf and routerdc. */
  dimensions: z.number().int().min(2).max(512).optional(),
  /** Price or size per candidate, for smallest and largest; without it the mean quality stands for size. */
  sizes: z.record(z.string(), z.number().min(0)).optional(),
});
export type TrainingArgs = z.infer<typeof trainingArgsSchema>;

export type StrategyTrainer = (set: TrainingSet, args: TrainingArgs, parts: TrainParts) => TrainedHead;

/** Cosine similarity over the embedding with a touch of the text features; without an embedder the text features alone. */
const bank = ({ features }: TrainingSet) => (features.embeddingWidth === 0 ? { textScale: 1, embeddingScale: 0 } : { textScale: 0.15, embeddingScale: 1 });
/** Embedding coordinates are small (length 1 over all of them): this brings them near the deviation of the text features. */
const dense = ({ features }: TrainingSet) => ({ textScale: 1, embeddingScale: features.embeddingWidth === 0 ? 0 : 8 });

const mlpSettings = (set: TrainingSet, args: TrainingArgs) => ({
  ...dense(set), hidden: args.hidden ?? 64, networks: args.networks ?? 2, epochs: args.epochs ?? 6, batch: 64, learningRate: 1.5e-3, weightDecay: 0.5, dropout: 0.3,
});

/** Smooth kernel and n-grams together; how strongly both are held back depends on how many rows there are, so that is cross-validated. */
const KERNEL_CHOICES = [{ ngramShare: 0.6, penalty: 3e-3 }, { ngramShare: 0.4, penalty: 1e-2 }, { ngramShare: 0.1, penalty: 3e-2 }];

function kernelSettings(set: TrainingSet, args: TrainingArgs, { ngramShare, penalty }: { readonly ngramShare: number; readonly penalty: number }): KernelRidgeSettings {
  const embeddingScale = set.features.embeddingWidth === 0 ? 0 : 5;
  return { kernels: [{ textScale: 1, embeddingScale, gamma: 0.02, landmarks: args.landmarks ?? 500, share: 1 }], ngramShare, minDocuments: 2, penalty };
}

/** Up to here a search among all training prompts costs less than 0.2 ms per decision. */
const MAX_HYBRID_NEIGHBOUR_ROWS = 4_000;

function chosenKernel(set: TrainingSet, args: TrainingArgs, seed: number): Chosen<(typeof KERNEL_CHOICES)[number]> {
  return chooseByFolds(set, KERNEL_CHOICES, (part, choice) => trainKernelRidge(part, kernelSettings(part, args, choice), { seed }), seed);
}

function sizesOf(set: TrainingSet, args: TrainingArgs): number[] {
  const width = set.candidates.length;
  return set.candidates.map((name, candidate) => {
    const size = args.sizes === undefined || !Object.hasOwn(args.sizes, name) ? undefined : args.sizes[name];
    if (size !== undefined) return size;
    let sum = 0;
    let rows = 0;
    for (let at = candidate; at < set.quality.length; at += width) {
      if (Number.isNaN(set.quality[at]!)) continue;
      sum += set.quality[at]!;
      rows += 1;
    }
    return rows === 0 ? 0 : sum / rows;
  });
}

/** Every strategy that `train` knows. A strategy is a head and one line here. */
export const strategyTrainers = {
  'llmrouter-hybrid': (set, args, parts) => {
    const choice = chosenKernel(set, args, parts.seed);
    const members: HybridPart[] = [
      { unseen: choice.unseen, train: (part, seed) => trainKernelRidge(part, kernelSettings(part, args, choice.value), { seed }) },
      // Where rows are few, text features alone carry further than embeddings and words: the weights of the parts decide.
      { train: (part, seed) => trainKernelRidge(part, { kernels: [{ textScale: 1, embeddingScale: 0, gamma: 0.01, landmarks: Math.min(300, args.landmarks ?? 300), share: 1 }], ngramShare: 0, minDocuments: 2, penalty: 5e-3 }, { seed }) },
      { train: (part, seed) => trainMlp(part, mlpSettings(part, args), { seed }) },
    ];
    if (set.features.rows <= MAX_HYBRID_NEIGHBOUR_ROWS) members.push({ train: (part, seed) => trainKnn(part, { ...bank(part), neighbours: [args.neighbours ?? 100], temperature: 0.1 }, { seed }) });
    return trainHybrid(set, { parts: members }, parts);
  },
  'llmrouter-kernel': (set, args, parts) => trainKernelRidge(set, kernelSettings(set, args, chosenKernel(set, args, parts.seed).value), parts),
  'llmrouter-ngram': (set, _args, parts) => trainNgramLogistic(set, { ngramPenalty: 3e-4, densePenalty: 1e-2, embeddingScale: 0, minDocuments: 2, maxIterations: 60 }, parts),
  'llmrouter-knn': (set, args, parts) => trainKnn(set, { ...bank(set), neighbours: args.neighbours === undefined ? [50, 100, 200] : [args.neighbours], temperature: 0.1 }, parts),
  'llmrouter-svm': (set, _args, parts) => trainLinearSvm(set, { ...dense(set), embeddingScale: 0.5 * dense(set).embeddingScale, penalty: 0.02 }, parts),
  'llmrouter-mlp': (set, args, parts) => trainMlp(set, mlpSettings(set, args), parts),
  'llmrouter-mf': (set, args, parts) => trainMatrixFactorisation(set, { ...dense(set), dimensions: args.dimensions ?? 16, epochs: args.epochs ?? 10, batch: 64, learningRate: 2e-3, weightDecay: 0.5 }, parts),
  'llmrouter-elo': (set, args, parts) => trainSimilarityElo(set, { ...bank(set), neighbours: args.neighbours ?? 200, temperature: 0.1, drawnGames: 0.1 }, parts),
  'llmrouter-routerdc': (set, args, parts) => trainRouterDc(set, { ...dense(set), dimensions: args.dimensions ?? 32, clusters: 16, sampleWeight: 0.2, temperature: 0.2, epochs: args.epochs ?? 8, batch: 64, learningRate: 2e-3, weightDecay: 0.3 }, parts),
  'llmrouter-graph': (set, args, parts) => trainTaskGraph(set, { ...bank(set), tasks: 32, taskTemperature: 0.1, neighbours: args.neighbours ?? 100, temperature: 0.1, smoothing: 0.3, taskPrior: 5 }, parts),
  'llmrouter-smallest': (set, args, parts) => trainConstantChoice(set, { sizes: sizesOf(set, args), prefer: 'smallest' }, parts),
  'llmrouter-largest': (set, args, parts) => trainConstantChoice(set, { sizes: sizesOf(set, args), prefer: 'largest' }, parts),
} as const satisfies Record<string, StrategyTrainer>;

export type TrainableStrategy = keyof typeof strategyTrainers;
export const trainableStrategies = Object.keys(strategyTrainers) as TrainableStrategy[];

/** With or without the prefix `llmrouter-`. Throws an AppError `unknown_strategy` that lists what there is. */
export function trainableStrategy(name: string): TrainableStrategy {
  const found = trainableStrategies.find((known) => known === name || known === `llmrouter-${name}`);
  if (found === undefined) throw new AppError('invalid_request', 'unknown_strategy', `No trainer for the strategy "${name}". There are: ${trainableStrategies.join(', ')}.`, { param: 'strategy' });
  return found;
}

/** Trains a head. Throws an AppError for an unknown strategy, or `too_few_rows`. */
export function trainStrategy(strategy: TrainableStrategy, set: TrainingSet, args: TrainingArgs, parts: TrainParts): TrainedHead {
  if (set.features.rows < 10) throw new AppError('invalid_request', 'too_few_rows', `Training needs at least 10 rows with a known quality; there are ${set.features.rows}.`);
  return strategyTrainers[strategy](set, args, parts);
}
