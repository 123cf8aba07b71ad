import { rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { spawnApp, temporaryDirectory, type RunningApp } from '@pointsman/testing';

export const MASTER_KEY = 'sk-system-tests-0123456789abcdef';

export interface GatewayUnderTest extends RunningApp {
  /** The file that the gateway follows. */
  readonly configPath: string;
  /** Everything the gateway writes and reads is in here. */
  readonly directory: string;
  /** Replaces the configuration file in one step, as editors do; an object is written as JSON, which is YAML. */
  writeConfig(config: object | string): Promise<void>;
  post(path: string, body: object, options?: PostOptions): Promise<Response>;
  get(path: string): Promise<Response>;
  /** Sum of all series of a metric whose labels include these. 0 where there is none yet. */
  metric(name: string, labels?: Readonly<Record<string, string>>): Promise<number>;
}

export interface PostOptions {
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
}

export interface StartGatewayOptions {
  readonly config: object | string;
  readonly env?: Readonly<Record<string, string>>;
}

/** A gateway process on a free port with a configuration of its own; gone with all its files at the end of the block. */
export async function startGatewayUnderTest({ config, env = {} }: StartGatewayOptions): Promise<GatewayUnderTest> {
  const temporary = await temporaryDirectory();
  const directory = temporary.path;
  const configPath = env['CONFIG_PATH'] ?? join(directory, 'config.yaml');
  const writeConfig = async (next: object | string): Promise<void> => {
    await writeFile(`${configPath}.next`, typeof next === 'string' ? next : JSON.stringify(next));
    await rename(`${configPath}.next`, configPath);
  };
  try {
    if (env['CONFIG_PATH'] === undefined) await writeConfig(config);
    const app = await spawnApp('gateway', {
      env: {
        HOST: '127.0.0.1', PORT: '0', CONFIG_PATH: configPath, LITELLM_MASTER_KEY: MASTER_KEY, POINTSMAN_HOME: directory, DATABASE_URL: 'none',
        RUN_DIR: join(directory, 'run'), MODELS_DIR: join(directory, 'models'), ...env,
      },
    });
    const get = (path: string): Promise<Response> => fetch(`${app.url}${path}`, { headers: { authorization: `Bearer ${MASTER_KEY}` } });
    return {
      ...app,
      configPath,
      directory,
      writeConfig,
      get,
      post: (path, body, { headers, signal } = {}) => fetch(`${app.url}${path}`, {
        method: 'POST', body: JSON.stringify(body), ...(signal === undefined ? {} : { signal }),
        headers: { 'content-type': 'application/json', authorization: `Bearer ${MASTER_KEY}`, ...headers },
      }),
      metric: async (name, labels = {}) => sumOfSeries(await (await get('/metrics')).text(), name, labels),
      [Symbol.asyncDispose]: async () => {
        await app[Symbol.asyncDispose]();
        await temporary[Symbol.asyncDispose]();
      },
    };
  } catch (error) {
    await temporary[Symbol.asyncDispose]();
    throw error;
  }
}

/** Reads the Prometheus text format: `name{label="value",…} number`. */
export function sumOfSeries(exposition: string, name: string, labels: Readonly<Record<string, string>>): number {
  let sum = 0;
  for (const line of exposition.split('\n')) {
    if (!line.startsWith(`${name}{`) && !line.startsWith(`${name} `)) continue;
    if (Object.entries(labels).every(([label, value]) => line.includes(`${label}="${value}"`))) sum += Number(line.slice(line.lastIndexOf(' ') + 1));
  }
  return sum;
}

export interface DeploymentOptions {
  /** Other `litellm_params`. */
  readonly params?: object;
  readonly id?: string;
}

/** One entry of `model_list`: an OpenAI-compatible server that is asked for `model`. */
export function deployment(group: string, { url }: { readonly url: string }, model: string, { params = {}, id }: DeploymentOptions = {}): object {
  return {
    model_name: group,
    litellm_params: { model: `hosted_vllm/${model}`, api_base: `${url}/v1`, api_key: 'sk-of-the-provider', ...params },
    ...(id === undefined ? {} : { model_info: { id } }),
  };
}

export const question = { messages: [{ role: 'user', content: 'How do you do?' }] } as const;
