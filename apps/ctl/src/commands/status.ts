import { AppError, describeUnknown } from '@pointsman/errors';
import type { AnsweredReading, ReplicaReading } from '@pointsman/rollout';
import type { Release } from '@pointsman/schemas';
import type { AddCommand, CommandContext } from '../command-context.ts';
import { formatTable } from '../format-table.ts';
import { printable } from '../printable.ts';
import { plural } from '../quantities.ts';
import { readStoredConfig, revisionOf } from '../release/config-folder.ts';
import { armOf, type KnownRevisions } from '../release/describe-replicas.ts';
import { openStore } from '../release/open-store.ts';
import { openReleaseFile } from '../release/release-file.ts';
import { checkConfigKey, readerOf, withReplicas, withStore, type ReplicaOptions, type StoreOptions } from '../release/release-options.ts';

interface Options extends StoreOptions, ReplicaOptions {
  readonly json?: true;
}

const HELP = `
What the store says (release.json), and what every replica serves. With the master key (LITELLM_MASTER_KEY or --api-key-file) also
when it was applied, its router models, and what it refused. Without a store only the replicas are shown, without --gateways only the store.

Exit code 0: all is as the store wants it; 1: a replica does not answer, is not ready, or serves something else; or the store cannot be read.

Examples:
  $ pointsman status --gateways dns://gateway-headless:4000
  $ pointsman status --gateways http://10.0.0.7:4000,http://10.0.0.8:4000 --json`;

/** `pointsman status` */
export const addStatus: AddCommand = (program, context) => {
  withReplicas(withStore(program.command('status').summary('what every replica serves').description('Tells what every replica serves, and what the store wants.')))
    .option('--json', 'one JSON object instead of tables')
    .addHelpText('after', HELP)
    .action((options: Options) => status(options, context));
};

/** What the store wants; a problem instead where it cannot be read. */
type StoreView = { readonly release: Release; readonly known: KnownRevisions } | { readonly problem: string };

async function status(options: Options, context: CommandContext): Promise<void> {
  checkConfigKey(options.key);
  const reader = await readerOf(options, context.env);
  const hasStore = options.store !== undefined || ['OBJECT_STORE_URL', 'S3_BUCKET'].some((name) => (context.env[name] ?? '') !== '');
  if (reader === undefined && !hasStore) throw new AppError('invalid_request', 'nothing_named', 'say where the replicas are (--gateways URL,URL… or dns://headless-service:4000), where the store is (--store or OBJECT_STORE_URL), or both');
  const [view, readings] = await Promise.all([hasStore ? storeView(options, context.env) : undefined, reader?.read(new AbortController().signal)]);
  const known = view === undefined || 'problem' in view ? undefined : view.known;
  const wrong = (readings ?? []).filter((reading) => problemOf(reading, known) !== undefined);
  const isWell = wrong.length === 0 && !(view !== undefined && 'problem' in view);
  context.print(options.json === true ? asJson({ view, readings, known, isWell, key: options.key }) : asText({ view, readings, known, key: options.key, columns: context.columns }));
  if (!isWell) context.fail(1);
}

async function storeView({ store: url, key }: Options, env: CommandContext['env']): Promise<StoreView> {
  try {
    using store = await openStore(url, env);
    const { release } = await openReleaseFile(store, key).read();
    const [stable, canary] = await Promise.all([readStoredConfig(store, release.stable.config_key), release.canary === undefined ? undefined : readStoredConfig(store, release.canary.config_key)]);
    return { release, known: { stable: stable === undefined ? undefined : revisionOf(stable), canary: canary === undefined ? undefined : revisionOf(canary) } };
  } catch (error) {
    return { problem: error instanceof AppError ? error.message : describeUnknown(error) };
  }
}

