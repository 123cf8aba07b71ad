import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { AppError } from '@pointsman/errors';
import { manifestDigest, modelFolder, publicKeyOf } from '@pointsman/model-artifacts';
import type { TrainedArtifact, TrainedWindow, TrainingArgs, WindowData } from '@pointsman/router-training';
import { modelNameSchema, modelVersionSchema } from '@pointsman/schemas';
import { InvalidArgumentError, Option } from 'commander';
import type { AddCommand, CommandContext } from '../command-context.ts';
import { formatTable } from '../format-table.ts';
import { printable } from '../printable.ts';
import { parseCount, showMs } from '../quantities.ts';
import { checkArtifact, checkDataFiles, LLMROUTER_HELP, readOptionFile } from './train-inputs.ts';
import { showProgress } from './train-progress.ts';
import { checkSource, describeWindow, readTraces, withWindow, type WindowOptions } from './window-options.ts';

export interface TrainOptions extends WindowOptions {
  readonly strategy: string;
  readonly data?: readonly string[];
  readonly report?: string;
  readonly out: string;
  readonly seed: number;
  readonly name?: string;
  readonly version: string;
  readonly embedder: 'none' | 'static' | 'minilm';
  readonly minilmDir?: string;
  readonly signKey?: string;
  readonly rename?: readonly Pair[];
  readonly args?: object;
  readonly arg?: readonly Pair[];
  readonly json?: true;
}

type Pair = readonly [key: string, value: string];

const PHASES = { read: 'reading the data', features: 'making features', train: 'training', write: 'writing the artifact' } as const;
const PREFIX = /^llmrouter-/;

const HELP = `
Strategies: hybrid (the default of the product), kernel, ngram, knn, svm, mlp, mf, elo, routerdc, graph, smallest, largest, and automix,
which trains a verifier of answers. Each predicts the quality of every model's answer to a prompt; price is weighed when it serves.

Data: JSON Lines, gzipped or plain, each line in one of these forms. Rows without a known quality are left out.
  {"id": "q1", "prompt": "…", "scores": {"small": 0, "large": 1}}           outcomes, 0 to 1, of any number of models
  {"id": "q1", "prompt": "…", "small_correct": 0, "large_correct": 1}       two models; for automix with "small_response" as well
  rows of the trace exporter (traces/YYYY-MM-DD/*.jsonl.gz)                 what traffic told, through /v1/feedback
With --traces the rows of a window are fetched, joined with their feedback, and the newest fifth is held out to tell how good the model is.

The same data, strategy, settings and seed give the same bytes, hence the same digest. The names of models in the data must be those that
the gateway knows: a model_name, a provider/model, or a name of llm_candidates.json; --rename changes them.

Settings of --args and --arg: neighbours (knn, elo, graph, hybrid), landmarks (kernel, hybrid), hidden, networks, epochs (mlp, hybrid),
dimensions, epochs (mf, routerdc), sizes (smallest, largest).
${LLMROUTER_HELP}

Examples:
  $ pointsman train --strategy hybrid --data outcomes.jsonl.gz --out ./auto-router-v1 --name auto-router --sign-key model-signing.private.pem
  $ pointsman train --strategy knn --data traces/2026-11-*/*.jsonl.gz --out ./knn-router-v2 --version v2 --arg neighbours=200
  $ pointsman train --strategy hybrid --traces s3://bucket --window 7d --out ./router-v2 --version v2 --serving ./router-v1
  $ pointsman train --strategy mf --data rows.jsonl --out ./mf --rename gpt4=openai/gpt-4o mixtral=hosted_vllm/mixtral --limit 5000`;

/** `pointsman train` */
export const addTrain: AddCommand = (program, context) => {
  const train = program.command('train').summary('train a router model from outcomes').description('Trains a router model: from prompts and how well models answered them, to an artifact that gateways load.');
  withWindow(train)
    .requiredOption('--strategy <name>', 'hybrid, knn, svm, mlp, mf, elo, routerdc, graph, …; with or without llmrouter-')
    .option('--data <files...>', 'JSON Lines, gzipped or plain')
    .requiredOption('--out <directory>', 'where the artifact goes; empty, or not there yet')
    .addOption(new Option('--seed <number>', 'of everything random').argParser(parseCount).default(1))
    .addOption(new Option('--limit <rows>', 'rows read at most').argParser(parseCount))
    .option('--name <name>', 'of the model; else the strategy with -router, such as knn-router')
    .option('--version <version>', 'of the model', 'v1')
    .addOption(new Option('--embedder <name>', 'what it sees of a prompt besides text features and words').choices(['none', 'static', 'minilm']).default('static'))
    .option('--minilm-dir <directory>', 'for --embedder minilm: the folder with model.onnx and vocab.txt')
    .option('--sign-key <file>', 'the private key (PEM, Ed25519) of "sign-model --generate-keys"')
    .addOption(new Option('--rename <old=new...>', 'other names for models of the data').argParser(collectPairs))
    .addOption(new Option('--args <json>', 'settings of the strategy, as one JSON object').argParser(parseObject))
    .addOption(new Option('--arg <key=value...>', 'one setting of the strategy').argParser(collectPairs))
    .option('--report <directory>', 'with --traces: where model card, estimates and plots go; else the folder of --out with .report')
    .option('--json', 'one JSON object instead of text')
    .addHelpText('after', HELP)
    .action((options: TrainOptions) => trainModel(options, context));
};

