import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { checkSignature, generateSigningKeys, readPublicKeys } from '@pointsman/model-artifacts';
import { trainableStrategies } from '@pointsman/router-training';
import { seededRandom } from '@pointsman/routing';
import { temporaryDirectory, type TemporaryDirectory } from '@pointsman/testing';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { runCommand } from '../run-command.ts';

const WORDS = { hard: ['integral', 'theorem', 'eigenvalue', 'entropy'], easy: ['weather', 'colour', 'hello', 'breakfast'] } as const;
let folder: TemporaryDirectory;
let data: string;
let keyFile: string;
const keys = generateSigningKeys();

/** Made-up questions: `large` can answer all of them, `small` the easy ones. */
function questions(count: number, seed: number, models: (isHard: boolean) => object): string {
  const random = seededRandom(seed);
  return Array.from({ length: count }, (_, index) => {
    const isHard = random() < 0.5;
    const word = (): string => WORDS[isHard ? 'hard' : 'easy'][Math.floor(random() * 4)] ?? '';
    return `${JSON.stringify({ id: `q${String(index)}`, prompt: `tell me about ${word()} and ${word()} ${String(index)}`, ...models(isHard) })}\n`;
  }).join('');
}

beforeAll(async () => {
  folder = await temporaryDirectory();
  [data, keyFile] = [join(folder.path, 'outcomes.jsonl.gz'), join(folder.path, 'key.pem')];
  await writeFile(data, gzipSync(questions(120, 1, (isHard) => ({ scores: { small: isHard ? 0 : 1, large: 1 } }))));
  await writeFile(keyFile, keys.privateKeyPem);
});
afterAll(() => folder[Symbol.asyncDispose]());

async function run(...argv: readonly string[]): Promise<{ readonly code: number; readonly out: string; readonly error: string }> {
  const [out, error]: [string[], string[]] = [[], []];
  const code = await runCommand(argv, { env: {}, columns: undefined, print: (text) => out.push(text), printError: (text) => error.push(text) });
  return { code, out: out.join('\n'), error: error.join('\n') };
}

const path = (name: string): string => join(folder.path, name);
const SMALL = ['--embedder', 'none', '--arg', 'epochs=2', '--arg', 'networks=1', '--args', '{"hidden": 4}'] as const;

test('an artifact is trained, signed and told of, with what comes next; the same data and seed give the same digest, another seed another', async () => {
  const train = ['train', '--strategy', 'mlp', '--data', data, '--rename', 'small=vllm/small', ...SMALL] as const;
  const { code, out, error } = await run(...train, '--out', path('signed'), '--sign-key', keyFile, '--version', 'v7');
  expect([code, error]).toEqual([0, 'reading the data …\nmaking features …\ntraining …\nwriting the artifact …']);
  expect(out).toMatch(/^Trained mlp-router v7 \(llmrouter-mlp\) in /);
  expect(out).toMatch(/revision +v7-[0-9a-f]{12}\n +manifest +sha256:[0-9a-f]{64}\n +signed +by key .+\n +rows +120\n +candidates +large, vllm\/small\n/);
  expect(out).toMatch(/models\/mlp-router-v7\/[^]*routing_strategy: llmrouter-mlp\n +routing_strategy_args: \{model_name: mlp-router, model_version: v7\}/);
  expect(out).not.toContain('sign-model');
  expect(checkSignature(await readFile(path('signed/manifest.json')), await readFile(path('signed/manifest.json.sig')), readPublicKeys(keys.publicKeyPem, 'test'))).toBeDefined();

  const again = async (name: string, seed: string): Promise<Record<string, unknown>> => {
    const { out: json, error: lines } = await run(...train, '--out', path(name), '--seed', seed, '--json');
    expect(lines).toBe('');
    return JSON.parse(json) as Record<string, unknown>;
  };
  const [first, second, other] = [await again('first', '1'), await again('second', '1'), await again('other', '2')];
  expect(first).toMatchObject({ name: 'mlp-router', version: 'v1', strategy: 'llmrouter-mlp', signed_by: null, rows: 120, seed: 1, metrics: { training_ece: expect.any(Number) as number } });
  expect(second['manifest_sha256']).toBe(first['manifest_sha256']);
  expect(other['manifest_sha256']).not.toBe(first['manifest_sha256']);
  const { out: unsigned } = await run(...train, '--out', path('unsigned'), '--limit', '50');
  expect(unsigned).toMatch(/rows +50\n[^]*pointsman sign-model /);
});

