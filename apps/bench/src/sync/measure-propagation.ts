import { spawn, type ChildProcess } from 'node:child_process';
import { mkdir, readlink } from 'node:fs/promises';
import { join } from 'node:path';
import { spawnApp, startObjectStore, temporaryDirectory, type RunningApp } from '@pointsman/testing';
import { configRevisionOf, untilMs } from './gateway-reports.ts';

export interface PropagationFigures {
  readonly replicas: number;
  readonly withGateway: number;
  readonly intervalMs: number;
  /** Milliseconds from the upload until each replica serves it (those beside a stand-in: has published it), per round the slowest. */
  readonly slowestMs: readonly number[];
}

const configOf = (round: number): string => JSON.stringify({ model_list: [{ model_name: 'auto', litellm_params: { model: 'simulated/swift' } }], router_settings: { timeout: 60 + round } });

/** What a sidecar needs of a gateway: its process number, and after each SIGHUP what it serves. A real one is 150 MB. */
const STAND_IN = `
const { readlinkSync, renameSync, writeFileSync } = require('node:fs');
const [configDir, runDir] = process.argv.slice(1);
const say = () => {
  let revision = null;
  try { revision = readlinkSync(configDir + '/current').split('/').pop(); } catch {}
  writeFileSync(runDir + '/applied.json.new', JSON.stringify({ pid: process.pid, config_revision: revision, applied_at: null, models: [] }));
  renameSync(runDir + '/applied.json.new', runDir + '/applied.json');
};
process.on('SIGHUP', say);
say();
writeFileSync(runDir + '/gateway.pid', process.pid + '\\n');
setInterval(() => undefined, 1e9);
`;

/** Upload to served everywhere: a config-sync process per replica, some beside a gateway that proves it, the others beside a process that plays one. */
export async function measurePropagation({ replicas, withGateway, intervalMs, rounds }: { readonly replicas: number; readonly withGateway: number; readonly intervalMs: number; readonly rounds: number }): Promise<PropagationFigures> {
  await using directory = await temporaryDirectory();
  await using store = await startObjectStore();
  await store.put('prod/config.yaml', configOf(0));
  const apps: RunningApp[] = [];
  const standIns: ChildProcess[] = [];
  try {
    const gateways = new Map<number, string>();
    // A few at a time: a start is a second of CPU, and all at once would only measure that.
    for (let index = 0; index < replicas; index += 1) {
      const home = join(directory.path, String(index));
      apps.push(await spawnApp('config-sync', { deadlineMs: 120_000, env: { ...store.env, POD_NAME: `pod-${String(index)}`, CONFIG_DIR: join(home, 'config'), RUN_DIR: join(home, 'run'), HEALTH_PORT: '0', CONFIG_SYNC_INTERVAL: `${String(intervalMs)}ms` } }));
      if (index >= withGateway) {
        await mkdir(join(home, 'run'), { recursive: true });
        standIns.push(spawn(process.execPath, ['-e', STAND_IN, join(home, 'config'), join(home, 'run')], { stdio: 'ignore' }));
        continue;
      }
      const gateway = await spawnApp('gateway', { deadlineMs: 120_000, env: { HOST: '127.0.0.1', PORT: '0', CONFIG_PATH: join(home, 'config', 'config.yaml'), RUN_DIR: join(home, 'run'), POINTSMAN_HOME: home, DATABASE_URL: 'none', LITELLM_MASTER_KEY: 'sk-bench-sync', CONFIG_POLL_INTERVAL_S: '3600' } });
      apps.push(gateway);
      gateways.set(index, gateway.url);
    }
    const revisionAt = async (index: number): Promise<string | undefined> => {
      const url = gateways.get(index);
      return url === undefined ? readlink(join(directory.path, String(index), 'config', 'current')).catch(() => undefined) : configRevisionOf(url);
    };
    await untilMs(async () => (await Promise.all(Array.from({ length: replicas }, (_, index) => revisionAt(index)))).every((revision) => revision !== undefined), { timeoutMs: 60_000 + 3 * intervalMs, everyMs: 200 });
    const slowestMs: number[] = [];
    for (let round = 1; round <= rounds; round += 1) {
      const before = await Promise.all(Array.from({ length: replicas }, (_, index) => revisionAt(index)));
      const startedAt = performance.now();
      await store.put('prod/config.yaml', configOf(round));
      await Promise.all(before.map((old, index) => untilMs(async () => (await revisionAt(index)) !== old, { timeoutMs: 10 * intervalMs + 60_000, everyMs: 50 })));
      slowestMs.push(performance.now() - startedAt);
    }
    return { replicas, withGateway, intervalMs, slowestMs };
  } finally {
    for (const standIn of standIns) standIn.kill('SIGKILL');
    await Promise.all(apps.map((app) => app[Symbol.asyncDispose]()));
  }
}
