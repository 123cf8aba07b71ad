import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { describeUnknown } from '@pointsman/errors';
import { evaluateRouting, NOTES_MARK, plotOf, plotPage, qualityPage, readRoutingData, renderPng, reportTable, trainableStrategies, trainableStrategy, type DataReport } from '@pointsman/router-training';
import cliProgress from 'cli-progress';
import { predictionFolder } from './prediction-folder.ts';

const HELP = `Cross-validates routing strategies on real outcomes and prints tables.

  npm run eval:routing -- --data DIR [--strategy S]… [options]

  --data DIR        folder with {name}_train.jsonl.gz, {name}_validation.jsonl.gz and perhaps {name}_models.json (prices)
  --strategy S      repeat for several; all without it
  --only NAME       only this set of questions; repeat for several
  --embedder E      none, static (default) or minilm
  --minilm-dir DIR  model.onnx and vocab.txt of the embedder minilm; with another embedder, the strategies that gain by it are measured with minilm besides
  --minilm-only N   of those, only the set N; repeat for several
  --seed N          default 1
  --draws N         bootstrap draws, default 1000
  --keep DIR        keeps predictions there and takes up what is there already; empty it when a trainer changed
  --write           writes docs/routing-quality.md and docs/images/routing-*
  --json            prints the reports as JSON
`;
const PLOTTED = ['random', 'prompt length alone', 'llmrouter-hybrid', 'llmrouter-knn', 'llmrouter-automix (sees the weak answer)', 'oracle'];
/** Neighbours and smooth kernels live by the embedding; the others are about the same with any. */
const MINILM_STRATEGIES: readonly string[] = ['llmrouter-hybrid', 'llmrouter-kernel', 'llmrouter-knn'];
const DOCS = resolve(import.meta.dirname, '../../../docs');

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      data: { type: 'string' }, strategy: { type: 'string', multiple: true }, only: { type: 'string', multiple: true }, embedder: { type: 'string', default: 'static' }, 'minilm-dir': { type: 'string' }, 'minilm-only': { type: 'string', multiple: true }, seed: { type: 'string', default: '1' },
      draws: { type: 'string', default: '1000' }, keep: { type: 'string' }, write: { type: 'boolean', default: false }, json: { type: 'boolean', default: false }, help: { type: 'boolean', default: false },
    },
  });
  if (values.help || values.data === undefined) {
    process.stdout.write(HELP);
    process.exitCode = values.help ? 0 : 1;
    return;
  }
  const [seed, draws] = [wholeNumber(values.seed, '--seed'), wholeNumber(values.draws, '--draws')];
  const { embedder } = values;
  if (embedder !== 'none' && embedder !== 'static' && embedder !== 'minilm') throw new RangeError('--embedder must be none, static or minilm.');
  const strategies = values.strategy === undefined ? trainableStrategies : values.strategy.map(trainableStrategy);
  const data = (await readRoutingData(values.data)).filter(({ name }) => values.only?.includes(name) ?? true);
  const bar = new cliProgress.SingleBar({ format: '{bar} {value}/{total} {what}', clearOnComplete: true, hideCursor: true, stream: process.stderr }, cliProgress.Presets.shades_classic);
  bar.start(data.length * strategies.length * 5, 0, { what: 'features' });
  const minilmDirectory = values['minilm-dir'];
  const shared = { minilmDirectory, seed, draws, store: values.keep === undefined ? undefined : predictionFolder(values.keep) };
  const reports = await evaluateRouting({ ...shared, data, strategies, embedder, progress: (done, _, what) => bar.update(done, { what }) });
  const networkReports = minilmDirectory === undefined || embedder === 'minilm' ? [] : await evaluateRouting({
    ...shared, data: data.filter(({ name }) => values['minilm-only']?.includes(name) ?? true), strategies: strategies.filter((strategy) => MINILM_STRATEGIES.includes(strategy)), embedder: 'minilm',
    progress: (_done, _total, what) => bar.update({ what: `minilm ${what}` }),
  });
  bar.stop();
  process.stdout.write(values.json ? `${JSON.stringify([...reports, ...networkReports])}\n` : [...reports, ...networkReports].map(textOf).join('\n'));
  if (values.write) await writeDocs(reports, networkReports, { seed, draws, embedder });
}

function textOf(report: DataReport): string {
  const rows = reportTable(report);
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  return `${report.name}, ${report.rows} questions\n${rows.map((row) => row.map((cell, column) => cell.padEnd(widths[column]!)).join('  ').trimEnd()).join('\n')}\n`;
}

async function writeDocs(reports: readonly DataReport[], networkReports: readonly DataReport[], { seed, draws, embedder }: { readonly seed: number; readonly draws: number; readonly embedder: string }): Promise<void> {
  const images = join(DOCS, 'images');
  await mkdir(images, { recursive: true });
  const plots = reports.map((report) => plotOf(report, PLOTTED));
  for (const { name, svg } of plots) {
    await writeFile(join(images, `routing-${name}.svg`), svg);
    await writeFile(join(images, `routing-${name}.png`), await renderPng(svg));
  }
  await writeFile(join(images, 'routing.html'), plotPage(plots));
  const page = join(DOCS, 'routing-quality.md');
  const before = await readFile(page, 'utf8').catch(() => '');
  const notes = before.includes(NOTES_MARK) ? before.slice(before.indexOf(NOTES_MARK) + NOTES_MARK.length + 1) : '';
  await writeFile(page, qualityPage({ reports, networkReports, seed, folds: 5, draws, embedder, notes }));
}

function wholeNumber(text: string, option: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 0 || text === '') throw new RangeError(`${option} must be a whole number.`);
  return value;
}

await main().catch((error: unknown) => {
  process.stderr.write(`${error instanceof Error ? error.message : describeUnknown(error)}\n`);
  process.exitCode = 1;
});