test('a strategy that is none of the gateway is served by the default one', async () => {
  const { out } = await run('train', '--strategy', 'ngram', '--data', data, '--out', path('ngram'), '--embedder', 'none');
  expect(out).toMatch(/\(llmrouter-ngram\)[^]*routing_strategy: llmrouter-hybrid\n/);
});

test('an artifact scores every prompt of a file and is evaluated beside its baselines', async () => {
  const held = path('held-out.jsonl');
  await writeFile(held, questions(60, 2, (isHard) => ({ small_correct: isHard ? 0 : 1, large_correct: 1 })));
  await run('train', '--strategy', 'ngram', '--data', data, '--out', path('judged'), '--embedder', 'none');
  const scored = await run('score', '--artifact', path('judged'), '--data', held, '--out', path('scores.jsonl'));
  expect(scored).toMatchObject({ code: 0, error: '', out: expect.stringMatching(/^Scored 60 rows of /) as string });
  const lines = (await readFile(path('scores.jsonl'), 'utf8')).trim().split('\n').map((line) => JSON.parse(line) as object);
  expect(lines).toHaveLength(60);
  expect(lines[0]).toEqual({ id: 'q0', scores: { large: expect.any(Number) as number, small: expect.any(Number) as number }, latency_us: expect.any(Number) as number });
  expect(JSON.parse((await run('score', '--artifact', path('judged'), '--data', held, '--out', path('scores.jsonl'), '--json')).out)).toMatchObject({ rows: 60 });
  expect((await readdir(folder.path)).filter((name) => name.endsWith('.partial'))).toEqual([]);

  const table = await run('evaluate', '--artifact', path('judged'), '--data', held, '--draws', '50');
  expect(table.out).toMatch(/on 60 questions, in .* Weak: small\. Strong: large\.\n\n +router +APGR \[95 %\] +CPT50 +CPT80 .*\n +random +0\.5.*\n +prompt length alone .*\n +llmrouter-ngram +0\.[789]/);
  const report = JSON.parse((await run('evaluate', '--artifact', path('judged'), '--data', held, '--draws', '50', '--json')).out) as { table: { router: string; apgr: number; interval: object }[] };
  expect(report).toMatchObject({ kind: 'two-models', rows: 60, draws: 50, weak: 'small', strong: 'large' });
  expect(report.table.find(({ router }) => router === 'llmrouter-ngram')).toMatchObject({ interval: { low: expect.any(Number) as number, high: expect.any(Number) as number } });
});

test('many models are scored against the best single one', async () => {
  const many = path('many.jsonl');
  await writeFile(many, questions(60, 3, (isHard) => ({ scores: { a: isHard ? 0 : 1, b: 1, c: isHard ? 1 : 0 } })));
  await run('train', '--strategy', 'svm', '--data', many, '--out', path('many'), '--embedder', 'none');
  expect((await run('evaluate', '--artifact', path('many'), '--data', many, '--draws', '50')).out).toMatch(/Price ignored\.\n\n +router +score \[95 %\] +above best single[^]* llmrouter-svm +[01]\.\d/);
});

test('a verifier of answers is trained and scored; what judges routing before a call says that it is none of its business', async () => {
  const answers = path('answers.jsonl');
  await writeFile(answers, Array.from({ length: 40 }, (_, index) => {
    const sum = index + (index % 2 === 0 ? 5 : 9);
    return `${JSON.stringify({ id: `s${String(index)}`, prompt: `What is ${String(index)} plus 5?`, large_correct: 1, small_correct: 1 - (index % 2), small_response: `${String(index)} + 5 = ${String(sum)}\n#### ${String(sum)}` })}\n`;
  }).join(''));
  expect((await run('train', '--strategy', 'automix', '--data', answers, '--out', path('verifier'))).out).toContain('(llmrouter-automix)');
  expect((await run('score', '--artifact', path('verifier'), '--data', answers, '--out', path('verdicts.jsonl'))).code).toBe(0);
  expect(await run('evaluate', '--artifact', path('verifier'), '--data', answers)).toMatchObject({ code: 1, error: expect.stringContaining('verifier of answers') as string });
});

