import { execFile } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { evaluateArtifact, scoreArtifact, trainArtifact, type TrainArtifactOptions } from '@pointsman/router-training';
import { isStrategyName, seededRandom } from '@pointsman/routing';
import { chatChunks, eventually, json, sse, startObjectStore, startScriptedUpstream, startSteadyLoad, temporaryDirectory, type RunningObjectStore, type ScriptedUpstream, type TemporaryDirectory } from '@pointsman/testing';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { deployment, MASTER_KEY } from './gateway-under-test.ts';
import { startPodUnderTest, type PodUnderTest } from './pod-under-test.ts';
import { makeSigners, uploadArtifact, type Signers } from './router-artifacts.ts';

const [WEAK, STRONG] = ['hosted_vllm/weak', 'hosted_vllm/strong'] as const;
const POINTSMAN = fileURLToPath(new URL('../../ctl/bin/pointsman.mjs', import.meta.url));
const WORDS = {
  easy: ['hello', 'weather', 'colour', 'birthday', 'breakfast', 'holiday', 'music', 'garden'],
  hard: ['integral', 'theorem', 'eigenvalue', 'proof', 'quantum', 'entropy', 'manifold', 'lemma'],
  filler: ['tell', 'me', 'about', 'the', 'some', 'please', 'now', 'with', 'care', 'detail'],
} as const;
/** Enough for a signal that is this clear, and quick. */
const SMALL = { landmarks: 60, hidden: 12, networks: 1, epochs: 40, dimensions: 16, neighbours: 30 } as const;
/** The strong model must be right about 57 times more often in a hundred to be worth twenty times the price: between what is predicted of easy and of hard prompts. */
const TRADEOFF = 0.2;

interface Question {
  readonly id: string;
  readonly prompt: string;
  readonly scores: Readonly<Record<string, number>>;
  readonly isHard: boolean;
}

/** Half of them hold hard words, which only the strong model can answer. */
function questions(count: number, seed: number): readonly Question[] {
  const random = seededRandom(seed);
  const pick = (words: readonly string[]): string => words[Math.floor(random() * words.length)] ?? '';
  return Array.from({ length: count }, (_, index) => {
    const isHard = index % 2 === 1;
    const words = Array.from({ length: 8 }, (_word, at) => pick(at % 2 === 0 ? WORDS.filler : WORDS[isHard ? 'hard' : 'easy']));
    return { id: `made-up/${String(index)}`, prompt: `${words.join(' ')}?`, scores: { [WEAK]: isHard ? 0 : 1, [STRONG]: 1 }, isHard };
  });
}

const HELD_OUT = questions(60, 99);
const EASY = HELD_OUT.find(({ isHard }) => !isHard)?.prompt ?? '';
const HARD = HELD_OUT.find(({ isHard }) => isHard)?.prompt ?? '';

let directory: TemporaryDirectory;
let store: RunningObjectStore;
let upstream: ScriptedUpstream;
let signers: Signers;
let pod: PodUnderTest;
let trainingFile: string;
let heldOutFile: string;
let keyFile: string;

beforeAll(async () => {
  [directory, store] = await Promise.all([temporaryDirectory(), startObjectStore()]);
  signers = await makeSigners(directory.path);
  [trainingFile, heldOutFile, keyFile] = [join(directory.path, 'training.jsonl'), join(directory.path, 'held-out.jsonl'), join(directory.path, 'key.pem')];
  const lines = (rows: readonly Question[]): string => rows.map((row) => `${JSON.stringify(row)}\n`).join('');
  await Promise.all([writeFile(trainingFile, lines(questions(240, 1))), writeFile(heldOutFile, lines(HELD_OUT)), writeFile(keyFile, signers.privateKey)]);
  const whole = json({ id: 'x', object: 'chat.completion', created: 1, model: 'm', choices: [{ index: 0, message: { role: 'assistant', content: 'well' }, finish_reason: 'stop' }], usage: { prompt_tokens: 1, completion_tokens: 1, total_tokens: 2 } });
  const stream = sse(chatChunks(['well', ' ', 'said']), { everyMs: 10 });
  upstream = await startScriptedUpstream({ reply: ({ json: body }) => ((body as { readonly stream?: boolean }).stream === true ? stream : whole) });
  await store.put('prod/config.yaml', configOf({ routing_strategy: 'simple-shuffle' }));
  pod = await startPodUnderTest({ store, modelKeys: [signers.publicKeyFile], intervalS: '0.5' });
}, 120_000);

