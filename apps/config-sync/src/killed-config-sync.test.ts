import { mkdir, readdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { seededRandom } from '@pointsman/routing';
import { eventually, spawnApp, temporaryDirectory } from '@pointsman/testing';
import { sleep } from '@pointsman/timing';
import { expect, test } from 'vitest';
import { startPod } from './pod.fixture.ts';

const KILLS = 20;
const RACING = 2;

test('two sidecars race on one volume and are killed twenty times: what is published is always one whole generation, and the last one is served', async () => {
  await using pod = await startPod({ spawnApp, temporaryDirectory });
  await using directory = await temporaryDirectory();
  const folder = join(directory.path, 'prod');
  await mkdir(folder);
  const put = async (name: string, text: string): Promise<void> => {
    await writeFile(join(folder, `${name}.new`), text);
    await rename(join(folder, `${name}.new`), join(folder, name));
  };
  const write = async (n: number): Promise<void> => {
    await put('config.yaml', `model_list: [] # ${String(n)}\n`);
    if (n % 3 === 0) await put('llm_candidates.json', `{${' '.repeat(n % 100)}}`);
    await put('degraded-mode.yaml', `memory_cache_mb: ${String(1 + (n % 60_000))}\n`);
  };
  const env = { OBJECT_STORE_URL: `file://${directory.path}`, CONFIG_SYNC_INTERVAL: '100ms' };
  await write(0);
  await pod.startGateway();
  const first = await pod.startConfigSync(env);
  await eventually(() => pod.published());
  // Ended in peace, so that the compile cache is written: those below are killed before they could.
  await first.stop();

  const random = seededRandom(20);
  const done = new AbortController();
  let kills = 0;
  let checks = 0;
  const revisions = new Set<string>();
  const slot = async (): Promise<void> => {
    while (kills < KILLS) {
      kills += 1;
      const sync = await pod.startConfigSync(env);
      await sleep(random() * 500);
      await sync.stop('SIGKILL');
    }
  };
  const keepWriting = async (): Promise<void> => {
    for (let n = 1; !done.signal.aborted; n += 1) {
      await write(n);
      await sleep(80, done.signal);
    }
  };
  const keepChecking = async (): Promise<void> => {
    while (!done.signal.aborted) {
      revisions.add(await pod.published());
      checks += 1;
      await sleep(10, done.signal);
    }
  };
  const background = Promise.all([keepWriting(), keepChecking()]);
  background.catch(() => done.abort());
  await Promise.all(Array.from({ length: RACING }, slot));
  done.abort();
  await background;
  expect(kills).toBe(KILLS);
  expect(checks).toBeGreaterThan(100);
  expect(revisions.size).toBeGreaterThan(5);

  await write(1_000_000);
  await pod.startConfigSync(env);
  await eventually(async () => {
    expect(await readFile(join(pod.configDir, 'config.yaml'), 'utf8')).toBe('model_list: [] # 1000000\n');
    expect(await pod.served()).toBe(await pod.published());
  });
  // Those that were killed before they could prune left theirs; the next publishing removes them.
  await eventually(async () => expect((await readdir(join(pod.configDir, 'generations'))).length).toBeLessThanOrEqual(4));
}, 180_000);
