import { readFile } from 'node:fs/promises';
import { AppError } from '@pointsman/errors';
import { systemClock } from '@pointsman/timing';
import { Option } from 'commander';
import { z } from 'zod';
import { readingFile } from '../check-config.ts';
import type { AddCommand, CommandContext } from '../command-context.ts';
import { openModelConfig } from '../model/model-config.ts';
import { openModelRecords } from '../model/model-records.ts';
import { runModelRollout, type ModelEvent } from '../model/run-model-rollout.ts';
import { checkModel, storedArtifact } from '../model/stored-artifact.ts';
import { printable } from '../printable.ts';
import { parseCount, parseDuration, parsePercent, parseStages } from '../quantities.ts';
import { openStore } from '../release/open-store.ts';
import { actorOf, checkConfigKey, readerOf, withActor, withReplicas, withStore, type ActorOptions, type ReplicaOptions, type StoreOptions } from '../release/release-options.ts';

interface Options extends StoreOptions, ReplicaOptions, ActorOptions {
  readonly version: string;
  readonly stages: readonly number[];
  readonly window: number;
  readonly interval: number;
  readonly maxErrorRate: number;
  readonly maxErrorIncrease: number;
  readonly maxLatencyIncrease: number;
  readonly maxFeedbackDrop: number;
  readonly maxCostIncrease: number;
  readonly alpha: number;
  readonly minRequests: number;
  readonly pickUp: number;
  readonly blind: number;
  readonly storeTimeout: number;
  readonly onInterrupt: 'rollback' | 'leave';
  readonly gate?: string;
  readonly force?: true;
  readonly resume?: true;
  readonly yes?: true;
  readonly json?: true;
}

const HELP = `
1. Refuses a version that is not in the store (pointsman register), or that the gate refused (--gate); --force needs --actor and is audited.
2. Writes canary: { model_version, weight } beside model_version, wherever the served configuration uses the model, on the condition that nobody
   else has changed it. Comments and order stay.
3. Each stage: waits until every replica says that it has this configuration and both versions loaded, then compares the two versions
   over all replicas for the window: errors, latency, feedback, the judge's score, cost per request.
4. Rolls back by itself when more than --max-error-rate fail, or when the version is worse than tolerated: by confidence sequences,
   which may be looked at as often as one likes (docs/rollout.md). Also when a replica refuses it, does not load it, or no longer answers.
5. At the end model_version is the new one and the canary is gone. Every step is audited and a row of model_deployments.

Exit code 0: promoted, or stable already; 1: nothing was begun, it was left, taken over, or not every replica has followed; 2: rolled back (or that failed: then it says so).

Examples:
  $ pointsman rollout model knn-router --version v43 --gate gate.json --gateways dns://gateway-headless:4000
  $ pointsman rollout model knn-router --version v43 --force --actor ada --stages 10,100 --window 2m --gateways http://127.0.0.1:4000`;

