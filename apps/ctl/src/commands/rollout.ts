import { AppError } from '@pointsman/errors';
import type { ObjectStore } from '@pointsman/object-store';
import type { GatewayReader } from '@pointsman/rollout';
import type { Release } from '@pointsman/schemas';
import { systemClock } from '@pointsman/timing';
import { Option } from 'commander';
import type { AddCommand, CommandContext } from '../command-context.ts';
import { parseCount, parseDuration, parsePercent, parseStages, plural, showMs } from '../quantities.ts';
import { openAuditTrail } from '../release/audit-trail.ts';
import { readLocalConfig, readStoredConfig, refuseInvalid, removeUpload, revisionOf, uploadConfig, type ConfigTextsOfFolder } from '../release/config-folder.ts';
import { displayRollout } from '../release/display-rollout.ts';
import { openStore } from '../release/open-store.ts';
import { isUpload, openReleaseFile, type ReleaseFile, type StoredRelease } from '../release/release-file.ts';
import { actorOf, checkConfigKey, readerOf, withActor, withPrometheus, withReplicas, withStore, type ActorOptions, type PrometheusOptions, type ReplicaOptions, type StoreOptions } from '../release/release-options.ts';
import { runConfigRollout } from '../release/run-config-rollout.ts';

interface Options extends StoreOptions, ReplicaOptions, PrometheusOptions, ActorOptions {
  readonly stages: readonly number[];
  readonly window: number;
  readonly maxErrorRate: number;
  readonly minRequests: number;
  readonly interval: number;
  readonly poll: number;
  readonly blind: number;
  readonly storeTimeout: number;
  readonly onInterrupt: 'rollback' | 'leave';
  readonly resume?: true;
  readonly dryRun?: true;
  readonly yes?: true;
  readonly json?: true;
}

const HELP = `
1. Checks the configuration as "validate-config --expect-env" does; what the gateway would refuse goes nowhere.
2. Uploads it to {environment}/releases/{UTC time}-{revision}/, with the llm_candidates.json and degraded-mode.yaml of the folder
   given, else those that are stable now, and names it in {environment}/release.json as the canary of some percent of the pods.
3. Each stage: waits until replicas serve it, then for the window compares their errors with those of the stable replicas.
   Errors are what failed through no fault of its caller: gateway_failed_requests_total. Health checks and /metrics do not count.
4. Rolls back when more than --max-error-rate of at least --min-requests fail, unless the stable replicas fail alike: then it
   holds, and rolls back when that does not end within a window. Also when a replica refuses it, nobody takes it, replicas that serve it
   no longer answer or are not ready, its requests do not end, or nothing is seen.
5. After the window at the last stage the canary becomes stable; the one before joins the history, for "rollback config";
   of one that lies at --key a copy does, because a file there may change.

With few requests one failure is many percent: --min-requests 100 with --max-error-rate 1% lets a single one pass.

Exit code 0: promoted, or stable already; 1: nothing was begun, or it was left running, or somebody else took it over; 2: rolled back (or that failed: then it says so).

Examples:
  $ pointsman rollout config config.yaml --gateways dns://gateway-headless:4000
  $ pointsman rollout config ./prod --stages 5,25,100 --window 10m --prometheus http://prometheus:9090 --prometheus-match 'namespace="prod"'
  $ pointsman rollout config --resume --gateways dns://gateway-headless:4000    # goes on with the canary that is there`;

/** `pointsman rollout config` */
export const addRollout: AddCommand = (program, context) => {
  const rollout = program.command('rollout').summary('bring a change to the replicas in stages').description('Brings a change to the replicas in stages, and takes it back when it is bad.');
  const config = rollout.command('config').summary('a config.yaml, or a folder with one').description('Brings a configuration to more and more replicas, watches their errors, and takes it back by itself.')
    .argument('[path]', 'a config.yaml, or a folder with config.yaml and perhaps llm_candidates.json and degraded-mode.yaml');
  withActor(withPrometheus(withReplicas(withStore(config))))
    .addOption(new Option('--stages <percents>', 'percent of the replicas, step by step').argParser(parseStages).default([10, 50, 100], '10,50,100'))
    .addOption(new Option('--window <duration>', 'how long each stage must be good').argParser(parseDuration).default(300_000, '5m'))
    .addOption(new Option('--max-error-rate <percent>', 'more than this of the requests on the canary is a breach').argParser(parsePercent).default(0.01, '1%'))
    .addOption(new Option('--min-requests <number>', 'requests before a stage can be judged; 0 goes on without any').argParser(parseCount).default(20))
    .addOption(new Option('--interval <duration>', 'between two looks at the replicas').argParser(parseDuration).default(3_000, '3s'))
    .addOption(new Option('--poll <duration>', 'CONFIG_SYNC_INTERVAL of the pods: replicas have 2.5 of them to follow').argParser(parseDuration).default(60_000, '60s'))
    .addOption(new Option('--blind <duration>', 'roll back after no replica has answered for so long').argParser(parseDuration).default(30_000, '30s'))
    .addOption(new Option('--store-timeout <duration>', 'how long a change of the release is tried while the store is away').argParser(parseDuration).default(60_000, '60s'))
    .addOption(new Option('--on-interrupt <what>', 'what Ctrl-C means').choices(['rollback', 'leave']).default('rollback'))
    .option('--resume', 'go on with the canary that is there, after a stop or a crash of this command')
    .option('--dry-run', 'check everything, tell the plan, change nothing')
    .option('--yes', 'do not ask')
    .option('--json', 'one JSON object per event')
    .addHelpText('after', HELP)
    .action((path: string | undefined, options: Options) => rolloutConfig(path, options, context));
};

