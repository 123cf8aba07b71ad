import { writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { createFeatureExtractor, shippedRouterDirectory } from '@pointsman/routing';
import { Command } from 'commander';
import { markdownTable } from 'markdown-table';
import { machineFacts } from '../report/machine-facts.ts';
import { loadTrivialModel } from './load-trivial-model.ts';
import { measureCalls, type CallCost } from './measure-calls.ts';
import { readPrompts } from './read-prompts.ts';
import { loadRoutedProcess, promptInput } from './routed-process.ts';

const reportFile = fileURLToPath(new URL('../../../../docs/benchmarks-routing.md', import.meta.url));
/** 512 tokens as the gateway estimates them, four characters each. */
const MAX_CHARACTERS = 2_048;
const LONG_BYTES = 100 * 1024;
const MINILM_PROMPTS = 100;

const program = new Command('bench:routing')
  .description('Measures what one decision costs: features, prediction and choice, with the router that ships, over the MMLU validation prompts.')
  .requiredOption('--data <dir>', 'folder with mmlu_validation.jsonl.gz')
  .option('--artifact <dir>', 'directory of a router model; by default the one that ships', shippedRouterDirectory)
  .option('--minilm-dir <dir>', 'measures the embedder minilm too: its model.onnx and vocab.txt')
  .option('--rounds <n>', 'times that every prompt is decided', '30')
  .option('--write', 'write docs/benchmarks-routing.md', false)
  .parse();
const options = program.opts<{ data: string; artifact: string; minilmDir?: string; rounds: string; write: boolean }>();
const rounds = Number(options.rounds);
if (!Number.isInteger(rounds) || rounds < 1) program.error('--rounds must be a whole number.');

const prompts = await readPrompts(join(resolve(options.data), 'mmlu_validation.jsonl.gz'));
const short = prompts.filter((prompt) => prompt.length <= MAX_CHARACTERS);
const long = prompts.join('\n\n').slice(0, LONG_BYTES);

const directory = resolve(options.artifact);
const rssBefore = residentBytes();
const embedderTable = await createFeatureExtractor({ embedder: 'static' });
const rssWithTable = residentBytes();
const trivial = await loadTrivialModel();
const rssWithRuntime = residentBytes();
const routed = await loadRoutedProcess(directory);
await routed.decide(short[0] ?? '');
const rssAfter = residentBytes();
const other = await loadRoutedProcess(directory);
await other.decide(short[0] ?? '');
const rssOfModel = residentBytes() - rssAfter;
await other.model.close();
await trivial.close();
await embedderTable.close();

console.error('decisions');
const decision = await measureCalls(short, rounds, routed.decide);
console.error('parts');
const featuresOnly = await measureCalls(short, rounds, (prompt) => routed.extractor.extract(promptInput(prompt)));
const features = await Promise.all(short.map((prompt) => routed.extractor.extract(promptInput(prompt))));
const predictionOnly = await measureCalls(features, rounds, (made) => routed.model.predict(made));
console.error('100 KB');
const longDecision = await measureCalls(new Array<string>(50).fill(long), rounds, routed.decide);
const { name, version } = routed.model.manifest;
const fileBytes = routed.model.bytes;
await routed.close();
let minilm: CallCost | undefined;
if (options.minilmDir !== undefined) {
  console.error('minilm');
  const extractor = await createFeatureExtractor({ embedder: 'minilm', minilmDirectory: resolve(options.minilmDir) });
  // One round that counts: a prompt's vector is kept, so a second would measure the cache. Something else is embedded in the round that does not count.
  let warm = true;
  minilm = await measureCalls(short.slice(0, MINILM_PROMPTS), 1, (prompt) => {
    const asked = warm ? `${prompt} `.repeat(2) : prompt;
    if (prompt === short[MINILM_PROMPTS - 1]) warm = false;
    return extractor.extract(promptInput(asked));
  });
  await extractor.close();
}

const us = (value: number): string => String(Math.round(value));
const row = (what: string, cost: CallCost): string[] => [what, us(cost.cpuUs.median), us(cost.cpuUs.min), us(cost.bestP50Us), us(cost.bestP99Us), us(cost.everyP99Us)];
const table = markdownTable([
  ['what', 'CPU µs, median round', 'quietest round', 'P50 µs', 'P99 µs', 'P99 µs, every call'],
  row(`decision, ${String(short.length)} MMLU prompts of at most 512 tokens`, decision),
  row('of which features', featuresOnly),
  row('of which prediction', predictionOnly),
  row('decision, a prompt of 100 KB', longDecision),
  ...(minilm === undefined ? [] : [row(`features with the embedder minilm, ${String(minilm.calls)} prompts, once each`, minilm)]),
]);
const megabytes = (bytes: number): string => (bytes / 1024 / 1024).toFixed(1);
const memory = `Resident memory grew by ${megabytes(rssWithTable - rssBefore)} MB with the embedder's table and vocabulary, by ${megabytes(rssWithRuntime - rssWithTable)} MB with ONNX Runtime, its thread and a model of one
constant (paid once per process, whatever models it holds), then by ${megabytes(rssAfter - rssWithRuntime)} MB with the router and its first decision, and by ${megabytes(rssOfModel)} MB with a second copy of it, as during a swap (${megabytes(fileBytes)} MB of weights).`;
console.log(`${table}\n\n${memory}`);
if (options.write) {
  const { cores, cpuModel, memoryGb, kernel, nodeVersion } = machineFacts();
  await writeFile(reportFile, `# What a routing decision costs

Generated by \`npm run bench:routing -- --data DIR${options.minilmDir === undefined ? '' : ' --minilm-dir DIR'} --write\`; run it to have the figures of your machine. Do not edit by hand.

Machine: ${String(cores)} cores (${cpuModel}), ${String(memoryGb)} GB, ${kernel}, Node ${nodeVersion}; other work shares it. Router: ${name} ${version}.

${table}

A decision is everything between a parsed request and the order of candidates: features of the prompt, prediction of each candidate's quality, and the weighing against prices. Decisions are made one
after the other, ${String(rounds)} rounds over all prompts. CPU is that of the whole process, by \`process.cpuUsage\`; a busy neighbour makes it larger by what he takes from the caches, so the quietest round stands
beside the median. P50 and P99 are over prompts, of each prompt's fastest of ${String(rounds)} calls: they say how the work grows with the prompt. The last column is over every call, and holds what the
machine did in between. Limits: 150 µs of CPU and a P99 of 1 ms up to 512 tokens, 5 ms at 100 KB, 50 MB for the model.

${memory}
`);
  console.log('Wrote docs/benchmarks-routing.md.');
}

/** After a collection: what is still in use. */
function residentBytes(): number {
  setFlagsFromString('--expose-gc');
  const collect: unknown = runInNewContext('gc');
  if (typeof collect === 'function') collect();
  return process.memoryUsage.rss();
}
