import { readFile, realpath, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { configRevision, readConfigFiles } from '@pointsman/gateway-config';

// A gateway's part of the conversation, as a process of its own: reads what is published at start and on SIGHUP, and tells what it serves in RUN_DIR/applied.json.
// A configuration that says "the gateway refuses this" is refused, as one is whose trouble only the gateway can see.

const [configDir = '', runDir = ''] = process.argv.slice(2);
let served: string | null = null;
let refused: { readonly at: string; readonly revision: string; readonly reason: string } | undefined;
let reloads = 0;

async function reload(): Promise<void> {
  reloads += 1;
  try {
    const directory = await realpath(join(configDir, 'current'));
    const optional = (name: string): Promise<string | undefined> => readFile(join(directory, name), 'utf8').catch(() => undefined);
    const files = await readConfigFiles('config.yaml', (path) => readFile(join(directory, path), 'utf8'));
    const revision = configRevision({ files, candidates: await optional('llm_candidates.json'), degradedMode: await optional('degraded-mode.yaml') });
    if (files[0]?.text.includes('the gateway refuses this') === true) refused = { at: new Date().toISOString(), revision, reason: 'general_settings.master_key: the environment has no SUCH_KEY' };
    else {
      served = revision;
      refused = undefined;
    }
  } catch {
    // Nothing is published yet.
  }
  const file = join(runDir, 'applied.json');
  await writeFile(`${file}.new`, JSON.stringify({ pid: process.pid, config_revision: served, applied_at: new Date().toISOString(), models: [], reloads, ...(refused === undefined ? {} : { last_rejected: refused }) }));
  await rename(`${file}.new`, file);
}

let running = Promise.resolve();
process.on('SIGHUP', () => {
  running = running.then(reload);
});
await reload();
await writeFile(join(runDir, 'gateway.pid'), `${String(process.pid)}\n`);
process.stdout.write(`${JSON.stringify({ msg: 'listening', url: 'none' })}\n`);
setInterval(() => undefined, 60_000);
