import { existsSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { startProcess } from '../measure/start-process.ts';
import type { Contestant } from './contestant.ts';
import { gatewayConfig, newMasterKey } from './litellm-config.ts';

const program = fileURLToPath(new URL('../../../gateway/src/main.ts', import.meta.url));

/** Without a bound V8 doubles its young generation to two halves of 64 MB at some point under load: one step in memory that is no leak but looks like one. */
const nodeFlags: readonly string[] = ['--max-semi-space-size=32'];

function pointsmanWith({ name, about, exportsSpans, quick }: { readonly name: string; readonly about: string; readonly exportsSpans: boolean; readonly quick: boolean }): Contestant {
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
      await Promise.all([writeFile(config, gatewayConfig(upstreamUrl)), ...Object.values(folders).map((folder) => mkdir(folder))]);
      const started = startProcess({
        command: process.execPath,
        arguments: [...nodeFlags, ...nodeArguments, program],
        core,
        directory,
        environment: {
          NODE_ENV: 'production',
          PORT: '0',
          CONFIG_PATH: config,
          LITELLM_MASTER_KEY: masterKey,
          DATABASE_URL: 'none',
          ...folders,
          ...(exportsSpans ? { OTEL_EXPORTER_OTLP_ENDPOINT: otlpUrl, OTEL_TRACES_SAMPLER: 'always_on' } : {}),
        },
      });
      const url = new URL(await started.listening(60_000));
      // A gateway that listens on every address says so; the load goes over loopback.
      if (url.hostname === '0.0.0.0' || url.hostname === '[::]' || url.hostname === 'localhost') url.hostname = '127.0.0.1';
      await started.answering(new URL('/health/readiness', url).href, 30_000).catch(() => undefined);
      return { baseUrl: url.origin, headers: { authorization: `Bearer ${masterKey}` }, pid: started.pid, stop: started.stop };
    },
  };
}

/** This repository's gateway as it is deployed. */
export const pointsman = pointsmanWith({
  name: 'pointsman',
  about: 'this gateway, started with --max-semi-space-size=32: key check, limits, routing decision, metrics, a span per request exported by OTLP',
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