async function trainModel(options: TrainOptions, context: CommandContext): Promise<void> {
  const { strategy, data, out, seed, limit, version, embedder, minilmDir, json, traces } = options;
  checkSource(options);
  const name = options.name ?? `${strategy.replace(PREFIX, '')}-router`;
  // Whatever can be wrong is found before minutes go into training.
  for (const [option, schema, value] of [['--name', modelNameSchema, name], ['--version', modelVersionSchema, version]] as const) {
    const problem = schema.safeParse(value).error?.issues[0]?.message;
    if (problem !== undefined) throw usage(`${option}: ${problem}`);
  }
  if (embedder === 'minilm' && minilmDir === undefined) throw usage('--embedder minilm needs --minilm-dir: the folder with model.onnx and vocab.txt');
  if (data !== undefined) await checkDataFiles(data);
  if (options.serving !== undefined) await checkArtifact(options.serving);
  const signKey = options.signKey === undefined ? undefined : await readOptionFile(options.signKey);
  const keyId = signKey === undefined ? undefined : publicKeyOf(signKey).keyId;
  await checkEmpty(out);
  // Here and not above: the other commands start without a trainer.
  const { embedderIdentity, trainArtifact, trainableStrategy, trainingArgsSchema, trainWindow, windowTable } = await import('@pointsman/router-training');
  if (strategy.replace(PREFIX, '') !== 'automix') trainableStrategy(strategy);
  const args = argsOf(options, trainingArgsSchema);

  using progress = showProgress(context, { json });
  const started = performance.now();
  const common = {
    strategy, outDirectory: out, name, version, seed, embedder, minilmDirectory: minilmDir, signKey, args, rename: Object.fromEntries(options.rename ?? []),
    progress: (phase: keyof typeof PHASES, share: number) => { progress.report(PHASES[phase], share); },
  };
  let artifact: TrainedArtifact;
  let window: TrainedOnWindow | undefined;
  if (traces === undefined) artifact = await trainArtifact({ ...common, dataFiles: data, limit });
  else {
    const rows = await readTraces({ ...options, traces, embedder: await embedderIdentity(embedder, minilmDir), progress: (share) => { progress.report('reading traces', share); } }, context.env);
    const reportDirectory = options.report ?? `${out.replace(/\/+$/, '')}.report`;
    const learned = await trainWindow({ ...common, data: rows, serving: options.serving, tradeoff: options.tradeoff, reportDirectory });
    artifact = learned;
    window = { data: rows, learned, reportDirectory, table: learned.report === undefined ? [] : windowTable(learned.report) };
  }
  const trained: Trained = { artifact, out, seconds: (performance.now() - started) / 1000, keyId, window };
  progress[Symbol.dispose]();
  context.print(json === true ? asJson(trained) : await asText(trained, context.columns));
}

interface Trained {
  readonly artifact: TrainedArtifact;
  readonly out: string;
  readonly seconds: number;
  /** Of the key it is signed with. */
  readonly keyId: string | undefined;
  /** Of traces instead of files. */
  readonly window: TrainedOnWindow | undefined;
}

interface TrainedOnWindow {
  readonly data: WindowData;
  readonly learned: TrainedWindow;
  readonly reportDirectory: string;
  /** The estimates; empty where there are none. */
  readonly table: readonly (readonly string[])[];
}

function describeEstimates({ data, learned, reportDirectory, table }: TrainedOnWindow, columns: number | undefined): readonly string[] {
  if (table.length === 0) return [describeWindow(data), `Nothing can be told of how good it is: ${learned.problem ?? 'no rows were held out'}`];
  return [
    describeWindow(data), `On the ${String(learned.heldRows)} newest rows, which it has not seen (${reportDirectory}/report.html):\n\n${formatTable(table.map((row) => row.map(printable)), columns)}`,
    ...(learned.report?.warnings ?? []).map((warning) => `Careful: ${printable(warning)}.`),
  ];
}

