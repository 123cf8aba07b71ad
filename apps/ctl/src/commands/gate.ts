import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { AppError } from '@pointsman/errors';
import { artifactRevision, MANIFEST_FILE, readManifest } from '@pointsman/model-artifacts';
import type { GateVerdict } from '@pointsman/router-training';
import { InvalidArgumentError, Option } from 'commander';
import type { AddCommand, CommandContext } from '../command-context.ts';
import { formatTable } from '../format-table.ts';
import { printable } from '../printable.ts';
import { parseCount } from '../quantities.ts';
import { openAuditTrail } from '../release/audit-trail.ts';
import { actorOf, withActor, type ActorOptions } from '../release/release-options.ts';
import { checkArtifact } from './train-inputs.ts';
import { showProgress } from './train-progress.ts';
import { describeWindow, limitOption, readTraces, withWindow, type WindowOptions } from './window-options.ts';

interface Options extends WindowOptions, ActorOptions {
  readonly artifact: string;
  readonly traces: string;
  readonly margin?: number;
  readonly minRows?: number;
  readonly minEffectiveRows?: number;
  readonly seed: number;
  readonly minilmDir?: string;
  readonly force?: true;
  readonly json?: true;
}

const HELP = `
Refused unless, at equal cost, the lower end of the 95 % interval of (its quality − serving's quality) is not below −margin, estimated doubly
robust from recorded propensities on requests newer than everything that either router learned from; and there are enough of them, every model
has a column, and what it would choose was tried. How: docs/closed-loop.md.

Exit code 0: passed, or forced; 1: refused, or nothing could be read. --force needs --actor and lands in the audit log before it says yes.

Examples:
  $ pointsman gate --artifact ./router-v2 --serving ./router-v1 --traces s3://bucket --window 7d
  $ pointsman gate --artifact ./router-v2 --traces s3://bucket --window 7d --margin 0.01 --json
  $ pointsman gate --artifact ./router-v2 --serving ./router-v1 --traces s3://bucket --force --actor ada@example.com --database postgres://…`;

/** `pointsman gate` */
export const addGate: AddCommand = (program, context) => {
  const gate = program.command('gate').summary('whether a router model may replace the one that serves').description('Compares a router model with the one that serves, off-policy, and refuses what may be worse.')
    .requiredOption('--artifact <directory>', 'the folder with the candidate\'s manifest.json');
  withActor(withWindow(gate))
    .addOption(limitOption())
    .addOption(new Option('--margin <number>', 'quality (0 to 1) that may be lost at worst; 0.02 by default').argParser(parseMargin))
    .addOption(new Option('--min-rows <number>', 'decisions that must have been drawn and judged; 200 by default').argParser(parseCount))
    .addOption(new Option('--min-effective-rows <number>', 'how many of the routers\' own decisions they must be worth; 50 by default').argParser(parseCount))
    .addOption(new Option('--seed <number>', 'of the cross-fitted model of the reward').argParser(parseCount).default(1))
    .option('--minilm-dir <directory>', 'for models of the embedder minilm: the folder with its model.onnx and vocab.txt')
    .option('--force', 'let it pass whatever comes out; needs --actor and the audit log')
    .option('--json', 'one JSON object instead of a table')
    .addHelpText('after', HELP)
    .action((options: Options) => runGateCommand(options, context));
};

async function runGateCommand(options: Options, context: CommandContext): Promise<void> {
  const { artifact, serving, json, minilmDir, margin, minRows, minEffectiveRows, tradeoff, seed } = options;
  if ((options.traces as string | undefined) === undefined) throw new AppError('invalid_request', 'bad_arguments', '--traces is missing: the store whose traces tell how requests went');
  if (options.force === true && options.actor === undefined) throw new AppError('invalid_request', 'no_actor', '--force needs --actor: who takes it upon themselves');
  const actor = actorOf(options.actor, context.env);
  await checkArtifact(artifact);
  if (serving !== undefined) await checkArtifact(serving);
  const manifestBytes = await readFile(join(artifact, MANIFEST_FILE));
  const manifest = readManifest(manifestBytes);
  const { gateTable, runGate, windowSummary } = await import('@pointsman/router-training');
  using progress = showProgress(context, { json });
  const data = await readTraces({ ...options, embedder: manifest.features.embedder, progress: (share) => { progress.report('reading traces', share); } }, context.env);
  const verdict = await runGate({
    artifact, serving, rows: data.rows, tradeoff, seed, minilmDirectory: minilmDir, limits: { margin, minRows, minEffectiveRows }, progress: (share) => { progress.report('predicting', share); },
  });
  progress[Symbol.dispose]();
  const isForced = options.force === true && !verdict.passed;
  if (isForced) await recordForce(verdict, { options, context, actor, revision: artifactRevision(manifest, manifestBytes) });
  if (json === true) {
    const { report, ...rest } = verdict;
    context.print(JSON.stringify({ ...rest, forced: isForced, window: data.window, counts: data.counts, report: report === undefined ? null : windowSummary(report) }, undefined, 2));
  } else {
    const name = `${verdict.candidate.name} ${verdict.candidate.version}`;
    const against = verdict.serving === undefined ? 'what served' : `${verdict.serving.name} ${verdict.serving.version}`;
    context.print([
      describeWindow(data), formatTable(gateTable(verdict).map((row) => row.map(printable)), context.columns), ...verdict.warnings.map((warning) => `Careful: ${printable(warning)}.`),
      `${verdict.passed ? 'Passed' : isForced ? `Refused, and forced by ${actor}` : 'Refused'}: ${name} against ${against}.`,
    ].join('\n\n'));
  }
  if (!verdict.passed && !isForced) context.fail(1);
}

/** Before the yes, and with `require` not without it. */
async function recordForce({ checks, candidate, serving, report }: GateVerdict, { options, context, actor, revision }: { readonly options: Options; readonly context: CommandContext; readonly actor: string; readonly revision: string }): Promise<void> {
  await using audit = await openAuditTrail({ url: options.database, mode: options.audit, actor, resource: `model:${candidate.name}`, env: context.env, warn: (text) => { context.printError(`pointsman: ${text}`); } });
  await audit.record('model.gate.force', {
    before: { serving: serving ?? null },
    after: { ...candidate, revision, refused: checks.filter(({ passed }) => !passed).map(({ name, reason }) => ({ check: name, reason })), quality_at_equal_cost: report?.difference.qualityAtEqualCost ?? null },
  });
}

function parseMargin(text: string): number {
  const value = /^\d+(\.\d+)?$/.test(text) ? Number(text) : Number.NaN;
  if (!(value <= 1)) throw new InvalidArgumentError('Expected a number from 0 to 1 such as 0.02.');
  return value;
}
