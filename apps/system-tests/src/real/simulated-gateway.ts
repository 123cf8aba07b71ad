import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { spawnApp, temporaryDirectory, type RunningApp } from '@pointsman/testing';

export const MASTER_KEY = 'sk-real-parts-0123456789abcdef';

const CONFIG = `
model_list:
  - model_name: simulated/swift
    litellm_params: { model: simulated/swift, simulated_ttft_ms: 1, simulated_tokens_per_s: 2000 }
  - model_name: auto
    litellm_params: { model: simulated/swift, simulated_ttft_ms: 1, simulated_tokens_per_s: 2000 }
  - model_name: auto
    litellm_params: { model: simulated/steady, simulated_ttft_ms: 1, simulated_tokens_per_s: 2000 }
  - model_name: slow
    litellm_params: { model: simulated/steady, simulated_ttft_ms: 1, simulated_tokens_per_s: 0.1, stream_timeout: 600, timeout: 600 }
general_settings:
  master_key: os.environ/LITELLM_MASTER_KEY
`;

/** A gateway process with simulated models on a free port, everything it writes in a directory that ends with it. */
export async function startSimulatedGateway(env: Readonly<Record<string, string>> = {}): Promise<RunningApp> {
  const directory = await temporaryDirectory();
  const configPath = join(directory.path, 'config.yaml');
  await writeFile(configPath, CONFIG);
  try {
    const app = await spawnApp('gateway', {
      env: { HOST: '127.0.0.1', PORT: '0', CONFIG_PATH: configPath, LITELLM_MASTER_KEY: MASTER_KEY, DATABASE_URL: 'none', POINTSMAN_HOME: directory.path, RUN_DIR: join(directory.path, 'run'), MODELS_DIR: join(directory.path, 'models'), ...env },
    });
    return {
      ...app,
      [Symbol.asyncDispose]: async () => {
        await app[Symbol.asyncDispose]();
        await directory[Symbol.asyncDispose]();
      },
    };
  } catch (error) {
    await directory[Symbol.asyncDispose]();
    throw error;
  }
}
