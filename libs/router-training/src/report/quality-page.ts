import type { DataReport } from '../evaluation/evaluate-routing.ts';
import { reportTable } from './report-table.ts';

export interface QualityPageInput {
  readonly reports: readonly DataReport[];
  readonly seed: number;
  readonly folds: number;
  readonly draws: number;
  readonly embedder: string;
  /** The same sets with a sentence transformer as embedder, where it was measured too. */
  readonly networkReports?: readonly DataReport[] | undefined;
  /** Text after the figures, in Markdown: what a person wrote about them. Kept when the page is written anew. */
  readonly notes: string;
}

/** Between these lines `docs/routing-quality.md` is generated; what follows is kept. */
export const NOTES_MARK = '<!-- notes: kept by the generator -->';

/** `docs/routing-quality.md`. */
export function qualityPage({ reports, seed, folds, draws, embedder, networkReports = [], notes }: QualityPageInput): string {
  const sections = reports.map((report) => {
    const facts = report.kind === 'two-models'
      ? `${report.rows} questions. Weak: ${report.weak}, right on ${(100 * report.weakQuality).toFixed(1)} %. Strong: ${report.strong}, right on ${(100 * report.strongQuality).toFixed(1)} %.`
      : `${report.rows} questions, ${report.models} models. Best single model: ${report.bestSingle}, score ${report.bestSingleQuality.toFixed(3)}. Oracle: ${report.oracle.toFixed(3)}.`;
    const network = networkReports.find(({ name }) => name === report.name);
    return `## ${report.name}

${facts}

![${report.name}: quality against cost](images/routing-${report.name}.png)

${markdownOf(report)}
${network === undefined ? '' : `
With the embedder minilm (a network of 23 MB, tens of milliseconds of CPU per prompt; \`--minilm-dir DIR\`):

${markdownOf(network)}
`}`;
  });
  return `# How good is routing?

Written by \`npm run eval:routing -- --data DIR --write\` (seed ${seed}, ${folds} folds, embedder ${embedder}, ${draws} bootstrap draws). The tables are generated, the notes at the end are not.

Every figure is the mean of ${folds} folds over the training and validation rows: each fold is predicted by a router that saw only the others. Rows that share a question,
its stem or a reading passage are always in one fold. Settings that a strategy chooses (penalties, neighbours, weights of a hybrid's parts) are chosen inside the training folds.
Data kept apart for testing is not read. These routers are trained on questions of the same kinds they are tested on ("in domain"): do not put the figures beside those of routers that were not.

**Two models.** Questions go to the strong model in the order of *predicted quality of the strong one minus that of the weak one*. APGR: share of the quality gap between the two that is
recovered, averaged over all shares of strong calls; random is 0.500. CPT50, CPT80: share of strong calls that recovers 50 % and 80 % of the gap; lower is better. "Without artefact" leaves out
high_school_mathematics, where the recorded strong model failed on the answer's format. "Above length" is the paired difference to sending long prompts to the strong model.

**Many models.** Score: mean quality when each question goes to the model with the best prediction. Gap closed: the way from the best single model (chosen on training folds) to an oracle.
Cost at parity: what it costs to be as good as the best single model, as a share of its price, when λ · price is subtracted from predictions. AIQ: best quality within a budget, averaged over budgets.

ECE and Brier say how far predicted qualities are from outcomes; lower is better.

${sections.join('\n')}
${NOTES_MARK}
${notes}`;
}

function markdownOf(report: DataReport): string {
  const [header, ...rows] = reportTable(report);
  return `| ${header!.join(' | ')} |
|${header!.map(() => '---').join('|')}|
${rows.map((row) => `| ${row.join(' | ')} |`).join('\n')}`;
}
