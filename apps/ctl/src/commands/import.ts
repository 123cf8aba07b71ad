import { hostname } from 'node:os';
import { AuditChain, CHAIN_ACTIONS } from '@pointsman/audit';
import { importLiteLlm, readLiteLlm, type Database, type LiteLlmCounts, type LiteLlmImport, type LiteLlmKind, type LiteLlmNote } from '@pointsman/database';
import { systemClock } from '@pointsman/timing';
import cliProgress from 'cli-progress';
import type { AddCommand, CommandContext } from '../command-context.ts';
import { formatTable } from '../format-table.ts';
import { atDatabase, openDatabase, placeOf } from '../open-database.ts';
import { printable } from '../printable.ts';

interface Options {
  readonly from: string;
  readonly into?: string;
  readonly dryRun?: true;
  readonly overwrite?: true;
  readonly json?: true;
}

const KINDS: readonly (readonly [LiteLlmKind, string])[] = [['budget', 'budgets'], ['team', 'teams'], ['user', 'users'], ['key', 'keys']];

const HELP = `
Keys stay what they are: LiteLLM keeps the SHA-256 of a key, and so does Pointsman, so clients go on with the keys they have.
The LiteLLM database is only read. What is here already is left, so the import can be repeated until the day of the move.

Without --into it goes where a gateway with this environment looks: DATABASE_URL, else the embedded database under POINTSMAN_HOME.
Passwords are better kept out of command lines, which other users of the machine can see: --from "$LITELLM_DATABASE_URL" with
the password in ~/.pgpass or PGPASSWORD.

Exit code 0: everything was taken or is here already; 1: something was refused, or nothing could be done.

Examples:
  $ pointsman import litellm --from postgres://litellm@db/litellm --dry-run
  $ pointsman import litellm --from postgres://litellm@db/litellm --into postgres://pointsman@db/pointsman`;

/** `pointsman import litellm` */
export const addImport: AddCommand = (program, context) => {
  program.command('import').summary('take keys, teams, users and budgets over from LiteLLM').description('Takes over what another gateway has.')
    .command('litellm').summary('from a LiteLLM database').description('Takes keys, teams, users and budgets over from a LiteLLM database.')
    .requiredOption('--from <url>', 'the LiteLLM database, as its DATABASE_URL has it')
    .option('--into <url>', 'the database of the gateway; else DATABASE_URL, else the embedded one')
    .option('--dry-run', 'read and check everything, write nothing')
    .option('--overwrite', 'what is here already becomes as it is there')
    .option('--json', 'one JSON object instead of tables')
    .addHelpText('after', HELP)
    .action(async (options: Options) => {
      const { result, place } = await run(options, context);
      context.print(options.json === true ? asJson(result, place, options) : asText(result, place, options, context.columns));
      if (result.refused.length > 0) context.fail(1);
    });
};

async function run({ from, into, dryRun = false, overwrite = false, json = false }: { readonly [Option in keyof Options]?: Options[Option] | boolean } & { readonly from: string; readonly into?: string }, { env, columns }: CommandContext): Promise<{ readonly result: LiteLlmImport; readonly place: string }> {
  // Ctrl-C ends the process: every row is one transaction, and the next run goes on where this one was.
  const { signal } = new AbortController();
  const source = placeOf(from, '--from');
  await using opened = await openDatabase({ url: into, option: '--into', env, create: true, signal });
  const { database, place } = opened;
  await atDatabase(place, () => database.migrate(signal));
  using bar = columns === undefined || json ? undefined : startBar(await atDatabase(source, () => count(from, signal)));
  const result = await atDatabase(`${source} into ${place}`, () => importLiteLlm({
    from, into: database, dryRun, overwrite, signal, onProgress: (counts) => bar?.update(counts),
  }));
  if (!dryRun && Object.values(result.counts).some(({ taken }) => taken > 0)) await atDatabase(place, () => record(database, source, result, { overwrite, signal }));
  return { result, place };
}

/** How many rows there are to read, for the bar. */
async function count(from: string, signal: AbortSignal): Promise<number> {
  let rows = 0;
  for await (const _entry of readLiteLlm(from, signal)) rows += 1;
  return rows;
}

function startBar(total: number): Disposable & { update(counts: LiteLlmCounts): void } {
  const bar = new cliProgress.SingleBar({ format: '{bar} {value}/{total} {what}', clearOnComplete: true, hideCursor: true }, cliProgress.Presets.shades_classic);
  bar.start(total, 0, { what: '' });
  return {
    update: (counts) => {
      const current = KINDS.findLast(([kind]) => counts[kind].read > 0)?.[1] ?? '';
      bar.update(KINDS.reduce((sum, [kind]) => sum + counts[kind].read, 0), { what: current });
    },
    [Symbol.dispose]: () => { bar.stop(); },
  };
}

/** The import in the audit log: a short chain of its own. */
async function record(database: Database, source: string, { counts, refused }: LiteLlmImport, { overwrite, signal }: { readonly overwrite: boolean; readonly signal: AbortSignal }): Promise<void> {
  const chain = new AuditChain({ pod: `ctl@${hostname()}`, clock: systemClock });
  const event = { actor: 'system:ctl', resource: `litellm:${source}` };
  await database.audit.append([
    chain.next({ ...event, action: CHAIN_ACTIONS.opened, after: { previous: [] } }),
    chain.next({ ...event, action: 'litellm.import', after: { taken: Object.fromEntries(KINDS.map(([kind, name]) => [name, counts[kind].taken])), refused: refused.length, overwrite } }),
    chain.next({ ...event, action: CHAIN_ACTIONS.closed, after: { rows: 3 } }),
  ], signal);
}

function asJson({ counts, refused, adjusted }: LiteLlmImport, place: string, { dryRun }: Options): string {
  return JSON.stringify({ into: place, dry_run: dryRun === true, counts, refused, adjusted }, undefined, 2);
}

function asText({ counts, refused, adjusted }: LiteLlmImport, place: string, { dryRun }: Options, columns: number | undefined): string {
  const rows = KINDS.map(([kind, name]) => [name, ...[counts[kind].read, counts[kind].taken, counts[kind].present, counts[kind].refused].map(String)]);
  const parts = [
    formatTable([['', 'READ', dryRun === true ? 'WOULD BE TAKEN' : 'TAKEN', 'HERE ALREADY', 'REFUSED'], ...rows], columns),
    notes('Refused', refused, columns),
    notes(dryRun === true ? 'Would be taken otherwise than it stands there' : 'Taken otherwise than it stood there', adjusted, columns),
    dryRun === true ? `Dry run: nothing was written into ${place}.` : `Imported into ${place}.${refused.length === 0 ? '' : ' What was refused does not work here.'}`,
  ];
  return parts.filter((part) => part !== '').join('\n\n');
}

function notes(title: string, list: readonly LiteLlmNote[], columns: number | undefined): string {
  return list.length === 0 ? '' : `${title} (${String(list.length)})\n${formatTable(list.map(({ kind, name, reason }) => [kind, printable(name), printable(reason)]), columns)}`;
}