/** What is not as it should be with a replica. Without the store every revision is right. */
function problemOf(reading: ReplicaReading, known: KnownRevisions | undefined): string | undefined {
  if ('problem' in reading) return reading.problem;
  if (!reading.isReady) return reading.revision === '' ? 'has no configuration yet' : 'is not ready';
  const arm = known === undefined ? 'stable' : armOf(reading.revision, known);
  return arm === 'stable' || arm === 'canary' ? undefined : 'serves neither stable nor canary';
}

interface Shown {
  readonly view: StoreView | undefined;
  readonly readings: readonly ReplicaReading[] | undefined;
  readonly known: KnownRevisions | undefined;
}

function asText({ view, readings, known, key, columns }: Shown & { readonly key: string; readonly columns: number | undefined }): string {
  const parts = [storeText(view, key, columns)];
  if (readings !== undefined) {
    const rows = readings.map((reading) => ('problem' in reading ? [reading.replica, 'no answer', '-', '-', '-', '-', reading.problem] : [
      reading.replica, reading.isReady ? 'yes' : 'no', reading.revision === '' ? '-' : reading.revision, known === undefined ? '-' : armOf(reading.revision, known),
      reading.appliedAt ?? '-', modelsOf(reading), noteOf(reading),
    ]).map(printable));
    const wrong = readings.filter((reading) => problemOf(reading, known) !== undefined);
    parts.push(`Replicas (${String(readings.length)})\n${formatTable([['REPLICA', 'READY', 'REVISION', 'WHICH', 'APPLIED AT', 'MODELS', 'NOTE'], ...rows], columns)}`);
    parts.push(wrong.length === 0 ? (known === undefined ? 'Every replica is ready.' : 'Every replica serves what it should.') : `${plural(wrong.length, 'replica')} not as it should be:\n${formatTable(wrong.map((reading) => [reading.replica, problemOf(reading, known) ?? ''].map(printable)), columns)}`);
  }
  return parts.filter((part) => part !== '').join('\n\n');
}

function storeText(view: StoreView | undefined, key: string, columns: number | undefined): string {
  if (view === undefined) return '';
  if ('problem' in view) return `Store: ${printable(view.problem)}`;
  const { release: { stable, canary, history = [] }, known } = view;
  return `Store\n${formatTable([
    ['stable', known.stable ?? 'is not there', stable.config_key],
    ...(canary === undefined ? [] : [['canary', known.canary ?? 'is not there', `${canary.config_key}, ${String(canary.percent)} % since ${canary.started_at}, started by ${canary.started_by}`]]),
    ...(history[0] === undefined ? [] : [['previous', '', `${history[0].config_key}, until ${history[0].until}`]]),
  ].map((row) => row.map(printable)), columns)}${stable.config_key === key ? '' : `\nedits of ${printable(key)} are not served: release.json names ${printable(stable.config_key)}`}`;
}

function modelsOf({ models }: AnsweredReading): string {
  if (models === undefined) return '-';
  return models.length === 0 ? 'none' : models.map(({ name, version, revision }) => `${name} ${version} (${revision})`).join(', ');
}

function noteOf({ lastRejected }: AnsweredReading): string {
  return lastRejected === undefined ? '' : `refused ${lastRejected.revision}: ${lastRejected.reason}`;
}

function asJson({ view, readings, known, isWell, key }: Shown & { readonly isWell: boolean; readonly key: string }): string {
  return JSON.stringify({
    well: isWell,
    ...(view === undefined ? {} : { store: 'problem' in view ? { problem: view.problem } : { ...view.release, key_is_stable: view.release.stable.config_key === key, stable_revision: view.known.stable, canary_revision: view.known.canary } }),
    ...(readings === undefined ? {} : {
      replicas: readings.map((reading) => ('problem' in reading ? { replica: reading.replica, problem: reading.problem } : {
        replica: reading.replica, ready: reading.isReady, config_revision: reading.revision, ...(known === undefined ? {} : { which: armOf(reading.revision, known) }),
        applied_at: reading.appliedAt, models: reading.models, last_rejected: reading.lastRejected, problem: problemOf(reading, known),
      })),
    }),
  }, undefined, 2);
}
