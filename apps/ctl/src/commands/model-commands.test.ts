import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { configRevision, wantedModels } from '@pointsman/gateway-config';
import { writeArtifact } from '@pointsman/model-artifacts';
import { constantHead, temporaryDirectory, type TemporaryDirectory } from '@pointsman/testing';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { runCommand } from '../run-command.ts';

const MODEL = 'knn-router';
const KEY = 'sk-of-the-test-fleet';
let folder: TemporaryDirectory;
let objects: string;
let server: Server;
let url: string;
/** What of a hundred requests fails under a version, and what their users say. */
let behaviour: (version: string) => { readonly failed: number; readonly feedback: number };
let loads: (version: string) => boolean;
const digests = new Map<string, string>();
let made = 0;

const CONFIG = `model_list:
  - { model_name: auto, litellm_params: { model: openai/gpt-4o, api_key: os.environ/SOME_KEY } } # the only one
router_settings:
  routing_strategy: llmrouter-knn
  routing_strategy_args: { model_name: ${MODEL}, model_version: v1 }
`;
const configFile = (): string => join(objects, 'prod', 'config.yaml');
const config = async (): Promise<string> => await readFile(configFile(), 'utf8');

beforeEach(async () => {
  folder = await temporaryDirectory();
  objects = join(folder.path, 'objects');
  await mkdir(join(objects, 'prod'), { recursive: true });
  await writeFile(configFile(), CONFIG);
  behaviour = () => ({ failed: 0, feedback: 0.8 });
  loads = () => true;
  const requests = new Map<string, number>();
  // A gateway that follows the store at once and counts requests whenever it is looked at.
  server = createServer((request, response) => {
    void config().then((text) => {
      const [model] = wantedModels(text).models;
      const versions = [model?.version ?? '', ...model?.others ?? []].filter((version) => version !== '' && loads(version));
      const revision = configRevision({ files: [{ path: 'config.yaml', text }] });
      if (request.url === '/metrics') {
        const lines = [`gateway_config_info{revision="${revision}"} 1`, 'process_start_time_seconds 1763900000'];
        for (const version of versions) {
          const count = (requests.get(version) ?? 0) + 100;
          requests.set(version, count);
          const { failed, feedback } = behaviour(version);
          const labels = `router_model="${MODEL}",model_version="${version}"`;
          lines.push(`router_arm_requests_total{${labels},outcome="ok"} ${String(count - (count * failed) / 100)}`, `router_arm_requests_total{${labels},outcome="failed"} ${String((count * failed) / 100)}`);
          lines.push(`router_arm_observations_total{${labels},measure="feedback"} ${String(count)}`, `router_arm_sum_total{${labels},measure="feedback"} ${String(count * feedback)}`, `router_arm_squares_total{${labels},measure="feedback"} ${String(count * feedback)}`);
        }
        response.end(`${lines.join('\n')}\n`);
      } else if (request.url === '/health/readiness') response.end(JSON.stringify({ status: 'healthy', config_revision: revision }));
      else if (request.headers.authorization !== `Bearer ${KEY}`) response.writeHead(401).end('{}');
      else response.end(JSON.stringify({ config_revision: revision, applied_at: null, models: versions.map((version) => ({ name: MODEL, version, revision: `${version}-${digests.get(version)?.slice(0, 12) ?? 'abcdef'}`, applied_at: '' })) }));
      // The test may be writing the file at this moment.
    }).catch(() => response.destroy());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  url = `http://127.0.0.1:${String((server.address() as AddressInfo).port)}`;
});
afterEach(async () => {
  server.closeAllConnections();
  server.close();
  await folder[Symbol.asyncDispose]();
});

async function run(argv: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<{ readonly code: number; readonly out: string; readonly errors: string }> {
  const out: string[] = [];
  const errors: string[] = [];
  const code = await runCommand(argv, { env: { OBJECT_STORE_URL: `file://${objects}`, LITELLM_MASTER_KEY: KEY, POINTSMAN_HOME: folder.path, ...env }, columns: undefined, print: (text) => out.push(text), printError: (text) => errors.push(text) });
  return { code, out: out.join('\n'), errors: errors.join('\n') };
}
const rollout = (version: string, ...more: readonly string[]) => run(['rollout', 'model', MODEL, '--version', version, '--gateways', url, '--window', '100ms', '--interval', '10ms', '--pick-up', '2s', '--blind', '5s', '--audit', 'best-effort', ...more]);
const forced = ['--force', '--actor', 'ada'];

async function artifact(version: string, score = 0.5): Promise<string> {
  made += 1;
  const directory = join(folder.path, `${version}-${String(made)}`);
  await writeArtifact(directory, {
    schema_version: 1, name: MODEL, version, strategy: 'llmrouter-knn', created_at: '2026-05-01T00:00:00Z', candidates: ['a'], features: { version: 1, embedder: { name: 'none', sha256: '', dimensions: 0 } },
    golden: [{ prompt: 'How do you do?', scores: { a: score }, tolerance: 1e-4 }],
    training: { dataset_uri: 'file:///rows', dataset_sha256: 'a'.repeat(64), rows: 1, started_at: '2026-05-01T00:00:00Z', duration_s: 1, seed: 7, metrics: { auc: 0.8 } },
  }, new Map([['model.onnx', constantHead([score])]]), undefined);
  return directory;
}
async function registered(version: string): Promise<void> {
  const { code, out, errors } = await run(['register', '--artifact', await artifact(version), '--json']);
  expect([code, errors]).toEqual([0, '']);
  digests.set(version, (JSON.parse(out) as { digest: string }).digest);
}

test('register uploads, registers and says what comes next; again it changes nothing; another artifact under the same version is refused', async () => {
  const metrics = join(folder.path, 'metrics.json');
  await writeFile(metrics, '{"quality": 0.91}');
  const first = await run(['register', '--artifact', await artifact('v2'), '--metrics', metrics, '--actor', 'ada']);
  expect(first).toMatchObject({ code: 0, errors: '', out: expect.stringMatching(/^Uploaded knn-router v2 [^]*Registered in the object store[^]*Next: pointsman rollout model knn-router --version v2/) as string });
  expect((await run(['register', '--artifact', await artifact('v2')])).out).toMatch(/^Already there:[^]*Registered already/);
  expect(await run(['register', '--artifact', await artifact('v2', 0.7)])).toMatchObject({ code: 1, errors: expect.stringContaining('never two things') as string });
  expect(JSON.parse(await readFile(join(objects, 'registry', MODEL, 'versions', 'v2.json'), 'utf8'))).toMatchObject({ version: 'v2', dataset_sha256: 'a'.repeat(64), registered_by: 'ada' });
});

test('register refuses a folder that is no whole artifact, and metrics that are none, before anything is uploaded', async () => {
  const directory = await artifact('v2');
  await writeFile(join(directory, 'model.onnx'), 'spoilt');
  expect(await run(['register', '--artifact', directory])).toMatchObject({ code: 1, errors: expect.stringContaining('model.onnx') as string });
  const metrics = join(folder.path, 'metrics.json');
  await writeFile(metrics, '{"quality": "high"}');
  expect(await run(['register', '--artifact', await artifact('v3'), '--metrics', metrics])).toMatchObject({ code: 1, errors: expect.stringContaining('JSON object of numbers') as string });
  expect(await run(['register', '--artifact', folder.path])).toMatchObject({ code: 1, errors: expect.stringContaining('manifest.json') as string });
});

test('a good version is promoted; without a database its deployments are in the store', async () => {
  await registered('v2');
  const { code, out } = await rollout('v2', ...forced);
  expect(code, out).toBe(0);
  expect(out).toMatch(/Started: knn-router v2 at 5 %[^]*On to 50 %[^]*On to 100 %[^]*Promoted: knn-router serves v2 \(was v1\)[^]*1 replica serves it/);
  expect(await config()).toBe(CONFIG.replace('model_version: v1', 'model_version: v2'));
  expect((await rollout('v2', ...forced)).out).toBe('Nothing to do: knn-router serves v2 already.');
  expect(JSON.parse(await readFile(join(objects, 'registry', MODEL, 'versions', 'v2.json'), 'utf8'))).toMatchObject({ deployed: { environment: 'prod', percent: 100, actor: 'ada' } });
  expect(JSON.parse(await readFile(join(objects, 'registry', MODEL, 'aliases.json'), 'utf8'))).toEqual({ aliases: { champion: 'v2' } });
  // Its history is known: back to v1, which was served before there was a registry and must be in the store.
  expect(await run(['rollback', 'model', MODEL])).toMatchObject({ code: 1, errors: expect.stringContaining('no knn-router v1') as string });
  await registered('v1');
  expect(await run(['rollback', 'model', MODEL, '--gateways', url])).toMatchObject({ code: 0, out: expect.stringMatching(/goes back to v1 \(from v2\)[^]*every one serves it/) as string });
  expect(await config()).toBe(CONFIG);
  expect(await run(['rollback', 'model', MODEL])).toMatchObject({ code: 1, errors: expect.stringContaining('--to') as string });
});

test.each([
  ['fails more', 'error-rate', { failed: 20, feedback: 0.8 }],
  ['is liked less', 'feedback', { failed: 0, feedback: 0.3 }],
])('a version that %s is rolled back, and the file is what it was', async (_, reason, bad) => {
  await registered('v2');
  behaviour = (version) => (version === 'v2' ? bad : { failed: 0, feedback: 0.8 });
  const { code, out } = await rollout('v2', ...forced);
  expect(code, out).toBe(2);
  expect(out).toMatch(new RegExp(`Rolling back \\(${reason}\\)[^]*Rolled back in[^]*1 replica back on v1`));
  expect(await config()).toBe(CONFIG);
});

test('a version that no replica loads is rolled back', async () => {
  await registered('v2');
  loads = (version) => version !== 'v2';
  const { code, out } = await rollout('v2', ...forced, '--pick-up', '300ms');
  expect([code, out]).toEqual([2, expect.stringContaining('(not-taken)')]);
  expect(await config()).toBe(CONFIG);
});

test('a canary that somebody else takes out, or a file that somebody else edits, is left to them', async () => {
  await registered('v2');
  const running = rollout('v2', ...forced, '--window', '60s');
  await expect.poll(config, { timeout: 10_000 }).toContain('canary');
  await writeFile(configFile(), CONFIG.replace('v1', 'v7'));
  const { code, out } = await running;
  expect([code, out]).toEqual([1, expect.stringContaining('somebody else has set model_version of knn-router to v7')]);
  expect(out).not.toContain('Rolling back');
  expect(await config()).toBe(CONFIG.replace('v1', 'v7'));
});

test('what others change in the file meanwhile is kept, and replicas must serve that', async () => {
  await registered('v2');
  const running = rollout('v2', ...forced, '--stages', '50,100', '--window', '700ms');
  await expect.poll(config, { timeout: 10_000 }).toContain('canary');
  await writeFile(configFile(), `${await config()}# by somebody else\n`);
  expect(await running).toMatchObject({ code: 0, out: expect.stringContaining('Promoted') as string });
  expect(await config()).toBe(`${CONFIG.replace('model_version: v1', 'model_version: v2')}# by somebody else\n`);
});

test('a canary that was left is resumed by the same version only, and rollback takes it out', async () => {
  await Promise.all(['v2', 'v3'].map(registered));
  await writeFile(configFile(), CONFIG.replace('model_version: v1', 'model_version: v1, canary: { model_version: v2, weight: 50 }'));
  expect(await rollout('v2', ...forced)).toMatchObject({ code: 1, errors: expect.stringContaining('--resume') as string });
  expect(await rollout('v3', ...forced)).toMatchObject({ code: 1, errors: expect.stringContaining('has a canary already, v2') as string });
  expect(await run(['rollback', 'model', MODEL, '--reason', 'enough'])).toMatchObject({ code: 0, out: expect.stringContaining('The canary v2 of knn-router is out; v1 serves.') as string });
  expect(await config()).toBe(CONFIG);
  await writeFile(configFile(), CONFIG.replace('model_version: v1', 'model_version: v1, canary: { model_version: v2, weight: 50 }'));
  expect(await rollout('v2', '--resume', '--actor', 'ada')).toMatchObject({ code: 0, out: expect.stringContaining('Promoted') as string });
});

test('what must be there before anything begins is asked for', async () => {
  expect(await rollout('v2', ...forced)).toMatchObject({ code: 1, errors: expect.stringContaining('pointsman register') as string });
  await registered('v2');
  expect(await rollout('v2')).toMatchObject({ code: 1, errors: expect.stringContaining('--gate FILE') as string });
  expect(await rollout('v2', '--force')).toMatchObject({ code: 1, errors: expect.stringContaining('--actor') as string });
  const gate = join(folder.path, 'gate.json');
  await writeFile(gate, '{"passed": "yes"}');
  expect(await rollout('v2', '--gate', gate)).toMatchObject({ code: 1, errors: expect.stringContaining('no verdict') as string });
  await writeFile(gate, '{"passed": false, "reasons": ["worse by 0.2"]}');
  expect(await rollout('v2', '--gate', gate)).toMatchObject({ code: 1, errors: expect.stringContaining('worse by 0.2') as string });
  // As `pointsman gate --json` prints it: a refusal names what refused, and a verdict on another version is none.
  const verdict = { passed: false, candidate: { name: MODEL, version: 'v2' }, limits: { margin: 0.02 }, checks: [{ name: 'rows', passed: true, reason: '400 were drawn', value: 400, limit: 200 }, { name: 'quality', passed: false, reason: 'quality changes by −0.3' }], warnings: [], forced: false, report: null };
  await writeFile(gate, JSON.stringify(verdict));
  const told = await rollout('v2', '--gate', gate);
  expect(told).toMatchObject({ code: 1, errors: expect.stringContaining('quality: quality changes by −0.3') as string });
  expect(told.errors).not.toContain('400 were drawn');
  await writeFile(gate, JSON.stringify({ ...verdict, passed: true, candidate: { name: MODEL, version: 'v1' } }));
  expect(await rollout('v2', '--gate', gate)).toMatchObject({ code: 1, errors: expect.stringMatching(/verdict on knn-router v1, not on knn-router v2/) as string });
  expect(await run(['rollout', 'model', MODEL, '--version', 'v2', ...forced])).toMatchObject({ code: 1, errors: expect.stringContaining('--gateways') as string });
  expect(await run(['rollout', 'model', 'nobody', '--version', '../v2', '--gateways', url, ...forced])).toMatchObject({ code: 1 });
  expect(await config()).toBe(CONFIG);
});
