import { existsSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { startPostgres, startRedis } from '@pointsman/testing';
import { startProcess } from '../measure/start-process.ts';
import type { Contestant } from './contestant.ts';
import { gatewayConfig, newMasterKey } from './litellm-config.ts';

const program = fileURLToPath(new URL('../../../gateway/src/main.ts', import.meta.url));

/** As `npm run gateway` starts it. Without a bound V8 doubles its young generation under load to two halves of up to 64 MB: memory that no request needs. */
const NODE_FLAGS: readonly string[] = ['--max-semi-space-size=8'];

interface Variant {
  readonly name: string;
  readonly about: string;
  readonly exportsSpans: boolean;
  readonly quick: boolean;
  /** A real PostgreSQL and Redis, a virtual key with limits and a budget, and the response cache on Redis. */
  readonly hasState?: boolean;
}

const CACHE_ON_REDIS = { litellm_settings: { cache: true, cache_params: { type: 'redis', ttl: 120 } } };
/** Limits that are asked every time and never met. */
const HIGH_LIMITS = { rpm_limit: 100_000_000, tpm_limit: 100_000_000_000, max_budget: 1_000_000 };

interface State extends AsyncDisposable {
  readonly environment: Readonly<Record<string, string>>;
}

async function startState(): Promise<State> {
  const [postgres, redis] = await Promise.all([startPostgres(), startRedis()]);
  return {
    environment: { DATABASE_URL: postgres.url, REDIS_URL: redis.url },
    [Symbol.asyncDispose]: async () => {
      await Promise.all([postgres[Symbol.asyncDispose](), redis[Symbol.asyncDispose]()]);
    },
  };
}

/** Waits until the gateway has its database, and makes a key there. */
async function limitedKey(url: URL, masterKey: string): Promise<string> {
  for (let tries = 0; ; tries += 1) {
    const response = await fetch(new URL('/key/generate', url), { method: 'POST', headers: { authorization: `Bearer ${masterKey}`, 'content-type': 'application/json' }, body: JSON.stringify(HIGH_LIMITS) });
    const body: unknown = await response.json();
    if (response.ok && typeof body === 'object' && body !== null && 'key' in body && typeof body.key === 'string') return body.key;
    if (tries === 100) throw new Error(`No key was made: ${JSON.stringify(body)}`);
    await sleep(100);
  }
}

function pointsmanWith({ name, about, exportsSpans, quick, hasState = false }: Variant): Contestant {
  return {
    name,
    about,
    pace: 'fast',
    quick,
    defersWork: true,
    async prepare() {
      if (!existsSync(program)) throw new Error('apps/gateway/src/main.ts does not exist.');
    },
    async start({ upstreamUrl, otlpUrl, core, directory, nodeArguments }) {
      const masterKey = newMasterKey();
      const config = join(directory, 'config.yaml');
      const folders = { RUN_DIR: join(directory, 'run'), POINTSMAN_HOME: join(directory, 'home'), MODELS_DIR: join(directory, 'models') };
      await Promise.all([writeFile(config, gatewayConfig(upstreamUrl, hasState ? CACHE_ON_REDIS : {})), ...Object.values(folders).map((folder) => mkdir(folder))]);
      const state = hasState ? await startState() : undefined;
      const started = startProcess({
        command: process.execPath,
        arguments: [...NODE_FLAGS, ...nodeArguments, program],
        core,
        directory,
        environment: {
          NODE_ENV: 'production',
          PORT: '0',
          CONFIG_PATH: config,
          LITELLM_MASTER_KEY: masterKey,
          ...(state?.environment ?? { DATABASE_URL: 'none' }),
          ...folders,
          ...(exportsSpans ? { OTEL_EXPORTER_OTLP_ENDPOINT: otlpUrl, OTEL_TRACES_SAMPLER: 'always_on' } : {}),
        },
      });
      const stop = async (): Promise<void> => {
        await started.stop();
        await state?.[Symbol.asyncDispose]();
      };
      try {
        const url = new URL(await started.listening(60_000));
        // A gateway that listens on every address says so; the load goes over loopback.
        if (url.hostname === '0.0.0.0' || url.hostname === '[::]' || url.hostname === 'localhost') url.hostname = '127.0.0.1';
        await started.answering(new URL('/health/readiness', url).href, 30_000).catch(() => undefined);
        const key = state === undefined ? masterKey : await limitedKey(url, masterKey);
        return { baseUrl: url.origin, headers: { authorization: `Bearer ${key}` }, pid: started.pid, stop };
      } catch (error) {
        await stop();
        throw error;
      }
    },
  };
}

/** This repository's gateway as it is deployed. */
export const pointsman = pointsmanWith({
  name: 'pointsman',
  about: 'this gateway: key check, limits, routing decision, metrics, a span per request exported by OTLP',
  exportsSpans: true,
  quick: true,
});

/** The same without a collector to export to: what the export costs is the difference. */
export const pointsmanNoExport = pointsmanWith({
  name: 'pointsman-no-otlp',
  about: 'the same gateway without an OTLP endpoint',
  exportsSpans: false,
  quick: false,
});

/** With everything that replicas share. */
export const pointsmanWithState = pointsmanWith({
  name: 'pointsman-state',
  about: 'the same gateway with a virtual key from PostgreSQL, two limits and a budget counted in Redis, a response cache on Redis that misses, and the spend ledger',
  exportsSpans: true,
  quick: false,
  hasState: true,
});
