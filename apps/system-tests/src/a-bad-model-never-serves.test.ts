import { readFile, readlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { attribute, constantHead, ELEMENT, eventually, json, node, onnxModel, startObjectStore, startScriptedUpstream, startSteadyLoad, temporaryDirectory, tensor, valueInfo, type ModelParts, type RunningObjectStore, type ScriptedUpstream, type TemporaryDirectory } from '@pointsman/testing';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { deployment, MASTER_KEY, question } from './gateway-under-test.ts';
import { startPodUnderTest, type PodUnderTest } from './pod-under-test.ts';
import { makeArtifact, makeSigners, uploadArtifact, type ArtifactQuestion, type Signers } from './router-artifacts.ts';

const NAME = 'knn-router';
const [LEFT, RIGHT] = ['hosted_vllm/left', 'hosted_vllm/right'] as const;
const MAX_BYTES = 1_000_000;

let directory: TemporaryDirectory;
let store: RunningObjectStore;
let upstream: ScriptedUpstream;
let signers: Signers;
let pod: PodUnderTest;

/** The group `auto` chooses between two deployments by the router model of a version. */
function configFor(version: string): string {
  return JSON.stringify({
    model_list: [deployment('auto', upstream, 'left'), deployment('auto', upstream, 'right')],
    router_settings: { routing_strategy: 'llmrouter-knn', routing_strategy_args: { model_name: NAME, model_version: version, quality_cost_tradeoff: 1 } },
  });
}

interface UploadOptions extends Partial<Omit<ArtifactQuestion, 'version'>> {
  /** The folder it is put in; `knn-router-{version}` by default. */
  readonly folder?: string;
  readonly change?: (file: string, bytes: Buffer) => Buffer | undefined;
}

/** Puts a version into the store: one that prefers `right`, if nothing else is said. Resolves to its revision. */
async function upload(version: string, { folder = `${NAME}-${version}`, change, ...more }: UploadOptions = {}): Promise<string> {
  const local = join(directory.path, `${folder}.${Math.random().toString(36).slice(2)}`);
  const revision = await makeArtifact(local, { name: NAME, version, scores: { [LEFT]: 0.2, [RIGHT]: 0.8 }, privateKey: signers.privateKey, ...more });
  await uploadArtifact(store, local, folder, change);
  return revision;
}

async function asked(): Promise<{ readonly model: string | null; readonly version: string | null }> {
  const response = await pod.gateway.post('/v1/chat/completions', { model: 'auto', ...question });
  expect(response.status, await response.text()).toBe(200);
  return { model: response.headers.get('x-router-selected-model'), version: response.headers.get('x-router-model-version') };
}

beforeAll(async () => {
  directory = await temporaryDirectory();
  [store, signers] = [await startObjectStore(), await makeSigners(directory.path)];
  const body = { id: 'x', object: 'chat.completion', created: 1, model: 'm', choices: [{ index: 0, message: { role: 'assistant', content: 'well' }, finish_reason: 'stop' }], usage: { prompt_tokens: 1, completion_tokens: 1, total_tokens: 2 } };
  upstream = await startScriptedUpstream({ reply: json(body) });
  await upload('v1', { scores: { [LEFT]: 0.8, [RIGHT]: 0.2 } });
  await store.put('prod/config.yaml', configFor('v1'));
  pod = await startPodUnderTest({ store, modelKeys: [signers.publicKeyFile], intervalS: '0.5', env: { MODEL_MAX_BYTES: String(MAX_BYTES) } });
  await eventually(async () => expect(await asked()).toEqual({ model: LEFT, version: 'v1' }), { timeoutMs: 60_000 });
}, 180_000);

afterAll(async () => {
  await pod[Symbol.asyncDispose]();
  await Promise.all([store[Symbol.asyncDispose](), upstream[Symbol.asyncDispose](), directory[Symbol.asyncDispose]()]);
});

const flip = (bytes: Buffer): Buffer => {
  const copy = Buffer.from(bytes);
  copy[copy.length >> 1] = (copy[copy.length >> 1] ?? 0) ^ 1;
  return copy;
};

/** A head of somebody who has the key and means harm: whole, signed, its digest right. */
const hostile = (parts: Partial<ModelParts> = {}): Uint8Array => onnxModel({
  nodes: [node({ op: 'Identity', inputs: ['text'], outputs: ['scores'] })],
  inputs: [valueInfo('text', ELEMENT.float, [1, 'F'])], outputs: [valueInfo('scores', ELEMENT.float, [1, 2])], ...parts,
});
const weight = (dims: readonly (number | bigint)[], extra: Parameters<typeof tensor>[0]['extra'] = []): Pick<ModelParts, 'initializers'> => ({ initializers: [tensor({ name: 'w', dims, extra })] });
const int64 = (name: string, ...values: readonly bigint[]): ReturnType<typeof tensor> => tensor({ name, dims: [values.length], type: ELEMENT.int64, data: BigInt64Array.from(values) });
/** Small on disk, 256 GiB when it runs: what it declares is all in order. */
const swelling = (): Uint8Array => hostile({
  nodes: [
    node({ op: 'ReduceSum', inputs: ['text', 'axis'], outputs: ['sum'] }), node({ op: 'Expand', inputs: ['sum', 'vast'], outputs: ['swollen'] }),
    node({ op: 'ReduceSum', inputs: ['swollen', 'axes'], outputs: ['small'] }), node({ op: 'Add', inputs: ['small', 'b'], outputs: ['scores'] }),
  ],
  initializers: [int64('axis', 1n), int64('axes', 0n, 1n), int64('vast', 2n ** 18n, 2n ** 18n), tensor({ name: 'b', dims: [2], data: Float32Array.of(0.2, 0.8) })],
});

const BAD: readonly { readonly what: string; readonly version: string; readonly put: (version: string) => Promise<unknown>; readonly told: RegExp }[] = [
  { what: 'one flipped bit', version: 'v11', put: (v) => upload(v, { change: (file, bytes) => (file === 'model.onnx' ? flip(bytes) : bytes) }), told: /SHA-256|sha256|digest/i },
  { what: 'a signature of somebody else', version: 'v12', put: (v) => upload(v, { privateKey: signers.strangersKey }), told: /signature/i },
  { what: 'no signature', version: 'v13', put: (v) => upload(v, { privateKey: undefined }), told: /sign/i },
  { what: 'a truncated file', version: 'v14', put: (v) => upload(v, { change: (file, bytes) => (file === 'model.onnx' ? bytes.subarray(0, bytes.length - 20) : bytes) }), told: /bytes|size|long/i },
  { what: 'the validly signed manifest of another version', version: 'v15', put: (v) => upload('v1', { folder: `${NAME}-${v}` }), told: /version|v1/ },
  { what: 'the validly signed manifest of another name', version: 'v16', put: (v) => upload(v, { name: 'other-router', folder: `${NAME}-${v}` }), told: /name|other-router/ },
  { what: 'a head that answers NaN', version: 'v17', put: (v) => upload(v, { head: constantHead([NaN, NaN]), scores: { [LEFT]: 0.2, [RIGHT]: 0.8 } }), told: /NaN|finite/i },
  { what: 'a head that says something else than its manifest', version: 'v18', put: (v) => upload(v, { head: constantHead([0.9, 0.1]) }), told: /golden|expected|0\.2/i },
  { what: 'bytes that are no ONNX', version: 'v19', put: (v) => upload(v, { head: Buffer.from('this is no model at all') }), told: /ONNX|onnx/ },
  { what: 'features of a later gateway', version: 'v20', put: (v) => upload(v, { manifest: { features: { version: 999, embedder: { name: 'none', sha256: '', dimensions: 0 } } } }), told: /999/ },
  { what: 'a signed head that is cut short', version: 'v21', put: (v) => upload(v, { head: constantHead([0.2, 0.8]).subarray(0, -20) }), told: /not a whole ONNX file/ },
  { what: 'more bytes than are allowed', version: 'v22', put: (v) => upload(v, { paddingBytes: MAX_BYTES }), told: /more than the 1000000 bytes that are allowed/ },
  { what: 'an operator set of its own', version: 'v23', put: (v) => upload(v, { head: hostile({ opsets: [['', 17], ['evil.corp', 1]] }) }), told: /operator set "evil\.corp"/ },
  { what: 'an operator of another domain', version: 'v24', put: (v) => upload(v, { head: hostile({ nodes: [node({ op: 'Shell', domain: 'evil.corp', inputs: ['text'], outputs: ['scores'] })] }) }), told: /evil\.corp\.Shell/ },
  { what: 'weights in a file outside of the artifact', version: 'v25', put: (v) => upload(v, { head: hostile(weight([1], [[13, [[1, 'location'], [2, '../../../../etc/shadow']]], [14, 1]])) }), told: /weights in another file/ },
  { what: 'weights in a file that hide in a constant', version: 'v26', put: (v) => upload(v, { head: hostile({ nodes: [node({ op: 'Constant', outputs: ['scores'], attributes: [attribute.tensor('value', tensor({ dims: [1], extra: [[14, 1]] }))] })] }) }), told: /weights in another file/ },
  { what: 'a weight of a huge declared shape', version: 'v27', put: (v) => upload(v, { head: hostile(weight([2 ** 31, 2 ** 31, 2 ** 31])) }), told: /declares the shape \[2147483648, 2147483648, 2147483648\]/ },
  { what: 'an input of a huge declared shape', version: 'v28', put: (v) => upload(v, { head: hostile({ inputs: [valueInfo('text', ELEMENT.float, [1, 2 ** 40])] }) }), told: /input or output of the size 1099511627776/ },
  { what: 'a head that swells to 256 GiB when it runs', version: 'v29', put: (v) => upload(v, { head: swelling() }), told: /memory|alloc/i },
];

test.each(BAD)('$what is rejected with its reason, and the old model serves on', async ({ version, put, told }) => {
  await put(version);
  await store.put('prod/config.yaml', configFor(version));
  const health = await eventually(async () => {
    const now = await pod.modelHealth();
    // The one before it may have been refused for a reason of the same words.
    expect(now.rejected).toMatchObject({ revision: expect.stringMatching(new RegExp(`^${version}-`)) as string, reason: expect.stringMatching(told) as string });
    return now;
  }, { timeoutMs: 60_000 });
  expect(health.status).not.toBe('failing');
  expect(await asked()).toEqual({ model: LEFT, version: 'v1' });
  await eventually(async () => expect(await readlink(join(pod.modelsDir, NAME, 'current'))).toMatch(/^generations\/v1-/));
  expect((await pod.report()).models).toMatchObject([{ name: NAME, version: 'v1' }]);
}, 90_000);

test('what is too large by its manifest is not downloaded', () => {
  const fetched = store.requests.filter(({ method, key }) => method === 'GET' && key.includes(`${NAME}-v22/`)).map(({ key }) => key.slice(key.lastIndexOf('/') + 1));
  expect(fetched).toContain('manifest.json');
  expect(fetched).not.toContain('padding.bin');
  expect(fetched).not.toContain('model.onnx');
});

test('a file that is missing from the store is no artifact, and a name that leads out of the folder is refused unread', async () => {
  await upload('v30', { change: (file, bytes) => (file === 'model.onnx' ? undefined : bytes) });
  await store.put('prod/config.yaml', configFor('v30'));
  await eventually(async () => expect(JSON.stringify(await pod.modelHealth())).toMatch(/model\.onnx/), { timeoutMs: 60_000 });
  expect(await asked()).toEqual({ model: LEFT, version: 'v1' });

  // Signed by the right key, over a manifest that nobody honest writes.
  const local = join(directory.path, 'escaping');
  await makeArtifact(local, { name: NAME, version: 'v31', scores: { [LEFT]: 0.2, [RIGHT]: 0.8 }, privateKey: signers.privateKey });
  const manifest = JSON.parse(await readFile(join(local, 'manifest.json'), 'utf8')) as { files: { path: string }[] };
  manifest.files[0] = { ...manifest.files[0], path: '../../../escaped.txt' };
  const { signManifest } = await import('@pointsman/model-artifacts');
  const bytes = Buffer.from(JSON.stringify(manifest));
  await writeFile(join(local, 'manifest.json'), bytes);
  await writeFile(join(local, 'manifest.json.sig'), signManifest(bytes, signers.privateKey));
  await uploadArtifact(store, local, `${NAME}-v31`);
  await store.put('escaped.txt', 'x');
  await store.put('prod/config.yaml', configFor('v31'));
  await eventually(async () => expect((await pod.modelHealth()).rejected?.reason).toMatch(/\.\./), { timeoutMs: 60_000 });
  expect(store.requests.filter(({ key }) => key.endsWith('escaped.txt'))).toEqual([]);
  expect(await asked()).toEqual({ model: LEFT, version: 'v1' });
}, 120_000);

test('a good version is swapped in under load without a failed request, and so is the way back', async () => {
  const load = startSteadyLoad({ url: pod.gateway.url, requestsPerSecond: 50, streamShare: 0, headers: { authorization: `Bearer ${MASTER_KEY}` } });
  await eventually(() => load.succeeded() > 20);
  const revision = await upload('v2');
  for (const [version, model] of [['v2', RIGHT], ['v1', LEFT], ['v2', RIGHT]] as const) {
    await store.put('prod/config.yaml', configFor(version));
    await eventually(async () => expect(await asked()).toEqual({ model, version }), { timeoutMs: 60_000 });
    await eventually(async () => expect(await pod.modelHealth()).toMatchObject({ status: 'ok' }));
  }
  expect((await pod.report()).models).toMatchObject([{ name: NAME, version: 'v2', revision }]);
  expect((await pod.modelHealth()).rejected).toBeUndefined();
  const report = await load.stop();
  expect(report.failures).toEqual([]);
  expect(report.sent).toBeGreaterThan(50);
}, 120_000);
