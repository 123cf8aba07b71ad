import { AppError } from '@pointsman/errors';
import type { ModelChange, ModelUse } from '@pointsman/rollout';
import { systemClock } from '@pointsman/timing';
import { Option } from 'commander';
import type { AddCommand, CommandContext } from '../command-context.ts';
import { formatTable } from '../format-table.ts';
import { openModelConfig } from '../model/model-config.ts';
import { openModelRecords, type ModelRecords } from '../model/model-records.ts';
import { waitUntilProven } from '../model/model-replicas.ts';
import { checkModel, storedArtifact } from '../model/stored-artifact.ts';
import { printable } from '../printable.ts';
import { parseDuration, plural } from '../quantities.ts';
import { openStore } from '../release/open-store.ts';
import { actorOf, checkConfigKey, readerOf, withActor, withReplicas, withStore, type ActorOptions, type ReplicaOptions, type StoreOptions } from '../release/release-options.ts';

interface Options extends StoreOptions, ReplicaOptions, ActorOptions {
  readonly to?: string;
  readonly reason?: string;
  readonly wait: number;
  readonly json?: true;
}

const LOOK_EVERY_MS = 1_000;
const TRIES = 10;
const MOST_HISTORY = 500;

const HELP = `
A canary that is running is taken out, and the version that serves stays. Without a canary the version before the one that serves comes
back, as model_deployments tells it; --to names another one. With --gateways it waits until every replica says that it serves
it. Requests that are running end on the version that they began with.

Exit code 0: done; 1: nothing was changed, or not every replica has followed in time.

Examples:
  $ pointsman rollback model knn-router --gateways dns://gateway-headless:4000
  $ pointsman rollback model knn-router --to v42 --reason "answers got worse"`;

/** `pointsman rollback model` */
export const addRollbackModel: AddCommand = (program, context) => {
  const rollback = program.commands.find((command) => command.name() === 'rollback');
  if (rollback === undefined) throw new TypeError('rollback model is added after rollback');
  const model = rollback.command('model').summary('a canary, or back to an earlier version').description('Takes the canary of a router model out, or goes back to an earlier version.').argument('<name>', 'the model, as model_name in the configuration');
  withActor(withReplicas(withStore(model)))
    .option('--to <version>', 'the version to serve, such as v42')
    .option('--reason <text>', 'why, for the records')
    .addOption(new Option('--wait <duration>', 'how long replicas may take to follow').argParser(parseDuration).default(300_000, '5m'))
    .option('--json', 'one JSON object instead of text')
    .addHelpText('after', HELP)
    .action((name: string, options: Options) => rollbackModel(name, options, context));
};

async function rollbackModel(name: string, options: Options, context: CommandContext): Promise<void> {
  const { env, print, printError, fail, columns } = context;
  checkConfigKey(options.key);
  checkModel(name, options.to);
  const reader = await readerOf(options, env);
  const actor = actorOf(options.actor, env);
  using store = await openStore(options.store, env);
  const config = openModelConfig({ store, configKey: options.key, model: name, env });
  // The way back is the one thing that a missing audit log must not stop.
  await using records = await openModelRecords({ store, model: name, actor, database: options.database, audit: 'best-effort', env, warn: (text) => { printError(`pointsman: ${text}`); } });
  for (let attempt = 1; ; attempt += 1) {
    const read = await config.read();
    const { use } = read;
    const target = await targetOf(options.to, { name, use, records });
    const artifact = await storedArtifact(store, name, target.version);
    if (artifact === undefined && target.version !== use.version) throw new AppError('not_found', 'no_artifact', `there is no ${name} ${target.version} in ${store.url}`);
    const written = await config.write(read, target.change, { actor, at: new Date(systemClock.now()), isFirst: true });
    if (written === undefined) {
      if (attempt < TRIES) continue;
      throw new AppError('conflict', 'lost_race', 'the configuration keeps being changed by others: try again');
    }
    // What is taken out is what the row is about; what comes back stands in its `to`.
    const about = target.version === use.version ? use.canary?.version ?? target.version : target.version;
    const isBack = target.version !== use.version;
    await records.record({
      action: 'rollback', version: about, digest: about === target.version ? artifact?.digest ?? null : (await storedArtifact(store, name, about))?.digest ?? null, environment: config.environment,
      percent: isBack ? 100 : 0, reason: options.reason ?? 'operator', from: use.version ?? null, to: target.version,
    }, { before: use.canary === undefined ? {} : { canary: use.canary } });
    if (options.json !== true) print(isBack ? `${name} goes back to ${target.version} (from ${use.version ?? 'no version'}).` : `The canary ${use.canary?.version ?? ''} of ${name} is out; ${target.version} serves.`);
    if (reader === undefined) {
      if (options.json === true) print(JSON.stringify({ model: name, version: target.version, from: use.version, canary_removed: use.canary?.version, revision: written.revision }));
      return;
    }
    const { replicas, left } = await waitUntilProven({
      reader, proof: { model: name, revision: written.revision, versions: [{ version: target.version, digest: artifact?.digest }] }, timeoutMs: options.wait, intervalMs: Math.min(LOOK_EVERY_MS, options.wait), clock: systemClock, signal: new AbortController().signal,
    });
    if (options.json === true) print(JSON.stringify({ model: name, version: target.version, from: use.version, canary_removed: use.canary?.version, revision: written.revision, replicas, left, all_served: left.length === 0 }, undefined, 2));
    else print(left.length === 0 ? `${plural(replicas, 'replica')}: every one serves it.` : `${plural(left.length, 'replica')} not yet:\n${formatTable(left.map(({ replica, why }) => [replica, why].map(printable)), columns)}`);
    if (left.length > 0) fail(1);
    return;
  }
}

/** @throws AppError when there is nothing to go back to. */
async function targetOf(to: string | undefined, { name, use, records }: { readonly name: string; readonly use: ModelUse; readonly records: ModelRecords }): Promise<{ readonly version: string; readonly change: ModelChange }> {
  if (to !== undefined) {
    if (to === use.version && use.canary === undefined) throw new AppError('conflict', 'nothing_to_do', `${name} serves ${to} already`);
    return { version: to, change: { version: to, canary: null } };
  }
  if (use.canary !== undefined) {
    if (use.version === undefined) throw new AppError('not_found', 'no_version', `${name} has a canary and no model_version beside it: name one with --to`);
    return { version: use.version, change: { canary: null } };
  }
  // Of how the serving version came to serve: a second rollback goes further back, not forth again.
  const came = (await records.history(MOST_HISTORY)).find(({ action, to: became }) => action === 'promote' && became === use.version);
  if (came?.from === undefined || came.from === null) throw new AppError('not_found', 'no_history', `nothing tells which version of ${name} served before ${use.version ?? 'this one'}: name one with --to`);
  return { version: came.from, change: { version: came.from } };
}
