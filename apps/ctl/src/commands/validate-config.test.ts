import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { runCommand } from '../run-command.ts';

let directory = '';
beforeAll(async () => { directory = await mkdtemp(join(tmpdir(), 'validate-config-')); });
afterAll(async () => { await rm(directory, { recursive: true, force: true }); });

async function run(argv: readonly string[], { env = { LITELLM_MASTER_KEY: 'sk-long-enough' }, columns = undefined as number | undefined } = {}): Promise<{ code: number; out: string; errors: string }> {
  const out: string[] = [];
  const errors: string[] = [];
  const code = await runCommand(argv, { env, columns, print: (text) => out.push(text), printError: (text) => errors.push(text) });
  return { code, out: out.join('\n'), errors: errors.join('\n') };
}

async function file(name: string, text: string): Promise<string> {
  const path = join(directory, name);
  await writeFile(path, text);
  return path;
}

const GOOD = `model_list:
  - { model_name: chat, litellm_params: { model: openai/gpt-4o, api_key: os.environ/SOME_KEY } }
  - { model_name: chat, litellm_params: { model: azure/gpt-4o, api_key: os.environ/SOME_KEY } }
litellm_settings: { set_verbose: true }
`;

test('an accepted file is told apart into honoured, ignored and noted', async () => {
  const { code, out } = await run(['validate-config', await file('good.yaml', GOOD)]);
  expect(code).toBe(0);
  expect(out).toMatch(/Ignored \(1\)\n.*good\.yaml:4:21 {2}litellm_settings\.set_verbose/);
  expect(out).toMatch(/Noted \(2\)\n.*model_list\[\]\.litellm_params\.api_key × 2 {2}the environment has no SOME_KEY/);
  expect(out).toMatch(/Honoured \(\d+\)[^]*model_list\[\]\.litellm_params\.model +× 2/);
  expect(out).toMatch(/good\.yaml is accepted: revision [0-9a-f]{12}, 2 deployments in 1 group\.$/);
});

test('a refused file exits with 1 and names the key, its place and the right one', async () => {
  const { code, out } = await run(['validate-config', await file('bad.yaml', GOOD.replace('model_name', 'modelname'))]);
  expect(code).toBe(1);
  expect(out).toMatch(/Refused \(2\)\n.*bad\.yaml:2:7 +model_list\[0\]\.modelname +nobody knows this key; did you mean model_name\?/);
  expect(out).toMatch(/bad\.yaml is refused: 2 problems\.$/);
});

test('machines get one JSON object', async () => {
  const accepted = await run(['validate-config', '--json', await file('good.yaml', GOOD)]);
  expect(JSON.parse(accepted.out)).toMatchObject({ accepted: true, refused: [], ignored: [{ path: 'litellm_settings.set_verbose', line: 4 }], models: [{ group: 'chat', provider: 'openai', model: 'gpt-4o' }, { provider: 'azure' }] });
  const refused = await run(['validate-config', '--json', await file('bad.yaml', 'nonsense: 1')]);
  expect(refused.code).toBe(1);
  expect(JSON.parse(refused.out)).toMatchObject({ accepted: false, refused: [{ path: 'nonsense' }] });
});

test('variables come from a file or may be expected', async () => {
  const config = await file('keys.yaml', `${GOOD}general_settings: { master_key: os.environ/THE_MASTER_KEY }\n`);
  const env = await file('.env', 'THE_MASTER_KEY=sk-not-a-guess # comment\nSOME_KEY="x"\n');
  expect((await run(['validate-config', config])).code).toBe(1);
  const withFile = await run(['validate-config', config, '--env-file', env]);
  expect(withFile).toMatchObject({ code: 0, out: expect.not.stringContaining('Noted') as string });
  expect(withFile.out).not.toContain('sk-not-a-guess');
  expect(await run(['validate-config', config, '--expect-env'])).toMatchObject({ code: 0, out: expect.not.stringContaining('Noted') as string });
  expect((await run(['validate-config', config, '--expect-env', '--strict'])).code).toBe(1);
});

test('candidates and degraded mode are checked too', async () => {
  const config = await file('good.yaml', GOOD);
  const { code, out } = await run(['validate-config', config, '--candidates', await file('llm_candidates.json', '{"a": 1}'), '--degraded-mode', await file('degraded-mode.yaml', 'breaker: { failure: 3 }')]);
  expect(code).toBe(1);
  expect(out).toContain('llm_candidates.json: a');
  expect(out).toContain('did you mean failures?');
});

test('a strategy that this build lacks is refused', async () => {
  const { code, out } = await run(['validate-config', await file('strategy.yaml', `${GOOD}router_settings: { routing_strategy: llmrouter-kmn }\n`)]);
  expect(code).toBe(1);
  expect(out).toContain('router_settings.routing_strategy');
});

test('a file that is not there is one line on standard error', async () => {
  expect(await run(['validate-config', join(directory, 'nowhere.yaml')])).toEqual({ code: 1, out: '', errors: expect.stringMatching(/^pointsman: cannot read .*nowhere\.yaml \(ENOENT\)$/) as string });
});

test('help explains the four words and the exit codes; unknown options and commands fail', async () => {
  const help = await run(['validate-config', '--help']);
  expect(help.code).toBe(0);
  for (const word of ['refused', 'ignored', 'noted', 'honoured', '--env-file', '--candidates', 'Exit code']) expect(help.out).toContain(word);
  expect((await run(['--help'])).out).toContain('validate-config');
  expect(await run(['validate-confg', 'x'])).toMatchObject({ code: 1, errors: expect.stringContaining('validate-config') as string });
  expect((await run(['validate-config', 'x', '--jsn'])).code).toBe(1);
});

test('on a terminal the last column wraps', async () => {
  const { out } = await run(['validate-config', await file('w.yaml', 'model_lists: []')], { columns: 60 });
  expect(out.split('\n').filter((line) => line.startsWith('      ')).length).toBeGreaterThan(0);
});
