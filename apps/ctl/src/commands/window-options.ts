import { AppError } from '@pointsman/errors';
import type { WindowData } from '@pointsman/router-training';
import { systemClock } from '@pointsman/timing';
import { InvalidArgumentError, Option, type Command } from 'commander';
import type { CommandContext } from '../command-context.ts';
import { printable } from '../printable.ts';
import { parseCount, plural } from '../quantities.ts';
import { openStore } from '../release/open-store.ts';

export interface WindowOptions {
  readonly traces?: string;
  readonly window?: string;
  readonly from?: string;
  readonly to?: string;
  readonly implicit: 'failures' | 'outcomes';
  readonly tradeoff: number;
  readonly serving?: string;
  readonly limit?: number;
}

/** Which traces are read, for the commands that learn from them or judge by them. */
export function withWindow(command: Command): Command {
  return command
    .option('--traces <url>', 'the object store whose folder traces/ is read, s3://bucket/prefix or file:///dir; S3_ENDPOINT and AWS_* as the sidecars have them')
    .option('--window <length>', 'of the traces: 7d, 12h, 2w; up to --to, else up to now')
    .option('--from <time>', 'requests from then on: 2026-01-31 or 2026-01-31T12:00:00Z')
    .option('--to <time>', 'requests before then')
    .addOption(new Option('--implicit <what>', 'what requests tell that nobody judged: only failures, or also that a whole answer was good').choices(['failures', 'outcomes']).default('failures'))
    .addOption(new Option('--tradeoff <number>', 'quality_cost_tradeoff that it serves with, 0 to 1').argParser(parseTradeoff).default(0.5))
    .option('--serving <directory>', 'the artifact that serves now; without it the comparison is with what was done');
}

export interface ReadTracesOptions extends WindowOptions {
  readonly traces: string;
  readonly embedder: { readonly name: 'none' | 'static' | 'minilm'; readonly sha256: string; readonly dimensions: number };
  readonly progress: (share: number) => void;
}

/** The rows that the options name. @throws AppError `empty_window`, `no_labels`, `store_…` */
export async function readTraces({ traces, window, from, to, implicit, limit, embedder, progress }: ReadTracesOptions, env: CommandContext['env']): Promise<WindowData> {
  const { parseWindow, readTraceWindow } = await import('@pointsman/router-training');
  const span = parseWindow({ window, from, to }, systemClock.now());
  // Whoever names the folder itself means the store around it.
  using store = await openStore(traces.replace(/\/traces\/?$/, ''), env);
  return await readTraceWindow({ store, window: span, embedder, implicit, limit, progress });
}

/** What was read and what was left out, in words. */
export function describeWindow({ counts, window, problems }: WindowData): string {
  const leftOut = ([
    ['duplicates', counts.duplicates], ['without a verdict', counts.unlabelled], ['of another embedder or feature version', counts.otherFeatures], ['without features', counts.noFeatures], ['without a propensity', counts.badPropensity],
    ['that no strategy decided', counts.undecided], ['beyond the limit', counts.overLimit], ['lines that are no rows', counts.badLines],
  ] as const).filter(([, count]) => count > 0).map(([what, count]) => `${String(count)} ${what}`);
  const lines = [`${plural(counts.used, 'row')} of ${plural(counts.requests, 'request')} from ${window.from.toISOString()} to ${window.to.toISOString()} (${String(counts.judged)} judged, ${String(counts.failed)} failed).`];
  if (leftOut.length > 0) lines.push(`Left out: ${leftOut.join(', ')}.`);
  return [...lines, ...problems.map((problem) => `Damaged: ${printable(problem)}`)].join('\n');
}

/** @throws AppError unless exactly one of files and traces is named. */
export function checkSource({ data, traces, window, from, to }: Pick<WindowOptions, 'traces' | 'window' | 'from' | 'to'> & { readonly data?: readonly string[] | undefined }): void {
  if ((data === undefined) === (traces === undefined)) throw new AppError('invalid_request', 'bad_arguments', 'name files with --data, or a store of traces with --traces, and not both');
  if (traces === undefined && [window, from, to].some((option) => option !== undefined)) throw new AppError('invalid_request', 'bad_arguments', '--window, --from and --to are of --traces');
}

export const limitOption = (): Option => new Option('--limit <rows>', 'newest rows read at most').argParser(parseCount);

function parseTradeoff(text: string): number {
  const value = /^\d+(\.\d+)?$/.test(text) ? Number(text) : Number.NaN;
  if (!(value <= 1)) throw new InvalidArgumentError('Expected a number from 0 to 1.');
  return value;
}
