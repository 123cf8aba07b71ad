import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { eventually, spawnApp, startObjectStore, temporaryDirectory } from '@pointsman/testing';
import { expect, test } from 'vitest';
import { healthOf, startPod } from './pod.fixture.ts';

const CONFIG = `model_list:
${['openai/gpt-4o', 'anthropic/claude-sonnet-4-5', 'bedrock/anthropic.claude-3-haiku', 'gemini/gemini-2.5-pro', 'vertex_ai/gemini-2.5-pro', 'azure/gpt-4o', 'cohere/command-r'].map((model) => `  - { model_name: chat, litellm_params: { model: ${model} } }`).join('\n')}
router_settings:
  routing_strategy: llmrouter-knn
  routing_strategy_args: { model_name: knn-router, model_version: v1 }
`;

test('checking a configuration of every kind of provider and a trained strategy loads no provider’s SDK and no model runtime', async () => {
  await using store = await startObjectStore();
  await using pod = await startPod({ spawnApp, temporaryDirectory });
  await using directory = await temporaryDirectory();
  const trace = join(directory.path, 'modules');
  await store.put('prod/config.yaml', CONFIG);
  await pod.startGateway();
  const sync = await pod.startConfigSync({ ...store.env, MODULE_TRACE_FILE: trace, NODE_OPTIONS: `--import ${pathToFileURL(join(import.meta.dirname, 'module-trace.fixture.ts')).href}` });
  await eventually(async () => expect(await healthOf(sync)).toMatchObject({ status: 'ok', revision: expect.any(String) as string }));
  expect(await healthOf(sync)).not.toHaveProperty('rejected');
  const loaded = (await readFile(trace, 'utf8')).split('\n').filter((url) => url !== '');
  expect(loaded.filter((url) => url.endsWith('/libs/gateway-config/src/index.ts'))).toHaveLength(1);
  expect(loaded.filter((url) => /libs\/providers\/src\/registry\.ts$|@aws-sdk\/client-s3\//.test(url)).length).toBeGreaterThan(1);
  expect(loaded.filter((url) => /node_modules\/(onnxruntime|@ai-sdk\/|ai\/|@huggingface\/|@aws-sdk\/client-bedrock)|libs\/providers\/src\/(ai-sdk|openai-wire\/adapter)|libs\/routing\/src\/strategies\//.test(url))).toEqual([]);
  const maps = await readFile(`/proc/${String(sync.pid)}/maps`, 'utf8');
  expect(maps.split('\n').filter((line) => /onnx|\.node$/.test(line))).toEqual([]);
}, 120_000);