/** `pointsman rollout model` */
export const addRolloutModel: AddCommand = (program, context) => {
  const rollout = program.commands.find((command) => command.name() === 'rollout');
  if (rollout === undefined) throw new TypeError('rollout model is added after rollout');
  const model = rollout.command('model').summary('a version of a router model').description('Gives a version of a router model more and more of the traffic, compares it with the one that serves, and takes it back by itself.')
    .argument('<name>', 'the model, as model_name in the configuration')
    .requiredOption('--version <version>', 'the version, such as v43');
  withActor(withReplicas(withStore(model)))
    .addOption(new Option('--stages <percents>', 'percent of the requests, step by step').argParser(parseStages).default([5, 50, 100], '5,50,100'))
    .addOption(new Option('--window <duration>', 'how long each stage must be good').argParser(parseDuration).default(300_000, '5m'))
    .addOption(new Option('--max-error-rate <percent>', 'more than this of the requests on the new version is a breach').argParser(parsePercent).default(0.01, '1%'))
    .addOption(new Option('--max-error-increase <percent>', 'points of the error rate by which it may be worse').argParser(parsePercent).default(0.005, '0.5%'))
    .addOption(new Option('--max-latency-increase <percent>', 'by which its mean latency may be higher').argParser(parsePercent).default(0.25, '25%'))
    .addOption(new Option('--max-feedback-drop <percent>', 'points of the mean score (0 to 100 %) by which it may be lower').argParser(parsePercent).default(0.05, '5%'))
    .addOption(new Option('--max-cost-increase <percent>', 'by which its mean cost per request may be higher').argParser(parsePercent).default(0.25, '25%'))
    .addOption(new Option('--alpha <percent>', 'chance that a version that is no worse is rolled back by the comparison').argParser(parsePercent).default(0.05, '5%'))
    .addOption(new Option('--min-requests <number>', 'requests on the new version before a stage can be passed; 0 goes on without any').argParser(parseCount).default(100))
    .addOption(new Option('--interval <duration>', 'between two looks at the replicas').argParser(parseDuration).default(3_000, '3s'))
    .addOption(new Option('--pick-up <duration>', 'how long replicas may take to load what the configuration names: above CONFIG_SYNC_INTERVAL and MODEL_SYNC_INTERVAL').argParser(parseDuration).default(600_000, '10m'))
    .addOption(new Option('--blind <duration>', 'roll back when a replica has not answered for so long').argParser(parseDuration).default(30_000, '30s'))
    .addOption(new Option('--store-timeout <duration>', 'how long a change is tried while the store is away').argParser(parseDuration).default(60_000, '60s'))
    .addOption(new Option('--on-interrupt <what>', 'what Ctrl-C means').choices(['rollback', 'leave']).default('rollback'))
    .option('--gate <file>', 'what "pointsman gate --json" printed, or {"passed": true, "reasons": []}')
    .option('--force', 'without the gate, or against it; needs --actor')
    .option('--resume', 'go on with the canary of this version that is there')
    .option('--yes', 'do not ask')
    .option('--json', 'one JSON object per event')
    .addHelpText('after', HELP)
    .action((name: string, options: Options) => rolloutModel(name, options, context));
};

async function rolloutModel(name: string, options: Options, context: CommandContext): Promise<void> {
  const { env, print, printError, fail } = context;
  checkConfigKey(options.key);
  checkModel(name, options.version);
  const reader = await readerOf(options, env);
  if (reader === undefined) throw new AppError('invalid_request', 'no_gateways', 'say where the replicas are with --gateways URL,URL… or --gateways dns://headless-service:4000: a canary that nobody watches is no canary');
  if (options.apiKeyFile === undefined && (env['LITELLM_MASTER_KEY'] ?? '') === '') throw new AppError('invalid_request', 'no_master_key', 'set LITELLM_MASTER_KEY or --api-key-file: replicas tell only the master key which models they have loaded');
  if (!(options.alpha > 0 && options.alpha < 1)) throw new AppError('invalid_request', 'invalid_alpha', '--alpha expects more than 0 % and less than 100 %');
  const reason = await askGate(name, options);
  const actor = actorOf(options.actor, env);
  using store = await openStore(options.store, env);
  const artifact = await storedArtifact(store, name, options.version);
  if (artifact === undefined) throw new AppError('not_found', 'no_artifact', `there is no ${name} ${options.version} in ${store.url}: "pointsman register --artifact DIR" puts it there`);
  const config = openModelConfig({ store, configKey: options.key, model: name, env });
  const { use } = await config.read();
  if (use.version === options.version && use.canary === undefined) {
    print(options.json === true ? JSON.stringify({ event: 'unchanged' }) : `Nothing to do: ${name} serves ${options.version} already.`);
    return;
  }
  if (use.canary !== undefined && use.canary.version !== options.version) throw new AppError('conflict', 'rollout_running', `${name} has a canary already, ${use.canary.version} at ${String(use.canary.weight)} %: "pointsman rollback model ${name}" takes it out`);
  if (use.canary !== undefined && options.resume !== true) throw new AppError('conflict', 'rollout_running', `${options.version} is at ${String(use.canary.weight)} % already: --resume goes on with it when nobody does`);
  if (options.yes !== true && options.json !== true && context.ask !== undefined) {
    const answer = await context.ask(`Roll ${name} ${options.version} out over ${use.version ?? 'no version'} for ${use.places.join(', ')}? [y/N] `);
    if (!/^y(es)?$/i.test(answer.trim())) throw new AppError('invalid_request', 'not_confirmed', 'nothing was changed');
  }
  using interrupts = context.interrupts?.();
  await using records = await openModelRecords({ store, model: name, actor, database: options.database, audit: options.audit, env, warn: (text) => { printError(`pointsman: ${text}`); } });
  const outcome = await runModelRollout({
    model: name, version: options.version, digest: artifact.digest, config, before: use, stages: options.stages, windowMs: options.window, intervalMs: options.interval, storeTriesMs: options.storeTimeout,
    limits: {
      maxErrorRate: options.maxErrorRate, minRequests: options.minRequests, pickUpMs: options.pickUp, blindMs: options.blind, alpha: options.alpha,
      errorIncrease: options.maxErrorIncrease, scoreDrop: options.maxFeedbackDrop, latencyIncrease: options.maxLatencyIncrease, costIncrease: options.maxCostIncrease,
    },
    reader, records, actor, clock: systemClock, report: reporter(context, options.json === true), interrupted: interrupts?.signal ?? new AbortController().signal, onInterrupt: options.onInterrupt, reason,
  });
  if (outcome !== 'promoted') fail(outcome === 'rolled-back' || outcome === 'rollback-failed' ? 2 : 1);
}

