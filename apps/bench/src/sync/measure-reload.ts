import { rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { spawnApp, temporaryDirectory } from '@pointsman/testing';
import { configRevisionOf, untilMs } from './gateway-reports.ts';

export interface ReloadFigures {
  readonly deployments: number;
  /** Milliseconds from the signal until the gateway reports the new revision, per round. */
  readonly tookMs: readonly number[];
}

const MASTER_KEY = 'sk-bench-sync';

function configOf(deployments: number, round: number): string {
  return JSON.stringify({
    model_list: Array.from({ length: deployments }, (_, index) => ({ model_name: `group-${String(index % 50)}`, litellm_params: { model: `hosted_vllm/m${String(index)}`, api_base: 'http://127.0.0.1:9', api_key: 'sk-x', weight: 1 + round } })),
  });
}

/** SIGHUP to new configuration served, with many deployments. */
export async function measureReload({ deployments, rounds }: { readonly deployments: number; readonly rounds: number }): Promise<ReloadFigures> {
  await using directory = await temporaryDirectory();
  const file = join(directory.path, 'config.yaml');
  await writeFile(file, configOf(deployments, 0));
  await using gateway = await spawnApp('gateway', { env: { HOST: '127.0.0.1', PORT: '0', CONFIG_PATH: file, CONFIG_POLL_INTERVAL_S: '3600', DATABASE_URL: 'none', LITELLM_MASTER_KEY: MASTER_KEY, POINTSMAN_HOME: directory.path } });
  const tookMs: number[] = [];
  for (let round = 1; round <= rounds; round += 1) {
    const before = await configRevisionOf(gateway.url);
    await writeFile(`${file}.next`, configOf(deployments, round));
    const startedAt = performance.now();
    await rename(`${file}.next`, file);
    gateway.signal('SIGHUP');
    await untilMs(async () => (await configRevisionOf(gateway.url)) !== before, { timeoutMs: 60_000, everyMs: 5 });
    tookMs.push(performance.now() - startedAt);
  }
  return { deployments, tookMs };
}
