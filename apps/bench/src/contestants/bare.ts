import { fileURLToPath } from 'node:url';
import { startProcess } from '../measure/start-process.ts';
import type { Contestant } from './contestant.ts';

const program = fileURLToPath(new URL('bare-process.ts', import.meta.url));

function bareWith({ name, about, way, quick }: { readonly name: string; readonly about: string; readonly way: 'stream' | 'pipeline'; readonly quick: boolean }): Contestant {
  return {
    name,
    about,
    pace: 'fast',
    quick,
    defersWork: false,
    prepare: async () => undefined,
    async start({ upstreamUrl, core, nodeArguments, directory }) {
      const started = startProcess({ command: process.execPath, arguments: [...nodeArguments, program, upstreamUrl, way], core, directory, environment: { NODE_ENV: 'production' } });
      return { baseUrl: await started.listening(20_000), headers: { authorization: 'Bearer sk-bench' }, pid: started.pid, stop: started.stop };
    },
  };
}

/** The base of all ratios: the leanest proxy that Express and undici allow. A slower base would flatter everybody else. */
export const bare = bareWith({
  name: 'bare',
  about: 'Express 5 + undici 8 in thirty lines, replies by `undici.stream`: bytes in, bytes out, nothing looked at',
  way: 'stream',
  quick: true,
});

/** The same with `stream.pipeline`, as tutorials write it: costs about twice as much for short replies. */
export const barePipeline = bareWith({
  name: 'bare-pipeline',
  about: 'the same, replies by `undici.request` and `stream.pipeline`',
  way: 'pipeline',
  quick: false,
});
