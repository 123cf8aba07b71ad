import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { temporaryDirectory } from '@pointsman/testing';
import { expect, test } from 'vitest';
import { plotOf } from '../report/cost-quality-plot.ts';
import { NOTES_MARK, qualityPage } from '../report/quality-page.ts';
import { gzipLines, syntheticRows } from '../synthetic-outcomes.fixture.ts';
import { evaluateRouting } from './evaluate-routing.ts';
import { readRoutingData } from './routing-data.ts';

test('cross-validation puts a strategy between the baselines and the oracle, never reads a test split, and the page and plots show every row', async () => {
  await using directory = await temporaryDirectory();
  const at = (name: string): string => join(directory.path, name);
  await writeFile(at('pair_train.jsonl.gz'), gzipLines(syntheticRows(200, 1)));
  await writeFile(at('pair_validation.jsonl.gz'), gzipLines(syntheticRows(50, 2)));
  await writeFile(at('pair_test.jsonl.gz'), 'whoever reads this fails');
  await writeFile(at('trio_train.jsonl.gz'), gzipLines(syntheticRows(200, 3, { models: ['code', 'strong', 'weak'] })));
  await writeFile(at('trio_models.json'), JSON.stringify({ models: { code: { price: 2 }, strong: { price: 10 }, weak: { price: 1 } } }));
  const data = await readRoutingData(directory.path);
  expect(data.map(({ name, rows }) => [name, rows.length])).toEqual([['pair', 250], ['trio', 200]]);

  const kept = new Map<string, Float64Array>();
  let trained = 0;
  const run = () => evaluateRouting({ data, strategies: ['llmrouter-ngram'], embedder: 'none', seed: 1, folds: 3, draws: 50, store: { get: (key) => kept.get(key), set: (key, value) => void kept.set(key, value) }, progress: () => (trained += 1) });
  const reports = await run();
  const [pair, trio] = reports;
  if (pair?.kind !== 'two-models' || trio?.kind !== 'many-models') throw new Error('one report of each kind');
  const figure = (router: string) => pair.table.find((row) => row.router === router)!.apgr;
  expect(figure('random')).toBeCloseTo(0.5);
  expect(figure('llmrouter-ngram')).toBeGreaterThan(0.65);
  expect(figure('oracle')).toBeGreaterThan(figure('llmrouter-ngram'));
  expect(trio).toMatchObject({ bestSingle: 'strong', models: 3 });
  expect(trio.table.map(({ router }) => router)).toEqual(['random', 'llmrouter-ngram', 'best single', 'oracle']);
  expect(trio.table[2]!.costAtParity).toBeCloseTo(1);
  expect(trio.table[3]!.gapClosed).toBeCloseTo(1);

  expect(trained).toBe(6);
  expect(await run()).toEqual(reports);
  expect(trained).toBe(6);

  const page = qualityPage({ reports, networkReports: [pair], seed: 1, folds: 3, draws: 50, embedder: 'none', notes: 'what somebody wrote\n' });
  expect(page).toContain('| llmrouter-ngram |');
  expect(page.match(/With the embedder minilm/g)).toHaveLength(1);
  expect(page.slice(page.indexOf(NOTES_MARK))).toBe(`${NOTES_MARK}\nwhat somebody wrote\n`);
  for (const report of reports) expect(plotOf(report, ['random', 'llmrouter-ngram', 'oracle']).svg).toMatch(/^<svg [\s\S]*llmrouter-ngram[\s\S]*<\/svg>\n$/);
});

test('a folder without data is refused by name', async () => {
  await using directory = await temporaryDirectory();
  await expect(readRoutingData(directory.path)).rejects.toMatchObject({ code: 'no_routing_data' });
  await expect(readRoutingData(join(directory.path, 'nowhere'))).rejects.toMatchObject({ code: 'no_routing_data' });
});
