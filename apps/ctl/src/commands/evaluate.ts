import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { AppError } from '@pointsman/errors';
import { MANIFEST_FILE, readManifest } from '@pointsman/model-artifacts';
import type { ArtifactReport, DataReport } from '@pointsman/router-training';
import type { ModelManifest } from '@pointsman/schemas';
import { Option } from 'commander';
import type { AddCommand, CommandContext } from '../command-context.ts';
import { formatTable } from '../format-table.ts';
import { printable } from '../printable.ts';
import { parseCount, plural, showMs } from '../quantities.ts';
import { checkArtifact, checkDataFiles, LLMROUTER_HELP } from './train-inputs.ts';
import { showProgress } from './train-progress.ts';
import { checkSource, describeWindow, readTraces, withWindow, type WindowOptions } from './window-options.ts';

interface Options extends WindowOptions {
  readonly artifact: string;
  readonly data?: readonly string[];
  readonly draws: number;
  readonly seed: number;
  readonly minilmDir?: string;
  readonly json?: true;
}

/** Its inputs are features of an answer. */
const VERIFIER = 'llmrouter-automix';

const HELP = `
The data must be questions that the model was not trained on, with the quality of every candidate: nobody can check the first, the second
is checked. Intervals are 95 %, from bootstrap draws over the questions; differences are taken on the same draws.

Two candidates:   APGR (share of the gap between weak and strong that is closed, averaged over all shares of strong calls; 0.5 is chance),
                  CPT50 and CPT80 (percent of strong calls that close 50 and 80 % of the gap; lower is better), beside random and length.
More candidates:  score (mean quality of what it picks, price ignored), and how far above the best single model that is.
Both:             ECE and Brier of the predicted qualities; lower is better.
With --traces:    quality and cost per request by IPS, SNIPS and doubly robust estimates from recorded propensities, beside what served.
${LLMROUTER_HELP}

Examples:
  $ pointsman evaluate --artifact ./knn-router-v1 --data held-out.jsonl.gz
  $ pointsman evaluate --artifact ./knn-router-v1 --data held-out.jsonl.gz --draws 5000 --json
  $ pointsman evaluate --artifact ./router-v2 --serving ./router-v1 --traces s3://bucket --window 7d`;

/** `pointsman evaluate` */
export const addEvaluate: AddCommand = (program, context) => {
  const command = program.command('evaluate').summary('how well a router model routes').description('Runs a router model over questions with known outcomes and tells how well it routes, beside baselines.');
  withWindow(command)
    .requiredOption('--artifact <directory>', 'the folder with manifest.json')
    .option('--data <files...>', 'JSON Lines with prompts and outcomes, gzipped or plain')
    .addOption(new Option('--limit <rows>', 'rows read at most').argParser(parseCount))
    .addOption(new Option('--draws <number>', 'bootstrap draws; below 1000 the intervals are rough').argParser(parseCount).default(1_000))
    .addOption(new Option('--seed <number>', 'of the draws').argParser(parseCount).default(1))
    .option('--minilm-dir <directory>', 'for a model of the embedder minilm: the folder with its model.onnx and vocab.txt')
    .option('--json', 'one JSON object instead of a table')
    .addHelpText('after', HELP)
    .action((options: Options) => evaluate(options, context));
};

async function evaluate(options: Options, context: CommandContext): Promise<void> {
  const { artifact, data = [], limit, draws, seed, minilmDir, json, traces } = options;
  checkSource(options);
  await checkArtifact(artifact);
  await checkDataFiles(data);
  const { strategy, features } = readManifest(await readFile(join(artifact, MANIFEST_FILE)));
  // What it is fed is an answer, not a prompt: figures of the one for the other would look like figures.
  if (strategy === VERIFIER) throw new AppError('invalid_request', 'not_evaluable', `${artifact} is a verifier of answers (${strategy}), which decides after a call; this evaluates what decides before one. "npm run eval:routing" has its figures, "pointsman score" its verdicts.`);
  if (traces !== undefined) {
    await evaluateTraces({ ...options, traces }, features.embedder, context);
    return;
  }
  const { evaluateArtifact, reportTable } = await import('@pointsman/router-training');
  using progress = showProgress(context, { json });
  const started = performance.now();
  const report = await evaluateArtifact({ artifact, dataFiles: data, limit, draws, seed, minilmDirectory: minilmDir, progress: (share) => { progress.report('predicting', share); } });
  const ms = performance.now() - started;
  progress[Symbol.dispose]();
  if (json === true) {
    context.print(JSON.stringify({ artifact, data, draws, seed, ...report }, undefined, 2));
    return;
  }
  const facts = report.kind === 'two-models' ? `Weak: ${printable(report.weak)}. Strong: ${printable(report.strong)}.` : 'Price ignored.';
  context.print(`${artifact} on ${plural(report.rows, 'question')}, in ${showMs(ms)}. ${facts}\n\n${formatTable(reportTable(asDataReport(report)), context.columns)}`);
}

/** Off-policy: what it would get on requests that another router served. */
async function evaluateTraces(options: Options & { readonly traces: string }, embedder: ModelManifest['features']['embedder'], context: CommandContext): Promise<void> {
  const { artifact, serving, tradeoff, seed, minilmDir, json } = options;
  if (serving !== undefined) await checkArtifact(serving);
  const { evaluateWindow, unseenRows, windowSummary, windowTable } = await import('@pointsman/router-training');
  using progress = showProgress(context, { json });
  const data = await readTraces({ ...options, embedder, progress: (share) => { progress.report('reading traces', share); } }, context.env);
  const rows = unseenRows(data.rows, [readManifest(await readFile(join(artifact, MANIFEST_FILE)))]);
  const report = await evaluateWindow({ artifact, serving, rows, tradeoff, seed, minilmDirectory: minilmDir, progress: (share) => { progress.report('predicting', share); } });
  progress[Symbol.dispose]();
  if (json === true) {
    context.print(JSON.stringify({ artifact, window: data.window, counts: data.counts, unseen: rows.length, ...windowSummary(report) }, undefined, 2));
    return;
  }
  context.print([
    `${describeWindow(data)}\n${String(rows.length)} of them are newer than what ${artifact} learned from; ${String(report.rows)} of those were drawn. At quality_cost_tradeoff ${String(tradeoff)}:`,
    formatTable(windowTable(report).map((row) => row.map(printable)), context.columns), ...report.warnings.map((warning) => `Careful: ${printable(warning)}.`),
  ].join('\n\n'));
}

/** The shape that tables are made of: what an artifact's report has no figure for does not appear in them. */
function asDataReport(report: ArtifactReport): DataReport {
  return report.kind === 'two-models'
    ? { ...report, name: '', weakQuality: NaN, strongQuality: NaN }
    : { ...report, name: '', models: NaN, bestSingle: '', bestSingleQuality: NaN, oracle: NaN };
}
