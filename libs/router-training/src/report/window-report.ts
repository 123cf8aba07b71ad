import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { PolicyReport } from '../off-policy/compare-policies.ts';
import type { Estimate } from '../off-policy/estimate.ts';
import type { WindowReport } from '../off-policy/evaluate-window.ts';
import { draw, escape, type Plot } from './cost-quality-plot.ts';
import { renderPng } from './render-png.ts';
import { sharePlot } from './share-plot.ts';

/** Cost–quality curve, calibration and shares of a router on a window. */
export function windowPlots(report: WindowReport): Plot[] {
  const { name, version } = report.candidateManifest;
  const label = `${name} ${version}`;
  const dearest = Math.max(...report.curve.map(({ cost }) => cost), report.serving.expectedCost, 1e-12);
  const percent = (cost: number): number => (100 * cost) / dearest;
  const [x, y] = [percent(report.serving.expectedCost), 100 * report.serving.quality.dr.value];
  const cross: readonly (readonly [number, number])[] = [[x - 1.2, y], [x + 1.2, y], [x, y], [x, y - 1], [x, y + 1]];
  const bound = (of: (quality: Estimate) => number): readonly (readonly [number, number])[] => report.curve.map(({ cost, quality }) => [percent(cost), 100 * of(quality)] as const);
  return [
    draw('cost-quality', `${label}: quality against cost`, `cost, % of ${dearest.toPrecision(3)} USD a request`, 'quality, % (doubly robust)', [
      { label, dashed: false, points: bound(({ value }) => value) }, { label: servingLabel(report), dashed: false, points: cross }, { label: '95 %, lower end', dashed: true, points: bound(({ low }) => low) }, { label: '95 %, upper end', dashed: true, points: bound(({ high }) => high) },
    ]),
    draw('calibration', `${label}: calibration`, 'predicted quality, %', 'observed quality, %', [
      { label, dashed: false, points: report.calibration.map(({ predicted, observed }) => [100 * predicted, 100 * observed] as const) }, { label: 'perfect', dashed: true, points: [[0, 0], [100, 100]] },
    ]),
    sharePlot([{ label, shares: report.candidate.shares }, { label: 'at equal cost', shares: report.candidateAtEqualCost.shares }, { label: servingLabel(report), shares: report.serving.shares }]),
  ];
}

/** The estimates as rows of text, header first: for Markdown and for terminals. */
export function windowTable(report: WindowReport): string[][] {
  const row = (who: string, { quality, cost, effectiveRows }: PolicyReport): string[] => [who, interval(quality.dr), interval(quality.snips), interval(quality.ips), money(cost.dr), effectiveRows.toFixed(0)];
  const { quality, qualityAtEqualCost, cost } = report.difference;
  return [
    ['router', 'quality, DR [95 %]', 'SNIPS [95 %]', 'IPS [95 %]', 'USD/request, DR [95 %]', 'effective rows'],
    row(servingLabel(report), report.serving), row(`${report.candidateManifest.name} ${report.candidateManifest.version}`, report.candidate), row('  at equal cost', report.candidateAtEqualCost),
    ['difference', interval(quality, true), '', '', money(cost), ''], ['  at equal cost', interval(qualityAtEqualCost, true), '', '', '', ''],
  ];
}

/** Without what may be long: for `report.json`. */
export function windowSummary(report: WindowReport): object {
  const { candidateManifest, servingManifest, ...rest } = report;
  return { candidate_model: { name: candidateManifest.name, version: candidateManifest.version }, serving_model: servingManifest === undefined ? null : { name: servingManifest.name, version: servingManifest.version }, ...rest };
}

/** Markdown of the estimates, for a model card. */
export function windowSection(report: WindowReport): string {
  const [header = [], ...rows] = windowTable(report);
  const line = (cells: readonly string[]): string => `| ${cells.map((cell) => cell.trim().replaceAll(/[|`\n\r]/g, '')).join(' | ')} |`;
  return `## On requests it has not seen

${String(report.rows)} decisions that were drawn (${String(report.certain)} more were certain and tell nothing), at \`quality_cost_tradeoff\` ${String(report.tradeoff)}. Estimated off-policy from recorded propensities; intervals are 95 %.

${line(header)}
|${header.map(() => '---').join('|')}|
${rows.map(line).join('\n')}
${report.warnings.length === 0 ? '' : `\n${report.warnings.map((warning) => `- **Careful:** ${warning}.`).join('\n')}\n`}`;
}

/** Writes `report.html`, `report.json` and the plots as SVG and PNG into a folder that is made if need be. Returns the names of the files. */
export async function writeWindowReport(directory: string, report: WindowReport, card: string): Promise<string[]> {
  await mkdir(directory, { recursive: true });
  const plots = windowPlots(report);
  const files = new Map<string, string | Uint8Array>([['report.json', `${JSON.stringify(windowSummary(report), undefined, 2)}\n`], ['report.html', reportPage(report, plots)], ['MODEL_CARD.md', card]]);
  for (const { name, svg } of plots) {
    files.set(`${name}.svg`, svg);
    files.set(`${name}.png`, await renderPng(svg));
  }
  for (const [name, content] of files) await writeFile(join(directory, name), content);
  return [...files.keys()].sort();
}

function reportPage(report: WindowReport, plots: readonly Plot[]): string {
  const { name, version, strategy, training } = report.candidateManifest;
  const [header = [], ...rows] = windowTable(report);
  const cells = (row: readonly string[], tag: 'td' | 'th'): string => `<tr>${row.map((cell) => `<${tag}>${escape(cell)}</${tag}>`).join('')}</tr>`;
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>${escape(`${name} ${version}`)}</title>
<style>body { font-family: system-ui, sans-serif; max-width: 960px; margin: 2rem auto; padding: 0 1rem; } svg { max-width: 100%; height: auto; } table { border-collapse: collapse; } td, th { padding: .25rem .75rem; text-align: left; border-bottom: 1px solid #ddd; }</style>
<h1>${escape(`${name} ${version}`)}</h1>
<p>${escape(strategy)}, trained on ${String(training.rows)} rows of ${escape(training.dataset_uri)}; judged on ${String(report.rows)} later decisions. Method: docs/closed-loop.md.</p>
<table>${cells(header, 'th')}${rows.map((row) => cells(row, 'td')).join('')}</table>
<ul>${report.warnings.map((warning) => `<li>${escape(warning)}</li>`).join('')}</ul>
${plots.map(({ svg }) => `<figure>${svg.replaceAll('id="frame"', '').replaceAll(' clip-path="url(#frame)"', '')}</figure>`).join('\n')}
</html>
`;
}

function servingLabel({ servingManifest }: WindowReport): string {
  return servingManifest === undefined ? 'what served' : `${servingManifest.name} ${servingManifest.version} (serving)`;
}

function interval({ value, low, high }: Estimate, signed = false): string {
  const show = (number: number): string => `${signed && number >= 0 ? '+' : ''}${number.toFixed(3)}`;
  return `${show(value)} [${show(low)}, ${show(high)}]`;
}

function money({ value, low, high }: Estimate): string {
  return `${value.toPrecision(3)} [${low.toPrecision(3)}, ${high.toPrecision(3)}]`;
}