function asJson({ artifact, out, seconds, keyId, window }: Trained): string {
  const { manifest, manifestBytes, revision, rows, candidates, modelBytes } = artifact;
  return JSON.stringify({
    directory: out, name: manifest.name, version: manifest.version, strategy: manifest.strategy, revision, manifest_sha256: manifestDigest(manifestBytes), signed_by: keyId ?? null, rows, candidates, model_bytes: modelBytes,
    features: manifest.features, seed: manifest.training.seed, dataset_sha256: manifest.training.dataset_sha256, metrics: manifest.training.metrics, duration_s: Number(seconds.toFixed(3)),
    ...(window === undefined ? {} : { window: window.data.window, counts: window.data.counts, held_rows: window.learned.heldRows, report: window.table.length === 0 ? null : window.reportDirectory, warnings: window.learned.report?.warnings ?? [window.learned.problem] }),
  }, undefined, 2);
}

async function asText({ artifact, out, seconds, keyId, window }: Trained, columns: number | undefined): Promise<string> {
  const { manifest, manifestBytes, revision, rows, candidates, modelBytes } = artifact;
  const { name, version, strategy, features, training } = manifest;
  const { isStrategyName } = await import('@pointsman/routing');
  // Some heads have no routing_strategy of their own: any strategy that reads a model serves them.
  const served = isStrategyName(strategy) ? strategy : 'llmrouter-hybrid';
  const table = formatTable([
    ['artifact', out], ['revision', revision], ['manifest', `sha256:${manifestDigest(manifestBytes)}`], ['signed', keyId === undefined ? 'no' : `by key ${keyId}`],
    ['rows', String(rows)], ['candidates', printable(candidates.join(', '))], ['features', `version ${String(features.version)}, embedder ${features.embedder.name}`],
    ['head', `${String(modelBytes)} bytes`], ['on its training rows', Object.entries(training.metrics).map(([metric, value]) => `${metric.replace('training_', '')} ${String(value)}`).join(', ')],
  ], columns);
  const steps = [
    window === undefined ? `pointsman evaluate --artifact ${out} --data HELD_OUT.jsonl      how good it is, on questions it has not seen` : `pointsman gate --artifact ${out} --serving DIR --traces URL      whether it may replace what serves`,
    ...(keyId === undefined ? [`pointsman sign-model ${out} --key FILE      model-sync takes no model without a signature`] : []),
    `aws s3 cp --recursive ${out} "$OBJECT_STORE_URL/${modelFolder(name, version)}/"`,
    'pointsman rollout config config.yaml      with, in router_settings:',
  ];
  return [
    `Trained ${name} ${version} (${strategy}) in ${showMs(seconds * 1000)}.`, table, ...(window === undefined ? [] : describeEstimates(window, columns)),
    `Next:\n${steps.map((step) => `  $ ${step}`).join('\n')}\n      routing_strategy: ${served}\n      routing_strategy_args: {model_name: ${name}, model_version: ${version}}`,
  ].join('\n\n');
}

function argsOf({ args, arg = [] }: TrainOptions, schema: { safeParse(value: unknown): { readonly data?: TrainingArgs; readonly error?: { readonly issues: readonly { readonly path: readonly PropertyKey[]; readonly message: string }[] } } }): TrainingArgs {
  const merged = Object.fromEntries([...Object.entries(args ?? {}), ...arg.map(([key, value]) => [key, valueOf(value)] as const)]);
  const { data, error } = schema.safeParse(merged);
  if (data !== undefined) return data;
  throw usage(`settings of the strategy: ${(error?.issues ?? []).map(({ path, message }) => `${path.map(String).join('.')}${path.length > 0 ? ': ' : ''}${message}`).join('; ')}`);
}

async function checkEmpty(directory: string): Promise<void> {
  const names = await readdir(directory).catch((error: unknown) => {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown error';
    if (code === 'ENOENT') return [];
    throw new AppError('conflict', 'file_not_written', `cannot write into ${directory} (${code})`, { cause: error });
  });
  if (names.length > 0) throw new AppError('conflict', 'directory_not_empty', `${directory} is not empty (it holds ${printable(join(directory, names[0] ?? ''))}): an artifact holds nothing but its own files. Name another --out.`);
}

function collectPairs(text: string, before: readonly Pair[] = []): readonly Pair[] {
  const at = text.indexOf('=');
  if (at <= 0 || at === text.length - 1) throw new InvalidArgumentError('Expected two names with = between them.');
  return [...before, [text.slice(0, at), text.slice(at + 1)]];
}

function parseObject(text: string): object {
  const value = valueOf(text);
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new InvalidArgumentError('Expected a JSON object such as {"neighbours": 100}.');
  return value;
}

function valueOf(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return text;
  }
}

function usage(problem: string): AppError {
  return new AppError('invalid_request', 'bad_arguments', `${problem} (see pointsman train --help)`);
}