test('a pickle is never loaded, whatever it is called, and the way to retrain is told', async () => {
  const [named, hidden, zip] = [path('knn_model.pkl'), path('model.bin'), path('weights.jsonl')];
  // Protocol 4, then a call of os.system: what makes loading one dangerous.
  const pickle = Buffer.from('\x80\x04\x95\x1d\x00\x00\x00\x00\x00\x00\x00cposix\nsystem\n', 'latin1');
  await Promise.all([writeFile(named, pickle), writeFile(hidden, pickle), writeFile(zip, 'PK\x03\x04 torch.save')]);
  for (const file of [named, hidden, zip]) {
    for (const argv of [['train', '--strategy', 'knn', '--data', file, '--out', path('never')], ['score', '--artifact', file, '--data', data, '--out', path('never')], ['score', '--artifact', path('signed'), '--data', file, '--out', path('never')], ['evaluate', '--artifact', file, '--data', data]]) {
      expect(await run(...argv)).toMatchObject({ code: 1, error: expect.stringMatching(/Python pickle.*never does.*Train the same strategy again.*train --help/) as string });
    }
  }
  expect(await readdir(folder.path)).not.toContain('never');
  await using saved = await temporaryDirectory();
  await writeFile(join(saved.path, 'graphrouter.pt'), 'x');
  expect((await run('score', '--artifact', saved.path, '--data', data, '--out', path('never'))).error).toMatch(/graphrouter\.pt is a Python pickle/);
  expect((await run('train', '--help')).out).toMatch(/never loads them[^]*jq -cs[^]*pointsman train --strategy knn/);
});

test.each([
  ['a strategy that nobody knows', ['--strategy', 'crystal-ball'], /crystal-ball.*llmrouter-hybrid/],
  ['a setting that nobody knows', ['--arg', 'neighbors=3'], /neighbors/],
  ['a setting out of range', ['--args', '{"neighbours": 0}'], /neighbours: /],
  ['settings that are no object', ['--args', '[1]'], /JSON object/],
  ['a setting without a value', ['--arg', 'epochs'], /=/],
  ['a name that is a path', ['--name', '../x'], /--name: expected a name/],
  ['a version without its v', ['--version', '2'], /--version: expected a version/],
  ['minilm without its folder', ['--embedder', 'minilm'], /--minilm-dir/],
  ['a key that is none', ['--sign-key', 'DATA'], /key/],
  ['a key that is not there', ['--sign-key', '/nowhere/key.pem'], /cannot read \/nowhere\/key\.pem \(ENOENT\)/],
  ['a folder that holds something', ['--out', 'FOLDER'], /is not empty/],
  ['data that is not there', ['--data', '/nowhere/rows.jsonl'], /cannot read \/nowhere\/rows\.jsonl \(ENOENT\)/],
  ['data that is a folder', ['--data', 'FOLDER'], /is a folder: name the files/],
] as const)('train refuses %s before it reads a row', async (_, argv, message) => {
  const places = argv.map((arg) => ({ DATA: data, FOLDER: folder.path })[arg as string] ?? arg);
  const { code, error } = await run('train', '--strategy', 'knn', '--data', data, '--out', path('refused'), ...places);
  expect(code).toBe(1);
  expect(error).toMatch(message);
  expect(error).not.toContain('reading the data');
  expect(await readdir(folder.path)).not.toContain('refused');
});

test('a bad line is named by file and number, without its content', async () => {
  const bad = path('bad.jsonl');
  await writeFile(bad, `${JSON.stringify({ id: 'a', prompt: 'p', scores: { small: 1 } })}\n\n{"id": "b", "prompt": "SECRET", "scores": {"small": 7}}\n`);
  const { code, error } = await run('train', '--strategy', 'knn', '--data', bad, '--out', path('refused'));
  expect([code, error]).toEqual([1, expect.stringMatching(/bad\.jsonl:3: scores\.small: /)]);
  expect(error).not.toContain('SECRET');
  expect((await run('evaluate', '--artifact', path('signed'), '--data', bad)).error).toMatch(/bad\.jsonl:3: /);
});

test('what is no artifact, and a place that cannot be written, are told before anything is scored', async () => {
  await using empty = await temporaryDirectory();
  expect((await run('score', '--artifact', empty.path, '--data', data, '--out', path('x'))).error).toMatch(/holds no manifest\.json: an artifact is the folder/);
  expect((await run('evaluate', '--artifact', data, '--data', data)).error).toMatch(/is a file: an artifact is the folder/);
  expect((await run('score', '--artifact', path('signed'), '--data', data, '--out', '/nowhere/x.jsonl')).error).toMatch(/cannot write \/nowhere\/x\.jsonl \(ENOENT\)/);
});

test('the help names every strategy that can be trained', async () => {
  const { out } = await run('train', '--help');
  for (const strategy of trainableStrategies) expect(out).toMatch(new RegExp(`\\b${strategy.replace('llmrouter-', '')}\\b`));
});