/** What `pointsman gate --json` prints; `reasons` instead of `checks` from a gate of one's own. */
const gateSchema = z.object({
  passed: z.boolean(), reasons: z.array(z.string()).default([]), checks: z.array(z.object({ name: z.string(), passed: z.boolean(), reason: z.string() })).default([]),
  candidate: z.object({ name: z.string(), version: z.string() }).optional(),
});

/** What the gate said, for the records. @throws AppError when it says no, or nothing, and nobody takes that on them. */
async function askGate(name: string, { gate, force, actor, version, resume }: Options): Promise<string> {
  if (force === true && (actor ?? '') === '') throw new AppError('invalid_request', 'no_actor', '--force needs --actor NAME: who takes it on them stands in the audit log');
  if (gate === undefined) {
    if (force === true) return 'forced: no gate was asked';
    if (resume === true) return 'resumed';
    throw new AppError('invalid_request', 'no_gate', `no gate has spoken for ${version}: --gate FILE, or --force --actor NAME`);
  }
  const text = await readingFile(gate, readFile(gate, 'utf8'));
  let verdict: z.infer<typeof gateSchema>;
  try {
    verdict = gateSchema.parse(JSON.parse(text));
  } catch (error) {
    throw new AppError('invalid_request', 'invalid_gate', `${gate} is no verdict of the gate: what "pointsman gate --json" prints, or {"passed": boolean, "reasons": [text]}`, { cause: error });
  }
  const { candidate } = verdict;
  if (candidate !== undefined && (candidate.name !== name || candidate.version !== version)) throw new AppError('invalid_request', 'other_gate', `${gate} is the verdict on ${printable(candidate.name)} ${printable(candidate.version)}, not on ${name} ${version}`);
  // Of a refusal what refused it; of a pass all that was looked at.
  const checked = verdict.checks.filter(({ passed }) => verdict.passed || !passed).map((check) => `${check.name}: ${check.reason}`);
  const reasons = [...verdict.reasons, ...checked].map((each) => printable(each.slice(0, 500))).slice(0, 20);
  if (verdict.passed) return `the gate passed it${reasons.length === 0 ? '' : `: ${reasons.join('; ')}`}`;
  if (force === true) return `forced against the gate: ${reasons.join('; ')}`;
  throw new AppError('unprocessable', 'gate_refused', `the gate refused ${version}, nothing was changed (--force --actor NAME goes against it):\n${reasons.map((each) => `  ${each}`).join('\n')}`);
}

const PLAIN_LINE_MS = 15_000;

function reporter({ print, printError, draw }: CommandContext, json: boolean): (event: ModelEvent) => void {
  let shownAt = -Infinity;
  return ({ event, text, facts, isProgress }) => {
    if (json) print(JSON.stringify({ at: new Date(systemClock.now()).toISOString(), event, ...facts }));
    else if (isProgress === true && draw !== undefined) draw(printable(text));
    else if (isProgress === true) {
      if (systemClock.monotonic() - shownAt < PLAIN_LINE_MS) return;
      shownAt = systemClock.monotonic();
      print(printable(text));
    } else (event === 'rollback-failed' ? printError : print)(text.split('\n').map(printable).join('\n'));
  };
}
