import { mkdir, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { writeArtifact } from '@pointsman/model-artifacts';
import { HEAD_FILE } from '@pointsman/routing';
import { constantHead, ELEMENT, node, onnxModel, readProcessTree, spawnApp, temporaryDirectory, tensor, valueInfo } from '@pointsman/testing';
import { untilMs } from './gateway-reports.ts';

export interface ModelSwapFigures {
  readonly modelBytes: number;
  /** Milliseconds from the rename that publishes it until the gateway says that it serves. */
  readonly servedMs: number;
  /** Milliseconds; of requests at a steady rate. */
  readonly p99BeforeMs: number;
  readonly p99DuringMs: number;
  readonly failed: number;
  /** Resident bytes of the gateway and its children: before, and the most while the model was tried and loaded. */
  readonly rssBefore: number;
  readonly rssPeak: number;
}

const NAME = 'big-router';
const MASTER_KEY = 'sk-bench-sync';
const CANDIDATES = ['simulated/swift', 'simulated/steady'] as const;

/** A table of n-gram weights of about so many bytes: the largest part of real heads. */
function tableHead(bytes: number): Uint8Array {
  const buckets = Math.floor(bytes / 8);
  return onnxModel({
    nodes: [
      node({ op: 'Gather', inputs: ['table', 'ngram_index'], outputs: ['rows'] }), node({ op: 'Unsqueeze', inputs: ['ngram_value', 'one'], outputs: ['column'] }),
      node({ op: 'Mul', inputs: ['rows', 'column'], outputs: ['weighted'] }), node({ op: 'ReduceSum', inputs: ['weighted', 'zero'], outputs: ['wide'] }), node({ op: 'Add', inputs: ['wide', 'b'], outputs: ['sum'] }),
      node({ op: 'Unsqueeze', inputs: ['sum', 'zero'], outputs: ['flat'] }), node({ op: 'Reshape', inputs: ['flat', 'shape'], outputs: ['scores'] }),
    ],
    initializers: [
      tensor({ name: 'table', dims: [buckets, 2], data: new Float32Array(buckets * 2) }), tensor({ name: 'b', dims: [1, 2], data: Float32Array.of(0.3, 0.7) }),
      tensor({ name: 'one', dims: [1], type: ELEMENT.int64, data: BigInt64Array.of(1n) }), tensor({ name: 'zero', dims: [1], type: ELEMENT.int64, data: BigInt64Array.of(0n) }),
      tensor({ name: 'shape', dims: [2], type: ELEMENT.int64, data: BigInt64Array.of(1n, 2n) }),
    ],
    inputs: [valueInfo('ngram_index', ELEMENT.int32, ['N']), valueInfo('ngram_value', ELEMENT.float, ['N'])],
    outputs: [valueInfo('scores', ELEMENT.float, [1, 2])],
  });
}

async function publish(modelsDir: string, version: string, head: Uint8Array): Promise<{ readonly revision: string; readonly go: () => Promise<void> }> {
  const root = join(modelsDir, NAME);
  const staging = join(root, `.staging-${version}`);
  await mkdir(join(root, 'generations'), { recursive: true });
  const scores = version === 'v1' ? { [CANDIDATES[0]]: 0.8, [CANDIDATES[1]]: 0.2 } : { [CANDIDATES[0]]: 0.3, [CANDIDATES[1]]: 0.7 };
  const { revision } = await writeArtifact(staging, {
    schema_version: 1, name: NAME, version, strategy: 'llmrouter-hybrid', created_at: '2026-05-01T00:00:00Z', candidates: [...CANDIDATES],
    features: { version: 1, embedder: { name: 'none', sha256: '', dimensions: 0 } }, golden: [{ prompt: 'How do you do?', scores, tolerance: 1e-3 }],
    training: { dataset_uri: 'file:///rows', dataset_sha256: 'a'.repeat(64), rows: 1, started_at: '2026-05-01T00:00:00Z', duration_s: 1, seed: 7, metrics: {} },
  }, new Map([[HEAD_FILE, head]]), undefined);
  return {
    revision,
    go: async () => {
      await rename(staging, join(root, 'generations', revision));
      await symlink(join('generations', revision), join(root, '.link'));
      await rename(join(root, '.link'), join(root, 'current'));
    },
  };
}

function p99(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * 0.99))] ?? NaN;
}

