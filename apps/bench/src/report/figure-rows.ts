import type { LedgerFigures } from '../measure/run-ledger.ts';
import type { Figures } from '../measure/run-rounds.ts';
import { pairedRatio, ratio, type Spread } from '../measure/statistics.ts';
import type { MemoryGrowth } from '../measure/run-memory.ts';

/** The contestant that all ratios refer to. */
export const baseContestant = 'bare';

export const columns = ['contestant', 'CPU µs/request', '× bare', 'requests/s', '× bare', 'P50 ms', 'P99 ms', '1st byte P50', 'reads/reply', 'core busy', 'RSS MB'] as const;

/** One row of text per contestant for a table of one scenario, the spread over slices as `median (min–max)`. A contestant that erred shows its errors instead of figures. */
export function figureRows(figures: readonly Figures[]): readonly (readonly string[])[] {
  const base = figures.find(({ contestant, failed }) => contestant === baseContestant && failed === 0);
  return figures.map((row) => {
    if (row.failed > 0) return [row.contestant, ...errorCells(row)];
    return [
      row.contestant,
      row.cpuMicrosPerRequest === undefined ? '–' : withSpread(row.cpuMicrosPerRequest, 0),
      times(base === undefined ? undefined : pairedRatio(row.cpuMicrosBySlice, base.cpuMicrosBySlice)),
      `${withSpread(row.requestsPerSecond, 0)}${isLoadBound(row) ? ' *' : ''}`,
      isLoadBound(row) || base === undefined || isLoadBound(base) ? '–' : times(ratio(row.requestsPerSecond.median, base.requestsPerSecond.median)),
      row.p50Ms.median.toFixed(2),
      row.p99Ms.median.toFixed(2),
      row.firstByteP50Ms.median.toFixed(2),
      row.readsPerReply.toFixed(1),
      row.busy === undefined ? '–' : `${Math.min(100, Math.round(row.busy * 100))} %`,
      row.rssBytes === undefined ? '–' : megabytes(row.rssBytes),
    ];
  });
}

/** Whether the requests per second were limited by the load rather than by the contestant, which had time to spare. */
export function isLoadBound({ busy }: Figures): boolean {
  return busy === undefined || busy < 0.85;
}

function errorCells(row: Figures): readonly string[] {
  const cells = Array.from({ length: columns.length - 1 }, () => '–');
  cells[0] = `${row.failed} of ${row.requests} FAILED`;
  return cells;
}

/** What the load generator itself spends on a request, from the row without a proxy; undefined without that row. */
export function loadCost(figures: readonly Figures[]): string | undefined {
  const rows = figures.filter(({ contestant, failed }) => contestant === 'direct' && failed === 0);
  if (rows.length === 0) return undefined;
  return `The load generator itself, on its own core, spends ${rows.map((row) => `${number(row.loadMicrosPerRequest, 0)} µs (${row.scenario})`).join(', ')} per request.`;
}

/** The same text without absolute paths: a published report must not tell how the machine is laid out. */
export function withoutPaths(text: string): string {
  return text.replaceAll(/(?:file:\/\/)?(?:\/[\w@.+-]+)+\/([\w@.+-]+)/g, '$1');
}

/** What failed contestants said, one line each. */
export function problemLines(figures: readonly Figures[]): readonly string[] {
  return figures.filter(({ failed }) => failed > 0).map((row) => `${row.contestant} (${row.scenario}): ${row.problems.join(' | ')}`);
}

export const memoryColumns = ['contestant', 'RSS MB at start', 'requests', 'RSS MB', '× first mark'] as const;

export function memoryRows(growths: readonly MemoryGrowth[]): readonly (readonly string[])[] {
  return growths.flatMap((growth) =>
    growth.after.map(({ requests, rssBytes }) => [
      growth.contestant,
      megabytes(growth.rssAtStartBytes),
      `${requests.toLocaleString('en')}${growth.failed > 0 ? ` (${growth.failed} FAILED)` : ''}`,
      megabytes(rssBytes),
      times(ratio(rssBytes, growth.after[0]?.rssBytes)),
    ]),
  );
}

/** The ledger's figures in one sentence. */
export function ledgerLine({ keys, rowsPerSecond, seconds, rows, batches, lateBatches, batchP50Ms, batchMaxMs, cpuMicrosPerRow, exact }: LedgerFigures): string {
  return `Ledger: ${number(keys, 0)} keys, ${number(rowsPerSecond, 0)} rows a second for ${number(seconds, 0)} s (${number(rows, 0)} rows) on a real PostgreSQL: ${number(lateBatches, 0)} of ${number(batches, 0)} batches late, a batch of ${number(rows / batches, 0)} rows takes ${number(batchP50Ms, 0)} ms (at most ${number(batchMaxMs, 0)}), ${number(cpuMicrosPerRow, 1)} µs CPU of the gateway's side per row; ledger and keys ${exact ? 'agree to the last digit' : 'DO NOT AGREE'}.`;
}

function withSpread({ median, min, max }: Spread, digits: number): string {
  return `${number(median, digits)} (${number(min, digits)}–${number(max, digits)})`;
}

function number(value: number, digits: number): string {
  return value.toLocaleString('en', { maximumFractionDigits: digits });
}

function times(value: number | undefined): string {
  return value === undefined ? '–' : value.toFixed(2);
}

function megabytes(bytes: number): string {
  return (bytes / 1024 / 1024).toFixed(0);
}
