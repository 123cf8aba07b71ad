import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, mkdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Contestant, requestedModel, type RunningContestant } from '../contestants/contestant.ts';
import type { LoadOrder } from '../load/load-process.ts';
import type { SliceResult } from '../load/send-slice.ts';
import type { Cores } from './cores.ts';
import { startProcess } from './start-process.ts';

/** The surroundings of a measurement: upstream, span sink and load generator, each a process, and the contestants that were started. */
export interface Arena extends AsyncDisposable {
  start(contestant: Contestant, nodeArguments?: readonly string[]): Promise<RunningContestant>;
  send(running: RunningContestant, slice: Pick<LoadOrder, 'scenario' | 'requests' | 'deadlineMs'>): Promise<SliceResult>;
  /** Bytes of spans that arrived at the sink so far. */
  spanBytes(): Promise<number>;
}

/** Starts the three processes on the load core, and this process with them: it must not disturb the contestant's core. */
export async function startArena({ cores, chunkIntervalMs }: { readonly cores: Cores; readonly chunkIntervalMs: number }): Promise<Arena> {
  if (cores.load !== undefined) pinSelf(cores.load);
  const root = await mkdtemp(join(tmpdir(), 'pointsman-bench-'));
  const program = (path: string): string => fileURLToPath(new URL(path, import.meta.url));
  const node = (path: string, ...rest: string[]): ReturnType<typeof startProcess> =>
    startProcess({ command: process.execPath, arguments: [program(path), ...rest], core: cores.load });
  const upstream = node('../upstream/upstream-process.ts', String(chunkIntervalMs));
  const sink = node('../upstream/otlp-sink-process.ts');
  const load = startProcess({ command: process.execPath, arguments: [program('../load/load-process.ts')], core: cores.load, withChannel: true });
  const running: RunningContestant[] = [];
  let started = 0;
  const [upstreamUrl, otlpUrl] = await Promise.all([upstream.listening(10_000), sink.listening(10_000)]);

  async function close(): Promise<void> {
    await Promise.all(running.map((contestant) => contestant.stop()));
    await Promise.all([upstream.stop(), sink.stop(), load.stop()]);
    await rm(root, { recursive: true, force: true });
  }
  return {
    async start(contestant, nodeArguments = []) {
      started += 1;
      const directory = join(root, `${started}-${contestant.name}`);
      await mkdir(directory);
      const entrant = await contestant.start({ upstreamUrl, otlpUrl, directory, core: cores.contestant, nodeArguments });
      running.push(entrant);
      return entrant;
    },
    async send({ baseUrl, headers }, slice) {
      const order: LoadOrder = { baseUrl, headers, model: requestedModel, ...slice };
      const over = new AbortController();
      const answered = once(load.child, 'message', over) as Promise<[SliceResult]>;
      const ended = once(load.child, 'exit', over).then((): never => {
        throw new Error('The load generator ended.');
      });
      load.child.send(order);
      try {
        return (await Promise.race([answered, ended]))[0];
      } finally {
        over.abort();
        await Promise.allSettled([answered, ended]);
      }
    },
    async spanBytes() {
      const response = await fetch(otlpUrl);
      return ((await response.json()) as { bytes: number }).bytes;
    },
    [Symbol.asyncDispose]: close,
  };
}

function pinSelf(core: number): void {
  try {
    execFileSync('taskset', ['-a', '-c', '-p', String(core), String(process.pid)], { stdio: 'ignore' });
  } catch {
    // Without taskset nothing is pinned; the report says so.
  }
}