/** A large model comes while requests flow: how long until it serves, what it does to them, and to memory. */
export async function measureModelSwap({ modelBytes, requestsPerSecond, quietMs }: { readonly modelBytes: number; readonly requestsPerSecond: number; readonly quietMs: number }): Promise<ModelSwapFigures> {
  await using directory = await temporaryDirectory();
  const [config, modelsDir] = [join(directory.path, 'config.yaml'), join(directory.path, 'models')];
  await writeFile(config, JSON.stringify({
    model_list: CANDIDATES.map((model) => ({ model_name: 'auto', litellm_params: { model, mock_response: 'well' } })),
    router_settings: { routing_strategy: 'llmrouter-hybrid', routing_strategy_args: { model_name: NAME, quality_cost_tradeoff: 1 } },
  }));
  const small = await publish(modelsDir, 'v1', constantHead([0.8, 0.2]));
  await small.go();
  await using gateway = await spawnApp('gateway', { deadlineMs: 60_000, env: { HOST: '127.0.0.1', PORT: '0', CONFIG_PATH: config, DATABASE_URL: 'none', LITELLM_MASTER_KEY: MASTER_KEY, POINTSMAN_HOME: directory.path, MODELS_DIR: modelsDir } });
  const served = async (): Promise<string | undefined> => {
    const reply = await fetch(`${gateway.url}/health/config`, { headers: { authorization: `Bearer ${MASTER_KEY}` } });
    return ((await reply.json()) as { readonly models: readonly { readonly revision: string }[] }).models[0]?.revision;
  };
  await untilMs(async () => (await served()) === small.revision, { timeoutMs: 30_000, everyMs: 20 });
  const large = await publish(modelsDir, 'v2', tableHead(modelBytes));

  const latencies: { readonly at: number; readonly took: number }[] = [];
  let failed = 0;
  let stopped = false;
  const body = JSON.stringify({ model: 'auto', messages: [{ role: 'user', content: 'How do you do?' }], mock_response: 'well' });
  const send = async (): Promise<void> => {
    const at = performance.now();
    const reply = await fetch(`${gateway.url}/v1/chat/completions`, { method: 'POST', body, headers: { 'content-type': 'application/json', authorization: `Bearer ${MASTER_KEY}` } }).catch(() => undefined);
    await reply?.text();
    if (reply?.status !== 200) failed += 1;
    latencies.push({ at, took: performance.now() - at });
  };
  const pending = new Set<Promise<void>>();
  const timer = setInterval(() => {
    if (stopped) return;
    const one = send().finally(() => pending.delete(one));
    pending.add(one);
  }, 1_000 / requestsPerSecond);
  let rssPeak = 0;
  const watch = setInterval(() => {
    rssPeak = Math.max(rssPeak, readProcessTree(gateway.pid).rssBytes);
  }, 100);
  try {
    await new Promise((resolve) => setTimeout(resolve, 2_000));
    // The question what is served is asked at the same rate in both windows: it is load too.
    const quietFrom = performance.now();
    rssPeak = 0;
    await untilMs(async () => (await served()) === small.revision && performance.now() - quietFrom >= quietMs, { timeoutMs: quietMs + 10_000, everyMs: 25 });
    const rssBefore = rssPeak;
    const startedAt = performance.now();
    await large.go();
    await untilMs(async () => (await served()) === large.revision, { timeoutMs: 120_000, everyMs: 25 });
    const servedMs = performance.now() - startedAt;
    const swappedAt = performance.now();
    await untilMs(async () => (await served()) === large.revision && performance.now() - startedAt >= quietMs, { timeoutMs: quietMs + 10_000, everyMs: 25 });
    stopped = true;
    await Promise.all(pending);
    const between = (from: number, to: number): number[] => latencies.filter(({ at }) => at >= from && at < to).map(({ took }) => took);
    return { modelBytes, servedMs, failed, p99BeforeMs: p99(between(quietFrom, startedAt)), p99DuringMs: p99(between(startedAt, Math.max(swappedAt, startedAt + quietMs))), rssBefore, rssPeak };
  } finally {
    clearInterval(timer);
    clearInterval(watch);
    await rm(modelsDir, { recursive: true, force: true });
  }
}