afterAll(async () => {
  await pod[Symbol.asyncDispose]();
  await Promise.all([store[Symbol.asyncDispose](), upstream[Symbol.asyncDispose](), directory[Symbol.asyncDispose]()]);
});

/** The group `auto` chooses between a weak model and a strong one, which is twenty times the price. */
function configOf(routerSettings: object): string {
  const priced = (model: string, perToken: number): object => deployment('auto', upstream, model, { params: { input_cost_per_token: perToken, output_cost_per_token: perToken } });
  return JSON.stringify({ model_list: [priced('weak', 1e-7), priced('strong', 2e-6)], router_settings: routerSettings });
}

const chatOf = (prompt: string): object => ({ model: 'auto', messages: [{ role: 'user', content: prompt }] });

interface Routed {
  readonly strategy: string;
  readonly model_version: string;
  readonly selected: string;
  readonly candidates: readonly { readonly model: string; readonly score: number; readonly predicted_quality: number }[];
}

/** What the gateway would do, by its own account. */
async function routed(prompt: string): Promise<Routed> {
  const response = await pod.gateway.post('/v1/route', chatOf(prompt));
  expect(response.status).toBe(200);
  return await response.json() as Routed;
}

/** What it did, by the headers of a reply. */
async function asked(prompt: string): Promise<object> {
  const response = await pod.gateway.post('/v1/chat/completions', chatOf(prompt));
  expect(response.status, await response.text()).toBe(200);
  const header = (name: string): string | null => response.headers.get(`x-router-${name}`);
  return { strategy: header('strategy'), version: header('model-version'), model: header('selected-model') };
}

interface Trained {
  readonly folder: string;
  readonly revision: string;
}

async function trainHere(strategy: string, version: string, seed: number): Promise<Trained> {
  const folder = join(directory.path, `${strategy}-${version}`);
  const options: TrainArtifactOptions = { strategy, dataFiles: [trainingFile], outDirectory: folder, name: `${strategy}-router`, version, seed, args: SMALL, signKey: signers.privateKey };
  const { revision } = await trainArtifact(options);
  return { folder, revision };
}

/** As an operator does it: a process of its own. */
async function trainByCommand(strategy: string, version: string, folder: string): Promise<Trained & { readonly manifest_sha256: string }> {
  const argv = ['train', '--strategy', strategy, '--data', trainingFile, '--out', folder, '--name', `${strategy}-router`, '--version', version, '--seed', '7', '--sign-key', keyFile, '--args', JSON.stringify(SMALL), '--json'];
  const { stdout } = await promisify(execFile)(process.execPath, [POINTSMAN, ...argv]);
  return { folder, ...JSON.parse(stdout) as { revision: string; manifest_sha256: string } };
}

/** Puts a version into the bucket, names it in the configuration, and waits until requests are decided by it. */
async function serve({ folder }: Trained, strategy: string, version: string): Promise<void> {
  const name = `${strategy}-router`;
  await uploadArtifact(store, folder, `${name}-${version}`);
  await store.put('prod/config.yaml', configOf({ routing_strategy: routingStrategyOf(strategy), routing_strategy_args: { model_name: name, model_version: version, quality_cost_tradeoff: TRADEOFF } }));
  await eventually(async () => expect(await routed(EASY)).toMatchObject({ strategy: routingStrategyOf(strategy), model_version: version }), { timeoutMs: 60_000 });
}

/** Heads without a `routing_strategy` of their own are served by any that reads a model. */
function routingStrategyOf(strategy: string): string {
  return isStrategyName(`llmrouter-${strategy}`) ? `llmrouter-${strategy}` : 'llmrouter-hybrid';
}

/** By the artifact alone, without a gateway: predicted quality of both held-out prompts. */
async function scoresOf(artifact: string): Promise<ReadonlyMap<string, Readonly<Record<string, number>>>> {
  const outFile = `${artifact}.scores.jsonl`;
  await scoreArtifact({ artifact, dataFile: heldOutFile, outFile });
  const rows = (await readFile(outFile, 'utf8')).trim().split('\n').map((line) => JSON.parse(line) as { readonly id: string; readonly scores: Record<string, number> });
  return new Map(rows.map(({ id, scores }) => [HELD_OUT.find((question) => question.id === id)?.prompt ?? '', scores]));
}

