import { AppError } from '@pointsman/errors';
import type { ObjectStore } from '@pointsman/object-store';
import type { Release } from '@pointsman/schemas';
import { systemClock } from '@pointsman/timing';
import { Option } from 'commander';
import type { AddCommand, CommandContext } from '../command-context.ts';
import { parseDuration, plural } from '../quantities.ts';
import { openAuditTrail } from '../release/audit-trail.ts';
import { readStoredConfig, refuseInvalid, revisionOf, uploadedConfigs } from '../release/config-folder.ts';
import { describeReplicas } from '../release/describe-replicas.ts';
import { openStore } from '../release/open-store.ts';
import { openReleaseFile, rolledBackTo, withoutCanary } from '../release/release-file.ts';
import { actorOf, checkConfigKey, readerOf, withActor, withPrometheus, withReplicas, withStore, type ActorOptions, type PrometheusOptions, type ReplicaOptions, type StoreOptions } from '../release/release-options.ts';
import { waitUntilServed } from '../release/wait-until-served.ts';

interface Options extends StoreOptions, ReplicaOptions, PrometheusOptions, ActorOptions {
  readonly to?: string;
  readonly wait: number;
  readonly json?: true;
}

const LOOK_EVERY_MS = 1_000;
const TRIES = 5;

const HELP = `
A canary that is running is taken out, and stable stays what it is. Without a canary, stable becomes what it was before (previous).
--to names another one: previous, a key of the store, or a revision of an upload. What is left is no longer "previous":
a second rollback goes further back. With --gateways or --prometheus it waits until every replica serves it.

Exit code 0: done; 1: nothing was changed, or not every replica has followed in time.

Examples:
  $ pointsman rollback config --gateways dns://gateway-headless:4000
  $ pointsman rollback config --to 3f79c0de1a2b`;

/** `pointsman rollback config` */
export const addRollback: AddCommand = (program, context) => {
  const rollback = program.command('rollback').summary('take a change back').description('Takes a change back.');
  const config = rollback.command('config').summary('a canary, or back to an earlier configuration').description('Takes a canary configuration out, or goes back to an earlier one.');
  withActor(withPrometheus(withReplicas(withStore(config))))
    .option('--to <which>', 'previous, a key such as prod/releases/…/config.yaml, or a revision')
    .addOption(new Option('--wait <duration>', 'how long replicas may take to follow').argParser(parseDuration).default(300_000, '5m'))
    .option('--json', 'one JSON object instead of text')
    .addHelpText('after', HELP)
    .action((options: Options) => rollbackConfig(options, context));
};

async function rollbackConfig(options: Options, context: CommandContext): Promise<void> {
  const { env, print, printError, fail, columns } = context;
  checkConfigKey(options.key);
  const reader = await readerOf(options, env);
  const actor = actorOf(options.actor, env);
  using store = await openStore(options.store, env);
  const releases = openReleaseFile(store, options.key);
  const warn = (text: string): void => { printError(`pointsman: ${text}`); };

  // The way back is the one thing that a missing audit log must not stop: its row is written late, or shown.
  await using audit = await openAuditTrail({ url: options.database, mode: 'best-effort', actor, resource: `config:${releases.environment}`, env, warn });
  for (let attempt = 1; ; attempt += 1) {
    const stored = await releases.read();
    const next = await targetOf(options.to, { release: stored.release, store, environment: releases.environment });
    const texts = await readStoredConfig(store, next.stable.config_key);
    if (texts === undefined && next.stable.config_key !== stored.release.stable.config_key) throw new AppError('not_found', 'no_config', `there is no ${next.stable.config_key} in ${store.url}`);
    if (texts !== undefined && next.stable.config_key !== stored.release.stable.config_key) refuseInvalid(next.stable.config_key, texts, env);
    if (!(await releases.replace(stored, next))) {
      if (attempt < TRIES) continue;
      throw new AppError('conflict', 'lost_race', `${releases.key} keeps being changed: look at "pointsman status" and try again`);
    }
    const revision = texts === undefined ? undefined : revisionOf(texts);
    const { canary, stable } = stored.release;
    await audit.record('config.rollout.rollback', {
      before: { stable: { config_key: stable.config_key }, ...(canary === undefined ? {} : { canary: { config_key: canary.config_key, percent: canary.percent, started_by: canary.started_by } }) },
      after: { stable: { config_key: next.stable.config_key, revision }, reason: 'operator' },
    });
    const said = canary === undefined ? `Stable is ${next.stable.config_key} (was ${stable.config_key})` : `The canary ${canary.config_key} is out; stable is ${next.stable.config_key}`;
    if (options.json !== true) print(`${said}${revision === undefined ? '' : `, revision ${revision}`}.`);
    if (reader === undefined || revision === undefined) {
      if (options.json === true) print(JSON.stringify({ stable_key: next.stable.config_key, revision, canary_removed: canary?.config_key }));
      return;
    }
    const { readings, left } = await waitUntilServed({ reader, revision, timeoutMs: options.wait, intervalMs: Math.min(LOOK_EVERY_MS, options.wait), clock: systemClock, signal: new AbortController().signal });
    if (options.json === true) print(JSON.stringify({ stable_key: next.stable.config_key, revision, canary_removed: canary?.config_key, replicas: readings.map((reading) => ({ replica: reading.replica, ...('problem' in reading ? { problem: reading.problem } : { revision: reading.revision }) })), all_served: left.length === 0 }, undefined, 2));
    else print(`${describeReplicas(readings, { stable: revision }, columns)}\n${left.length === 0 ? 'Every replica serves it.' : `${plural(left.length, 'replica')} not yet.`}`);
    if (left.length > 0) fail(1);
    return;
  }
}

/** The release after the rollback. @throws AppError when there is nothing to go back to. */
async function targetOf(to: string | undefined, { release, store, environment }: { readonly release: Release; readonly store: ObjectStore; readonly environment: string }): Promise<Release> {
  const { stable, canary, history = [] } = release;
  if (to === undefined && canary !== undefined) return withoutCanary(release);
  if (to === undefined || to === 'previous') {
    const previous = history[0];
    if (previous === undefined) throw new AppError('not_found', 'no_history', `there is no configuration before ${stable.config_key}: name one with --to KEY`);
    return rolledBackTo(release, previous.config_key);
  }
  if (to.includes('/') || /\.ya?ml$/.test(to)) return rolledBackTo(release, to);
  if (!/^[0-9a-f]{4,12}$/.test(to)) throw new AppError('invalid_request', 'invalid_target', '--to expects "previous", a key such as prod/releases/…/config.yaml, or a revision in hex digits');
  const found = (await uploadedConfigs(store, environment)).find((key) => new RegExp(`-${to}[0-9a-f]*/config\\.yaml$`).test(key));
  if (found === undefined) throw new AppError('not_found', 'no_such_revision', `no upload in ${environment}/releases/ has the revision ${to}`);
  return rolledBackTo(release, found);
}
