import { existsSync } from 'node:fs';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { freePort } from '@pointsman/testing';
import { startProcess } from '../measure/start-process.ts';
import type { Contestant } from './contestant.ts';
import { gatewayConfig, newMasterKey } from './litellm-config.ts';
import { install, peerDirectory } from './peer-cache.ts';

const environment = peerDirectory('litellm-venv');
const program = join(environment, 'bin/litellm');

/** LiteLLM's proxy from PyPI with the very configuration that Pointsman runs with. */
export const litellm: Contestant = {
  name: 'litellm',
  about: 'litellm[proxy] from PyPI, 1 worker, same configuration file as pointsman; key check, no database, no spans, LITELLM_LOG=ERROR',
  pace: 'slow',
  quick: false,
  defersWork: false,
  async prepare(say) {
    if (existsSync(program)) return;
    say(`installing litellm[proxy] into ${environment} (740 MB, takes minutes)`);
    await mkdir(dirname(environment), { recursive: true });
    const directory = dirname(environment);
    try {
      await install('python3', ['-c', 'import sys; sys.exit(sys.version_info < (3, 10))'], { directory, timeoutMs: 10_000 });
      await install('python3', ['-m', 'venv', environment], { directory, timeoutMs: 120_000 });
      await install(join(environment, 'bin/pip'), ['install', '--quiet', '--disable-pip-version-check', 'litellm[proxy]'], { directory, timeoutMs: 900_000 });
    } catch (error) {
      // Half an environment would pass for a whole one next time.
      await rm(environment, { recursive: true, force: true });
      throw error;
    }
  },
  async start({ upstreamUrl, core, directory }) {
    const port = await freePort();
    const masterKey = newMasterKey();
    const config = join(directory, 'config.yaml');
    await writeFile(config, gatewayConfig(upstreamUrl));
    const started = startProcess({
      command: program,
      arguments: ['--config', config, '--host', '127.0.0.1', '--port', String(port), '--num_workers', '1', '--telemetry', 'False'],
      core,
      directory,
      environment: {
        LITELLM_MASTER_KEY: masterKey,
        LITELLM_LOG: 'ERROR',
        LITELLM_MODE: 'PRODUCTION',
        // No look-ups outside: the price map comes with the package.
        LITELLM_LOCAL_MODEL_COST_MAP: 'True',
      },
    });
    const baseUrl = `http://127.0.0.1:${port}`;
    await started.answering(`${baseUrl}/health/liveliness`, 180_000);
    return { baseUrl, headers: { authorization: `Bearer ${masterKey}` }, pid: started.pid, stop: started.stop };
  },
};
