import type { DataReport } from '../evaluation/evaluate-routing.ts';
import type { Interval } from '../metrics/bootstrap.ts';

/** A report as rows of text, header first: for Markdown and for terminals. */
export function reportTable(report: DataReport): string[][] {
  if (report.kind === 'two-models') {
    const without = report.table.some(({ apgrWithout }) => apgrWithout !== undefined);
    return [
      ['router', 'APGR [95 %]', ...(without ? ['without artefact'] : []), 'CPT50', 'CPT80', 'above length [95 %]', 'ECE', 'Brier'],
      ...report.table.map((row) => [
        row.router, `${fixed(row.apgr)} ${interval(row.interval)}`, ...(without ? [fixed(row.apgrWithout)] : []), percent(row.cpt50), percent(row.cpt80),
        row.gain === undefined ? '' : interval(row.gain, true), fixed(row.ece), fixed(row.brier),
      ]),
    ];
  }
  return [
    ['router', 'score [95 %]', 'above best single [95 %]', 'gap closed', 'cost at parity', 'AIQ', 'ECE', 'Brier'],
    ...report.table.map((row) => {
      const predicts = row.router.startsWith('llmrouter-');
      return [row.router, `${fixed(row.score)} ${interval(row.interval)}`, interval(row.gain, true), percent(row.gapClosed), row.costAtParity === undefined ? 'never' : percent(row.costAtParity), fixed(row.aiq), predicts ? fixed(row.ece) : '', predicts ? fixed(row.brier) : ''];
    }),
  ];
}

function fixed(value: number | undefined): string {
  return value === undefined || Number.isNaN(value) ? '' : value.toFixed(3);
}

function percent(value: number): string {
  return `${(100 * value).toFixed(1)} %`;
}

function interval({ low, high }: Interval, signed = false): string {
  const show = (value: number): string => `${signed && value >= 0 ? '+' : ''}${value.toFixed(3)}`;
  return `[${show(low)}, ${show(high)}]`;
}
