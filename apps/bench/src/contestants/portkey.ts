import { existsSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { freePort } from '@pointsman/testing';
import { startProcess } from '../measure/start-process.ts';
import type { Contestant } from './contestant.ts';
import { install, peerDirectory } from './peer-cache.ts';

const version = '1.15.2';
/** With 1.14 and later every stream is answered 500 ("TypeError: immutable" in Portkey's `updateHeaders`); Portkey itself asks for ^1.3.3. */
const serverVersion = '1.13.8';
const home = peerDirectory(`portkey-${version}-node-server-${serverVersion}`);
const program = join(home, 'node_modules/@portkey-ai/gateway/build/start-server.js');

/**
 * Portkey's gateway from npm. `--headless` leaves out its console; the collector that feeds the console's request log runs in Node for every
 * request with no setting to stop it (1.15.2: `addLogClient` in build/start-server.js), so its cost is Portkey's.
 */
export const portkey: Contestant = {
  name: 'portkey',
  about: `@portkey-ai/gateway ${version} from npm, --headless, NODE_ENV=production, @hono/node-server ${serverVersion} (newer ones break its streams): no key check, no limits, no spans`,
  pace: 'medium',
  quick: false,
  defersWork: false,
  async prepare(say) {
    if (existsSync(program)) return;
    say(`installing @portkey-ai/gateway ${version} into ${home} (25 MB)`);
    await mkdir(home, { recursive: true });
    await writeFile(join(home, 'package.json'), JSON.stringify({ name: 'portkey-peer', private: true, overrides: { '@hono/node-server': serverVersion } }));
    // Its install script patches development dependencies only; the published bundle runs without.
    await install('npm', ['install', '--no-audit', '--no-fund', '--ignore-scripts', '--save-exact', `@portkey-ai/gateway@${version}`], { directory: home, timeoutMs: 300_000 });
  },
  async start({ upstreamUrl, core, directory, nodeArguments }) {
    const port = await freePort();
    const started = startProcess({
      command: process.execPath,
      arguments: [...nodeArguments, program, `--port=${port}`, '--headless'],
      core,
      directory,
      environment: { NODE_ENV: 'production' },
    });
    const baseUrl = `http://127.0.0.1:${port}`;
    await started.answering(`${baseUrl}/`, 30_000);
    return {
      baseUrl,
      headers: { authorization: 'Bearer sk-bench', 'x-portkey-provider': 'openai', 'x-portkey-custom-host': `${upstreamUrl}/v1` },
      pid: started.pid,
      stop: started.stop,
    };
  },
};