/** The gateway sends easy prompts to the weak model and hard ones to the strong one, for the reasons that the artifact gives by itself. */
async function expectDecisions({ folder }: Trained, strategy: string, version: string): Promise<void> {
  const predicted = await scoresOf(folder);
  for (const [prompt, model] of [[EASY, WEAK], [HARD, STRONG]] as const) {
    const decision = await routed(prompt);
    expect(decision.candidates.map((candidate) => candidate.model).toSorted()).toEqual([STRONG, WEAK]);
    for (const candidate of decision.candidates) expect(candidate.predicted_quality).toBeCloseTo(predicted.get(prompt)?.[candidate.model] ?? NaN, 4);
    expect(decision).toMatchObject({ selected: model, candidates: [{ model }, {}] });
    expect(await asked(prompt)).toEqual({ strategy: routingStrategyOf(strategy), version, model });
  }
}

test.each(['hybrid', 'kernel', 'ngram', 'knn', 'svm', 'mlp', 'mf', 'elo', 'routerdc', 'graph'])('%s is trained, signed, synced and served, tells easy from hard as its evaluation says, and is swapped for v2 under load without a failed request', async (strategy) => {
  const first = strategy === 'hybrid' ? await trainByCommand(strategy, 'v1', join(directory.path, 'by-command')) : await trainHere(strategy, 'v1', 1);
  const report = await evaluateArtifact({ artifact: first.folder, dataFiles: [heldOutFile], draws: 20 });
  if (report.kind !== 'two-models') throw new Error('two candidates make a report of two models');
  // Half of the questions need the strong model: knowing which makes 0.75, chance 0.5.
  expect(report.table.at(-1)?.apgr).toBeGreaterThan(0.7);
  await serve(first, strategy, 'v1');
  await expectDecisions(first, strategy, 'v1');
  expect((await pod.report()).models).toMatchObject([{ name: `${strategy}-router`, version: 'v1', revision: first.revision }]);

  const second = await trainHere(strategy, 'v2', 2);
  const load = startSteadyLoad({ url: pod.gateway.url, requestsPerSecond: 40, streamShare: 0.4, headers: { authorization: `Bearer ${MASTER_KEY}` }, body: (index) => ({ ...chatOf(index % 2 === 0 ? EASY : HARD) }) });
  await eventually(() => load.succeeded() > 10);
  await serve(second, strategy, 'v2');
  const swappedAt = load.succeeded();
  await eventually(() => load.succeeded() > swappedAt + 10);
  const { failures, sent } = await load.stop();
  expect(failures).toEqual([]);
  expect(sent).toBeGreaterThan(20);
  await expectDecisions(second, strategy, 'v2');
  expect((await pod.report()).models).toMatchObject([{ name: `${strategy}-router`, version: 'v2', revision: second.revision }]);
}, 120_000);

test('the same data and seed give the same manifest on two runs of the command', async () => {
  const [one, two] = await Promise.all([trainByCommand('mf', 'v3', join(directory.path, 'run-one')), trainByCommand('mf', 'v3', join(directory.path, 'run-two'))]);
  expect(two.manifest_sha256).toBe(one.manifest_sha256);
  expect(await readFile(join(two.folder, 'model.onnx'))).toEqual(await readFile(join(one.folder, 'model.onnx')));
  expect((await trainHere('mf', 'v3', 8)).revision).not.toBe(one.revision);
}, 60_000);

test('smallest and largest go by the sizes of llm_candidates.json, whatever is asked and whatever it costs', async () => {
  // The larger model is the cheaper one: what decides is the size.
  const entry = (name: string, size: string, perK: number): object => ({ provider: 'hosted_vllm', model_id: name, size, cost_per_1k_tokens: { input: perK, output: perK } });
  await store.put('prod/llm_candidates.json', JSON.stringify({ weak: entry('weak', '7B', 2), strong: entry('strong', '70B', 0.1) }));
  for (const [strategy, model] of [['llmrouter-smallest', WEAK], ['llmrouter-largest', STRONG]] as const) {
    await store.put('prod/config.yaml', configOf({ routing_strategy: strategy, routing_strategy_args: { llm_data_path: 'llm_candidates.json' } }));
    await eventually(async () => expect(await routed(EASY)).toMatchObject({ strategy, selected: model }), { timeoutMs: 30_000 });
    for (const prompt of [EASY, HARD]) expect(await asked(prompt)).toMatchObject({ strategy, model });
    expect((await routed(HARD)).candidates.map(({ score }) => Math.abs(score)).toSorted((a, b) => a - b)).toEqual([7, 70]);
  }
}, 60_000);
