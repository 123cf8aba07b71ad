import { verifyChains, type AuditProblem, type ChainReport } from '@pointsman/audit';
import cliProgress from 'cli-progress';
import { rowsOfDatabase, rowsOfFile } from '../audit-rows.ts';
import type { AddCommand, CommandContext } from '../command-context.ts';
import { CopyComparison } from '../copy-comparison.ts';
import { formatTable } from '../format-table.ts';
import { atDatabase, openDatabase } from '../open-database.ts';
import { printable } from '../printable.ts';

interface Options {
  readonly database?: string;
  readonly partial?: true;
  readonly json?: true;
}

/** One log and what its chains say. */
interface Verified {
  readonly log: string;
  readonly report: ChainReport;
  /** Lines that are no JSON; the first ones. */
  readonly unreadable: readonly { readonly file: string; readonly line: number }[];
  readonly unreadableCount: number;
}

const MAX_SHOWN = 1_000;

const HELP = `
Every row of the audit log carries the hash of the row before it, so this shows rows that were edited, removed, put in another
order or stored twice. A chain is one run of one replica: "closed" ended properly, "open" runs or was killed.

Without files: the database (--database, else DATABASE_URL, else the embedded one). With files: JSONL, also .gz, as one log in
the order given; the first must be the first that was exported, or add --partial. With files and --database: each by itself,
and then row by row whether the database still holds what was exported, which also shows a log that was written anew from some
row to its end. The end of the newest chain can be cut off unseen as long as no later process and no file names it.

Exit code 0: nothing is wrong; 1: something is, or it could not be read.

Examples:
  $ pointsman audit verify
  $ pointsman audit verify audit-logs/2026/11/*/*.jsonl.gz --partial
  $ pointsman audit verify --database postgres://pointsman@db/pointsman audit-logs/*/*/*/*.jsonl`;

/** `pointsman audit verify` */
export const addAudit: AddCommand = (program, context) => {
  program.command('audit').summary('check the audit log').description('Checks the audit log.')
    .command('verify').description('Walks the hash chains of the audit log and tells what was changed.')
    .argument('[files...]', 'exported JSONL files, in their order')
    .option('--database <url>', 'the database, postgres://… or "embedded"')
    .option('--partial', 'the rows are a part of the log: what came before them is not missed')
    .option('--json', 'one JSON object instead of tables')
    .addHelpText('after', HELP)
    .action(async (files: readonly string[], options: Options) => {
      const { logs, copies } = await verify(files, options, context);
      const isSound = logs.every(({ report, unreadableCount }) => report.problemCount + unreadableCount === 0) && (copies?.problemCount ?? 0) === 0;
      context.print(options.json === true ? asJson(logs, copies, isSound) : asText(logs, copies, isSound, context.columns));
      if (!isSound) context.fail(1);
    });
};

interface Outcome {
  readonly logs: readonly Verified[];
  /** What of the exported rows the database does not hold as they were; undefined when only one of both was read. */
  readonly copies: CopyComparison | undefined;
}

async function verify(files: readonly string[], { database: url, partial = false, json }: Pick<Options, 'database'> & { readonly partial?: boolean; readonly json?: true }, { env, columns }: CommandContext): Promise<Outcome> {
  const { signal } = new AbortController();
  const reads = { files: files.length > 0, database: files.length === 0 || url !== undefined };
  const copies = reads.files && reads.database ? new CopyComparison(MAX_SHOWN) : undefined;
  using counter = columns === undefined || json === true ? undefined : startCounter();
  const logs: Verified[] = [];
  if (reads.files) {
    const unreadable: { file: string; line: number }[] = [];
    let unreadableCount = 0;
    const rows = async function* (): AsyncGenerator<unknown> {
      for (const file of files) {
        yield* rowsOfFile(file, (line) => {
          unreadableCount += 1;
          if (unreadable.length < MAX_SHOWN) unreadable.push({ file, line });
        });
      }
    };
    const report = await verifyChains(each(rows(), (row) => { counter?.add(); copies?.addExported(row); }), { partial });
    logs.push({ log: files.length === 1 ? String(files[0]) : `${String(files.length)} files`, report, unreadable, unreadableCount });
  }
  if (reads.database) {
    await using opened = await openDatabase({ url, option: '--database', env, create: false, signal });
    const report = await atDatabase(opened.place, () => verifyChains(
      each(rowsOfDatabase(opened.database.audit, signal), (row) => { counter?.add(); copies?.addStored(row); }), { partial: partial && !reads.files },
    ));
    logs.push({ log: opened.place, report, unreadable: [], unreadableCount: 0 });
  }
  copies?.finish();
  return { logs, copies };
}

