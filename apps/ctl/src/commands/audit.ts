import { verifyChains, type AuditProblem, type ChainReport, type ExportReport } from '@pointsman/audit';
import cliProgress from 'cli-progress';
import { checkDays, readPublicKeys, verifyStore } from '../audit-export.ts';
import { rowsOfDatabase, rowsOfFile } from '../audit-rows.ts';
import type { AddCommand, CommandContext } from '../command-context.ts';
import { CopyComparison } from '../copy-comparison.ts';
import { formatTable } from '../format-table.ts';
import { atDatabase, openDatabase } from '../open-database.ts';
import { printable } from '../printable.ts';

interface Options {
  readonly database?: string;
  readonly partial?: true;
  readonly store?: string | true;
  readonly from?: string;
  readonly to?: string;
  readonly publicKey?: readonly string[];
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

With --store: what the audit exporter wrote, by its manifests. Each must be tied to the one before it (and signed, with
--public-key), each file be there with the digest and the rows that its manifest says, and each chain go on across files and days.
With --database as well, its ledger says whether something was cut off at the end, and each row is compared. --from and --to look
at some days only.

Exit code 0: nothing is wrong; 1: something is, or it could not be read.

Examples:
  $ pointsman audit verify
  $ pointsman audit verify audit-logs/2026/11/*/*.jsonl.gz --partial
  $ pointsman audit verify --database postgres://pointsman@db/pointsman audit-logs/*/*/*/*.jsonl
  $ pointsman audit verify --store s3://audit --public-key audit.pub.pem --database "$DATABASE_URL"
  $ pointsman audit verify --store --from 2026-11-01 --to 2026-11-30`;

/** `pointsman audit verify` */
export const addAudit: AddCommand = (program, context) => {
  program.command('audit').summary('check the audit log').description('Checks the audit log.')
    .command('verify').description('Walks the hash chains of the audit log and tells what was changed.')
    .argument('[files...]', 'exported JSONL files, in their order')
    .option('--database <url>', 'the database, postgres://… or "embedded"')
    .option('--partial', 'the rows are a part of the log: what came before them is not missed')
    .option('--store [url]', 'what the audit exporter wrote, s3://bucket/prefix or file:///folder; without a value AUDIT_BUCKET_URL, OBJECT_STORE_URL or S3_BUCKET')
    .option('--from <day>', 'of the store, from this day on, such as 2026-11-01')
    .option('--to <day>', 'of the store, up to this day')
    .option('--public-key <files...>', 'PEM files: one of these Ed25519 keys must have signed each manifest of the store')
    .option('--json', 'one JSON object instead of tables')
    .addHelpText('after', HELP)
    .action(async (files: readonly string[], options: Options) => {
      const outcome = await verify(files, options, context);
      const { logs, copies, stored } = outcome;
      const isSound = logs.every(({ report, unreadableCount }) => report.problemCount + unreadableCount === 0) && (copies?.problemCount ?? 0) === 0 && (stored?.report.problemCount ?? 0) === 0;
      context.print(options.json === true ? asJson(outcome, isSound) : asText(outcome, isSound, context.columns));
      if (!isSound) context.fail(1);
    });
};

interface Outcome {
  readonly logs: readonly Verified[];
  /** What of the exported rows the database does not hold as they were; undefined when only one of both was read. */
  readonly copies: CopyComparison | undefined;
  /** What the exporter wrote, where it was asked for. */
  readonly stored: { readonly store: string; readonly report: ExportReport } | undefined;
}

async function verify(files: readonly string[], options: Options, { env, columns }: CommandContext): Promise<Outcome> {
  const { database: url, partial = false, json } = options;
  const { signal } = new AbortController();
  checkDays(options);
  const publicKeys = await readPublicKeys(options.publicKey ?? []);
  const exported = files.length > 0 || options.store !== undefined;
  const reads = { files: files.length > 0, database: !exported || url !== undefined };
  const copies = exported && reads.database ? new CopyComparison(MAX_SHOWN) : undefined;
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
  await using opened = reads.database ? await openDatabase({ url, option: '--database', env, create: false, signal }) : undefined;
  const stored = options.store === undefined ? undefined : await verifyStore({
    url: options.store === true ? undefined : options.store, env, from: options.from, to: options.to, publicKeys,
    // What was exported before the store is read is to be there then.
    ledger: opened === undefined ? undefined : await atDatabase(opened.place, () => opened.exports.totals(signal)),
    onRow: (row) => { counter?.add(); copies?.addExported(row); },
  });
  if (opened !== undefined) {
    const report = await atDatabase(opened.place, () => verifyChains(
      each(rowsOfDatabase(opened.database.audit, signal), (row) => { counter?.add(); copies?.addStored(row); }), { partial: partial && !reads.files },
    ));
    logs.push({ log: opened.place, report, unreadable: [], unreadableCount: 0 });
  }
  copies?.finish();
  return { logs, copies, stored };
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

function asJson({ logs, copies, stored }: Outcome, isSound: boolean): string {
  return JSON.stringify({
    sound: isSound,
    logs: logs.map(({ log, report, unreadable, unreadableCount }) => ({ log, rows: report.rows, chains: report.chains, problem_count: report.problemCount + unreadableCount, problems: report.problems, unreadable })),
    ...(stored === undefined ? {} : { store: { url: stored.store, ...storeJson(stored.report) } }),
    ...(copies === undefined ? {} : { exported: { rows: copies.rows, problem_count: copies.problemCount, problems: copies.problems } }),
  }, undefined, 2);
}

function storeJson({ problemCount, ...report }: ExportReport): object {
  return { ...report, problem_count: problemCount };
}

function asText({ logs, copies, stored }: Outcome, isSound: boolean, columns: number | undefined): string {
  const parts = stored === undefined ? [] : storeText(stored.store, stored.report, columns);
  parts.push(...logs.flatMap(({ log, report, unreadable, unreadableCount }) => [
    `${printable(log)}: ${plural(report.rows, 'row')} in ${plural(report.chains.length, 'chain')}`,
    report.chains.length === 0 ? '' : formatTable([['CHAIN', 'ROWS', 'LAST ROW', 'STATE'], ...report.chains.map(({ chain, rows, lastSeq, state }) => [printable(chain), String(rows), String(lastSeq), state])], columns),
    problemsText('Problems', report.problems, report.problemCount, columns),
    unreadableCount === 0 ? '' : `Lines that are no JSON (${String(unreadableCount)})\n${formatTable(unreadable.map(({ file, line }) => [`${printable(file)}:${String(line)}`, 'not one row of JSON']), columns)}`,
  ]));
  if (copies !== undefined) parts.push(`${plural(copies.rows, 'exported row')} compared with the database`, problemsText('Not as exported', copies.problems, copies.problemCount, columns));
  const rows = logs.reduce((sum, { report }) => sum + report.rows, stored?.report.rows ?? 0);
  parts.push(isSound ? (rows === 0 ? 'There are no audit rows.' : 'Nothing is wrong.') : 'The audit log is not as it was written.');
  return parts.filter((part) => part !== '').join('\n\n');
}

function storeText(store: string, report: ExportReport, columns: number | undefined): string[] {
  const { problems, problemCount, notes } = report;
  const signed = report.signed > 0 ? `, ${String(report.signed)} of them signed` : '';
  const rest = problemCount > problems.length ? `\n  and ${String(problemCount - problems.length)} more` : '';
  return [
    `${printable(store)}: ${plural(report.rows, 'row')} of ${plural(report.chains.length, 'chain')} in ${plural(report.parts, 'file')} of ${plural(report.days, 'day')}, listed by ${plural(report.manifests, 'manifest')}${signed}`,
    problemCount === 0 ? '' : `Problems (${String(problemCount)})\n${formatTable([['FILE', 'CHAIN', 'ROW', 'WHAT', 'DETAIL'], ...problems.map(({ file, chain, seq, kind, detail }) => [file === '' ? '-' : printable(file), chain === '' ? '-' : printable(chain), seq === 0 ? '-' : String(seq), kind, printable(detail)])], columns)}${rest}`,
    notes.length === 0 ? '' : notes.map((text) => `Note: ${printable(text)}`).join('\n'),
  ];
}

function problemsText(title: string, problems: readonly AuditProblem[], count: number, columns: number | undefined): string {
  if (count === 0) return '';
  const rest = count > problems.length ? `\n  and ${String(count - problems.length)} more` : '';
  return `${title} (${String(count)})\n${formatTable([['CHAIN', 'ROW', 'WHAT', 'DETAIL'], ...problems.map(({ chain, seq, kind, detail }) => [chain === '' ? '-' : printable(chain), String(seq), kind, printable(detail)])], columns)}${rest}`;
}

function plural(count: number, noun: string): string {
  return `${String(count)} ${noun}${count === 1 ? '' : 's'}`;
}