interface Plan {
  readonly stored: StoredRelease;
  readonly texts: ConfigTextsOfFolder;
  readonly stableTexts: ConfigTextsOfFolder;
  readonly revisions: { readonly canary: string; readonly stable: string };
  /** The canary that goes on. */
  readonly running: Release['canary'];
}

async function rolloutConfig(path: string | undefined, options: Options, context: CommandContext): Promise<void> {
  const { env, print, printError, fail } = context;
  checkConfigKey(options.key);
  const reader = await readerOf(options, env);
  if (reader === undefined) throw new AppError('invalid_request', 'no_gateways', 'a canary that nobody watches is no canary: say where the replicas are with --gateways URL,URL… or --gateways dns://headless-service:4000, or who scrapes them with --prometheus URL');
  const actor = actorOf(options.actor, env);
  using store = await openStore(options.store, env);
  const releases = openReleaseFile(store, options.key);
  const plan = await makePlan(path, { options, env, store, releases });
  if (plan === undefined) {
    print(options.json === true ? JSON.stringify({ event: 'unchanged' }) : 'Nothing to do: this configuration is stable already.');
    return;
  }
  if (options.dryRun === true) {
    await tellPlan(plan, { options, reader, releases, context });
    return;
  }
  if (options.yes !== true && options.json !== true && context.ask !== undefined) {
    const answer = await context.ask(`Roll ${plan.revisions.canary} out over ${plan.revisions.stable} in ${releases.environment === '' ? 'the store' : releases.environment}? [y/N] `);
    if (!/^y(es)?$/i.test(answer.trim())) throw new AppError('invalid_request', 'not_confirmed', 'nothing was changed');
  }

  // From here Ctrl-C is ours: between the release and its watcher nothing may end this process.
  using interrupts = context.interrupts?.();
  await using audit = await openAuditTrail({ url: options.database, mode: options.audit, actor, resource: `config:${releases.environment}`, env, warn: (text) => { printError(`pointsman: ${text}`); } });
  const release = await begin(plan, { options, store, releases, actor });
  const outcome = await runConfigRollout({
    releases, release, revisions: plan.revisions, resumed: plan.running !== undefined, stages: options.stages, windowMs: options.window, intervalMs: options.interval, reader, actor, audit,
    limits: { maxErrorRate: options.maxErrorRate, minRequests: options.minRequests, pickUpMs: options.poll * 2.5, blindMs: options.blind },
    clock: systemClock, report: displayRollout(context, { json: options.json === true, clock: systemClock }),
    interrupted: interrupts?.signal ?? new AbortController().signal, onInterrupt: options.onInterrupt, storeTriesMs: options.storeTimeout,
    keepStable: isUpload(release.stable.config_key, releases.environment) ? undefined : () => uploadConfig(store, { environment: releases.environment, texts: plan.stableTexts, at: new Date(systemClock.now()) }),
  });
  if (outcome !== 'promoted') fail(outcome === 'rolled-back' || outcome === 'rollback-failed' ? 2 : 1);
}