async function* each(rows: AsyncIterable<unknown>, see: (row: unknown) => void): AsyncGenerator<unknown> {
  for await (const row of rows) {
    see(row);
    yield row;
  }
}

/** How long a log is, nobody knows before its end: a count instead of a bar. */
function startCounter(): Disposable & { add(): void } {
  const counter = new cliProgress.SingleBar({ format: '{value} rows', clearOnComplete: true, hideCursor: true }, cliProgress.Presets.shades_classic);
  counter.start(0, 0);
  return { add: () => { counter.increment(); }, [Symbol.dispose]: () => { counter.stop(); } };
}

function asJson(logs: readonly Verified[], copies: CopyComparison | undefined, isSound: boolean): string {
  return JSON.stringify({
    sound: isSound,
    logs: logs.map(({ log, report, unreadable, unreadableCount }) => ({ log, rows: report.rows, chains: report.chains, problem_count: report.problemCount + unreadableCount, problems: report.problems, unreadable })),
    ...(copies === undefined ? {} : { exported: { rows: copies.rows, problem_count: copies.problemCount, problems: copies.problems } }),
  }, undefined, 2);
}

function asText(logs: readonly Verified[], copies: CopyComparison | undefined, isSound: boolean, columns: number | undefined): string {
  const parts = logs.flatMap(({ log, report, unreadable, unreadableCount }) => [
    `${printable(log)}: ${plural(report.rows, 'row')} in ${plural(report.chains.length, 'chain')}`,
    report.chains.length === 0 ? '' : formatTable([['CHAIN', 'ROWS', 'LAST ROW', 'STATE'], ...report.chains.map(({ chain, rows, lastSeq, state }) => [printable(chain), String(rows), String(lastSeq), state])], columns),
    problemsText('Problems', report.problems, report.problemCount, columns),
    unreadableCount === 0 ? '' : `Lines that are no JSON (${String(unreadableCount)})\n${formatTable(unreadable.map(({ file, line }) => [`${printable(file)}:${String(line)}`, 'not one row of JSON']), columns)}`,
  ]);
  if (copies !== undefined) parts.push(`${plural(copies.rows, 'exported row')} compared with the database`, problemsText('Not as exported', copies.problems, copies.problemCount, columns));
  const rows = logs.reduce((sum, { report }) => sum + report.rows, 0);
  parts.push(isSound ? (rows === 0 ? 'There are no audit rows.' : 'Nothing is wrong.') : 'The audit log is not as it was written.');
  return parts.filter((part) => part !== '').join('\n\n');
}

function problemsText(title: string, problems: readonly AuditProblem[], count: number, columns: number | undefined): string {
  if (count === 0) return '';
  const rest = count > problems.length ? `\n  and ${String(count - problems.length)} more` : '';
  return `${title} (${String(count)})\n${formatTable([['CHAIN', 'ROW', 'WHAT', 'DETAIL'], ...problems.map(({ chain, seq, kind, detail }) => [chain === '' ? '-' : printable(chain), String(seq), kind, printable(detail)])], columns)}${rest}`;
}

function plural(count: number, noun: string): string {
  return `${String(count)} ${noun}${count === 1 ? '' : 's'}`;
}
