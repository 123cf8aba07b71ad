import { seededRandom } from '@pointsman/routing';
import { fitDenseInputs } from '../features/dense-inputs.ts';
import { unitRows, writeUnitRow } from '../features/unit-rows.ts';
import { sphericalKMeans } from '../numeric/k-means.ts';
import { product } from '../numeric/linear-algebra.ts';
import { outOfFold } from './choose-by-folds.ts';
import { meanQuality, type HeadTrainer, type TrainedHead } from './head.ts';
import { softmax } from './knn.ts';
import { neighbourBank, type BankSettings } from './nearest-neighbours.ts';
import { fitQualityMap } from './quality-map.ts';

export interface TaskGraphSettings extends BankSettings {
  /** Task nodes: clusters of training prompts. */
  readonly tasks: number;
  readonly taskTemperature: number;
  readonly neighbours: number;
  readonly temperature: number;
  /** Share of the task's message in a training prompt's state after the first round; the rest is what was observed. */
  readonly smoothing: number;
  /** Rows of average quality that every task node starts with. */
  readonly taskPrior: number;
}

/**
 * Message passing on the graph of prompts, tasks and models (after GraphRouter, arXiv 2410.03834, with fixed propagation as in label spreading, Zhou et al. 2004,
 * instead of learned layers). Round 1: observed prompt-model qualities flow to task nodes and back to training prompts. Round 2: a new prompt joins the graph with edges
 * to its tasks and to the nearest training prompts and gathers their states. A model's quality on it is the mean of both messages, mapped to the scale of quality.
 */
export const trainTaskGraph: HeadTrainer<TaskGraphSettings> = (set, settings, { seed, progress }) => {
  const width = set.candidates.length;
  const train = (part: typeof set): TrainedHead => {
    const { features, quality, weight } = part;
    const dense = fitDenseInputs(features, settings);
    const unit = unitRows(dense, features);
    const { centres } = sphericalKMeans(unit, dense.width, settings.tasks, seededRandom(seed));
    const tasks = centres.length / dense.width;
    const byColumn = new Float64Array(centres.length);
    for (let task = 0; task < tasks; task += 1) for (let column = 0; column < dense.width; column += 1) byColumn[column * tasks + task] = centres[task * dense.width + column]!;
    const memberships = (rows: Float64Array): Float64Array => {
      const similarities = product(rows, dense.width, byColumn, tasks);
      const result = new Float64Array(similarities.length);
      for (let start = 0; start < similarities.length; start += tasks) result.set(softmax(similarities.subarray(start, start + tasks), settings.taskTemperature), start);
      return result;
    };
    const means = meanQuality(part);
    const member = memberships(unit);
    const taskSum = new Float64Array(tasks * width);
    const taskMass = new Float64Array(tasks * width);
    for (let task = 0; task < tasks; task += 1) {
      for (let model = 0; model < width; model += 1) {
        taskSum[task * width + model] = settings.taskPrior * means[model]!;
        taskMass[task * width + model] = settings.taskPrior;
      }
    }
    for (let row = 0; row < features.rows; row += 1) {
      for (let model = 0; model < width; model += 1) {
        const value = quality[row * width + model]!;
        if (Number.isNaN(value)) continue;
        for (let task = 0; task < tasks; task += 1) {
          const edge = member[row * tasks + task]! * weight[row]!;
          taskSum[task * width + model]! += edge * value;
          taskMass[task * width + model]! += edge;
        }
      }
    }
    const taskState = taskSum.map((sum, index) => sum / taskMass[index]!);
    const promptState = product(member, tasks, taskState, width);
    quality.forEach((value, index) => {
      if (!Number.isNaN(value)) promptState[index] = (1 - settings.smoothing) * value + settings.smoothing * promptState[index]!;
    });
    const bank = neighbourBank(features, settings);
    const count = Math.min(settings.neighbours, bank.rows);
    return {
      predict(rows) {
        const fromTasks = product(memberships(unitRows(dense, rows)), tasks, taskState, width);
        const { index, cosine } = bank.nearest(rows, count);
        return fromTasks.map((message, at) => {
          const row = Math.floor(at / width);
          const weights = softmax(cosine.subarray(row * count, (row + 1) * count), settings.temperature);
          let near = 0;
          for (let position = 0; position < count; position += 1) near += weights[position]! * promptState[index[row * count + position]! * width + (at % width)]!;
          return (message + near) / 2;
        });
      },
      write(graph) {
        const similarities = graph.op('MatMul', [writeUnitRow(graph, dense.write(graph)), graph.floats(byColumn, [dense.width, tasks])]);
        const edges = graph.op('Softmax', [graph.op('Mul', [similarities, graph.scalar(1 / settings.taskTemperature)])], { axis: { int: 1 } });
        const fromTasks = graph.op('MatMul', [edges, graph.floats(taskState, [tasks, width])]);
        const { index, cosine } = bank.write(graph, count);
        const weights = graph.op('Softmax', [graph.op('Mul', [cosine, graph.scalar(1 / settings.temperature)])], { axis: { int: 1 } });
        const states = graph.op('Gather', [graph.floats(promptState, [bank.rows, width]), graph.op('Reshape', [index, graph.integers([count])])]);
        return graph.op('Mul', [graph.op('Add', [fromTasks, graph.op('MatMul', [weights, states])]), graph.scalar(0.5)]);
      },
    };
  };
  const map = fitQualityMap(set, outOfFold(set, 3, seed, train));
  progress?.(0.75);
  const messages = train(set);
  progress?.(1);
  return { predict: (features) => map.apply(messages.predict(features)), write: (graph) => map.write(graph, messages.write(graph)) };
};