/** Reads everything and changes nothing. Undefined when there is nothing to do. */
async function makePlan(path: string | undefined, { options, env, store, releases }: { readonly options: Options; readonly env: CommandContext['env']; readonly store: ObjectStore; readonly releases: ReleaseFile }): Promise<Plan | undefined> {
  const stored = await releases.read();
  const { stable, canary } = stored.release;
  const stableTexts = await readStoredConfig(store, stable.config_key);
  if (stableTexts === undefined) throw new AppError('not_found', 'no_stable_config', `there is no ${stable.config_key} in ${store.url}: the first configuration is put there by hand, a rollout replaces one that is served`);
  const stableRevision = revisionOf(stableTexts);

  if (options.resume === true) {
    if (canary === undefined) throw new AppError('not_found', 'no_canary', `${releases.key} has no canary: there is nothing to go on with`);
    const texts = await readStoredConfig(store, canary.config_key);
    if (texts === undefined) throw new AppError('not_found', 'no_canary', `the canary of ${releases.key} is gone: ${canary.config_key}. "pointsman rollback config" takes it out`);
    const local = path === undefined ? texts : await readLocalConfig(path, texts);
    if (revisionOf(local) !== revisionOf(texts)) throw new AppError('conflict', 'other_canary', `${String(path)} is not the canary that is running (${canary.config_key}): --resume without a file goes on with that one`);
    return { stored, texts, stableTexts, revisions: { canary: revisionOf(texts), stable: stableRevision }, running: canary };
  }
  if (path === undefined) throw new AppError('invalid_request', 'no_file', 'the configuration is missing: a config.yaml or a folder with one');
  const texts = await readLocalConfig(path, stableTexts);
  refuseInvalid(path, texts, env);
  if (canary !== undefined) throw alreadyRunning(canary, releases);
  if (revisionOf(texts) === stableRevision) return undefined;
  return { stored, texts, stableTexts, revisions: { canary: revisionOf(texts), stable: stableRevision }, running: undefined };
}

/** Uploads and names the canary; the one write that two rollouts cannot both win. */
async function begin({ stored, texts, running }: Plan, { options, store, releases, actor }: { readonly options: Options; readonly store: ObjectStore; readonly releases: ReleaseFile; readonly actor: string }): Promise<Release> {
  const first = options.stages[0] ?? 100;
  if (running !== undefined) {
    const release: Release = { ...stored.release, canary: { ...running, percent: running.percent > 0 ? running.percent : first } };
    if (running.percent === 0 && !(await releases.replace(stored, release))) throw new AppError('conflict', 'lost_race', `${releases.key} was changed meanwhile: look at "pointsman status" and try again`);
    return release;
  }
  const at = new Date(systemClock.now());
  const key = await uploadConfig(store, { environment: releases.environment, texts, at });
  const release: Release = { ...stored.release, canary: { config_key: key, percent: first, started_at: at.toISOString(), started_by: actor } };
  const isWritten = await releases.replace(stored, release).catch(async (error: unknown) => {
    // The store may have taken it and lost its answer: a canary that is there must be watched.
    const now = await releases.read().catch(() => undefined);
    if (now === undefined) throw new AppError('unavailable', 'start_unknown', `the store did not say whether it took the canary ${key}: look at "pointsman status", then --resume or "pointsman rollback config"`, { cause: error });
    return now.release.canary?.config_key === key && now.release.canary.started_by === actor;
  });
  if (isWritten) return release;
  const { release: winner } = await releases.read();
  // Two at the same second with the same configuration share a folder: only what the winner does not use may go.
  if (winner.canary?.config_key !== key && winner.stable.config_key !== key) await removeUpload(store, key);
  if (winner.canary !== undefined) throw alreadyRunning(winner.canary, releases);
  throw new AppError('conflict', 'lost_race', `${releases.key} was changed meanwhile (stable is ${winner.stable.config_key}): try again`);
}

function alreadyRunning({ config_key: key, percent, started_at: at, started_by: by }: NonNullable<Release['canary']>, { environment }: ReleaseFile): AppError {
  return new AppError('conflict', 'rollout_running', `another rollout of ${environment === '' ? 'this store' : environment} was started by ${by} at ${at} and is at ${String(percent)} % (${key}): --resume goes on with it when nobody does, "pointsman rollback config" ends it`);
}

async function tellPlan({ revisions, stored, running }: Plan, { options, reader, releases, context: { print } }: { readonly options: Options; readonly reader: GatewayReader; readonly releases: ReleaseFile; readonly context: CommandContext }): Promise<void> {
  const readings = await reader.read(new AbortController().signal);
  const on = (revision: string): number => readings.filter((reading) => 'revision' in reading && reading.revision === revision).length;
  const facts = {
    dry_run: true, environment: releases.environment, revision: revisions.canary, stable_revision: revisions.stable, stable_key: stored.release.stable.config_key, resumed: running !== undefined, stages: options.stages, window_ms: options.window,
    replicas: { seen: readings.length, on_stable: on(revisions.stable), on_canary: on(revisions.canary), not_answering: readings.filter((reading) => 'problem' in reading).length },
  };
  if (options.json === true) {
    print(JSON.stringify(facts));
    return;
  }
  print([
    `The configuration is accepted: revision ${revisions.canary}, over ${revisions.stable} (${facts.stable_key}).`,
    `${plural(readings.length, 'replica')}: ${String(facts.replicas.on_stable)} on stable, ${String(facts.replicas.on_canary)} on this one, ${String(facts.replicas.not_answering)} not answering.`,
    `It would go through ${options.stages.map((stage) => `${String(stage)} %`).join(', ')}, ${showMs(options.window)} each. Dry run: nothing was changed.`,
  ].join('\n'));
}
