import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { createFeatureExtractor, type FeatureExtractor, type PromptInput } from '@pointsman/routing';
import { readPrompts } from './src/embedder/count-tokens.ts';

/**
 * CPU time of the routing features over the prompts of a folder (`mmlu_validation.jsonl.gz`) and over long texts made of them.
 *
 *   node tools/measure-features.ts --data DIR [--minilm DIR]
 *
 * Mean: CPU time of the whole process (compiler and garbage collector included) per prompt, median of five rounds after three to warm up. P50, P99 over
 * the prompts: the fastest of a prompt's five runs on the wall clock, so that what else the machine does counts little; for minilm one run, wall clock.
 * With --minilm also the nearest neighbours that the static embedder and the sentence transformer have in common, over 300 prompts.
 */
const { values } = parseArgs({ options: { data: { type: 'string' }, minilm: { type: 'string' } } });
if (values.data === undefined) {
  console.error('usage: node tools/measure-features.ts --data DIR [--minilm DIR]');
  process.exit(64);
}
const prompts = await readPrompts(join(values.data, 'mmlu_validation.jsonl.gz'));
const inputOf = (text: string): PromptInput => ({ text, system: '', turns: 1, images: 0, tools: 0, wantsJson: false });

console.log('| embedder | prompts | mean CPU µs | p50 µs | p99 µs |\n|---|---|---|---|---|');
for (const embedder of ['none', 'static'] as const) {
  const extractor = await createFeatureExtractor({ embedder });
  report(embedder, 'MMLU validation', measureWarm(extractor, prompts));
  for (const [name, size] of [['100 KB', 100_000], ['1 MB', 1_000_000]] as const) {
    const long = prompts.join('\n').repeat(2).slice(0, size);
    // A text no other run has seen, and flat: the gateway's comes from JSON.parse.
    const texts = Array.from({ length: 60 }, (_, at) => Buffer.from(`${at} ${long}`).toString());
    report(embedder, name, measureWarm(extractor, texts));
  }
  await extractor.close();
}
if (values.minilm !== undefined) {
  const minilm = await createFeatureExtractor({ embedder: 'minilm', minilmDirectory: values.minilm });
  const some = prompts.filter((_, at) => at % 4 === 0).slice(0, 300);
  report('minilm', 'MMLU validation, 300', await measureWaiting(minilm, some));
  report('minilm, seen before', 'MMLU validation, 300', await measureWaiting(minilm, some));
  const extractor = await createFeatureExtractor({ embedder: 'static' });
  const [left, right] = await Promise.all([vectorsOf(minilm, some), vectorsOf(extractor, some)]);
  console.log(`\nTop-10 neighbours in common, static against minilm, ${some.length} prompts: ${(100 * neighbourOverlap(left, right, 10)).toFixed(1)} % (chance: ${((100 * 10) / (some.length - 1)).toFixed(1)} %)`);
  await minilm.close();
}

interface Measurement {
  readonly count: number;
  readonly cpuUs: number;
  readonly sortedUs: Float64Array;
}

function measureWarm(extractor: FeatureExtractor, texts: readonly string[]): Measurement {
  const best = new Float64Array(texts.length).fill(Infinity);
  const cpu: number[] = [];
  for (let round = 0; round < 8; round += 1) {
    const started = process.cpuUsage();
    texts.forEach((text, at) => {
      const begun = performance.now();
      void extractor.extract(inputOf(text));
      const took = (performance.now() - begun) * 1_000;
      if (round >= 3 && took < best[at]!) best[at] = took;
    });
    const { user, system } = process.cpuUsage(started);
    if (round >= 3) cpu.push((user + system) / texts.length);
  }
  return { count: texts.length, cpuUs: cpu.sort((one, other) => one - other)[2]!, sortedUs: best.sort() };
}

async function measureWaiting(extractor: FeatureExtractor, texts: readonly string[]): Promise<Measurement> {
  const times = new Float64Array(texts.length);
  const started = process.cpuUsage();
  for (const [at, text] of texts.entries()) {
    const begun = performance.now();
    await extractor.extract(inputOf(text));
    times[at] = (performance.now() - begun) * 1_000;
  }
  const { user, system } = process.cpuUsage(started);
  return { count: texts.length, cpuUs: (user + system) / texts.length, sortedUs: times.sort() };
}

function report(embedder: string, name: string, { count, cpuUs, sortedUs }: Measurement): void {
  const at = (share: number): string => (sortedUs[Math.min(count - 1, Math.floor(share * count))] ?? 0).toFixed(0);
  console.log(`| ${embedder} | ${name} (${count}) | ${cpuUs.toFixed(0)} | ${at(0.5)} | ${at(0.99)} |`);
}

async function vectorsOf(extractor: FeatureExtractor, texts: readonly string[]): Promise<Float32Array[]> {
  const vectors: Float32Array[] = [];
  for (const text of texts) vectors.push((await extractor.extract(inputOf(text))).embedding);
  return vectors;
}

/** Mean share of each text's `k` nearest others (by cosine) that both embeddings agree on. */
function neighbourOverlap(left: readonly Float32Array[], right: readonly Float32Array[], k: number): number {
  const nearest = (vectors: readonly Float32Array[], of: number): number[] =>
    vectors
      .map((vector, at) => ({ at, near: at === of ? -Infinity : vector.reduce((sum, value, index) => sum + value * vectors[of]![index]!, 0) }))
      .sort((one, other) => other.near - one.near)
      .slice(0, k)
      .map(({ at }) => at);
  let common = 0;
  for (let at = 0; at < left.length; at += 1) {
    const other = new Set(nearest(right, at));
    common += nearest(left, at).filter((index) => other.has(index)).length;
  }
  return common / (left.length * k);
}
